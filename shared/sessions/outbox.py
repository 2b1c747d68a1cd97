"""The outbox of a session: the entries of the change feed that a save makes. Pure.

The ledger writes the entries into the session's row, in the transaction that changes the session.
The store then appends them to the feed and removes them from the row (`SessionStore.publish`).
After a crash in between, the next reader of the session appends them: an entry has the same id
every time, and the feed has each id once. The entries of a session are appended in the order of its
changes, because a save keeps the entries that are still in the row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from shared.availability.model import NO_BUFFERS
from shared.changes.model import Change, ChangeKind
from shared.sessions.model import (
    Attendee,
    AttendeeResponse,
    Cause,
    ResponseState,
    Session,
    SessionState,
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change of a session comes from."""

    cause: Cause = Cause.API
    lag_ms: int | None = None
    """The time from the change in Outlook until this service read it, if Outlook has that time."""
    trouble: str = ""
    """Why the event cannot be read, if that is the change."""


def with_outbox(stored: Session, session: Session, origin: Origin) -> Session:
    """Return *session*, which replaces *stored*, with its version and its outbox.

    `changed_at` is the version: it grows with every change that a reader of the session can see,
    and with no other.
    """
    if _visible(session) == _visible(stored):
        return replace(session, changed_at=stored.changed_at, outbox=stored.outbox)
    session = replace(session, changed_at=stored.next_changed_at(session.changed_at))
    news = tuple(
        Change(
            session.organization_id,
            session.changed_at,
            kind,
            origin.cause,
            session.pairing_id,
            session.id,
            origin.lag_ms,
            detail or (origin.trouble if kind is ChangeKind.TROUBLE else ""),
            id=f"{session.id};{session.changed_at.isoformat()};{number}",
        )
        for number, (kind, detail) in enumerate(differences(stored, session))
    )
    return replace(session, outbox=(*stored.outbox, *news))


def differences(before: Session, after: Session) -> Iterator[tuple[ChangeKind, str]]:
    """Yield the kind and the detail of each entry for the change from *before* to *after*.

    None before the session is scheduled. Answers that new times reset have no entry of their own.
    """
    if after.state is SessionState.REQUESTED:
        return
    if after.state is SessionState.CANCELLED:
        if before.state is not after.state:
            yield ChangeKind.CANCELLED, ""
        return
    if before.state is SessionState.REQUESTED:
        yield ChangeKind.SCHEDULED, ""
        return
    if before.state is SessionState.CANCELLED:
        yield ChangeKind.RESTORED, ""
    is_moved = after.span != before.span
    if is_moved:
        yield ChangeKind.RESCHEDULED, ""
    answers = {a.address: a.response for a in before.attendees}
    if answers.keys() != {a.address for a in after.attendees}:
        yield ChangeKind.ATTENDEES, ""
    known = [(answers[a.address], a.response) for a in after.attendees if a.address in answers]
    for old, new in known:
        if new.proposed and new.proposed != old.proposed:
            yield ChangeKind.PROPOSED, ""
    for old, new in known:
        if new.state is not (ResponseState.PENDING if is_moved else old.state):
            yield ChangeKind.RESPONDED, new.state.value
    if after.online_meeting != before.online_meeting:
        yield ChangeKind.ONLINE_MEETING, after.online_meeting.state.value
    if set(after.conflicts_with) - set(before.conflicts_with):
        yield ChangeKind.CONFLICT, ""
    if after.unreadable_since and not before.unreadable_since:
        yield ChangeKind.TROUBLE, ""


def _visible(session: Session) -> Session:
    """Return *session* without the fields that no reader of it sees."""
    return replace(
        session,
        attendees=tuple(map(_visible_attendee, session.attendees)),
        changed_at=session.created_at,
        fingerprint="",
        event_id=None,
        ical_uid=None,
        event_etag=None,
        event_modified_at=None,
        sequence=0,
        pending_base_version=None,
        buffers=NO_BUFFERS,
        pending_buffers=None,
        pending_unknown_for=None,
        held_until=None,
        missing_since=None,
        outbox=(),
        version="",
    )


def _visible_attendee(attendee: Attendee) -> Attendee:
    answer = attendee.response
    return replace(
        attendee,
        is_free_at_pending=None,
        taken=None,
        response=AttendeeResponse(answer.state, answer.responded_at, answer.proposed),
    )
