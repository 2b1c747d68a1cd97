"""The rules of holds: which time a session holds in each mailbox, and when holds conflict. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from shared.availability.model import NO_BUFFERS, Buffers
from shared.ids import Mailbox, SessionId
from shared.sessions.model import HOLD_TTL, Session, SessionState
from shared.timespan import TimeSpan

MAX_HELD_DAYS: Final = 14
"""An event that was stretched over months in Outlook holds its first days only: one transaction has
at most a hundred rows, and free/busy shows the rest of the event."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A span of one mailbox's time that a session reserves."""

    session_id: SessionId
    span: TimeSpan
    expires_at: datetime | None = None
    """None: the hold is confirmed and never expires."""
    buffers: Buffers = NO_BUFFERS
    """Of the session."""

    def is_active_at(self, now: datetime) -> bool:
        """Return whether the hold has not expired, so that it keeps other sessions out."""
        return self.expires_at is None or now < self.expires_at

    @property
    def kept_free(self) -> TimeSpan:
        """Return the span with its own buffers; the hold is stored in each of its days.

        So two holds that keep each other out share a day, also over midnight.
        """
        return self.span.widened(self.buffers.before, self.buffers.after)

    def keeps_out(self, other: "Hold") -> bool:
        """Return whether *other* overlaps this hold, or is closer than the buffers of both allow.

        Between two sessions there is the longer one of their two buffers.
        """
        gap_before = max(self.buffers.before, other.buffers.after)
        gap_after = max(self.buffers.after, other.buffers.before)
        return self.span.widened(gap_before, gap_after).overlaps(other.span)


def session_holds(session: Session) -> tuple[Hold, ...]:
    """Return the holds of *session*, the same in each mailbox whose time it takes.

    Requested: its span, until the hold expires. Scheduled: its span without an expiry, and the new
    time of a pending reschedule until that hold expires. Cancelled: none. A session of zero minutes
    holds nothing at its present time.
    """
    return _present_holds(session) + _pending_holds(session)


def mailbox_holds(session: Session, mailbox: Mailbox) -> tuple[Hold, ...]:
    """Return the holds of *session* in *mailbox*; none for an attendee invited while busy."""
    own = _present_holds(session) if session.holds_time_of(mailbox) else ()
    return own + (_pending_holds(session) if session.holds_pending_time_of(mailbox) else ())


def holds_during_move(
    session: Session, to: Hold, mailbox: Mailbox, held: Iterable[Hold], now: datetime
) -> tuple[Hold, ...]:
    """Return the holds of *session* in *mailbox* during a move: its own span, and *to*.

    Active holds in *held* that another attempt placed for its own target stay: that attempt may be
    the one that succeeds.
    """
    own = _present_holds(session) if session.holds_time_of(mailbox) else ()
    others = [h for h in _pending_holds_of_others(session, held, (*own, to)) if h.is_active_at(now)]
    return (*own, to, *others)


def holds_after_sync(session: Session, mailbox: Mailbox, held: Iterable[Hold]) -> tuple[Hold, ...]:
    """Return the holds of *session* in *mailbox* once the mailbox is synced with the session.

    Holds in *held* for the target of another attempt stay: that attempt read a later version. If
    it fails, it removes them, or they expire. A cancelled session keeps none.
    """
    own = mailbox_holds(session, mailbox)
    if session.state is SessionState.CANCELLED:
        return own
    return (*own, *_pending_holds_of_others(session, held, own))


def held_days(spans: Iterable[TimeSpan]) -> list[date]:
    """Return the UTC days of *spans*, in order. The row of a day has the holds of these days."""
    return sorted({day for span in spans for day in span.days()[:MAX_HELD_DAYS]})


def days_of_holds(holds: Iterable[Hold]) -> list[date]:
    """Return the UTC days whose rows have *holds*, and each hold that conflicts with them."""
    return held_days(hold.kept_free for hold in holds)


def conflicting_hold(held: Iterable[Hold], wanted: Hold, now: datetime) -> Hold | None:
    """Return a hold of another session that is active at *now* and keeps *wanted* out, or None."""
    return next(
        (
            hold
            for hold in held
            if hold.session_id != wanted.session_id
            and hold.is_active_at(now)
            and hold.keeps_out(wanted)
        ),
        None,
    )


def active_holds(held: Iterable[Hold], window: TimeSpan, now: datetime) -> list[Hold]:
    """Return the holds active at *now* that overlap *window*, without duplicates, by start."""
    found = {hold for hold in held if hold.is_active_at(now) and hold.span.overlaps(window)}
    return sorted(found, key=lambda hold: (hold.span, hold.session_id))


def is_confirmed(held: Iterable[Hold], wanted: Hold) -> bool:
    """Return whether *wanted*'s session has exactly that span held without an expiry."""
    return any(
        (hold.session_id, hold.span, hold.expires_at) == (wanted.session_id, wanted.span, None)
        for hold in held
    )


def _present_holds(session: Session) -> tuple[Hold, ...]:
    if session.state is SessionState.CANCELLED or session.span.is_empty:
        return ()
    expires_at = _expiry(session) if session.state is SessionState.REQUESTED else None
    return (Hold(session.id, session.span, expires_at, session.buffers),)


def _pending_holds(session: Session) -> tuple[Hold, ...]:
    if session.state is not SessionState.SCHEDULED or session.pending_span is None:
        return ()
    buffers = session.pending_buffers or session.buffers
    return (Hold(session.id, session.pending_span, _expiry(session), buffers),)


def _expiry(session: Session) -> datetime:
    # An unconfirmed hold always has an expiry.
    return session.held_until or session.changed_at + HOLD_TTL


def _pending_holds_of_others(
    session: Session, held: Iterable[Hold], known: Iterable[Hold]
) -> list[Hold]:
    """Return the expiring holds of *session* at other times than those of *known*."""
    spans = {hold.span for hold in known}
    found = {
        hold
        for hold in held
        if hold.session_id == session.id and hold.expires_at is not None and hold.span not in spans
    }
    return sorted(found, key=lambda hold: hold.span)
