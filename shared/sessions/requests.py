"""What callers ask for, and what is wrong with it before any calendar is read."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.availability.masks import round_out_to_grid
from shared.availability.model import MAX_DURATION, MIN_DURATION, SlotRules
from shared.errors import Invalid, NotAllowed
from shared.ids import PairingId, SessionId
from shared.organizations.model import Caller, OnlineMeetingChoice
from shared.pairings.model import Pairing
from shared.sessions.model import ResponseState, Session
from shared.sessions.recurrence import Repeat
from shared.sessions.series import OnConflict
from shared.timespan import TimeSpan

_NAMESPACE: Final = uuid.UUID("5b0f8f2e-4d0e-4d3c-9a39-7d1f6f0c2a11")
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """A session to book, or with *repeat* one for each date of a series."""

    key: str
    """The Idempotency-Key."""
    fingerprint: str
    """Hash of the request as it came."""
    start: datetime
    duration: timedelta
    time_zone: str
    title: str | None = None
    agenda: str = ""
    location: str | None = None
    online_meeting: OnlineMeetingChoice | None = None
    """None: as the organization has it."""
    accept_unknown: bool = False
    """Book although somebody's availability is unknown."""
    at_least: int | None = None
    """Book when the caller and so many in all are free, instead of everybody required."""
    repeat: Repeat | None = None
    on_conflict: OnConflict = OnConflict.REFUSE
    """What becomes of dates of a series that are not free."""

    @property
    def span(self) -> TimeSpan:
        """Return the time it takes, of a series the first date's."""
        return TimeSpan.lasting(self.start, self.duration)


@dataclass(frozen=True, slots=True)
class RescheduleRequest:
    """New times for a session."""

    span: TimeSpan
    time_zone: str
    accept_unknown: bool = False
    at_least: int | None = None
    """Move it when the organizer and so many in all are free, instead of everybody required."""
    proposed_by: str | None = None
    """The address of the attendee whose proposal it is."""


@dataclass(frozen=True, slots=True)
class InvitationResponse:
    """What an attendee answers to the invitation."""

    state: ResponseState
    comment: str = ""
    proposed: TimeSpan | None = None


def session_id_for(participation: Caller, pairing_id: PairingId, key: str) -> SessionId:
    """Return the id that this caller's *key* stands for: the same for every retry."""
    name = (
        f"{participation.organization.id}\n{pairing_id}\n{participation.mailbox.object_id}\n{key}"
    )
    return SessionId(str(uuid.uuid5(_NAMESPACE, name)))


def require_organizer(participation: Caller, session: Session) -> None:
    """Raise NotAllowed for an attendee, with what they can do instead."""
    if session.organizer != participation.mailbox:
        raise NotAllowed(
            "Only the organizer can change this session.",
            remedy="Answer it, or propose another time with your answer:"
            f" POST /api/sessions/{session.id}/response",
        )


def validate_start(span: TimeSpan, rules: SlotRules) -> None:
    """Raise Invalid if *span* breaks a rule that has nothing to do with anybody's calendar."""
    if span.start < rules.earliest_start:
        raise Invalid("body.start", "The session would start too soon, or has started already.")
    if span.start > rules.latest_start:
        raise Invalid("body.start", "The session would start beyond the horizon.")


def validate_quorum_size(pairing: Pairing, at_least: int | None) -> None:
    """Raise Invalid if there are not so many in *pairing*."""
    if at_least is not None and at_least > len(pairing.participants):
        raise Invalid(
            "body.at_least", f"The pairing has only {len(pairing.participants)} participants."
        )


def validate_duration(span: TimeSpan) -> None:
    """Raise Invalid if no session is as short or as long as *span*: in Outlook meetings may be."""
    if span.duration < MIN_DURATION or round_out_to_grid(span).duration > MAX_DURATION:
        raise Invalid(
            "body.duration_minutes",
            f"A session lasts {MIN_DURATION // _MINUTE} to {MAX_DURATION // _MINUTE} minutes.",
        )
