/** When a session is, and how long it lasts: an all-day one has dates, and no hours. */
import type { Session } from "../api/client";
import type { Translate } from "../languages";
import type { Format } from "../time/format";

type Timed = Pick<Session, "start" | "end" | "dates">;

export function whenOf(session: Timed, format: Format, t: Translate): string {
  if (session.dates) {
    const { first_on, last_on } = session.dates;
    return t("session.allDay", { dates: format.dates(first_on, last_on) });
  }
  const start = Date.parse(session.start);
  return `${format.date(start)}, ${format.range(start, Date.parse(session.end))}`;
}

/** Return its length in milliseconds; of an all-day one the *usual* minutes, to get hours again. */
export function lastingOf(session: Timed, usual: number): number {
  if (session.dates) return usual * 60_000;
  return Date.parse(session.end) - Date.parse(session.start);
}
