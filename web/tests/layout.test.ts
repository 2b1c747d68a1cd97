import { describe, expect, it } from "vitest";
import type { Availability, ParticipantAvailability, Session } from "../src/api/client";
import {
  busyBlocks,
  firstMinute,
  next,
  sessionBlocks,
  snapped,
  startsOf,
  workingPieces,
} from "../src/calendar/layout";
import { weekOf } from "../src/time/zones";

const WEEK = weekOf("2026-11-30", 1);

function person(change: Partial<ParticipantAvailability> = {}): ParticipantAvailability {
  return {
    address: "dana@contoso.example",
    role: "mentor",
    status: "known",
    busy: [],
    working_hours: {
      days: ["monday", "tuesday"],
      start: "09:00",
      end: "17:00",
      time_zone: "America/New_York",
      utc_offset_minutes: -300,
    },
    ...change,
  } as ParticipantAvailability;
}

function found(...slots: string[]): Availability {
  const span = (start: string) => ({
    start,
    end: new Date(Date.parse(start) + 1_800_000).toISOString(),
  });
  return { slots: slots.map(span), explanation: null } as unknown as Availability;
}

describe("working hours", () => {
  it("are shown on the viewer's clock", () => {
    expect(workingPieces(person(), WEEK, "Europe/Berlin")).toEqual([
      { date: "2026-11-30", start: 15 * 60, end: 23 * 60 },
      { date: "2026-12-01", start: 15 * 60, end: 23 * 60 },
    ]);
  });

  it("go over midnight, and over the edge of the week", () => {
    const there = workingPieces(person(), WEEK, "Asia/Tokyo");
    expect(there[0]).toEqual({ date: "2026-11-30", start: 23 * 60, end: 1440 });
    expect(there[1]).toEqual({ date: "2026-12-01", start: 0, end: 7 * 60 });
  });

  it("of somebody unknown are nothing", () => {
    expect(workingPieces(person({ working_hours: null }), WEEK, "UTC")).toEqual([]);
    expect(workingPieces(person(), [], "UTC")).toEqual([]);
  });
});

describe("blocks", () => {
  it("show what is on the days shown, and no more", () => {
    const busy = [
      { start: "2026-11-29T22:00:00Z", end: "2026-11-30T00:30:00Z", status: "busy" },
      { start: "2026-12-08T10:00:00Z", end: "2026-12-08T11:00:00Z", status: "busy" },
    ] as ParticipantAvailability["busy"];
    const blocks = busyBlocks(person({ busy }), WEEK, "UTC");
    expect(blocks.map(({ date, start, end }) => [date, start, end])).toEqual([
      ["2026-11-30", 0, 30],
    ]);
  });
});

describe("an all-day session", () => {
  const session = {
    state: "scheduled",
    start: "2026-12-01T23:00:00Z",
    end: "2026-12-03T23:00:00Z",
    dates: { first_on: "2026-12-02", last_on: "2026-12-03" },
  } as Session;

  it("is on its dates, in every zone", () => {
    for (const zone of ["Europe/Berlin", "Asia/Tokyo", "America/Los_Angeles"])
      expect(
        sessionBlocks([session], WEEK, zone).map(({ date, start, end }) => [date, start, end]),
      ).toEqual([
        ["2026-12-02", 0, 1440],
        ["2026-12-03", 0, 1440],
      ]);
  });
});

describe("starts", () => {
  const starts = startsOf(
    found("2026-12-01T09:00:00Z", "2026-11-30T10:00:00Z", "2026-11-30T09:00:00Z"),
    WEEK,
    "UTC",
  );

  it("are sorted by time", () => {
    expect(starts.map((each) => [each.date, each.minute])).toEqual([
      ["2026-11-30", 540],
      ["2026-11-30", 600],
      ["2026-12-01", 540],
    ]);
    expect(startsOf(null, WEEK, "UTC")).toEqual([]);
  });

  it("are walked through with the arrow keys, and no further than the ends", () => {
    expect(next(starts, 0, "down")).toBe(1);
    expect(next(starts, 0, "up")).toBe(0);
    expect(next(starts, 1, "after")).toBe(2);
    expect(next(starts, 2, "before")).toBe(0);
    expect(next(starts, 2, "after")).toBe(2);
    expect(next(starts, 1, "first")).toBe(0);
    expect(next(starts, 0, "last")).toBe(2);
    expect(next([], 3, "down")).toBe(0);
  });

  it("tell where the day begins", () => {
    expect(firstMinute(starts, [])).toBe(510);
    expect(firstMinute([], [])).toBe(450);
    expect(firstMinute([], [{ date: "2026-11-30", start: 10, end: 20 }])).toBe(0);
  });
});

describe("dragging", () => {
  it("stays on the grid and within the day", () => {
    expect(snapped(547, 15, 30)).toBe(540);
    expect(snapped(-20, 15, 30)).toBe(0);
    expect(snapped(1439, 15, 30)).toBe(1410);
    expect(snapped(1439, 30, 45)).toBe(1380);
  });
});
