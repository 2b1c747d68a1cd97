import { useState } from "preact/hooks";
import {
  type Booked,
  type Booking,
  body,
  type Pairing,
  type ParticipantAvailability,
} from "../api/client";
import { ApiProblem } from "../api/problems";
import { zoneOf } from "../calendar/layout";
import { usePage } from "../page";
import { Dialog } from "../parts/Dialog";
import { dropDraft, useDraft } from "../parts/draft";
import { Trouble } from "../parts/Trouble";
import { useWork } from "../parts/useWork";
import { nameOf } from "../people";

export const DRAFT = "booking";
const REPEATS = ["no", "weekly", "biweekly", "monthly"] as const;
const MOST_REPEATS = 52;
const ONLINE = ["default", "auto", "teams", "none"] as const;

/** The choice in the calendar. */
export interface Asked {
  pairing: string;
  start: string;
  duration: number;
  unknownFor: string[];
}

interface Draft extends Asked {
  title: string;
  agenda: string;
  online: (typeof ONLINE)[number];
  location: string;
  repeat: (typeof REPEATS)[number];
  count: number;
  acceptUnknown: boolean;
  /** Same content, same key: retries create only one session. */
  key: string;
  /** The content sent under the key. */
  sent: string;
}

interface Props {
  pairing: Pairing;
  people: readonly ParticipantAvailability[];
  asked: Asked;
  onClose: () => void;
  onBooked: (booked: Booked) => void;
  onTaken: () => void;
}

/** Book a session. Typed text survives errors, reloads and another sign-in. */
export function BookDialog({ pairing, people, asked, onClose, onBooked, onTaken }: Props) {
  const { t, format, api } = usePage();
  const [draft, change] = useDraft<Draft>(DRAFT, {
    title: "",
    agenda: "",
    online: "default",
    location: "",
    repeat: "no",
    count: 4,
    acceptUnknown: false,
    key: "",
    sent: "",
    ...asked,
  });
  const [conflict, setConflict] = useState<ApiProblem | null>(null);
  const { isBusy, error, forget, run } = useWork();
  const start = Date.parse(draft.start);
  const end = start + draft.duration * 60_000;
  const others = people.filter(
    (person) => !pairing.participants.some((each) => each.is_me && each.address === person.address),
  );
  const unknownFor = unknownAt(draft, error);

  const close = () => {
    dropDraft(DRAFT);
    onClose();
  };

  const send = (onConflict: Booking["on_conflict"] = "refuse") =>
    run(async () => {
      setConflict(null);
      const booking: Booking = {
        start: new Date(start).toISOString(),
        duration_minutes: draft.duration,
        time_zone: format.zone,
        title: draft.title.trim() || null,
        agenda: draft.agenda,
        online_meeting: draft.online === "default" ? null : draft.online,
        location: draft.location.trim() || null,
        accept_unknown: draft.acceptUnknown,
        ...(draft.repeat !== "no" && {
          repeat: { frequency: draft.repeat, count: draft.count },
          on_conflict: onConflict,
        }),
      };
      const sent = JSON.stringify(booking);
      const key = draft.key && draft.sent === sent ? draft.key : crypto.randomUUID();
      change({ key, sent });
      try {
        const answer = await api.POST("/pairings/{pairing_id}/sessions", {
          params: {
            path: { pairing_id: pairing.id },
            header: { "Idempotency-Key": key },
          },
          body: booking,
        });
        dropDraft(DRAFT);
        onBooked(body(answer));
      } catch (caught) {
        if (caught instanceof ApiProblem && caught.status === 409) {
          setConflict(caught);
          onTaken();
        }
        throw caught;
      }
    });

  return (
    <Dialog heading={t("book.heading")} onClose={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <p class="when">
          <b>
            {format.day(start)}, {format.range(start, end)}
          </b>
          {others.map((person) => {
            const zone = zoneOf(person);
            if (zone === null || format.elsewhere(start, zone) === format.time(start)) return null;
            return (
              <span key={person.address} class="theirs">
                {t("slot.theirs", {
                  time: format.elsewhere(start, zone),
                  name: nameOf(person.address),
                })}
              </span>
            );
          })}
        </p>
        {Boolean(error) && <Trouble error={error} onRetry={() => void send()} />}
        {conflict && (
          <Conflict
            problem={conflict}
            onChoose={(start) => {
              change({ start, unknownFor: [] });
              setConflict(null);
              forget();
            }}
            onSend={(onConflict) => void send(onConflict)}
          />
        )}
        <label>
          {t("duration")}
          <select
            value={draft.duration}
            onChange={(event) => change({ duration: Number(event.currentTarget.value) })}
          >
            {[...new Set([15, 30, 45, 60, 90, 120, draft.duration])].map((minutes) => (
              <option key={minutes} value={minutes}>
                {format.minutes(minutes)}
              </option>
            ))}
          </select>
        </label>
        <label>
          {t("book.title")}
          <input
            type="text"
            maxLength={255}
            value={draft.title}
            placeholder={t("book.titleHint")}
            onInput={(event) => change({ title: event.currentTarget.value })}
          />
        </label>
        <label>
          {t("book.agenda")}
          <textarea
            rows={4}
            maxLength={8000}
            value={draft.agenda}
            onInput={(event) => change({ agenda: event.currentTarget.value })}
          />
        </label>
        <label>
          {t("book.online")}
          <select
            value={draft.online}
            onChange={(event) => change({ online: event.currentTarget.value as Draft["online"] })}
          >
            {ONLINE.map((each) => (
              <option key={each} value={each}>
                {t(`book.online.${each}`)}
              </option>
            ))}
          </select>
        </label>
        {draft.online === "none" && (
          <label>
            {t("book.location")}
            <input
              type="text"
              maxLength={255}
              value={draft.location}
              onInput={(event) => change({ location: event.currentTarget.value })}
            />
          </label>
        )}
        <div class="row">
          <label>
            {t("book.repeat")}
            <select
              value={draft.repeat}
              onChange={(event) => change({ repeat: event.currentTarget.value as Draft["repeat"] })}
            >
              {REPEATS.map((each) => (
                <option key={each} value={each}>
                  {t(`book.repeat.${each}`)}
                </option>
              ))}
            </select>
          </label>
          {draft.repeat !== "no" && (
            <label>
              {t("book.repeat.count")}
              <input
                type="number"
                required
                min={2}
                max={MOST_REPEATS}
                value={draft.count}
                onInput={(event) => change({ count: Number(event.currentTarget.value) })}
              />
            </label>
          )}
        </div>
        {unknownFor.length > 0 && (
          <label class="check">
            <input
              type="checkbox"
              checked={draft.acceptUnknown}
              onChange={(event) => change({ acceptUnknown: event.currentTarget.checked })}
            />
            {t("book.unknownFor", {
              names: format.list(unknownFor.map(nameOf)),
            })}
          </label>
        )}
        <footer>
          <button type="button" onClick={close}>
            {t("close")}
          </button>
          <button type="submit" class="main" disabled={isBusy}>
            {isBusy ? t("book.sending") : t("book.send")}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

interface ConflictProps {
  problem: ApiProblem;
  onChoose: (start: string) => void;
  onSend: (onConflict: Booking["on_conflict"]) => void;
}

/** The choices after the time was taken: other times, or a series without the taken dates. */
function Conflict({ problem, onChoose, onSend }: ConflictProps) {
  const { t, format } = usePage();
  const dates = problem.body.conflicts ?? [];
  const shown = (span: { start: string; end: string }) =>
    `${format.date(Date.parse(span.start))}, ${format.range(Date.parse(span.start), Date.parse(span.end))}`;
  if (dates.length) {
    return (
      <fieldset class="alternatives">
        <legend>{t("series.conflict")}</legend>
        <ul class="dates">
          {dates.map((each) => (
            <li key={each.start}>{shown(each)}</li>
          ))}
        </ul>
        <button type="button" onClick={() => onSend("skip")}>
          {t("series.skip")}
        </button>
        <button type="button" onClick={() => onSend("alternatives")}>
          {t("series.alternatives")}
        </button>
      </fieldset>
    );
  }
  if (problem.kind !== "slot-taken") return null;
  return (
    <fieldset class="alternatives">
      <legend>{problem.alternatives.length ? t("conflict.heading") : t("conflict.none")}</legend>
      {problem.alternatives.map((span) => (
        <button key={span.start} type="button" onClick={() => onChoose(span.start)}>
          {shown(span)}
        </button>
      ))}
    </fieldset>
  );
}

/** Return the participants who are unknown, from the slot or from the refusal. */
function unknownAt(draft: Draft, error: unknown): string[] {
  if (error instanceof ApiProblem && error.kind === "slot-unknown") {
    const told = (error.body as { unknown?: { address: string }[] }).unknown ?? [];
    return told.map((person) => person.address);
  }
  return draft.unknownFor;
}
