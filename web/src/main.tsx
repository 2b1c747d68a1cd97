import { render } from "preact";
import { App } from "./App";
import { apiAt } from "./api/client";
import { loadConfig, readParameters } from "./config";
import { loadLanguage } from "./languages";
import { Page } from "./page";
import { SignIn } from "./signIn";
import { Format } from "./time/format";

async function start(root: HTMLElement): Promise<void> {
  const parameters = readParameters(location.search);
  const [config, language] = await Promise.all([loadConfig(), loadLanguage(parameters.language)]);
  const html = document.documentElement;
  html.lang = language.locale;
  html.dir = language.direction;
  document.title = language.t("title");
  if (parameters.theme) html.dataset.theme = parameters.theme;
  if (parameters.isEmbedded) html.dataset.embedded = "";
  const zone = parameters.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  const signIn = await SignIn.start(config.signIn);
  const page = {
    config,
    parameters,
    language,
    t: language.t,
    format: new Format(language.locale, zone),
    api: apiAt(config.api, () => signIn.token()),
    signIn,
    announce: say,
  };
  root.textContent = "";
  render(
    <Page.Provider value={page}>
      <App />
    </Page.Provider>,
    root,
  );
}

/** Screen readers read changes here; the same text is visible for a while. */
function say(text: string): void {
  const place = document.getElementById("said");
  if (!place) return;
  place.textContent = "";
  requestAnimationFrame(() => {
    place.textContent = text;
  });
}

const root = document.getElementById("page");
if (root) {
  start(root).catch((error: unknown) => {
    reportError(error);
    root.textContent = navigator.onLine
      ? "The page could not be started. Please reload it."
      : "You are offline. Please reload the page when the connection is back.";
  });
}
