"""What a session must be, read from the organizer's calendar without any code of the app."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from local.cloud import LocalCloud
from local.graph.exchange import x500_address
from local.graph.mailbox import Attendee as Row
from local.graph.mailbox import Event
from local.world import Person
from shared.sessions.model import Attendee, ResponseState, Session, SessionState

_WORDS = {
    "accepted": ResponseState.ACCEPTED,
    "tentativelyAccepted": ResponseState.TENTATIVE,
    "declined": ResponseState.DECLINED,
}


@dataclass(frozen=True)
class Invited:
    """A person whom an event shows as invited, by all of their rows."""

    is_required: bool
    response: ResponseState
    proposed: datetime | None


@dataclass(frozen=True)
class Expected:
    """What an event says of its session."""

    start: datetime
    first_on: date | None
    """The first day of an all-day event; None for one with hours."""
    invited: dict[str, Invited]
    """Participants by object id, others by address."""


def read_event(event: Event, session: Session, cloud: LocalCloud) -> Expected:
    """Return what the organizer's *event* says of *session*, which tells who takes part.

    Two rows of one participant are one: the later answer counts.
    """
    rows: dict[str, list[Row]] = {}
    participants = {a.object_id for a in session.attendees if not a.forwarded}
    for row in event.details.attendees:
        person = _person_at(row.address, cloud)
        who = row.address.lower()
        if person:
            is_known = person.object_id in participants
            who = person.object_id if is_known else person.address.lower()
        if not person or person.object_id != event.mailbox_id:
            rows.setdefault(who, []).append(row)
    details = event.details
    first_on = details.start.wall.date() if details.is_all_day else None
    return Expected(event.start_at, first_on, {who: _joined(of) for who, of in rows.items()})


def differences_of(stored: Session, expected: Expected) -> Iterator[str]:
    """Yield each difference of a stored session from what its event says."""
    if stored.state is not SessionState.SCHEDULED:
        yield f"in the calendar, {stored.state} here"
    first_on = stored.dates.first_on if stored.dates else None
    if first_on != expected.first_on:
        yield f"all day on {expected.first_on} in Outlook, {first_on} here"
    elif not first_on and stored.span.start != expected.start:
        yield f"starts {expected.start} in Outlook, {stored.span.start} here"
    here = {
        a.object_id or a.address: Invited(a.required, a.response.state, _proposal(a))
        for a in stored.attendees
        if a.invited
    }
    for who in sorted(here.keys() | expected.invited.keys()):
        if here.get(who) != expected.invited.get(who):
            yield f"{who}: {expected.invited.get(who)} in Outlook, {here.get(who)} here"
    if stored.pending_span is not None:
        yield "a move is pending"


def _proposal(attendee: Attendee) -> datetime | None:
    proposed = attendee.response.proposed
    return proposed.start if proposed else None


def _joined(rows: list[Row]) -> Invited:
    latest = max(rows, key=lambda row: (row.response in _WORDS, row.answered_at))
    return Invited(
        any(row.kind == "required" for row in rows),
        _WORDS.get(latest.response, ResponseState.PENDING),
        latest.proposed[0].instant if latest.proposed else None,
    )


def _person_at(shown: str, cloud: LocalCloud) -> Person | None:
    """Return the person whom an address means, as it is shown."""
    address = shown.rpartition("<")[2].rstrip(">").lower()
    for person in cloud.world.people():
        names = [name.lower() for name in (person.address, *person.aliases)]
        if address in {*names, *(x500_address(name).lower() for name in names)}:
            return person
    return None
