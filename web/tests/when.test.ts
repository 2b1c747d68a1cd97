import { describe, expect, it } from "vitest";
import { LANGUAGES, translator } from "../src/languages";
import { lastingOf, whenOf } from "../src/sessions/when";
import { Format } from "../src/time/format";

const day = (first_on: string, last_on = first_on) => ({
  start: "2027-06-30T22:00:00Z",
  end: "2027-07-01T22:00:00Z",
  dates: { first_on, last_on },
});
const timed = { start: "2027-07-01T09:00:00Z", end: "2027-07-01T09:45:00Z", dates: null };

describe("when a session is", () => {
  for (const [name, load] of Object.entries(LANGUAGES)) {
    it(`says the date of an all-day one in ${name}, and no hours`, async () => {
      const t = translator((await load()).default);
      for (const zone of ["Europe/Berlin", "America/Los_Angeles"]) {
        const said = whenOf(day("2027-07-01"), new Format(name, zone), t);
        expect(said).not.toMatch(/00[:.]00|24|[٠]{2}/);
        expect(said).toMatch(/[1١]/);
      }
    });
  }

  it("names one date or several", async () => {
    const t = translator((await LANGUAGES.en!()).default);
    const format = new Format("en-GB", "Asia/Tokyo");
    expect(whenOf(day("2027-07-01"), format, t)).toBe("Thu, 1 Jul 2027, all day");
    const two = whenOf(day("2027-07-01", "2027-07-02"), format, t);
    expect(two.replace(/\s/g, " ")).toBe("Thu, 1 Jul – Fri, 2 Jul 2027, all day");
    expect(whenOf(timed, new Format("en-GB", "UTC"), t)).toContain("09:00");
  });

  it("lasts as usual once an all-day one gets hours", () => {
    expect(lastingOf(day("2027-07-01"), 30)).toBe(1_800_000);
    expect(lastingOf(timed, 30)).toBe(2_700_000);
  });
});
