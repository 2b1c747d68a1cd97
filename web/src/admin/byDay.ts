/** The change feed as figures over time: pure. */
import type { Schemas } from "../api/client";
import { type DateKey, dateOf } from "../time/zones";

type Change = Schemas["ChangeBody"];
export type Cause = Change["cause"];
export const CAUSES: readonly Cause[] = ["outlook", "reconciliation", "api"];

export interface Day {
  readonly date: DateKey;
  readonly counts: Readonly<Record<Cause, number>>;
}

/** Count changes by day and cause, oldest first; at most *most* days. */
export function byDay(changes: readonly Change[], zone: string, most: number): Day[] {
  const days = new Map<DateKey, Record<Cause, number>>();
  for (const change of changes) {
    const date = dateOf(Date.parse(change.at), zone);
    const counts = days.get(date) ?? { api: 0, outlook: 0, reconciliation: 0 };
    counts[change.cause] += 1;
    days.set(date, counts);
  }
  return [...days]
    .map(([date, counts]) => ({ date, counts }))
    .sort((a, b) => a.date.localeCompare(b.date))
    .slice(-most);
}
