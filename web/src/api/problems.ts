/** The errors of a request, which the page explains in words. */
import type { components } from "./schema";

export type Span = { start: string; end: string };
export type ProblemBody = components["schemas"]["ProblemBody"];

/** The API's own `application/problem+json`, or the answer of a proxy before it. */
export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    readonly body: Partial<ProblemBody>,
    /** From `Retry-After`; null without that header. */
    readonly retryAfterSeconds: number | null,
    /** For a claims challenge: the claims that the next sign-in must meet. */
    readonly claims: string | null,
  ) {
    super(body.detail ?? body.title ?? `HTTP ${status}`);
  }

  /** The last part of `type`: `slot-taken`. */
  get kind(): string {
    return (this.body.type ?? "").split("/").pop() ?? "";
  }

  get alternatives(): Span[] {
    return this.body.alternatives ?? [];
  }
}

/** No answer came. */
export class NoConnection extends Error {}

export async function problemOf(response: Response): Promise<ApiProblem> {
  const isProblem = /\bjson\b/.test(response.headers.get("content-type") ?? "");
  const body: unknown = isProblem ? await response.json().catch(() => ({})) : {};
  return new ApiProblem(
    response.status,
    body as Partial<ProblemBody>,
    retryAfter(response.headers.get("retry-after"), Date.now()),
    claimsOf(response.headers.get("www-authenticate")),
  );
}

/** Read `Retry-After`: seconds or a date. */
export function retryAfter(header: string | null, now: number): number | null {
  if (!header) return null;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}

/**
 * Return the claims of a challenge, decoded.
 * Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge
 */
export function claimsOf(header: string | null): string | null {
  const encoded = /\bclaims="([^"]+)"/.exec(header ?? "")?.[1];
  if (!encoded) return null;
  try {
    return atob(encoded.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    return null;
  }
}
