"""Finding out who the people are whom Outlook shows under addresses that a session does not know.

Asked in this order: the directory for the addresses of each participant who has no row; an internal
(X.500) address for its last part; the directory for the address. Where none of these says it, a
participant's own calendar says whether they are still invited.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from shared.calendar_sync.attendees import unmatched
from shared.errors import CalendarRefused, ConsentMissing, EventUnreadable, MailboxUnusable
from shared.ids import Mailbox, ObjectId
from shared.sessions.calendar_events import CalendarAttendee, CalendarEvent
from shared.sessions.model import Attendee, AttendeeResponse, Session
from shared.sessions.ports import Calendar

_UNANSWERED: Final = (CalendarRefused, ConsentMissing, EventUnreadable, MailboxUnusable)
"""Errors of a directory or a mailbox that gives no answer."""
_X500: Final = re.compile(r"^/o=.*/cn=(?:[0-9a-f]{32}-)?([^/=]+)$")
"""Source: https://github.com/microsoftgraph/microsoft-graph-docs/issues/13898"""


async def identify(
    session: Session, event: CalendarEvent, *, calendar: Calendar
) -> tuple[Session, CalendarEvent]:
    """Return *session* with the addresses learned from *event*, and *event* without doubts.

    A participant who may be shown under an unknown address keeps a row: only a known absence makes
    a participant uninvited. Costs no call as long as every row is a known person's.

    Raises:
        CalendarThrottled, CalendarUnavailable: transient; a retry may succeed.
    """
    absent, strangers = unmatched(session, event)
    if not strangers or not event.has_all_attendees:
        return session, event
    for attendee in absent:
        names = await _addresses_of(session, attendee, calendar)
        session = _knowing(session, attendee, (s for s in strangers if s in names))
    absent, strangers = unmatched(session, event)
    for stranger in strangers:
        if owner := _by_internal_address(session, stranger):
            session = _knowing(session, owner, [stranger])
            continue
        person = await _person_at(session, stranger, calendar)
        if person == session.organizer.object_id:
            rows = tuple(row for row in event.attendees if row.address != stranger)
            event = replace(event, attendees=rows)
        elif person and (owner := session.attendee(person)):
            session = _knowing(session, owner, [stranger])
    absent, strangers = unmatched(session, event)
    if strangers:
        known = {a.address for a in session.attendees if a.forwarded}
        is_new = not known.issuperset(strangers)
        kept = [a for a in absent if await _may_be_invited(session, a, calendar, is_new=is_new)]
        # Under new times nothing is known of their answers.
        nothing = AttendeeResponse(was_reset=True)
        rows = tuple(
            CalendarAttendee(a.address, nothing, a.required, says_response=False) for a in kept
        )
        event = replace(event, attendees=(*event.attendees, *rows))
    return session, event


async def _addresses_of(session: Session, attendee: Attendee, calendar: Calendar) -> frozenset[str]:
    if attendee.object_id is None:
        return frozenset()
    try:
        return await calendar.addresses_of(Mailbox(session.tenant_id, attendee.object_id))
    except _UNANSWERED:
        return frozenset()


async def _person_at(session: Session, address: str, calendar: Calendar) -> ObjectId | None:
    if "@" not in address:
        return None
    try:
        return await calendar.person_at(session.tenant_id, address)
    except _UNANSWERED:
        return None


async def _may_be_invited(
    session: Session, attendee: Attendee, calendar: Calendar, *, is_new: bool
) -> bool:
    """Return whether *attendee* may have one of the rows of strangers, by their own calendar.

    *is_new*: there is a row that was not there before, so a missing copy does not prove a removal.
    """
    if attendee.object_id is None or not attendee.invited:
        return False
    try:
        mailbox = Mailbox(session.tenant_id, attendee.object_id)
        is_cancelled = await calendar.is_copy_cancelled(session, mailbox)
    except _UNANSWERED:
        return True
    return is_cancelled is False or (is_new and is_cancelled is None)


def _by_internal_address(session: Session, stranger: str) -> Attendee | None:
    """Return the only participant whose mail name is the last part of an X.500 address."""
    found = _X500.match(stranger)
    if found is None:
        return None
    same = [
        a
        for a in session.attendees
        if not a.forwarded
        and found[1] in {name.partition("@")[0] for name in (a.address, *a.known_as)}
    ]
    return same[0] if len(same) == 1 else None


def _knowing(session: Session, attendee: Attendee, names: Iterable[str]) -> Session:
    """Return *session* with *names* as further addresses of *attendee*."""
    new = tuple(sorted({*names} - {attendee.address, *attendee.known_as}))
    if not new:
        return session
    return replace(
        session,
        attendees=tuple(
            replace(a, known_as=(*a.known_as, *new)) if a.address == attendee.address else a
            for a in session.attendees
            if not (a.forwarded and a.address in new)
        ),
    )
