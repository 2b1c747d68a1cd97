/** The layout of the week: pure, in minutes of the viewer's wall clock. */
import type {
  Availability,
  ParticipantAvailability,
  UnavailableStart,
  Session,
  Slot,
} from "../api/client";
import {
  addDays,
  type DateKey,
  dateOf,
  type Instant,
  instantAt,
  minuteOfDay,
  type Piece,
  pieces,
  weekday,
  type Zone,
  zoneNamed,
} from "../time/zones";

const WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

export interface Block<T> extends Piece {
  readonly what: T;
}

/** A time that can be chosen, or one that cannot, with its reason. */
export interface Start {
  readonly at: Instant;
  readonly date: DateKey;
  readonly minute: number;
  readonly slot: Slot | null;
  readonly refusal: UnavailableStart | null;
}

export function zoneOf(person: ParticipantAvailability): Zone | null {
  const hours = person.working_hours;
  return hours && zoneNamed(hours.time_zone, hours.utc_offset_minutes);
}

/** Return the working hours of *person* on *days*, on the viewer's clock. */
export function workingPieces(
  person: ParticipantAvailability,
  days: readonly DateKey[],
  viewer: string,
): Piece[] {
  const hours = person.working_hours;
  const zone = zoneOf(person);
  const first = days[0];
  const last = days.at(-1);
  if (!hours || zone === null || !first || !last) return [];
  const from = minutesOf(hours.start);
  const to = minutesOf(hours.end);
  const found: Piece[] = [];
  // A day in another zone may begin a day earlier or end a day later here.
  for (let date = addDays(first, -2); date <= addDays(last, 1); date = addDays(date, 1)) {
    if (!hours.days.includes(WEEKDAYS[weekday(date)] ?? "")) continue;
    const ends = to > from ? date : addDays(date, 1);
    found.push(...pieces(instantAt(date, from, zone), instantAt(ends, to, zone), viewer));
  }
  return found.filter((piece) => days.includes(piece.date));
}

function minutesOf(text: string): number {
  const [hours = 0, minutes = 0] = text.split(":").map(Number);
  return hours * 60 + minutes;
}

/** Return the choices on *days*, by time. */
export function startsOf(
  found: Availability | null,
  days: readonly DateKey[],
  viewer: string,
): Start[] {
  const starts = [
    ...(found?.slots ?? []).map((slot) => start(slot.start, viewer, slot, null)),
    ...(found?.explanation ?? []).map((refusal) => start(refusal.start, viewer, null, refusal)),
  ];
  return starts.filter((each) => days.includes(each.date)).sort((a, b) => a.at - b.at);
}

function start(
  text: string,
  viewer: string,
  slot: Slot | null,
  refusal: UnavailableStart | null,
): Start {
  const at = Date.parse(text);
  return {
    at,
    date: dateOf(at, viewer),
    minute: minuteOfDay(at, viewer),
    slot,
    refusal,
  };
}

export function busyBlocks(
  person: ParticipantAvailability,
  days: readonly DateKey[],
  viewer: string,
): Block<ParticipantAvailability["busy"][number]>[] {
  return person.busy.flatMap((busy) =>
    pieces(Date.parse(busy.start), Date.parse(busy.end), viewer)
      .filter((piece) => days.includes(piece.date))
      .map((piece) => ({ ...piece, what: busy })),
  );
}

export function sessionBlocks(
  sessions: readonly Session[],
  days: readonly DateKey[],
  viewer: string,
): Block<Session>[] {
  return sessions
    .filter((session) => session.state !== "cancelled")
    .flatMap((session) =>
      sessionPieces(session, viewer)
        .filter((piece) => days.includes(piece.date))
        .map((piece) => ({ ...piece, what: session })),
    );
}

/** An all-day session is on its dates, whatever the viewer's zone. */
function sessionPieces({ start, end, dates }: Session, viewer: string): Piece[] {
  if (!dates) return pieces(Date.parse(start), Date.parse(end), viewer);
  const found: Piece[] = [];
  for (let date = dates.first_on; date <= dates.last_on; date = addDays(date, 1))
    found.push({ date, start: 0, end: 1440 });
  return found;
}

/** Return the minute to show first: a little before the first start. */
export function firstMinute(starts: readonly Start[], working: readonly Piece[]): number {
  const slots = starts.filter((each) => each.slot).map((each) => each.minute);
  const earliest = Math.min(...slots, ...working.map((piece) => piece.start));
  return Number.isFinite(earliest) ? Math.max(0, earliest - 30) : 450;
}

export type Arrow = "up" | "down" | "before" | "after" | "first" | "last";

/** Return the start that an arrow key leads to from the one at *index*. */
export function next(starts: readonly Start[], index: number, arrow: Arrow): number {
  const from = starts[index];
  if (!from) return 0;
  switch (arrow) {
    case "first":
      return 0;
    case "last":
      return starts.length - 1;
    case "up":
      return Math.max(0, index - 1);
    case "down":
      return Math.min(starts.length - 1, index + 1);
    default: {
      const dates = [...new Set(starts.map((each) => each.date))];
      const other = dates[dates.indexOf(from.date) + (arrow === "after" ? 1 : -1)];
      if (!other) return index;
      const gap = (each: Start) => Math.abs(each.minute - from.minute);
      return starts.reduce(
        (best, each, position) =>
          each.date === other && (starts[best]?.date !== other || gap(each) < gap(starts[best]))
            ? position
            : best,
        index,
      );
    }
  }
}

/** Return the minute on the grid of *step* nearest to *minute*, within the day. */
export function snapped(minute: number, step: number, lasting: number): number {
  const latest = Math.floor((1440 - lasting) / step) * step;
  return Math.min(latest, Math.max(0, Math.round(minute / step) * step));
}
