import { useEffect, useState } from "preact/hooks";
import { type Api, type Booked, body, type Session } from "../api/client";
import { ApiProblem, type Span } from "../api/problems";
import { usePage } from "../page";
import { Dialog } from "../parts/Dialog";
import { Trouble } from "../parts/Trouble";
import { useWork } from "../parts/useWork";
import { addDays, type DateKey, dateOf, type Instant, instantAt } from "../time/zones";
import { type Scope, ScopeField } from "./ScopeField";
import { lastingOf, whenOf } from "./when";

interface Props {
  session: Session;
  /** The time at which it was dropped; null if it is moved by form. */
  to: Instant | null;
  onClose: () => void;
  onMoved: (booked: Booked) => void;
}

/** Move a session, by form or by drag and drop. */
export function MoveDialog({ session, to, onClose, onMoved }: Props) {
  const { t, format, api, parameters } = usePage();
  // A session without hours or without length gets both by a move.
  const isTimed = session.dates === null && session.odd_time === null;
  const [duration, setDuration] = useState(
    lastingOf(session, parameters.duration ?? 30) / 60_000 || 60,
  );
  const lasting = duration * 60_000;
  const [date, setDate] = useState(
    to === null && session.dates
      ? session.dates.first_on
      : dateOf(to ?? Date.parse(session.start), format.zone),
  );
  const [chosen, setChosen] = useState<Instant | null>(to);
  const [times, setTimes] = useState<Instant[] | null>(null);
  const [alternatives, setAlternatives] = useState<Span[]>([]);
  const [scope, setScope] = useState<Scope>("one");
  const [readError, setReadError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  const sending = useWork();

  useEffect(() => {
    let isCurrent = true;
    setTimes(null);
    setReadError(null);
    setChosen((before) =>
      before !== null && dateOf(before, format.zone) === date ? before : null,
    );
    offered(api, session, date, duration, format.zone).then(
      (free) => {
        if (!isCurrent) return;
        setTimes(free);
        setChosen((before) => before ?? free[0] ?? null);
      },
      (error: unknown) => isCurrent && setReadError(error),
    );
    return () => {
      isCurrent = false;
    };
  }, [date, attempt, duration]);

  const send = () =>
    sending.run(async () => {
      if (chosen === null) return;
      setAlternatives([]);
      try {
        const path = { session_id: session.id };
        // The session on the screen may be older than the stored one.
        const seen = await api.GET("/sessions/{session_id}", {
          params: { path },
        });
        const answer = await api.PATCH("/sessions/{session_id}", {
          params: {
            path,
            header: { "If-Match": seen.response.headers.get("etag") ?? "*" },
          },
          body: {
            start: new Date(chosen).toISOString(),
            ...(!isTimed && { duration_minutes: duration }),
            accept_unknown: session.unknown_for.length > 0,
            scope,
          },
        });
        onMoved(body(answer));
      } catch (caught) {
        if (caught instanceof ApiProblem && caught.status === 409)
          setAlternatives(caught.alternatives);
        throw caught;
      }
    });

  // The dropped time need not be an offered one: the service decides.
  const choices = [...new Set([...(times ?? []), ...(chosen === null ? [] : [chosen])])].sort(
    (a, b) => a - b,
  );
  return (
    <Dialog heading={t("move.heading")} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <p>{t("move.from", { when: whenOf(session, format, t) })}</p>
        {Boolean(sending.error) && <Trouble error={sending.error} onRetry={() => void send()} />}
        {alternatives.length > 0 && (
          <fieldset class="alternatives">
            <legend>{t("conflict.heading")}</legend>
            {alternatives.map((span) => (
              <button
                key={span.start}
                type="button"
                onClick={() => {
                  setChosen(Date.parse(span.start));
                  setDate(dateOf(Date.parse(span.start), format.zone));
                  setAlternatives([]);
                  sending.forget();
                }}
              >
                {format.date(Date.parse(span.start))},{" "}
                {format.range(Date.parse(span.start), Date.parse(span.end))}
              </button>
            ))}
          </fieldset>
        )}
        {!isTimed && (
          <label>
            {t("duration")}
            <select
              value={duration}
              onChange={(event) => setDuration(Number(event.currentTarget.value))}
            >
              {[15, 30, 45, 60, 90, 120].map((minutes) => (
                <option key={minutes} value={minutes}>
                  {format.minutes(minutes)}
                </option>
              ))}
            </select>
          </label>
        )}
        <label>
          {t("move.day")}
          <input
            type="date"
            required
            value={date}
            min={dateOf(Date.now(), format.zone)}
            onChange={(event) => event.currentTarget.value && setDate(event.currentTarget.value)}
          />
        </label>
        {Boolean(readError) && (
          <Trouble error={readError} onRetry={() => setAttempt((count) => count + 1)} />
        )}
        <label>
          {t("move.time")}
          <select
            value={chosen === null ? "" : String(chosen)}
            disabled={!choices.length}
            onChange={(event) => setChosen(Number(event.currentTarget.value))}
          >
            {!choices.length && (
              <option value="">{times ? t("move.noTimes") : t("slots.loading")}</option>
            )}
            {choices.map((each) => (
              <option key={each} value={String(each)}>
                {format.range(each, each + lasting)}
              </option>
            ))}
          </select>
        </label>
        <ScopeField session={session} value={scope} onChange={setScope} />
        <p class="hint">{t("move.asksAgain")}</p>
        <footer>
          <button type="button" onClick={onClose}>
            {t("close")}
          </button>
          <button type="submit" class="main" disabled={sending.isBusy || chosen === null}>
            {t("move.send")}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

/** Return the starts on *date* that suit all participants. */
async function offered(
  api: Api,
  session: Session,
  date: DateKey,
  minutes: number,
  zone: string,
): Promise<Instant[]> {
  const answer = await api.GET("/pairings/{pairing_id}/availability", {
    params: {
      path: { pairing_id: session.pairing_id },
      query: {
        from: new Date(instantAt(date, 0, zone)).toISOString(),
        to: new Date(instantAt(addDays(date, 1), 0, zone)).toISOString(),
        duration_minutes: minutes,
        time_zone: zone,
        include_unknown: session.unknown_for.length > 0,
      },
    },
  });
  return body(answer).slots.map((slot) => Date.parse(slot.start));
}
