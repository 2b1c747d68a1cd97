import { type Attendee, type Booked, body, type Session } from "../api/client";
import { usePage } from "../page";
import { Trouble } from "../parts/Trouble";
import { useWork } from "../parts/useWork";
import { nameOf } from "../people";
import { whenOf } from "./when";

const ICONS = {
  accepted: "✓",
  tentative: "~",
  declined: "✕",
  pending: "…",
} as const;

export type Action = "move" | "cancel" | "answer";

interface Props {
  session: Session;
  organizer: string;
  isShown: boolean;
  onAct: (action: Action, session: Session) => void;
  onChanged: (booked: Booked, said: string) => void;
}

/** One session: its time, participants, responses and possible acts. */
export function SessionCard({ session, organizer, isShown, onAct, onChanged }: Props) {
  const { t, format } = usePage();
  const when = whenOf(session, format, t);
  const isOpen = session.state === "scheduled" && Date.parse(session.end) > Date.now();
  const online = session.online_meeting;
  const others = session.attendees.filter((each) => !each.is_me);
  const names = format.list([
    ...(session.is_organizer ? [] : [organizer]),
    ...others.map((each) => nameOf(each.address)),
  ]);
  return (
    <li
      id={`session-${session.id}`}
      class={`card ${session.state}${isShown ? " shown" : ""}`}
      data-session={session.id}
      tabIndex={-1}
    >
      <p class="card-when">
        <b>{when}</b> {t("session.with", { names })}
      </p>
      {session.state !== "scheduled" && <p class="state">{t(`session.state.${session.state}`)}</p>}
      {session.occurrence !== null && (
        <p class="state">
          {t("session.series", {
            number: format.number(session.occurrence + 1),
          })}
        </p>
      )}
      {session.state !== "cancelled" && (
        <ul class="answers">
          {session.attendees.map((each) => (
            <Answer key={each.address} attendee={each} />
          ))}
        </ul>
      )}
      {session.attendees.map(
        (each) =>
          each.proposed &&
          isOpen && (
            <Proposal key={each.address} session={session} attendee={each} onChanged={onChanged} />
          ),
      )}
      {session.conflicts_with.length > 0 && isOpen && (
        <p class="state">
          <span aria-hidden="true">⚠ </span>
          {t("session.conflict")}
        </p>
      )}
      {session.unreadable_since !== null && isOpen && (
        <p class="state">
          <span aria-hidden="true">⚠ </span>
          {t("session.unreadable", {
            when: format.date(Date.parse(session.unreadable_since)),
          })}
        </p>
      )}
      {session.odd_time !== null && session.state === "scheduled" && (
        <p class="state">
          <span aria-hidden="true">⚠ </span>
          {t(`session.odd.${session.odd_time}`)}
        </p>
      )}
      {!session.response_requested && isOpen && <p class="state">{t("session.unanswered")}</p>}
      {session.unknown_for.length > 0 && isOpen && (
        <p class="state">
          {t("session.unknown", {
            names: format.list(session.unknown_for.map(nameOf)),
          })}
        </p>
      )}
      {isOpen && online.state === "pending" && <p class="state">{t("join.pending")}</p>}
      {isOpen && online.state === "unavailable" && (
        <p class="state">
          {t("join.unavailable")} <span lang="en">{online.detail}</span>
        </p>
      )}
      {isOpen && (
        <div class="actions">
          {online.join_url && (
            <a
              class="button main"
              href={online.join_url}
              target="_blank"
              rel="noopener noreferrer"
              aria-label={t("join.of", { when })}
            >
              {t("join")}
            </a>
          )}
          {session.is_organizer ? (
            <>
              <button
                type="button"
                aria-label={t("move.of", { when })}
                onClick={() => onAct("move", session)}
              >
                {t("move")}
              </button>
              <button
                type="button"
                aria-label={t("cancel.of", { when })}
                onClick={() => onAct("cancel", session)}
              >
                {t("cancel")}
              </button>
            </>
          ) : (
            <button
              type="button"
              aria-label={t("respond.of", { when })}
              onClick={() => onAct("answer", session)}
            >
              {t("respond")}
            </button>
          )}
        </div>
      )}
    </li>
  );
}

function Answer({ attendee }: { attendee: Attendee }) {
  const { t, format } = usePage();
  const name = attendee.is_me ? t("you") : nameOf(attendee.address);
  const answer = t(`answer.${attendee.response}`);
  const at = attendee.responded_at;
  return (
    <li class={`answer ${attendee.response}`} title={attendee.address}>
      <span class="icon" aria-hidden="true">
        {ICONS[attendee.response]}
      </span>{" "}
      {at
        ? t("answer.news", {
            name,
            answer,
            when: format.moment(Date.parse(at)),
          })
        : t("answer.of", { name, answer })}
    </li>
  );
}

interface ProposalProps {
  session: Session;
  attendee: Attendee;
  onChanged: (booked: Booked, said: string) => void;
}

function Proposal({ session, attendee, onChanged }: ProposalProps) {
  const { t, format, api } = usePage();
  const { isBusy, error, run } = useWork();
  const proposed = attendee.proposed;
  if (!proposed) return null;
  const start = Date.parse(proposed.start);
  const when = `${format.date(start)}, ${format.range(start, Date.parse(proposed.end))}`;
  const take = () =>
    run(async () => {
      const answer = await api.POST("/sessions/{session_id}/proposals/{attendee}/accept", {
        params: {
          path: {
            session_id: session.id,
            attendee: attendee.object_id ?? attendee.address,
          },
        },
      });
      onChanged(body(answer), t("proposal.taken", { when }));
    });
  return (
    <div class="proposal">
      <p>
        {t("proposal", {
          name: attendee.is_me ? t("you") : nameOf(attendee.address),
          when,
        })}
      </p>
      {session.is_organizer && proposed.start !== proposed.end && (
        <button type="button" class="main" disabled={isBusy} onClick={() => void take()}>
          {t("proposal.take")}
        </button>
      )}
      {Boolean(error) && <Trouble error={error} onRetry={() => void take()} />}
    </div>
  );
}
