/** Words in the viewer's language. One file a language; English is complete by type. */
import en from "./languages/en.json";

export type Words = Record<keyof typeof en, string>;
export type Key = keyof typeof en;
export type Translate = (key: Key, values?: Record<string, string | number>) => string;

/** A new language: its file, and a line here. */
export const LANGUAGES: Record<string, () => Promise<{ default: Words }>> = {
  en: () => Promise.resolve({ default: en }),
  de: () => import("./languages/de.json"),
  fr: () => import("./languages/fr.json"),
  ar: () => import("./languages/ar.json"),
};
const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur"]);

export interface Language {
  /** For Intl: with the region that the viewer's browser names, `de-AT`. */
  readonly locale: string;
  readonly name: string;
  readonly direction: "ltr" | "rtl";
  readonly t: Translate;
}

/** Return the locale to use: the first wanted one whose language has a file. */
export function chooseLocale(wanted: readonly string[], known: readonly string[]): string {
  for (const each of wanted) {
    try {
      const locale = new Intl.Locale(each);
      if (known.includes(locale.language)) return locale.toString();
    } catch {
      // No language tag: the next one may be.
    }
  }
  return "en";
}

export async function loadLanguage(asked: string | null): Promise<Language> {
  const browsers = navigator.languages;
  let locale = chooseLocale([...(asked ? [asked] : []), ...browsers], Object.keys(LANGUAGES));
  const name = new Intl.Locale(locale).language;
  // `?lang=de` in a browser set to `de-AT` means Austrian habits.
  if (locale === name) locale = browsers.find((each) => each.startsWith(`${name}-`)) ?? locale;
  const words = (await LANGUAGES[name]?.())?.default ?? en;
  return {
    locale,
    name,
    direction: RIGHT_TO_LEFT.has(name) ? "rtl" : "ltr",
    t: translator(words),
  };
}

export function translator(words: Words): Translate {
  return (key, values = {}) =>
    (words[key] ?? en[key]).replace(/\{(\w+)\}/g, (whole, name: string) =>
      name in values ? String(values[name]) : whole,
    );
}
