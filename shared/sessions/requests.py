"""The requests of callers, and their validation before any calendar is read."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.availability.masks import round_out_to_grid
from shared.availability.model import MAX_DURATION, MIN_DURATION, SlotRules
from shared.errors import Invalid, NotAllowed
from shared.ids import PairingId, SessionId
from shared.organizations.model import Caller, OnlineMeetingChoice
from shared.pairings.model import Invitee
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
    """Hash of the request body: the same key with another fingerprint is refused."""
    start: datetime
    duration: timedelta
    time_zone: str
    title: str | None = None
    agenda: str = ""
    location: str | None = None
    online_meeting: OnlineMeetingChoice | None = None
    """None: the organization's default."""
    accept_unknown: bool = False
    """Book although the availability of a participant is unknown."""
    at_least: int | None = None
    """Book if the caller is free and so many participants in all; None: all required ones."""
    repeat: Repeat | None = None
    on_conflict: OnConflict = OnConflict.REFUSE
    """The rule for dates of a series that are not free."""

    @property
    def span(self) -> TimeSpan:
        """Return the span of the session, or of a series' first date."""
        return TimeSpan.lasting(self.start, self.duration)


@dataclass(frozen=True, slots=True)
class RescheduleRequest:
    """New times for a session."""

    span: TimeSpan
    time_zone: str
    accept_unknown: bool = False
    at_least: int | None = None
    """Move if the organizer is free and so many participants in all; None: all required ones."""
    proposed_by: str | None = None
    """The address of the attendee who proposed this time; None if no attendee did."""


@dataclass(frozen=True, slots=True)
class InvitationResponse:
    """An attendee's answer to the invitation."""

    state: ResponseState
    comment: str = ""
    proposed: TimeSpan | None = None


def session_id_for(caller: Caller, pairing_id: PairingId, key: str) -> SessionId:
    """Return the session id derived from the caller's *key*: the same for every retry."""
    name = f"{caller.organization.id}\n{pairing_id}\n{caller.mailbox.object_id}\n{key}"
    return SessionId(str(uuid.uuid5(_NAMESPACE, name)))


def require_organizer(caller: Caller, session: Session) -> None:
    """Raise NotAllowed for an attendee, with the alternative as the remedy."""
    if session.organizer != caller.mailbox:
        raise NotAllowed(
            "Only the organizer can change this session.",
            remedy="Answer it, or propose another time with your answer:"
            f" POST /api/sessions/{session.id}/response",
        )


def validate_start(span: TimeSpan, rules: SlotRules) -> None:
    """Raise Invalid if *span* starts outside the organization's notice and horizon."""
    if span.start < rules.earliest_start:
        raise Invalid("body.start", "The session would start too soon, or has started already.")
    if span.start > rules.latest_start:
        raise Invalid("body.start", "The session would start beyond the horizon.")


def validate_quorum_size(people: Sequence[Invitee], at_least: int | None) -> None:
    """Raise Invalid if *people*, the organizer among them, are fewer than *at_least*."""
    if at_least is not None and at_least > len(people):
        raise Invalid("body.at_least", f"Only {len(people)} people are to meet.")


def validate_duration(span: TimeSpan) -> None:
    """Raise Invalid if *span* is too short or too long for a session; Outlook has no such limit."""
    if span.is_empty:
        raise Invalid(
            "body.duration_minutes",
            "In Outlook this time has no length: say how long the session is to last.",
        )
    if span.duration < MIN_DURATION or round_out_to_grid(span).duration > MAX_DURATION:
        raise Invalid(
            "body.duration_minutes",
            f"A session lasts {MIN_DURATION // _MINUTE} to {MAX_DURATION // _MINUTE} minutes.",
        )
