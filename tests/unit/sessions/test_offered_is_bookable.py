"""What is offered can be booked, and what is refused is explained by the same rule.

Over random worlds: buffers, busy people, unknown people, sessions of others whose invitations have
arrived or not, optional people, and windows up to the longest.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.availability.finding import Availability, AvailabilityRequest
from shared.availability.model import MAX_WINDOW, Obstacle, Unknown, UnknownReason
from shared.errors import Conflict, SlotTaken, SlotUnknown
from shared.ids import PairingId
from shared.organizations.model import OrganizationSettings
from shared.sessions.bookable_slots import offer_slots
from shared.sessions.model import Session
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_participant, at
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one

QUARTER = timedelta(minutes=15)
FORBIDDING = {Obstacle.BUSY, Obstacle.HELD, Obstacle.BUFFER}


@dataclass(frozen=True)
class World:
    """Everything that decides about a slot; offsets are quarters of an hour from 8:00 tomorrow."""

    before: int
    after: int
    duration: int
    days: int
    busy: tuple[tuple[int, int, int], ...]
    """(person, offset, quarters)"""
    sessions: tuple[tuple[int, int, int], ...]
    """(person, offset, duration) of sessions that others have with that person."""
    unknown: frozenset[int]
    arrived: bool
    is_optional: bool
    """The third participant."""
    include_unknown: bool
    at_least: int | None


PEOPLE = st.integers(0, 2)  # mentor, mentee (the caller), another mentee
OFFSETS = st.integers(0, 24)
WORLDS = st.builds(
    World,
    before=st.sampled_from([0, 0, 5, 15, 60]),
    after=st.sampled_from([0, 0, 10, 15, 120]),
    duration=st.sampled_from([30, 45, 60]),
    days=st.sampled_from([1, 2, MAX_WINDOW.days]),
    busy=st.lists(st.tuples(PEOPLE, OFFSETS, st.integers(1, 4)), max_size=3).map(tuple),
    sessions=st.lists(
        st.tuples(st.sampled_from([0, 2]), OFFSETS, st.sampled_from([30, 60])),
        min_size=1,
        max_size=3,
    ).map(tuple),
    unknown=st.frozensets(st.sampled_from([0, 2]), max_size=2),
    arrived=st.booleans(),
    is_optional=st.booleans(),
    include_unknown=st.booleans(),
    at_least=st.sampled_from([None, None, 2, 3]),
)


async def made(world: World) -> BookingEnv:
    """Make the world anew, so that each attempt finds it as it was."""
    env = a_booking_env()
    env.organization = replace(
        env.organization,
        settings=OrganizationSettings(
            minimum_notice=timedelta(),
            buffer_before=timedelta(minutes=world.before),
            buffer_after=timedelta(minutes=world.after),
            step_minutes=15,
        ),
    )
    third, other = a_mailbox(env.mentor.tenant_id), a_mailbox(env.mentor.tenant_id)
    pairing = a_pairing(env.mentor, env.mentee, third, organization_id=env.organization.id)
    mentor, mentee, last = pairing.participants
    everybody = (mentor, mentee, replace(last, required=not world.is_optional))
    env.pairing = replace(pairing, participants=everybody)
    env.outlook.addresses |= {p.address: p.object_id for p in everybody if p.object_id}
    stranger = a_participant(other)
    env.outlook.addresses[stranger.address] = other.object_id
    env.outlook.delivers = world.arrived
    for number, (person, offset, minutes) in enumerate(world.sessions):
        pair = replace(
            pairing,
            id=PairingId(f"others-{person}"),
            participants=(stranger, replace(everybody[person], required=True)),
        )
        request = a_request(
            f"other-{number}",
            start=at(8, day=1) + offset * QUARTER,
            duration=timedelta(minutes=minutes),
            time_zone="UTC",
        )
        with suppress(Conflict):
            await book_one(env.acting(other), pair, request, ports=env.ports)
    for person, offset, quarters in world.busy:
        span = TimeSpan.lasting(at(8, day=1) + offset * QUARTER, quarters * QUARTER)
        env.outlook.busy.setdefault(everybody[person].address, []).append(span)
    for person in world.unknown:
        env.outlook.unknown[everybody[person].address] = Unknown(UnknownReason.NO_ACCESS)
    return env


async def offered(env: BookingEnv, world: World) -> Availability:
    """Return the slots from 8:00 tomorrow on, and the last ones of the window."""
    request = AvailabilityRequest(
        window=TimeSpan.lasting(at(8, day=1), timedelta(days=world.days)),
        duration=timedelta(minutes=world.duration),
        include_unknown=world.include_unknown,
        at_least=world.at_least,
        explain=True,
    )
    return await offer_slots(
        env.acting(env.mentee),
        env.pairing,
        request,
        schedules=env.outlook,
        sessions=env.sessions,
        clock=env.clock,
    )


async def attempted(env: BookingEnv, world: World, span: TimeSpan) -> Session | Conflict:
    request = a_request(
        start=span.start,
        duration=span.duration,
        time_zone="UTC",
        accept_unknown=world.include_unknown,
        at_least=world.at_least,
    )
    try:
        return await book_one(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    except Conflict as refused:
        return refused


@settings(max_examples=80)
@given(world=WORLDS, data=st.data())
async def test_what_is_offered_can_be_booked_and_what_is_refused_is_explained(
    world: World, data: st.DataObject
) -> None:
    found = await offered(await made(world), world)
    assert found.unavailable_starts is not None
    choices = [slot.span.start for slot in found.slots if _is_near(slot.span.start, world)]
    choices += [u.start for u in found.unavailable_starts if _is_near(u.start, world)]
    refused = {u.start: dict(u.obstacles) for u in found.unavailable_starts}
    slots = {slot.span.start for slot in found.slots}
    for start in _some(choices, data):
        env = await made(world)
        span = TimeSpan.lasting(start, timedelta(minutes=world.duration))
        outcome = await attempted(env, world, span)
        if start in slots:
            assert isinstance(outcome, Session), (start, outcome)
            continue
        obstacles = refused[start]
        assert isinstance(outcome, SlotTaken | SlotUnknown), (start, obstacles)
        if world.at_least is None:
            is_taken = bool(FORBIDDING & obstacles.keys())
            assert isinstance(outcome, SlotTaken) is is_taken, (start, obstacles)


@settings(max_examples=40)
@given(world=WORLDS, data=st.data())
async def test_what_is_offered_can_be_moved_to(world: World, data: st.DataObject) -> None:
    world = replace(world, at_least=None)
    slots = [s.span.start for s in (await offered(await made(world), world)).slots]
    for start in _some([start for start in slots if _is_near(start, world)], data):
        env = await made(world)
        far = TimeSpan.lasting(at(12, day=60), timedelta(minutes=world.duration))
        session = await attempted(env, replace(world, include_unknown=True), far)
        assert isinstance(session, Session)
        to = TimeSpan.lasting(start, far.duration)
        (moved,) = await reschedule(
            env.acting(env.mentee),
            env.pairing,
            session,
            RescheduleRequest(to, "UTC", accept_unknown=world.include_unknown),
            ports=env.ports,
        )
        assert moved.span == to


def _is_near(start: datetime, world: World) -> bool:
    """Return whether *start* is where something happens: around a session, or the window's end."""
    first, end = at(8, day=1), at(8, day=1) + timedelta(days=world.days)
    around = [first + offset * QUARTER for _, offset, _ in (*world.sessions, *world.busy)]
    return start > end - timedelta(hours=2) or any(
        each - timedelta(hours=2) <= start <= each + timedelta(hours=3) for each in around
    )


def _some(starts: list[datetime], data: st.DataObject) -> list[datetime]:
    if not starts:
        return []
    size = min(10, len(starts))
    return data.draw(st.lists(st.sampled_from(starts), min_size=size, max_size=size, unique=True))


async def test_the_longest_window_is_read_whole() -> None:
    """Its last minutes, buffers and all, are as free as the others."""
    world = World(60, 120, 60, MAX_WINDOW.days, (), (), frozenset(), True, False, False, None)
    env = await made(world)
    found = await offered(env, world)
    assert found.slots[-1].span.end == at(8, day=1) + MAX_WINDOW
    assert found.unavailable_starts == ()
    assert all(person.unknown is None for person in found.participants)
    assert env.outlook.calls == ["getSchedule", "getSchedule"]
