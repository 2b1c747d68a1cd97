"""Merging the attendees that Outlook shows into those of the stored session. Pure.

A participant is a person of the pairing, known by object id; an address is only how Outlook names
them today. It may be another one tomorrow: after a change of name, for an alias, or an internal one
for an answer that Exchange could not match. So rows are matched by every address known of a person,
and several rows of one person are joined. A row that Outlook drops leaves the person in the session
as not invited, since the organizer may put them back.

Source: MS-OXOCAL 3.1.4.8.5.2 (an answer without a matching recipient adds an optional attendee)
"""

from collections.abc import Mapping
from dataclasses import replace

from shared.sessions.calendar_events import CalendarAttendee, CalendarEvent
from shared.sessions.model import Attendee, AttendeeResponse, ResponseState, Session


def newer(known: AttendeeResponse, other: AttendeeResponse) -> AttendeeResponse:
    """Return the response that counts, of two rows of one person.

    The later answer does, and any answer before silence. Of two answers with the same instant the
    one that sorts last counts, so that the order of rows does not matter.

    Source: https://learn.microsoft.com/graph/api/resources/responsestatus
    """
    return max(known, other, key=_rank)


def merge_attendees(
    session: Session, event: CalendarEvent, *, is_moved: bool
) -> tuple[Attendee, ...]:
    """Return the attendees of *session* as *event* shows them.

    What cannot be read of an attendee stays as it was known, until new times reset it (*is_moved*).
    """
    shown = _rows(session, event)
    if not event.has_all_attendees:
        # A list that cannot be read whole adds no attendee and removes none.
        rows = {a.address: _as_known(a, is_moved=is_moved) for a in session.attendees} | shown
        return tuple(_merge_row(a, rows[a.address], is_moved=is_moved) for a in session.attendees)
    kept = [
        _merge_row(a, shown.get(a.address), is_moved=is_moved)
        for a in session.attendees
        if a.address in shown or not a.forwarded
    ]
    known = {a.address for a in session.attendees}
    forwarded = [
        Attendee(address, required=row.required, response=row.response, forwarded=True)
        for address, row in shown.items()
        if address not in known
    ]
    return (*kept, *sorted(forwarded, key=lambda a: a.address))


def unmatched(session: Session, event: CalendarEvent) -> tuple[list[Attendee], list[str]]:
    """Return the participants without a row in *event*, and the addresses of strangers."""
    shown = _rows(session, event)
    absent = [a for a in session.attendees if not a.forwarded and a.address not in shown]
    known = {a.address for a in session.attendees if not a.forwarded}
    return absent, [address for address in shown if address not in known]


def _rows(session: Session, event: CalendarEvent) -> dict[str, CalendarAttendee]:
    """Return the rows of *event* by the address that the session has for the person."""
    names = _names(session)
    rows: dict[str, CalendarAttendee] = {}
    for row in event.attendees:
        address = names.get(row.address, row.address)
        joined = _join(rows[address], row) if address in rows else row
        rows[address] = replace(joined, address=address)
    return rows


def _names(session: Session) -> Mapping[str, str]:
    """Return the session's address of each address under which a participant was shown."""
    return {
        name: a.address
        for a in session.attendees
        if not a.forwarded
        for name in (a.address, *a.known_as)
    }


def _join(one: CalendarAttendee, other: CalendarAttendee) -> CalendarAttendee:
    """Join two rows of one person: Exchange adds the second one as optional."""
    response = newer(one.response, other.response)
    is_answer = response.state is not ResponseState.PENDING
    return replace(
        one,
        response=response,
        required=one.required or other.required,
        says_response=is_answer or (one.says_response and other.says_response),
    )


def _as_known(known: Attendee, *, is_moved: bool) -> CalendarAttendee | None:
    if not known.invited:
        return None
    response = AttendeeResponse(was_reset=True) if is_moved else known.response
    return CalendarAttendee(known.address, response, known.required)


def _merge_row(known: Attendee, row: CalendarAttendee | None, *, is_moved: bool) -> Attendee:
    if row is None:
        return replace(known, invited=False, required=False, response=AttendeeResponse())
    response = row.response if row.says_response or is_moved else known.response
    return replace(known, invited=True, required=row.required, response=response)


def _rank(response: AttendeeResponse) -> tuple[bool, float, str, str]:
    at = response.responded_at
    return (
        response.state is not ResponseState.PENDING,
        at.timestamp() if at else 0.0,
        response.state,
        response.proposed.start.isoformat() if response.proposed else "",
    )
