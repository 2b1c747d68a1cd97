import { describe, expect, it } from "vitest";
import {
  addDays,
  dateOf,
  instantAt,
  minuteOfDay,
  offsetMinutes,
  pieces,
  weekOf,
  zoneNamed,
} from "../src/time/zones";

const BERLIN = "Europe/Berlin";
const at = (text: string) => Date.parse(text);

describe("the wall clock", () => {
  it("differs from UTC by what the zone says", () => {
    expect(offsetMinutes(at("2027-01-15T12:00:00Z"), BERLIN)).toBe(60);
    expect(offsetMinutes(at("2027-07-15T12:00:00Z"), BERLIN)).toBe(120);
    expect(offsetMinutes(at("2027-07-15T12:00:00Z"), "Asia/Kathmandu")).toBe(345);
    expect(offsetMinutes(at("2027-07-15T12:00:00.500Z"), "America/St_Johns")).toBe(-150);
    expect(offsetMinutes(at("2027-07-15T12:00:00Z"), 330)).toBe(330);
  });

  it("tells date and minute before 1970 and across midnight", () => {
    expect(dateOf(at("2026-12-31T23:30:00Z"), BERLIN)).toBe("2027-01-01");
    expect(minuteOfDay(at("2026-12-31T23:30:00Z"), BERLIN)).toBe(30);
    expect(minuteOfDay(at("1969-12-31T23:30:00Z"), "UTC")).toBe(23 * 60 + 30);
  });

  it("leads back to the instant at every quarter of an hour of a year", () => {
    for (const zone of [BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]) {
      for (let day = 0; day < 365; day += 1) {
        const date = addDays("2027-01-01", day);
        for (const minute of [0, 90, 135, 150, 180, 720, 1425]) {
          const instant = instantAt(date, minute, zone);
          const shown = [dateOf(instant, zone), minuteOfDay(instant, zone)];
          const [, seen = 0] = shown as [string, number];
          // Only in a gap is something else shown, and then as much later as the gap is long.
          const isGap =
            offsetMinutes(instant - 3 * 3_600_000, zone) <
            offsetMinutes(instant + 3 * 3_600_000, zone);
          expect(shown[0]).toBe(date);
          if (!isGap) expect(seen).toBe(minute);
          else expect([0, 30, 60]).toContain(seen - minute);
        }
      }
    }
  });

  it("puts a time in the gap as much later as the clock was put forward", () => {
    const shown = instantAt("2027-03-28", 150, BERLIN);
    expect(new Date(shown).toISOString()).toBe("2027-03-28T01:30:00.000Z");
    expect(minuteOfDay(shown, BERLIN)).toBe(210);
  });

  it("takes the first of a time that comes twice", () => {
    const shown = instantAt("2027-10-31", 150, BERLIN);
    expect(new Date(shown).toISOString()).toBe("2027-10-31T00:30:00.000Z");
  });
});

describe("dates", () => {
  it("make weeks that begin as the locale wants", () => {
    expect(weekOf("2026-11-25", 1)[0]).toBe("2026-11-23");
    expect(weekOf("2026-11-25", 0)[0]).toBe("2026-11-22");
    expect(weekOf("2026-11-22", 1)[6]).toBe("2026-11-22");
    expect(weekOf("2026-12-30", 6)).toContain("2027-01-01");
  });

  it("are counted over the ends of months and years", () => {
    expect(addDays("2027-12-31", 1)).toBe("2028-01-01");
    expect(addDays("2028-02-28", 1)).toBe("2028-02-29");
    expect(addDays("2027-03-28", -1)).toBe("2027-03-27");
  });
});

describe("pieces", () => {
  it("end at midnight and begin there", () => {
    expect(pieces(at("2026-11-25T21:00:00Z"), at("2026-11-26T01:00:00Z"), BERLIN)).toEqual([
      { date: "2026-11-25", start: 1320, end: 1440 },
      { date: "2026-11-26", start: 0, end: 120 },
    ]);
  });

  it("have no empty one at the end", () => {
    expect(pieces(at("2026-11-25T21:00:00Z"), at("2026-11-25T23:00:00Z"), BERLIN)).toEqual([
      { date: "2026-11-25", start: 1320, end: 1440 },
    ]);
  });

  it("cover whole days on the nights the clocks change", () => {
    for (const date of ["2027-03-28", "2027-10-31"]) {
      const start = instantAt(date, 0, BERLIN);
      const end = instantAt(addDays(date, 1), 0, BERLIN);
      expect(pieces(start, end, BERLIN)).toEqual([{ date, start: 0, end: 1440 }]);
    }
  });
});

describe("names of zones", () => {
  it("are used where the browser knows them, else the offset", () => {
    expect(zoneNamed("Asia/Tokyo", 540)).toBe("Asia/Tokyo");
    expect(zoneNamed("Customized Time Zone", -300)).toBe(-300);
  });
});
