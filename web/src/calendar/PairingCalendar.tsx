import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { type Availability, type Booked, body, type Pairing, type Session } from "../api/client";
import { usePage } from "../page";
import { readDraft } from "../parts/draft";
import { Trouble } from "../parts/Trouble";
import { nameOf } from "../people";
import { type Asked, BookDialog, DRAFT } from "../sessions/BookDialog";
import { addDays, dateOf, type Instant, instantAt, weekOf } from "../time/zones";
import { Legend } from "./Legend";
import type { Start } from "./layout";
import { Unknown } from "./Unknown";
import { useReasons } from "./useReasons";
import { Week } from "./Week";

const DURATIONS = [15, 30, 45, 60, 90, 120];
const STEPS = [15, 30, 60] as const;
const NARROW = "(max-width: 46rem)";
/** The time after which calendars are read again, since they change outside the page. */
const STALE_MS = 60_000;

interface Props {
  pairing: Pairing;
  sessions: readonly Session[];
  onBooked: (booked: Booked, said: string) => void;
  onOpen: (session: Session) => void;
  onMove: (session: Session, at: Instant) => void;
  /** Counts up when a session changed: the calendars are then read again. */
  revision: number;
}

/** The common free times of a pairing, and booking one. */
export function PairingCalendar(props: Props) {
  const { pairing, sessions, onBooked, onOpen, onMove, revision } = props;
  const { t, format, api, parameters } = usePage();
  const reasons = useReasons();
  const isNarrow = useMedia(NARROW);
  const zone = format.zone;
  const [date, setDate] = useState(() => dateOf(Date.now(), zone));
  const [duration, setDuration] = useState(parameters.duration ?? 30);
  const [step, setStep] = useState<(typeof STEPS)[number]>(30);
  const [explain, setExplain] = useState(false);
  const [takeUnknown, setTakeUnknown] = useState(false);
  const [shown, setShown] = useState<{ of: string; answer: Availability } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isReading, setReading] = useState(false);
  const [why, setWhy] = useState("");
  const [asked, setAsked] = useState<Asked | null>(() => {
    const draft = readDraft<Asked>(DRAFT);
    return draft?.pairing === pairing.id ? draft : null;
  });

  const days = useMemo(
    () => (isNarrow ? [date] : weekOf(date, format.firstDay)),
    [isNarrow, date, format],
  );
  const first = days[0] ?? date;
  // The answer belongs to the days it was read for; other days are still loading.
  const range = `${pairing.id} ${first} ${days.length}`;
  const found = shown?.of === range ? shown.answer : null;

  const read = useCallback(
    async (signal: AbortSignal) => {
      setReading(true);
      try {
        const answer = await api.GET("/pairings/{pairing_id}/availability", {
          params: {
            path: { pairing_id: pairing.id },
            query: {
              from: new Date(instantAt(first, 0, zone)).toISOString(),
              to: new Date(instantAt(addDays(first, days.length), 0, zone)).toISOString(),
              duration_minutes: duration,
              step_minutes: step,
              time_zone: zone,
              explain,
              include_unknown: takeUnknown,
            },
          },
        });
        if (signal.aborted) return;
        setShown({ of: range, answer: body(answer) });
        setError(null);
      } catch (caught) {
        if (!signal.aborted) setError(caught);
      } finally {
        if (!signal.aborted) setReading(false);
      }
    },
    [api, pairing.id, range, first, days.length, zone, duration, step, explain, takeUnknown],
  );

  useEffect(() => {
    let controller = new AbortController();
    const again = () => {
      controller.abort();
      controller = new AbortController();
      if (!document.hidden) void read(controller.signal);
    };
    again();
    const timer = setInterval(again, STALE_MS);
    document.addEventListener("visibilitychange", again);
    window.addEventListener("online", again);
    return () => {
      controller.abort();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", again);
      window.removeEventListener("online", again);
    };
  }, [read, revision]);

  useEffect(() => setWhy(""), [first, explain, pairing.id]);

  const me = pairing.participants.find((person) => person.is_me)?.address;
  const others = pairing.participants.filter((person) => !person.is_me);
  const title = format.list(others.map((person) => nameOf(person.address)));
  const people = found?.participants ?? [];

  const choose = (start: Start) => {
    if (start.refusal) {
      setWhy(
        t("slot.why", {
          day: format.day(start.at),
          time: format.time(start.at),
          reasons: reasons(start.refusal),
        }),
      );
      return;
    }
    setAsked({
      pairing: pairing.id,
      start: new Date(start.at).toISOString(),
      duration,
      unknownFor: start.slot?.unknown_for ?? [],
    });
  };

  const bookedInWords = ({ start, series }: Booked) => {
    if (!series) return t("book.done", { when: format.moment(Date.parse(start)) });
    const skipped = series.conflicts.filter((each) => each.outcome === "skipped");
    const dates = format.list(skipped.map((each) => format.date(Date.parse(each.start))));
    const count = format.number(series.sessions.length);
    return skipped.length ? t("series.skipped", { count, dates }) : t("series.booked", { count });
  };

  return (
    <section class="calendar" aria-labelledby="with" aria-busy={isReading || !(found || error)}>
      <header class="bar">
        <h2 id="with" tabIndex={-1}>
          {title}
        </h2>
        <div class="group">
          <button
            type="button"
            onClick={() => setDate(addDays(first, -days.length))}
            aria-label={t("week.previous")}
          >
            <span class="arrow" aria-hidden="true">
              ‹
            </span>
          </button>
          <button type="button" onClick={() => setDate(dateOf(Date.now(), zone))}>
            {t("week.today")}
          </button>
          <button
            type="button"
            onClick={() => setDate(addDays(first, days.length))}
            aria-label={t("week.next")}
          >
            <span class="arrow" aria-hidden="true">
              ›
            </span>
          </button>
        </div>
        <p class="range" aria-live="polite">
          {format.days(first, days.at(-1) ?? first)}
        </p>
        <label>
          {t("duration")}{" "}
          <select
            value={duration}
            onChange={(event) => setDuration(Number(event.currentTarget.value))}
          >
            {[...new Set([...DURATIONS, duration])].map((minutes) => (
              <option key={minutes} value={minutes}>
                {format.minutes(minutes)}
              </option>
            ))}
          </select>
        </label>
        <label>
          {t("step")}{" "}
          <select
            value={step}
            onChange={(event) => setStep(Number(event.currentTarget.value) as typeof step)}
          >
            {STEPS.map((minutes) => (
              <option key={minutes} value={minutes}>
                {format.minutes(minutes)}
              </option>
            ))}
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={explain}
            onChange={(event) => setExplain(event.currentTarget.checked)}
          />
          {t("explain")}
        </label>
      </header>
      {Boolean(error) && (
        <Trouble error={error} onRetry={() => void read(new AbortController().signal)} />
      )}
      <Unknown people={people} takes={takeUnknown} onTake={setTakeUnknown} />
      <p class="status" role="status">
        {why ||
          (found
            ? t("slots.count", { count: format.number(found.slots.length) })
            : t("slots.loading"))}
        {found && !found.slots.length && !why && <> · {t("slots.none")}</>}
      </p>
      <Week
        days={days}
        found={found}
        people={people}
        me={me}
        sessions={sessions}
        step={step}
        onChoose={choose}
        onOpen={onOpen}
        onDrop={onMove}
      />
      <Legend people={people} me={me} />
      {asked && (
        <BookDialog
          pairing={pairing}
          people={people}
          asked={asked}
          onClose={() => setAsked(null)}
          onBooked={(booked) => {
            setAsked(null);
            onBooked(booked, bookedInWords(booked));
          }}
          onTaken={() => void read(new AbortController().signal)}
        />
      )}
    </section>
  );
}

function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const look = () => setMatches(media.matches);
    media.addEventListener("change", look);
    return () => media.removeEventListener("change", look);
  }, [query]);
  return matches;
}
