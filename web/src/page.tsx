/** The context for every part of the page. */
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
  /** Announce a text to all viewers, screen readers included, without moving the focus. */
  readonly announce: (text: string) => void;
}

export const Page = createContext<PageContext | null>(null);

export function usePage(): PageContext {
  const page = useContext(Page);
  if (!page) throw new Error("outside of the page");
  return page;
}
