/** The HTTP API, typed by its OpenAPI document. */
import createClient, { type Client } from "openapi-fetch";
import { NoConnection, problemOf } from "./problems";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Me = Schemas["MeBody"];
export type Pairing = Schemas["PairingBody"];
export type Participant = Schemas["ParticipantBody"];
export type Availability = Schemas["AvailabilityBody"];
export type ParticipantAvailability = Schemas["ParticipantAvailabilityBody"];
export type Slot = Schemas["SlotBody"];
export type UnavailableStart = Schemas["UnavailableStartBody"];
export type Session = Schemas["SessionBody"];
/** A session; for a series with all sessions booked or changed with it. */
export type Booked = Schemas["BookedBody"];
export type Attendee = Schemas["AttendeeBody"];
export type Booking = Schemas["BookingBody"];

export type Api = Client<paths>;

/** The time after which a request counts as lost. */
const PATIENCE_MS = 30_000;

/** Return a client. It calls *token* before every request; answers other than 2xx and 304 raise. */
export function apiAt(root: string, token: () => Promise<string>): Api {
  const client = createClient<paths>({
    baseUrl: new URL(root, document.baseURI).href.replace(/\/+$/, ""),
    fetch: async (request) => {
      try {
        return await fetch(request, {
          signal: AbortSignal.timeout(PATIENCE_MS),
          cache: "no-store",
        });
      } catch (error) {
        throw new NoConnection(String(error));
      }
    },
  });
  client.use({
    async onRequest({ request }) {
      request.headers.set("authorization", `Bearer ${await token()}`);
      return request;
    },
    async onResponse({ response }) {
      if (!response.ok && response.status !== 304) throw await problemOf(response);
    },
  });
  return client;
}

/** Return the body of an answer that has one. */
export function body<T>(answer: { data?: T }): T {
  if (answer.data === undefined) throw new NoConnection("an answer without a body");
  return answer.data;
}
