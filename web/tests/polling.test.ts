import { describe, expect, it } from "vitest";
import { byDay } from "../src/admin/byDay";
import type { Schemas } from "../src/api/client";
import { nextDelay } from "../src/polling";

const calm = { failures: 0, retryAfterSeconds: null, isWaiting: false, idleSeconds: 0 };

describe("asking again", () => {
  it("is quick while an answer is waited for, calm otherwise, rare when nobody is there", () => {
    const quick = nextDelay({ ...calm, isWaiting: true }, 0.5);
    const usual = nextDelay(calm, 0.5);
    const rare = nextDelay({ ...calm, isWaiting: true, idleSeconds: 3_600 }, 0.5);
    expect(quick).toBeLessThanOrEqual(5);
    expect(usual).toBeGreaterThan(quick);
    expect(rare).toBeGreaterThan(usual);
  });

  it("backs off from errors, never without end, and out of step with other pages", () => {
    const delays = Array.from({ length: 20 }, (_, n) =>
      nextDelay({ ...calm, failures: n + 1 }, 0.5),
    );
    expect([...delays].sort((a, b) => a - b)).toEqual(delays);
    expect(Math.max(...delays)).toBeLessThanOrEqual(180);
    expect(nextDelay({ ...calm, failures: 3 }, 0)).toBeLessThan(
      nextDelay({ ...calm, failures: 3 }, 1),
    );
  });

  it("never comes earlier than the server asks", () => {
    expect(nextDelay({ ...calm, failures: 1, retryAfterSeconds: 60 }, 0)).toBe(60);
  });
});

describe("changes by day", () => {
  const change = (at: string, cause: string) => ({ at, cause }) as Schemas["ChangeBody"];

  it("are counted in the viewer's zone, oldest first, the last days only", () => {
    const changes = [
      change("2026-11-30T23:30:00Z", "outlook"),
      change("2026-11-30T12:00:00Z", "api"),
      change("2026-11-29T12:00:00Z", "reconciliation"),
      change("2026-11-30T22:00:00Z", "outlook"),
    ];
    expect(byDay(changes, "Europe/Berlin", 2)).toEqual([
      { date: "2026-11-30", counts: { api: 1, outlook: 1, reconciliation: 0 } },
      { date: "2026-12-01", counts: { api: 0, outlook: 1, reconciliation: 0 } },
    ]);
  });
});
