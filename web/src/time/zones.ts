/** Instants and wall clocks. Instants are milliseconds since 1970, dates are `YYYY-MM-DD`. */

export type Instant = number;
export type DateKey = string;

/** A person's zone: an IANA name, or minutes ahead of UTC if the name is unknown. */
export type Zone = string | number;

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function clock(zone: string): Intl.DateTimeFormat {
  let found = formats.get(zone);
  if (!found) {
    found = new Intl.DateTimeFormat("en-US-u-ca-gregory-nu-latn", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    formats.set(zone, found);
  }
  return found;
}

/** Return the wall clock of *zone* as if it were UTC. */
function wall(at: Instant, zone: Zone): number {
  if (typeof zone === "number") return at + zone * MINUTE_MS;
  const part: Record<string, number> = {};
  for (const { type, value } of clock(zone).formatToParts(at)) part[type] = Number(value);
  return Date.UTC(
    part.year ?? 0,
    (part.month ?? 1) - 1,
    part.day ?? 1,
    part.hour ?? 0,
    part.minute ?? 0,
    part.second ?? 0,
  );
}

/** Return minutes ahead of UTC. */
export function offsetMinutes(at: Instant, zone: Zone): number {
  return Math.round((wall(at, zone) - Math.floor(at / 1000) * 1000) / MINUTE_MS);
}

export function dateOf(at: Instant, zone: Zone): DateKey {
  return new Date(wall(at, zone)).toISOString().slice(0, 10);
}

export function minuteOfDay(at: Instant, zone: Zone): number {
  return Math.floor((((wall(at, zone) % DAY_MS) + DAY_MS) % DAY_MS) / MINUTE_MS);
}

/**
 * Return the instant at which the clock of *zone* shows *minute* (of the day) on *date*.
 * A time skipped by a change to summer time is later by the length of the jump.
 */
export function instantAt(date: DateKey, minute: number, zone: Zone): Instant {
  const shown = Date.parse(`${date}T00:00:00Z`) + minute * MINUTE_MS;
  const before = shown - offsetMinutes(shown - DAY_MS, zone) * MINUTE_MS;
  if (wall(before, zone) === shown) return before;
  const after = shown - offsetMinutes(shown + DAY_MS, zone) * MINUTE_MS;
  return wall(after, zone) === shown ? after : before;
}

export function addDays(date: DateKey, count: number): DateKey {
  return new Date(Date.parse(`${date}T00:00:00Z`) + count * DAY_MS).toISOString().slice(0, 10);
}

/** Return 0 for Sunday to 6 for Saturday. */
export function weekday(date: DateKey): number {
  return new Date(`${date}T00:00:00Z`).getUTCDay();
}

/** Return the seven dates of the week that *date* is in; *firstDay* is 0 (Sunday) to 6. */
export function weekOf(date: DateKey, firstDay: number): DateKey[] {
  const start = addDays(date, -((weekday(date) - firstDay + 7) % 7));
  return Array.from({ length: 7 }, (_, index) => addDays(start, index));
}

/** Return *name* if this browser knows it, else the offset: mailboxes often have Windows names. */
export function zoneNamed(name: string, offset: number): Zone {
  try {
    clock(name);
    return name;
  } catch {
    return offset;
  }
}

/** A piece of a day: minutes of the day on the wall clock, *end* up to 1440. */
export interface Piece {
  readonly date: DateKey;
  readonly start: number;
  readonly end: number;
}

/** Split [start, end) into a piece for each day. */
export function pieces(start: Instant, end: Instant, zone: Zone): Piece[] {
  const found: Piece[] = [];
  const last = dateOf(end - 1, zone);
  for (let date = dateOf(start, zone); date <= last; date = addDays(date, 1)) {
    const from = date === dateOf(start, zone) ? minuteOfDay(start, zone) : 0;
    const isLast = date === dateOf(end, zone);
    const to = isLast ? minuteOfDay(end, zone) : 1440;
    if (to > from) found.push({ date, start: from, end: to });
  }
  return found;
}
