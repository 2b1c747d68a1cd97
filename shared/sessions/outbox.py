"""The outbox of a session: the entries of the change feed that a save makes. Pure.

The ledger writes the entries into the session's row, in the transaction that changes the session.
The store then appends them to the feed and removes them from the row (`SessionStore.publish`).
After a crash in between, the next reader of the session appends them: an entry has the same id
every time, and the feed has each id once. The entries of a session are appended in the order of its
changes, because a save keeps the entries that are still in the row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from shared.availability.model import NO_BUFFERS
from shared.changes.model import Attendance, Change, ChangeKind
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
    """Why the event cannot be read, if that is the change; empty: the mailbox's own entry says."""
    remedy: str = ""


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
            origin.trouble if kind is ChangeKind.TROUBLE else detail,
            attendee,
            remedy=origin.remedy if kind is ChangeKind.TROUBLE else "",
            id=f"{session.id};{session.changed_at.isoformat()};{number}",
        )
        for number, (kind, detail, attendee) in enumerate(differences(stored, session))
        if kind is not ChangeKind.TROUBLE or origin.trouble
    )
    return replace(session, outbox=(*stored.outbox, *news))


class Difference(NamedTuple):
    """What an entry of the feed says."""

    kind: ChangeKind
    detail: str = ""
    attendee: str | None = None
    """The object id of the participant it is about, or the address of another attendee."""


def differences(before: Session, after: Session) -> Iterator[Difference]:
    """Yield each entry for the change from *before* to *after*.

    None before the session is scheduled. Answers that new times reset have no entry of their own.
    """
    if after.state is SessionState.REQUESTED:
        return
    if after.state is SessionState.CANCELLED:
        if before.state is not after.state:
            yield Difference(ChangeKind.CANCELLED)
        return
    if before.state is SessionState.REQUESTED:
        yield Difference(ChangeKind.SCHEDULED)
        return
    if before.state is SessionState.CANCELLED:
        yield Difference(ChangeKind.RESTORED)
    is_moved = (after.span, after.dates) != (before.span, before.dates)
    if is_moved:
        yield Difference(ChangeKind.RESCHEDULED, after.odd_time or "")
    yield from _attendee_differences(before, after, is_moved=is_moved)
    if after.online_meeting != before.online_meeting:
        yield Difference(ChangeKind.ONLINE_MEETING, after.online_meeting.state.value)
    if set(after.conflicts_with) - set(before.conflicts_with):
        yield Difference(ChangeKind.CONFLICT)
    if after.unreadable_since and not before.unreadable_since:
        yield Difference(ChangeKind.TROUBLE)


def _attendee_differences(
    before: Session, after: Session, *, is_moved: bool
) -> Iterator[Difference]:
    """Yield who came, went or changed, then what was proposed, then what was answered."""
    former = {a.address: a for a in before.attendees}
    present = {a.address: a for a in after.attendees}
    for attendee in (*(a for a in former.values() if a.address not in present), *after.attendees):
        old, new = former.get(attendee.address), present.get(attendee.address)
        if change := _attendance(old, new):
            yield Difference(ChangeKind.ATTENDEES, change.value, _name(attendee))
    answers = {address: a.response for address, a in former.items()}
    for attendee in after.attendees:
        known = answers.get(attendee.address, AttendeeResponse())
        if attendee.response.proposed and attendee.response.proposed != known.proposed:
            yield Difference(ChangeKind.PROPOSED, "", _name(attendee))
    for attendee in after.attendees:
        known = answers.get(attendee.address, AttendeeResponse())
        is_reset = is_moved or not attendee.invited
        state = attendee.response.state
        if state is not (ResponseState.PENDING if is_reset else known.state):
            yield Difference(ChangeKind.RESPONDED, state.value, _name(attendee))


def _attendance(old: Attendee | None, new: Attendee | None) -> Attendance | None:
    was_there, is_there = (each is not None and each.invited for each in (old, new))
    if was_there is not is_there:
        return Attendance.ADDED if is_there else Attendance.REMOVED
    if old is None or new is None or not is_there or old.required is new.required:
        return None
    return Attendance.REQUIRED if new.required else Attendance.OPTIONAL


def _name(attendee: Attendee) -> str:
    return attendee.object_id or attendee.address


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
        is_mailbox_lost=False,
        outbox=(),
        version="",
    )


def _visible_attendee(attendee: Attendee) -> Attendee:
    answer = attendee.response
    return replace(
        attendee,
        is_free_at_pending=None,
        taken=None,
        known_as=(),
        response=AttendeeResponse(answer.state, answer.responded_at, answer.proposed),
    )
