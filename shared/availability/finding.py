"""Finds when a pairing can meet, in a snapshot of its participants' schedules. Pure."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from shared.availability.model import (
    MAX_WINDOW,
    BusySpan,
    Quorum,
    Slot,
    SlotRules,
    UnavailableStart,
    WorkingHours,
)
from shared.availability.person_masks import NO_HOLDS, HeldSpans
from shared.availability.reasons import UnknownAvailability
from shared.availability.slots import explain_unavailable, find_slots
from shared.availability.snapshot import AvailabilitySnapshot
from shared.availability.views import busy_spans, unknown_spans
from shared.availability.working_hours import assumed_zone, zone_of
from shared.errors import Invalid
from shared.organizations.model import OrganizationSettings
from shared.pairings.model import Pairing, Participant
from shared.timespan import TimeSpan


@dataclass(frozen=True, slots=True)
class AvailabilityRequest:
    """The window and the kind of slot that a caller asks for."""

    window: TimeSpan
    """At most `MAX_WINDOW` long; slots lie wholly inside."""
    duration: timedelta
    step: timedelta | None = None
    """None: the organization's."""
    time_zone: str = "UTC"
    """IANA or Windows name. Starts are counted from the full hour of this zone."""
    include_unknown: bool = False
    """Offer slots although some required participants are unknown, if at least one is known."""
    at_least: int | None = None
    """Offer slots for the caller and this many participants in all, not for all required ones."""
    explain: bool = False
    """Also list the starts that are not offered, with the obstacles."""


@dataclass(frozen=True, slots=True)
class ParticipantAvailability:
    """One participant's time in the window of the request."""

    participant: Participant
    busy: tuple[BusySpan, ...] = ()
    """Sorted by start, without overlaps; empty if unknown."""
    unknown_spans: tuple[TimeSpan, ...] = ()
    """The parts of the window of which the calendar says nothing; empty if all of it is unknown."""
    hours: WorkingHours | None = None
    """None: not known, so every hour counts as working time. Its zone is never None here."""
    is_zone_assumed: bool = False
    """The zone of *hours* is not the mailbox's, which names one that is not known."""
    unknown: UnknownAvailability | None = None


@dataclass(frozen=True, slots=True)
class Availability:
    """The slots of a pairing, and the schedules they were found in."""

    window: TimeSpan
    rules: SlotRules
    slots: tuple[Slot, ...]
    """Sorted by start; slots may overlap each other."""
    participants: tuple[ParticipantAvailability, ...]
    """In the pairing's order."""
    unavailable_starts: tuple[UnavailableStart, ...] | None = None
    """Every start that is not offered; None unless the request has `explain`."""


def request_rules(
    settings: OrganizationSettings, pairing: Pairing, request: AvailabilityRequest, now: datetime
) -> SlotRules:
    """Return the rules for the slots of *request* at *now*.

    A window in the past or beyond the horizon is valid and has no slots.

    Raises:
        Invalid: names the field of the query.
    """
    rules = _rules(settings, request, now)
    _check(request, pairing)
    return rules


def find_availability(
    pairing: Pairing,
    snapshot: AvailabilitySnapshot,
    request: AvailabilityRequest,
    rules: SlotRules,
    *,
    held: HeldSpans = NO_HOLDS,
) -> Availability:
    """Find the slots of *pairing* in the *snapshot* of its people, which *held* does not take.

    *held*: the spans that sessions hold in the window and its buffers.
    """
    quorum, window = _quorum(snapshot, request), request.window
    slots = find_slots(
        snapshot.schedules, snapshot.window, rules, within=window, quorum=quorum, held=held
    )
    unavailable = (
        _unavailable_starts(snapshot, request, rules, quorum, held) if request.explain else None
    )
    participants = _participants(pairing, snapshot, window, rules)
    return Availability(window, rules, tuple(slots), participants, unavailable)


def rules_for(
    settings: OrganizationSettings,
    *,
    duration: timedelta,
    now: datetime,
    step: timedelta | None = None,
    zone: tzinfo = UTC,
) -> SlotRules:
    """Return the rules for slots of *duration* at *now*, from the organization's *settings*.

    Raises:
        ValueError: *duration* or *step* is not one of the allowed lengths.
    """
    return SlotRules(
        duration=duration,
        step=step or timedelta(minutes=settings.step_minutes),
        earliest_start=now + settings.minimum_notice,
        latest_start=now + settings.horizon,
        buffer_before=settings.buffer_before,
        buffer_after=settings.buffer_after,
        tentative_is_busy=settings.tentative_is_busy,
        zone=zone,
    )


def _check(request: AvailabilityRequest, pairing: Pairing) -> None:
    """Raise Invalid if the window is too long or *at_least* is out of range."""
    if request.window.duration > MAX_WINDOW:
        raise Invalid("query.to", f"to may be at most {MAX_WINDOW.days} days after from.")
    if request.at_least is not None and not 1 <= request.at_least <= len(pairing.participants):
        raise Invalid(
            "query.at_least",
            f"at_least is 1 to {len(pairing.participants)}, the number of participants.",
        )


def _rules(
    settings: OrganizationSettings, request: AvailabilityRequest, now: datetime
) -> SlotRules:
    try:
        zone = zone_of(request.time_zone)
    except ValueError:
        raise Invalid(
            "query.time_zone", "time_zone is no time zone: use an IANA or Windows name."
        ) from None
    try:
        return rules_for(settings, duration=request.duration, step=request.step, zone=zone, now=now)
    except ValueError as error:
        field = "step" if "step" in str(error) else "duration"
        raise Invalid(f"query.{field}_minutes", f"{error}.".capitalize()) from None


def _quorum(snapshot: AvailabilitySnapshot, request: AvailabilityRequest) -> Quorum:
    if request.at_least is None:
        return Quorum(snapshot.required_addresses, include_unknown=request.include_unknown)
    # The caller must be among them, because the caller will be the organizer.
    return Quorum(
        snapshot.organizer_address, request.at_least, include_unknown=request.include_unknown
    )


def _unavailable_starts(
    snapshot: AvailabilitySnapshot,
    request: AvailabilityRequest,
    rules: SlotRules,
    quorum: Quorum,
    held: HeldSpans,
) -> tuple[UnavailableStart, ...]:
    found = explain_unavailable(
        snapshot.schedules,
        snapshot.window,
        rules,
        within=request.window,
        quorum=quorum,
        held=held,
    )
    return tuple(found)


def _participants(
    pairing: Pairing, snapshot: AvailabilitySnapshot, window: TimeSpan, rules: SlotRules
) -> tuple[ParticipantAvailability, ...]:
    assumed = assumed_zone(snapshot.schedules, rules.zone)
    unknown = {person.address: person for person in snapshot.unknown_people()}
    return tuple(
        ParticipantAvailability(
            participant,
            busy=tuple(
                BusySpan(part, busy.status)
                for busy in busy_spans(schedule, snapshot.window)
                if (part := busy.span.cut(window))
            ),
            unknown_spans=tuple(
                part
                for span in unknown_spans(schedule, snapshot.window)
                if participant.address not in unknown and (part := span.cut(window))
            ),
            hours=hours and replace(hours, zone=hours.zone or assumed),
            is_zone_assumed=hours is not None and hours.zone is None,
            unknown=unknown.get(participant.address),
        )
        for participant, schedule in zip(pairing.participants, snapshot.schedules, strict=True)
        for hours in [schedule.hours]
    )
