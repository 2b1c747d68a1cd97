"""Finding time: one look into everybody's calendar, and what can be said out of it."""

from collections.abc import Awaitable
from dataclasses import dataclass
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
from shared.availability.ports import Schedules
from shared.availability.reasons import UnknownAvailability
from shared.availability.slots import NO_HOLDS, HeldSpans, explain_unavailable, find_slots
from shared.availability.snapshot import AvailabilitySnapshot, read_schedules
from shared.availability.views import busy_spans
from shared.availability.working_hours import zone_of
from shared.clock import Clock
from shared.errors import Invalid
from shared.organizations.model import Caller, OrganizationSettings
from shared.pairings.model import Pairing, Participant
from shared.timespan import TimeSpan


@dataclass(frozen=True, slots=True)
class AvailabilityRequest:
    """When somebody wants to meet, and how they want it told."""

    window: TimeSpan
    """At most `MAX_WINDOW`; slots lie wholly inside."""
    duration: timedelta
    step: timedelta | None = None
    """None: the organization's."""
    time_zone: str = "UTC"
    """IANA or Windows name: whose full hours the starts are counted from."""
    include_unknown: bool = False
    """Offer also what is unknown for somebody required, if somebody required is known."""
    at_least: int | None = None
    """Offer what suits the caller and so many in all, instead of everybody required."""
    explain: bool = False


@dataclass(frozen=True, slots=True)
class ParticipantAvailability:
    """One participant's time in the window that was asked for."""

    participant: Participant
    busy: tuple[BusySpan, ...] = ()
    """By start, nothing overlaps; empty if unknown."""
    hours: WorkingHours | None = None
    """None: not known, and every hour counts."""
    unknown: UnknownAvailability | None = None


@dataclass(frozen=True, slots=True)
class Availability:
    """When a pairing can meet."""

    window: TimeSpan
    rules: SlotRules
    slots: tuple[Slot, ...]
    """By start; they may overlap each other."""
    participants: tuple[ParticipantAvailability, ...]
    """As in the pairing."""
    unavailable_starts: tuple[UnavailableStart, ...] | None = None
    """Every start that is not offered; only when asked for."""


async def find_availability(
    caller: Caller,
    pairing: Pairing,
    request: AvailabilityRequest,
    *,
    schedules: Schedules,
    clock: Clock,
    held: Awaitable[HeldSpans] | None = None,
) -> Availability:
    """Return when *pairing* can meet: one read of everybody's schedule, as the caller.

    *held*: what sessions hold of the participants' time, in the window and its buffers; awaited
    after the schedules, so it may be on its way meanwhile. What is past or beyond the horizon is
    no error: there are no slots then.

    Raises:
        Invalid: names the field of the query.
        What `Schedules.read` raises.
    """
    rules = _rules(caller.organization.settings, request, clock.now())
    if request.window.duration > MAX_WINDOW:
        raise Invalid("query.to", f"to may be at most {MAX_WINDOW.days} days after from.")
    if request.at_least is not None and not 1 <= request.at_least <= len(pairing.participants):
        raise Invalid(
            "query.at_least",
            f"at_least is 1 to {len(pairing.participants)}, the number of participants.",
        )
    snapshot = await read_schedules(caller, pairing, request.window, schedules=schedules)
    taken = await held if held else NO_HOLDS
    quorum = _quorum(snapshot, request)
    slots = find_slots(
        snapshot.schedules,
        snapshot.window,
        rules,
        within=request.window,
        quorum=quorum,
        held=taken,
    )
    unavailable = None
    if request.explain:
        unavailable = tuple(
            explain_unavailable(
                snapshot.schedules,
                snapshot.window,
                rules,
                within=request.window,
                quorum=quorum,
                held=taken,
            )
        )
    return Availability(
        request.window, rules, tuple(slots), _participants(snapshot, request.window), unavailable
    )


def rules_for(
    settings: OrganizationSettings,
    *,
    duration: timedelta,
    now: datetime,
    step: timedelta | None = None,
    zone: tzinfo = UTC,
) -> SlotRules:
    """Return what a slot of *duration* must fulfil at *now*.

    Raises:
        ValueError: no session lasts so long, or no slots are so far apart.
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
    # Of any so many people one must be the caller: they will be the organizer.
    return Quorum(
        snapshot.organizer_address, request.at_least, include_unknown=request.include_unknown
    )


def _participants(
    snapshot: AvailabilitySnapshot, window: TimeSpan
) -> tuple[ParticipantAvailability, ...]:
    unknown = {person.address: person for person in snapshot.unknown_people()}
    return tuple(
        ParticipantAvailability(
            participant,
            busy=tuple(
                BusySpan(part, busy.status)
                for busy in busy_spans(schedule, snapshot.window)
                if (part := busy.span.cut(window))
            ),
            hours=schedule.hours,
            unknown=unknown.get(participant.address),
        )
        for participant, schedule in zip(
            snapshot.pairing.participants, snapshot.schedules, strict=True
        )
    )
