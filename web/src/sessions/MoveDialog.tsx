import { useEffect, useState } from "preact/hooks";
import { type Booked, body, type Session } from "../api/client";
import { ApiProblem, type Span } from "../api/problems";
import { usePage } from "../page";
import { Dialog } from "../parts/Dialog";
import { Trouble } from "../parts/Trouble";
import { useWork } from "../parts/useWork";
import { addDays, dateOf, type Instant, instantAt } from "../time/zones";
import { type Scope, ScopeField } from "./ScopeField";

interface Props {
  session: Session;
  /** Where it was dropped; null where it is moved by form. */
  to: Instant | null;
  onClose: () => void;
  onMoved: (booked: Booked) => void;
}

/** Move a session, by form or to where it was dropped. */
export function MoveDialog({ session, to, onClose, onMoved }: Props) {
  const { t, format, api } = usePage();
  const start = Date.parse(session.start);
  const lasting = Date.parse(session.end) - start;
  const [date, setDate] = useState(dateOf(to ?? start, format.zone));
  const [chosen, setChosen] = useState<Instant | null>(to);
  const [times, setTimes] = useState<Instant[] | null>(null);
  const [alternatives, setAlternatives] = useState<Span[]>([]);
  const [scope, setScope] = useState<Scope>("one");
  const reading = useWork();
  const sending = useWork();

  const read = () =>
    reading.run(async () => {
      setTimes(null);
      const found = body(
        await api.GET("/pairings/{pairing_id}/availability", {
          params: {
            path: { pairing_id: session.pairing_id },
            query: {
              from: new Date(instantAt(date, 0, format.zone)).toISOString(),
              to: new Date(instantAt(addDays(date, 1), 0, format.zone)).toISOString(),
              duration_minutes: lasting / 60_000,
              time_zone: format.zone,
              include_unknown: session.unknown_for.length > 0,
            },
          },
        }),
      );
      const free = found.slots.map((slot) => Date.parse(slot.start));
      setTimes(free);
      setChosen((before) =>
        before !== null && dateOf(before, format.zone) === date ? before : (free[0] ?? null),
      );
    });
  useEffect(() => void read(), [date]);

  const send = () =>
    sending.run(async () => {
      if (chosen === null) return;
      setAlternatives([]);
      try {
        const path = { session_id: session.id };
        // What is on the screen may be older than what is stored.
        const seen = await api.GET("/sessions/{session_id}", { params: { path } });
        const answer = await api.PATCH("/sessions/{session_id}", {
          params: { path, header: { "If-Match": seen.response.headers.get("etag") ?? "*" } },
          body: {
            start: new Date(chosen).toISOString(),
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

  // Where it was dropped need not be among what is offered: the service judges.
  const offered = [...new Set([...(times ?? []), ...(chosen === null ? [] : [chosen])])].sort(
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
        <p>
          {t("move.from", {
            when: `${format.date(start)}, ${format.range(start, start + lasting)}`,
          })}
        </p>
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
        {Boolean(reading.error) && <Trouble error={reading.error} onRetry={() => void read()} />}
        <label>
          {t("move.time")}
          <select
            value={chosen === null ? "" : String(chosen)}
            disabled={!offered.length}
            onChange={(event) => setChosen(Number(event.currentTarget.value))}
          >
            {!offered.length && (
              <option value="">{times ? t("move.noTimes") : t("slots.loading")}</option>
            )}
            {offered.map((each) => (
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
