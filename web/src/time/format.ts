/** Formats times: language, 12 or 24 hours and the week's first day follow the locale. */
import { type DateKey, type Instant, offsetMinutes, type Zone } from "./zones";

// For browsers without week data: CLDR's supplemental week data, abridged.
const SUNDAY = new Set(
  "AG AS AU BD BR BS BT BW BZ CA CN CO DM DO ET GT GU HK HN ID IL IN JM JP KE KH KR LA MH MM MO MT MX MZ NI NP PA PE PH PK PR PT PY SA SG SV TH TT TW UM US VE VI WS YE ZA ZW".split(
    " ",
  ),
);
const SATURDAY = new Set("AE AF BH DJ DZ EG IQ IR JO KW LY OM QA SD SY".split(" "));

interface WeekAware extends Intl.Locale {
  getWeekInfo?(): { firstDay: number };
  weekInfo?: { firstDay: number };
}

export class Format {
  private readonly made = new Map<string, Intl.DateTimeFormat>();

  constructor(
    readonly locale: string,
    /** The viewer's zone. */
    readonly zone: string,
  ) {}

  /** Return the first day of the week: 0 for Sunday to 6. */
  get firstDay(): number {
    const locale = new Intl.Locale(this.locale) as WeekAware;
    const told = locale.getWeekInfo?.().firstDay ?? locale.weekInfo?.firstDay;
    if (told) return told % 7;
    const region = locale.maximize().region ?? "";
    return SUNDAY.has(region) ? 0 : SATURDAY.has(region) ? 6 : 1;
  }

  time(at: Instant, zone: Zone = this.zone): string {
    return this.write(at, zone, { hour: "numeric", minute: "2-digit" });
  }

  /** A time, with the day if it is not the viewer's own at that instant. */
  elsewhere(at: Instant, zone: Zone): string {
    const here = this.write(at, this.zone, { day: "numeric" });
    const there = this.write(at, zone, { day: "numeric" });
    return here === there
      ? this.time(at, zone)
      : this.write(at, zone, {
          weekday: "short",
          hour: "numeric",
          minute: "2-digit",
        });
  }

  range(start: Instant, end: Instant, zone: Zone = this.zone): string {
    const [shift, timeZone] = split(zone);
    return this.with({
      hour: "numeric",
      minute: "2-digit",
      timeZone,
    }).formatRange(start + shift, end + shift);
  }

  day(at: Instant): string {
    return this.write(at, this.zone, {
      weekday: "long",
      day: "numeric",
      month: "long",
    });
  }

  /** A date, with the year unless it is the current one. */
  date(at: Instant): string {
    return this.write(at, this.zone, dateParts(at));
  }

  /** Dates of no zone, from *first* to *last*, as `date` writes them. */
  dates(first: DateKey, last: DateKey): string {
    const [from, to] = [Date.parse(`${first}T12:00:00Z`), Date.parse(`${last}T12:00:00Z`)];
    return this.with({ ...dateParts(to), timeZone: "UTC" }).formatRange(from, to);
  }

  moment(at: Instant): string {
    return this.write(at, this.zone, {
      dateStyle: "medium",
      timeStyle: "short",
    });
  }

  /** The parts of a column's heading. */
  heading(date: DateKey): { weekday: string; day: string; full: string } {
    const at = Date.parse(`${date}T12:00:00Z`);
    return {
      weekday: this.write(at, "UTC", { weekday: "short" }),
      day: this.write(at, "UTC", { day: "numeric", month: "short" }),
      full: this.write(at, "UTC", {
        weekday: "long",
        day: "numeric",
        month: "long",
      }),
    };
  }

  days(first: DateKey, last: DateKey): string {
    return this.with({
      day: "numeric",
      month: "long",
      year: "numeric",
      timeZone: "UTC",
    }).formatRange(Date.parse(`${first}T12:00:00Z`), Date.parse(`${last}T12:00:00Z`));
  }

  minutes(count: number): string {
    const part = (value: number, unit: "hour" | "minute") =>
      new Intl.NumberFormat(this.locale, {
        style: "unit",
        unit,
        unitDisplay: "short",
      }).format(value);
    const hours = Math.floor(count / 60);
    const rest = count % 60;
    return [hours && part(hours, "hour"), (rest || !hours) && part(rest, "minute")]
      .filter(Boolean)
      .join(" ");
  }

  number(value: number): string {
    return new Intl.NumberFormat(this.locale).format(value);
  }

  list(names: readonly string[]): string {
    return new Intl.ListFormat(this.locale, { type: "conjunction" }).format(names);
  }

  /** The name of a weekday that the API names: `monday`. */
  weekday(name: string): string {
    const index = [
      "monday",
      "tuesday",
      "wednesday",
      "thursday",
      "friday",
      "saturday",
      "sunday",
    ].indexOf(name);
    // 1 January 2024 was a Monday.
    return this.write(Date.UTC(2024, 0, 1 + index, 12), "UTC", {
      weekday: "short",
    });
  }

  zoneName(zone: string, at: Instant): string {
    return `${zone.replaceAll("_", " ")} (${this.offset(zone, at)})`;
  }

  offset(zone: Zone, at: Instant): string {
    const minutes = offsetMinutes(at, zone);
    const sign = minutes < 0 ? "−" : "+";
    const size = Math.abs(minutes);
    return `UTC${sign}${Math.floor(size / 60)}:${String(size % 60).padStart(2, "0")}`;
  }

  private write(at: Instant, zone: Zone, options: Intl.DateTimeFormatOptions): string {
    const [shift, timeZone] = split(zone);
    return this.with({ ...options, timeZone }).format(at + shift);
  }

  private with(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
    const key = JSON.stringify(options);
    let found = this.made.get(key);
    if (!found) {
      found = new Intl.DateTimeFormat(this.locale, options);
      this.made.set(key, found);
    }
    return found;
  }
}

function dateParts(at: Instant): Intl.DateTimeFormatOptions {
  const isThisYear = new Date(at).getFullYear() === new Date().getFullYear();
  return {
    weekday: "short",
    day: "numeric",
    month: "short",
    ...(isThisYear ? {} : { year: "numeric" }),
  };
}

/** Return the offset to add to an instant, and the zone that then shows the right clock. */
function split(zone: Zone): [number, string] {
  return typeof zone === "number" ? [zone * 60_000, "UTC"] : [0, zone];
}
