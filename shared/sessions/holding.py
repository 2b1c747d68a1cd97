"""Which time a session takes from the mailboxes of its people, and when holds collide. Pure."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from shared.ids import Mailbox, SessionId
from shared.sessions.model import HOLD_FOR, Hold, Session, SessionState
from shared.timespan import TimeSpan

MAX_HELD_DAYS: Final = 14
"""An event that was stretched over months in Outlook holds its first days; the rest of it is busy
in the calendar itself, and one transaction has room for a hundred rows."""


def holds_of(session: Session) -> tuple[Hold, ...]:
    """Return what *session* holds in each of its mailboxes.

    Requested: its span, until the hold runs out. Scheduled: its span for good, and where a
    reschedule under way wants it until that runs out. Cancelled: nothing.
    """
    if session.state is SessionState.CANCELLED:
        return ()
    # What nobody confirmed never counts for good.
    runs_out = session.held_until or session.changed_at + HOLD_FOR
    if session.state is SessionState.REQUESTED:
        return (Hold(session.id, session.span, runs_out),)
    held = Hold(session.id, session.span)
    if session.pending_span is None:
        return (held,)
    return (held, Hold(session.id, session.pending_span, runs_out))


def holds_in_mailbox(session: Session, mailbox: Mailbox) -> tuple[Hold, ...]:
    """Return what *session* holds in *mailbox*: nothing of who is invited though not free."""
    holds = holds_of(session)
    own = holds[:1] if session.holds_time_of(mailbox) else ()
    return own + (holds[1:] if session.holds_pending_time_of(mailbox) else ())


def holds_besides(
    session: Session, to: Hold, mailbox: Mailbox, held: Iterable[Hold], now: datetime
) -> tuple[Hold, ...]:
    """Return what *session* holds in *mailbox* while it is to be moved: its own span, and *to*.

    Of *held* also where somebody else is about to move it: they may be the ones who do.
    """
    own = holds_of(session)[:1] if session.holds_time_of(mailbox) else ()
    others = [hold for hold in _of_movers(session, held, (*own, to)) if hold.counts_at(now)]
    return (*own, to, *others)


def holds_settled(session: Session, mailbox: Mailbox, held: Iterable[Hold]) -> tuple[Hold, ...]:
    """Return what *session* holds in *mailbox* once that says what the session does.

    Of *held* also where somebody is about to move it: they read a later version than this. What
    came to nothing is taken back, or runs out. Nothing stays of a session that is off.
    """
    own = holds_in_mailbox(session, mailbox)
    if session.state is SessionState.CANCELLED:
        return own
    return (*own, *_of_movers(session, held, own))


def _of_movers(session: Session, held: Iterable[Hold], known: Iterable[Hold]) -> list[Hold]:
    """Return where *session* is about to be moved, besides the times of *known*."""
    spans = {hold.span for hold in known}
    found = {
        hold
        for hold in held
        if hold.session_id == session.id
        and hold.counts_until is not None
        and hold.span not in spans
    }
    return sorted(found, key=lambda hold: hold.span)


def held_days(spans: Iterable[TimeSpan]) -> list[date]:
    """Return the UTC days whose rows say that *spans* are held, in order."""
    return sorted({day for span in spans for day in span.days()[:MAX_HELD_DAYS]})


def colliding(
    held: Iterable[Hold], span: TimeSpan, session_id: SessionId, now: datetime
) -> Hold | None:
    """Return a hold of another session that counts at *now* and overlaps *span*."""
    return next(
        (
            hold
            for hold in held
            if hold.session_id != session_id and hold.counts_at(now) and hold.span.overlaps(span)
        ),
        None,
    )


def is_confirmed(held: Iterable[Hold], wanted: Hold) -> bool:
    """Tell whether *wanted*'s session holds exactly that span for good already."""
    return any(
        hold.session_id == wanted.session_id
        and hold.span == wanted.span
        and hold.counts_until is None
        for hold in held
    )
