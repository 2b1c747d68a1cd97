/** What every part of the page needs. */
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Api } from "./api/client";
import type { Config, Parameters } from "./config";
import type { Language, Translate } from "./languages";
import type { SignIn } from "./signIn";
import type { Format } from "./time/format";

export interface PageContext {
  readonly config: Config;
  readonly parameters: Parameters;
  readonly language: Language;
  readonly t: Translate;
  readonly format: Format;
  readonly api: Api;
  readonly signIn: SignIn;
  /** Say something to everybody, without moving the focus. */
  readonly announce: (text: string) => void;
}

export const Page = createContext<PageContext | null>(null);

export function usePage(): PageContext {
  const page = useContext(Page);
  if (!page) throw new Error("outside of the page");
  return page;
}
