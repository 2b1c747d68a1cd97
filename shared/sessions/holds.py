"""What a session holds of each mailbox's time, and when two holds collide. Pure."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from shared.ids import Mailbox, SessionId
from shared.sessions.model import HOLD_TTL, Hold, Session, SessionState
from shared.timespan import TimeSpan

MAX_HELD_DAYS: Final = 14
"""An event that was stretched over months in Outlook holds its first days; the rest of it is busy
in the calendar itself, and one transaction has room for a hundred rows."""


def session_holds(session: Session) -> tuple[Hold, ...]:
    """Return what *session* holds in each of its mailboxes.

    Requested: its span, until the hold runs out. Scheduled: its span for good, and where a
    reschedule under way wants it until that runs out. Cancelled: nothing.
    """
    if session.state is SessionState.CANCELLED:
        return ()
    # What nobody confirmed never counts for good.
    runs_out = session.held_until or session.changed_at + HOLD_TTL
    if session.state is SessionState.REQUESTED:
        return (Hold(session.id, session.span, runs_out),)
    held = Hold(session.id, session.span)
    if session.pending_span is None:
        return (held,)
    return (held, Hold(session.id, session.pending_span, runs_out))


def mailbox_holds(session: Session, mailbox: Mailbox) -> tuple[Hold, ...]:
    """Return what *session* holds in *mailbox*: nothing of who is invited though not free."""
    holds = session_holds(session)
    own = holds[:1] if session.holds_time_of(mailbox) else ()
    return own + (holds[1:] if session.holds_pending_time_of(mailbox) else ())


def holds_during_move(
    session: Session, to: Hold, mailbox: Mailbox, held: Iterable[Hold], now: datetime
) -> tuple[Hold, ...]:
    """Return what *session* holds in *mailbox* while it is to be moved: its own span, and *to*.

    Of *held* also where another attempt is about to move it: that may be the one that does.
    """
    own = session_holds(session)[:1] if session.holds_time_of(mailbox) else ()
    others = [h for h in _pending_holds_of_others(session, held, (*own, to)) if h.is_active_at(now)]
    return (*own, to, *others)


def holds_after_sync(session: Session, mailbox: Mailbox, held: Iterable[Hold]) -> tuple[Hold, ...]:
    """Return what *session* holds in *mailbox* once that says what the session does.

    Of *held* also where another attempt is about to move it: that read a later version than this.
    What came to nothing is removed, or runs out. Nothing stays of a session that is cancelled.
    """
    own = mailbox_holds(session, mailbox)
    if session.state is SessionState.CANCELLED:
        return own
    return (*own, *_pending_holds_of_others(session, held, own))


def held_days(spans: Iterable[TimeSpan]) -> list[date]:
    """Return the UTC days whose rows say that *spans* are held, in order."""
    return sorted({day for span in spans for day in span.days()[:MAX_HELD_DAYS]})


def conflicting_hold(
    held: Iterable[Hold], span: TimeSpan, session_id: SessionId, now: datetime
) -> Hold | None:
    """Return a hold of another session that counts at *now* and overlaps *span*."""
    return next(
        (
            hold
            for hold in held
            if hold.session_id != session_id and hold.is_active_at(now) and hold.span.overlaps(span)
        ),
        None,
    )


def active_holds(held: Iterable[Hold], window: TimeSpan, now: datetime) -> list[Hold]:
    """Return those of *held* that count at *now* and touch *window*, each once, by start."""
    found = {hold for hold in held if hold.is_active_at(now) and hold.span.overlaps(window)}
    return sorted(found, key=lambda hold: (hold.span, hold.session_id))


def is_confirmed(held: Iterable[Hold], wanted: Hold) -> bool:
    """Tell whether *wanted*'s session holds exactly that span for good already."""
    return Hold(wanted.session_id, wanted.span) in held


def _pending_holds_of_others(
    session: Session, held: Iterable[Hold], known: Iterable[Hold]
) -> list[Hold]:
    """Return where *session* is about to be moved, besides the times of *known*."""
    spans = {hold.span for hold in known}
    found = {
        hold
        for hold in held
        if hold.session_id == session.id and hold.expires_at is not None and hold.span not in spans
    }
    return sorted(found, key=lambda hold: hold.span)
