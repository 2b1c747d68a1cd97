import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Availability, ParticipantAvailability, Session } from "../api/client";
import { usePage } from "../page";
import { initial, nameOf } from "../people";
import { type DateKey, dateOf, type Instant, instantAt, minuteOfDay } from "../time/zones";
import { Lane } from "./Lane";
import {
  type Arrow,
  busyBlocks,
  firstMinute,
  next,
  type Start,
  sessionBlocks,
  startsOf,
  workingPieces,
  zoneOf,
} from "./layout";
import { useDrag } from "./useDrag";
import { useReasons } from "./useReasons";

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
/** People beyond this number share one lane. */
const MOST_LANES = 4;

interface Props {
  days: readonly DateKey[];
  found: Availability | null;
  people: readonly ParticipantAvailability[];
  me: string | undefined;
  sessions: readonly Session[];
  step: number;
  onChoose: (start: Start) => void;
  onOpen: (session: Session) => void;
  onDrop: (session: Session, at: Instant) => void;
}

/** The week (or the day): busy times by person, and the choices. */
export function Week(props: Props) {
  const { days, found, people, me, sessions, step, onChoose, onOpen, onDrop } = props;
  const { t, format, language } = usePage();
  const reasons = useReasons();
  const zone = format.zone;
  const starts = useMemo(() => startsOf(found, days, zone), [found, days, zone]);
  const booked = useMemo(() => sessionBlocks(sessions, days, zone), [sessions, days, zone]);
  const lanes = useMemo(() => laneGroups(people, me), [people, me]);
  const [current, setCurrent] = useState<Instant | null>(null);
  const scroller = useRef<HTMLDivElement>(null);
  // Times that cannot be chosen need room as well: a target is at least 24 pixels high.
  const hourHeight = step <= 15 ? 112 : 64;
  const { dragged, onPointerDown } = useDrag(scroller, hourHeight, onDrop);

  const active = Math.max(
    0,
    starts.findIndex((each) => each.at === current),
  );
  const isRead = found !== null;
  useEffect(() => {
    const working = people.flatMap((person) => workingPieces(person, days, zone));
    const top = (firstMinute(starts, working) / 60) * hourHeight;
    if (scroller.current) scroller.current.scrollTop = top;
  }, [isRead, days[0]]);

  const others = people.filter((person) => person.address !== me);
  const elsewhere = others
    .map((person) => ({ person, zone: zoneOf(person) }))
    .filter(
      (each): each is typeof each & { zone: NonNullable<typeof each.zone> } => each.zone !== null,
    )
    .filter(({ zone: theirs }, index, all) => {
      const noon = instantAt(days[0] ?? "", 720, zone);
      const shown = format.elsewhere(noon, theirs);
      return (
        shown !== format.time(noon) &&
        all.findIndex((each) => format.elsewhere(noon, each.zone) === shown) === index
      );
    })
    .slice(0, 2);

  const onKeyDown = (event: KeyboardEvent) => {
    const forward = language.direction === "rtl" ? "ArrowLeft" : "ArrowRight";
    const arrows: Record<string, Arrow> = {
      ArrowUp: "up",
      ArrowDown: "down",
      ArrowLeft: forward === "ArrowLeft" ? "after" : "before",
      ArrowRight: forward === "ArrowRight" ? "after" : "before",
      Home: "first",
      End: "last",
    };
    const arrow = arrows[event.key];
    const target = event.target as HTMLElement;
    if (!arrow || !target.dataset.start) return;
    event.preventDefault();
    const index = next(starts, active, arrow);
    const chosen = starts[index];
    if (!chosen) return;
    setCurrent(chosen.at);
    scroller.current?.querySelector<HTMLElement>(`[data-start="${chosen.at}"]`)?.focus();
  };

  const today = dateOf(Date.now(), zone);
  return (
    <div
      class="week"
      ref={scroller}
      onKeyDown={onKeyDown}
      data-days={days.length}
      style={{ "--hour": `${hourHeight}px` }}
    >
      <div class="corner">
        <span>{t("you")}</span>
        {elsewhere.map(({ person }) => (
          <span key={person.address} title={nameOf(person.address)}>
            {initial(person.address)}
          </span>
        ))}
      </div>
      <div class="axis" aria-hidden="true">
        {HOURS.map((hour) => {
          const at = instantAt(days[0] ?? "", hour * 60, zone);
          return (
            <div key={hour} class="hour">
              <span>{format.time(at)}</span>
              {elsewhere.map(({ person, zone: theirs }) => (
                <span key={person.address} class="theirs">
                  {format.elsewhere(at, theirs)}
                </span>
              ))}
            </div>
          );
        })}
      </div>
      {days.map((date) => {
        const heading = format.heading(date);
        const mine = starts.filter((each) => each.date === date);
        const free = mine.filter((each) => each.slot).length;
        return (
          <section
            key={date}
            class="day"
            aria-label={t("day.summary", { day: heading.full, count: free })}
          >
            <div class={date === today ? "heading today" : "heading"} aria-hidden="true">
              {heading.weekday} <span>{heading.day}</span>
            </div>
            <div class="column" data-date={date} style={{ "--lanes": lanes.length }}>
              {lanes.map((lane, index) => (
                <Lane
                  key={lane.key}
                  index={index}
                  name={lane.name}
                  letter={lane.letter}
                  working={lane.people
                    .flatMap((person) => workingPieces(person, days, zone))
                    .filter((piece) => piece.date === date)}
                  busy={lane.people.flatMap((person) =>
                    busyBlocks(person, days, zone)
                      .filter((block) => block.date === date)
                      .map((block) => ({
                        ...block,
                        text: t(`busy.${block.what.status}`, {
                          name: person.address === me ? t("you") : nameOf(person.address),
                          range: format.range(
                            Date.parse(block.what.start),
                            Date.parse(block.what.end),
                          ),
                        }),
                      })),
                  )}
                  isUnknown={lane.people.some((person) => person.status === "unknown")}
                />
              ))}
              <div class="starts">
                {date === today && (
                  <div class="now" style={{ top: position(minuteOfDay(Date.now(), zone)) }} />
                )}
                {mine.map((each) => (
                  <button
                    key={each.at}
                    type="button"
                    data-start={each.at}
                    tabIndex={starts[active] === each ? 0 : -1}
                    class={
                      each.slot
                        ? each.slot.unknown_for.length
                          ? "start unknown"
                          : "start"
                        : "start refused"
                    }
                    style={{
                      top: position(each.minute),
                      height: position(step),
                    }}
                    aria-label={label(each)}
                    onFocus={() => setCurrent(each.at)}
                    onClick={() => onChoose(each)}
                  >
                    <span aria-hidden="true">{format.time(each.at)}</span>
                  </button>
                ))}
                {booked
                  .filter((block) => block.date === date)
                  .map((block) => (
                    <SessionBlock
                      key={block.what.id}
                      session={block.what}
                      top={position(block.start)}
                      height={position(block.end - block.start)}
                      isDragged={dragged?.session.id === block.what.id}
                      onOpen={onOpen}
                      onPointerDown={onPointerDown}
                    />
                  ))}
                {dragged?.date === date && (
                  <div
                    class="ghost"
                    style={{
                      top: position(dragged.minute),
                      height: position(dragged.lasting),
                    }}
                  >
                    {format.time(instantAt(date, dragged.minute, zone))}
                  </div>
                )}
              </div>
            </div>
          </section>
        );
      })}
    </div>
  );

  function label(each: Start): string {
    const day = format.day(each.at);
    if (each.refusal) {
      return t("slot.why", {
        day,
        time: format.time(each.at),
        reasons: reasons(each.refusal),
      });
    }
    const slot = each.slot;
    if (!slot) return day;
    const time = format.time(each.at);
    const length = format.minutes((Date.parse(slot.end) - each.at) / 60_000);
    const told = slot.unknown_for.length
      ? t("slot.unknown", { time, day, length, names: format.list(slot.unknown_for.map(nameOf)) })
      : t("slot.free", { time, day, length });
    const theirs = elsewhere.map(({ person, zone: other }) =>
      t("slot.theirs", {
        time: format.elsewhere(each.at, other),
        name: nameOf(person.address),
      }),
    );
    return [told, ...theirs].join("; ");
  }
}

function position(minutes: number): string {
  return `calc(var(--hour) * ${minutes / 60})`;
}

interface LaneGroup {
  key: string;
  name: string;
  letter: string;
  people: ParticipantAvailability[];
}

/** The viewer first; a large group shares the last lane. */
function laneGroups(
  people: readonly ParticipantAvailability[],
  me: string | undefined,
): LaneGroup[] {
  const mine = people.filter((person) => person.address === me);
  const others = people.filter((person) => person.address !== me);
  const alone = (person: ParticipantAvailability): LaneGroup => ({
    key: person.address,
    name: nameOf(person.address),
    letter: initial(person.address),
    people: [person],
  });
  if (people.length <= MOST_LANES) return [...mine, ...others].map(alone);
  return [
    ...mine.map(alone),
    {
      key: "others",
      name: others.map((each) => nameOf(each.address)).join(", "),
      letter: "+",
      people: others,
    },
  ];
}

interface BlockProps {
  session: Session;
  top: string;
  height: string;
  isDragged: boolean;
  onOpen: (session: Session) => void;
  onPointerDown: (event: PointerEvent, session: Session) => void;
}

function SessionBlock({ session, top, height, isDragged, onOpen, onPointerDown }: BlockProps) {
  const { t, format } = usePage();
  const names = format.list(
    session.attendees.filter((each) => !each.is_me).map((each) => nameOf(each.address)),
  );
  const start = Date.parse(session.start);
  const canMove = session.is_organizer && session.state === "scheduled" && start > Date.now();
  return (
    <button
      type="button"
      class={isDragged ? "session dragged" : "session"}
      data-session={session.id}
      style={{ top, height }}
      title={canMove ? t("move.drag") : undefined}
      onPointerDown={(event) => canMove && onPointerDown(event, session)}
      onClick={() => onOpen(session)}
    >
      <b>{session.dates ? t("session.allDay.short") : format.time(start)}</b>{" "}
      {session.is_organizer ? t("session.with", { names }) : t("legend.session")}
    </button>
  );
}
