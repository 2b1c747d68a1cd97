#!/usr/bin/env node
/**
 * Configures a built page for one host: writes config.json and the headers it is served with.
 *
 *   node web/configure.mjs --page web/dist --out site \
 *     --api https://app.azurewebsites.net/api --client-id GUID \
 *     [--authority URL] [--scope TEXT] [--parent ORIGIN …] [--platform-token URL] [--connect ORIGIN …]
 *
 * --parent names an origin that may embed the page; without it no origin may. --connect names a
 * further origin that the page calls. The headers go into staticwebapp.config.json, which Azure
 * Static Web Apps and the development host apply.
 */
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values: given } = parseArgs({
  options: {
    page: { type: "string", default: "web/dist" },
    out: { type: "string" },
    api: { type: "string", default: "./api" },
    "client-id": { type: "string" },
    authority: {
      type: "string",
      default: "https://login.microsoftonline.com/organizations",
    },
    scope: { type: "string" },
    parent: { type: "string", multiple: true, default: [] },
    connect: { type: "string", multiple: true, default: [] },
    "platform-token": { type: "string" },
  },
});

if (!given.out || !given["client-id"]) {
  console.error("--out and --client-id are needed");
  process.exit(2);
}
for (const origin of [...given.parent, ...given.connect]) {
  if (origin !== origin.trim() || new URL(origin).origin !== origin) {
    console.error(`${origin} is no origin such as https://mentoring.example`);
    process.exit(2);
  }
}

const login = new URL(given.authority).origin;
const others = [given.api, given["platform-token"]]
  .filter((url) => url && /^https?:/.test(url))
  .map((url) => new URL(url).origin);
const asked = [...new Set(["'self'", login, ...others, ...given.connect])];
const policy = {
  "default-src": ["'none'"],
  "script-src": ["'self'"],
  "style-src": ["'self'"],
  "img-src": ["'self'"],
  "connect-src": asked,
  // Signing in silently uses a hidden frame, which returns to this page's origin.
  "frame-src": ["'self'", login],
  "frame-ancestors": ["'self'", ...given.parent],
  "base-uri": ["'none'"],
  "form-action": ["'none'"],
  "object-src": ["'none'"],
};

cpSync(given.page, given.out, { recursive: true });
write("config.json", {
  api: given.api,
  signIn: {
    clientId: given["client-id"],
    authority: given.authority,
    scope: given.scope ?? `api://${given["client-id"]}/access_as_user`,
  },
  ...(given["platform-token"] && { platformTokenUrl: given["platform-token"] }),
});
write("staticwebapp.config.json", {
  globalHeaders: {
    "Content-Security-Policy": Object.entries(policy)
      .map(([name, sources]) => [name, ...sources].join(" "))
      .join("; "),
    // Browsers come back by https alone, for a year.
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  },
  routes: [
    // Their names carry a hash of their content.
    {
      route: "/assets/*",
      headers: { "Cache-Control": "public, max-age=31536000, immutable" },
    },
    { route: "/config.json", headers: { "Cache-Control": "no-cache" } },
  ],
  navigationFallback: {
    rewrite: "/index.html",
    exclude: ["/assets/*", "/*.json", "/*.svg", "/api/*"],
  },
});

function write(name, content) {
  writeFileSync(join(given.out, name), `${JSON.stringify(content, null, 2)}\n`);
}
