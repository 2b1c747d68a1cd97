/** The page's configuration: `config.json` beside it, and parameters in its address. */

/** `config.json`. Nothing in it is secret. */
export interface Config {
  /** Root of the HTTP API, with `/api`, absolute or relative to the page. */
  readonly api: string;
  readonly signIn: {
    readonly clientId: string;
    /** For work accounts of any tenant: `https://login.microsoftonline.com/organizations`. */
    readonly authority: string;
    /** The API's delegated scope: `api://{client id}/access_as_user`. */
    readonly scope: string;
  };
  /** Answers an administrator's POST with `{"access_token": …}`. */
  readonly platformTokenUrl?: string;
}

/** Parameters of the page's address; `docs/booking-page.md` lists them. */
export interface Parameters {
  readonly pairing: string | null;
  readonly language: string | null;
  readonly theme: "light" | "dark" | null;
  readonly zone: string | null;
  readonly duration: number | null;
  /** Without the page's own heading, as part of another page. */
  readonly isEmbedded: boolean;
  readonly isAdmin: boolean;
}

export async function loadConfig(): Promise<Config> {
  const reply = await fetch("./config.json", { cache: "no-cache" });
  if (!reply.ok) throw new Error(`config.json: ${reply.status}`);
  return (await reply.json()) as Config;
}

export function readParameters(search: string): Parameters {
  const given = new URLSearchParams(search);
  const theme = given.get("theme");
  return {
    pairing: given.get("pairing"),
    language: given.get("lang"),
    theme: theme === "light" || theme === "dark" ? theme : null,
    zone: known(given.get("timezone")),
    duration: minutes(given.get("duration")),
    isEmbedded: given.has("embed"),
    isAdmin: given.has("admin"),
  };
}

function minutes(text: string | null): number | null {
  const count = Number(text);
  return count >= 15 && count <= 480 && count % 5 === 0 ? count : null;
}

function known(zone: string | null): string | null {
  try {
    return zone && new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}
