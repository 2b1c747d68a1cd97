import type { components } from "../api/schema";

type Finding = components["schemas"]["FindingBody"];

/** Return the findings, and of several with one cause the first: they have one remedy. */
export function distinctFindings(findings: readonly Finding[]): Finding[] {
  const first = new Map<string, Finding>();
  for (const finding of findings) {
    const cause = finding.issue ? `${finding.issue} ${finding.meaning}` : finding.capability;
    if (!first.has(cause)) first.set(cause, finding);
  }
  return [...first.values()];
}
