/** The text for an error, and its remedy. */
import { ApiProblem, NoConnection } from "../api/problems";
import type { Key } from "../languages";
import en from "../languages/en.json";
import { SignInNeeded } from "../signIn";

export interface Told {
  readonly key: Key;
  /** The API's own text, which is English. */
  readonly detail: string | null;
  readonly remedy: string | null;
  readonly action: "try" | "sign-in" | null;
  readonly waitSeconds: number | null;
  readonly reference: string | null;
}

const PLAIN = {
  detail: null,
  remedy: null,
  waitSeconds: null,
  reference: null,
};
/** Problems for which the page's own text is complete. */
const SPEAKS = new Set([
  "slot-taken",
  "calendar-unavailable",
  "calendar-throttled",
  "store-unavailable",
  "precondition-failed",
  "not-found",
]);

export function tell(error: unknown, isOnline: boolean): Told {
  if (error instanceof SignInNeeded) return { ...PLAIN, key: "problem.expired", action: "sign-in" };
  if (error instanceof NoConnection) {
    const key = isOnline ? "problem.noConnection" : "problem.offline";
    return { ...PLAIN, key, action: "try" };
  }
  if (!(error instanceof ApiProblem)) {
    return { ...PLAIN, key: "problem.unexpected", action: "try" };
  }
  const { status, body, kind } = error;
  const canRetry = status >= 500 || status === 429 || status === 412;
  return {
    key: keyOf(error),
    detail: SPEAKS.has(kind) || status >= 500 ? null : (body.detail ?? null),
    remedy: status >= 500 ? null : (body.remedy ?? null),
    action: status === 401 ? "sign-in" : canRetry ? "try" : null,
    waitSeconds: canRetry ? error.retryAfterSeconds : null,
    reference: status === 500 ? (body.trace_id ?? null) : null,
  };
}

function keyOf(error: ApiProblem): Key {
  if (error.status === 401) return error.claims ? "problem.challenge" : "problem.expired";
  const known = `problem.${error.kind}`;
  if (error.kind && known in en) return known as Key;
  if (error.status === 429) return "problem.tooMany";
  if (error.status === 404) return "problem.not-found";
  if (error.status === 409) return "problem.conflict";
  return error.status >= 502 ? "problem.unavailable" : "problem.unexpected";
}
