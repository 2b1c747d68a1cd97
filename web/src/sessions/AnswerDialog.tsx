import { useState } from "preact/hooks";
import { type Booked, body, type Session } from "../api/client";
import { usePage } from "../page";
import { Dialog } from "../parts/Dialog";
import { dropDraft, useDraft } from "../parts/draft";
import { Trouble } from "../parts/Trouble";
import { useWork } from "../parts/useWork";
import { dateOf, instantAt, minuteOfDay } from "../time/zones";
import { type Scope, ScopeField } from "./ScopeField";
import { lastingOf, whenOf } from "./when";

const CHOICES = ["accepted", "tentative", "declined"] as const;

interface Draft {
  response: (typeof CHOICES)[number];
  comment: string;
  /** The proposed time, on the viewer's clock. */
  date: string;
  time: string;
}

interface Props {
  session: Session;
  onClose: () => void;
  onAnswered: (booked: Booked) => void;
}

/** Answer an invitation, or those of a series; for one date perhaps with another time. */
export function AnswerDialog({ session, onClose, onAnswered }: Props) {
  const { t, format, api, parameters } = usePage();
  const name = `answer.${session.id}`;
  const start = Date.parse(session.start);
  const lasting = lastingOf(session, parameters.duration ?? 30);
  const [draft, change] = useDraft<Draft>(name, {
    response: "accepted",
    comment: "",
    date: dateOf(start, format.zone),
    time: clockText(minuteOfDay(start, format.zone)),
  });
  const [wantsOther, setWantsOther] = useState(false);
  const [scope, setScope] = useState<Scope>("one");
  const canPropose = draft.response !== "accepted" && scope === "one";
  const proposes = wantsOther && canPropose;
  const { isBusy, error, run } = useWork();
  const send = () =>
    run(async () => {
      const from = instantAt(draft.date, minutesOf(draft.time), format.zone);
      const answer = await api.POST("/sessions/{session_id}/response", {
        params: { path: { session_id: session.id } },
        body: {
          response: draft.response,
          comment: draft.comment,
          scope,
          proposed: proposes
            ? {
                start: new Date(from).toISOString(),
                end: new Date(from + lasting).toISOString(),
              }
            : null,
        },
      });
      dropDraft(name);
      onAnswered(body(answer));
    });
  return (
    <Dialog heading={t("respond.heading")} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <p>{whenOf(session, format, t)}</p>
        {Boolean(error) && <Trouble error={error} onRetry={() => void send()} />}
        <fieldset>
          <legend class="unseen">{t("respond.heading")}</legend>
          {CHOICES.map((each) => (
            <label key={each} class="check">
              <input
                type="radio"
                name="response"
                checked={draft.response === each}
                onChange={() => change({ response: each })}
              />
              {t(`respond.${each}`)}
            </label>
          ))}
        </fieldset>
        <ScopeField session={session} value={scope} onChange={setScope} />
        {canPropose && (
          <label class="check">
            <input
              type="checkbox"
              checked={wantsOther}
              onChange={(event) => setWantsOther(event.currentTarget.checked)}
            />
            {t("respond.propose")}
          </label>
        )}
        {proposes && (
          <div class="row">
            <label>
              {t("move.day")}
              <input
                type="date"
                required
                value={draft.date}
                onChange={(event) => change({ date: event.currentTarget.value })}
              />
            </label>
            <label>
              {t("move.time")}
              <input
                type="time"
                required
                step={300}
                value={draft.time}
                onChange={(event) => change({ time: event.currentTarget.value })}
              />
            </label>
          </div>
        )}
        <label>
          {t("respond.comment")}
          <textarea
            rows={3}
            maxLength={2000}
            value={draft.comment}
            onInput={(event) => change({ comment: event.currentTarget.value })}
          />
        </label>
        <footer>
          <button type="button" onClick={onClose}>
            {t("close")}
          </button>
          <button type="submit" class="main" disabled={isBusy}>
            {t("respond.send")}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

function clockText(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
}

function minutesOf(text: string): number {
  const [hours = 0, minutes = 0] = text.split(":").map(Number);
  return hours * 60 + minutes;
}
