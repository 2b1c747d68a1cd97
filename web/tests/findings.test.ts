import { expect, test } from "vitest";
import { distinctFindings } from "../src/admin/findings";

const finding = (capability: string, issue: string | null, meaning = `${issue}`) =>
  ({ capability, issue, meaning, state: issue ? "unknown" : "works" }) as Parameters<
    typeof distinctFindings
  >[0][number];

test("findings with one cause are shown once, those that work each", () => {
  const found = distinctFindings([
    finding("token", null),
    finding("profiles", null),
    finding("read_events", "needs_mailbox"),
    finding("schedule", "needs_mailbox"),
    finding("subscribe", "needs_mailbox"),
    finding("write_as_user", "assignment_required"),
  ]);
  expect(found.map((each) => each.capability)).toEqual([
    "token",
    "profiles",
    "read_events",
    "write_as_user",
  ]);
});

test("one issue with two meanings is two causes", () => {
  const found = distinctFindings([
    finding("read_events", "out_of_scope", "ada"),
    finding("schedule", "out_of_scope", "ben"),
  ]);
  expect(found).toHaveLength(2);
});
