import { describe, expect, it } from "vitest";
import { ApiProblem, claimsOf, NoConnection, problemOf, retryAfter } from "../src/api/problems";
import { chooseLocale, LANGUAGES, translator, type Words } from "../src/languages";
import en from "../src/languages/en.json";
import { tell } from "../src/parts/telling";
import { Format } from "../src/time/format";

const problem = (status: number, type = "", more: object = {}, wait: number | null = null) =>
  new ApiProblem(status, { type: `https://x.example/problems/${type}`, ...more }, wait, null);

describe("languages", () => {
  const names = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

  for (const [name, load] of Object.entries(LANGUAGES)) {
    it(`${name} has every word, with the same places to fill`, async () => {
      const words = (await load()).default;
      expect(Object.keys(words).sort()).toEqual(Object.keys(en).sort());
      for (const key of Object.keys(en) as (keyof Words)[]) {
        expect(words[key].trim(), key).not.toBe("");
        expect(names(words[key]), key).toEqual(names(en[key]));
      }
    });
  }

  it("are chosen by what is wanted first and known", () => {
    expect(chooseLocale(["pt-BR", "de-AT", "en"], ["en", "de"])).toBe("de-AT");
    expect(chooseLocale(["not a tag!", "xx"], ["en", "de"])).toBe("en");
  });

  it("put values where they belong, and leave what is not given", () => {
    const key = Object.keys(en)[0] as keyof Words;
    const t = translator({ ...en, [key]: "{who} at {when}" });
    expect(t(key, { who: "Ada {when}" })).toBe("Ada {when} at {when}");
  });
});

describe("how times are written", () => {
  const noon = Date.parse("2026-11-30T13:05:00Z");

  it("follows the locale: 12 or 24 hours, and the first day of the week", () => {
    expect(new Format("en-GB", "UTC").time(noon)).toBe("13:05");
    expect(new Format("en-US", "UTC").time(noon)).toMatch(/^1:05\sPM$/);
    expect(new Format("de", "Europe/Berlin").time(noon)).toBe("14:05");
    expect(new Format("en-US", "UTC").firstDay).toBe(0);
    expect(new Format("de-DE", "UTC").firstDay).toBe(1);
    expect(new Format("ar-EG", "UTC").firstDay).toBe(6);
  });

  it("names the day where it is another one elsewhere", () => {
    const format = new Format("en-GB", "Europe/Berlin");
    expect(format.elsewhere(noon, "America/New_York")).toMatch(/^0?8:05$/);
    expect(format.elsewhere(noon, "Pacific/Auckland")).toMatch(/Tue/);
    expect(format.elsewhere(noon, 345)).toBe("18:50");
  });

  it("says how far a zone is ahead", () => {
    const format = new Format("en-GB", "UTC");
    expect(format.offset("Asia/Kathmandu", noon)).toBe("UTC+5:45");
    expect(format.offset(-210, noon)).toBe("UTC−3:30");
    expect(format.minutes(90)).toBe("1 hr 30 mins");
    expect(format.minutes(0)).toBe("0 mins");
  });
});

describe("what went wrong", () => {
  it("is told with what to do about it", () => {
    expect(tell(new NoConnection(), false)).toMatchObject({
      key: "problem.offline",
      action: "try",
    });
    expect(tell(problem(401), true)).toMatchObject({ key: "problem.expired", action: "sign-in" });
    expect(tell(problem(409, "slot-taken", { detail: "x" }), true)).toMatchObject({
      key: "problem.slot-taken",
      detail: null,
      action: null,
    });
    expect(tell(problem(429, "", {}, 7), true)).toMatchObject({
      key: "problem.tooMany",
      action: "try",
      waitSeconds: 7,
    });
    expect(tell(problem(429, "limit-reached", { detail: "x" }, 700), true)).toMatchObject({
      key: "problem.limit-reached",
      detail: "x",
      action: "try",
      waitSeconds: 700,
    });
    expect(tell(problem(500, "", { trace_id: "abc" }), true)).toMatchObject({
      key: "problem.unexpected",
      reference: "abc",
    });
    expect(tell(problem(422, "new-kind", { detail: "Say it so" }), true)).toMatchObject({
      detail: "Say it so",
      action: null,
    });
    expect(tell(new TypeError("a defect"), true)).toMatchObject({ key: "problem.unexpected" });
  });

  it("asks for another sign-in with the claims that are wanted", () => {
    const header =
      'Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJ2YWx1ZSI6ImMxIn19fQ"';
    expect(claimsOf(header)).toBe('{"access_token":{"acrs":{"value":"c1"}}}');
    expect(claimsOf('Bearer claims="%%%"')).toBeNull();
    expect(claimsOf(null)).toBeNull();
    expect(tell(new ApiProblem(401, {}, null, "{}"), true).key).toBe("problem.challenge");
  });

  it("is read from whatever answers", async () => {
    const gateway = await problemOf(new Response("<h1>Bad gateway</h1>", { status: 502 }));
    expect([gateway.status, gateway.kind, gateway.alternatives]).toEqual([502, "", []]);
    const broken = new Response("{", {
      status: 503,
      headers: { "content-type": "application/problem+json", "retry-after": "3" },
    });
    expect((await problemOf(broken)).retryAfterSeconds).toBe(3);
  });

  it("says how long to wait: seconds or a date", () => {
    const now = Date.parse("2026-11-30T13:05:00Z");
    expect(retryAfter("12", now)).toBe(12);
    expect(retryAfter("Mon, 30 Nov 2026 13:05:10 GMT", now)).toBe(10);
    expect(retryAfter("Mon, 30 Nov 2026 13:00:00 GMT", now)).toBe(0);
    expect(retryAfter("soon", now)).toBeNull();
    expect(retryAfter(null, now)).toBeNull();
  });
});
