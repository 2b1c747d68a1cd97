"""Finding time for a pairing: what is asked, what is told, and why not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from shared.availability.finding import (
    Availability,
    AvailabilityRequest,
    find_availability,
    request_rules,
    rules_for,
)
from shared.availability.model import (
    MAX_WINDOW,
    SLOT_GRID,
    BusySpan,
    BusyStatus,
    HeldSpan,
    Obstacle,
    Schedule,
    SlotRules,
    Unknown,
    UnknownReason,
    WorkingHours,
)
from shared.availability.person_masks import HeldSpans
from shared.availability.ports import Schedules
from shared.availability.reasons import EXPLANATIONS
from shared.availability.snapshot import AvailabilitySnapshot, read_schedules
from shared.clock import Clock
from shared.errors import Invalid, SlotTaken, SlotUnknown
from shared.ids import Mailbox, ObjectId, OrganizationId, PairingId, TenantId
from shared.organizations.model import ActingUser, Caller, Organization, OrganizationSettings
from shared.pairings.model import Pairing, Participant, ParticipantRole
from shared.timespan import TimeSpan
from tests.unit.availability.slot_oracle import at, view_of

HOUR = timedelta(hours=1)
TENANT = TenantId("11111111-1111-1111-1111-111111111111")
NOW = at("2026-03-02T06:00")
TODAY = TimeSpan(at("2026-03-02T09:00"), at("2026-03-02T12:00"))
ASKED = AvailabilityRequest(window=TODAY, duration=HOUR)


class FixedClock:
    def now(self) -> datetime:
        return NOW


class CannedSchedules:
    """Answers what each address does; anybody else is free."""

    def __init__(self, **told: list[TimeSpan] | Unknown) -> None:
        self.told = told
        self.calls: list[tuple[ActingUser, list[str], TimeSpan]] = []

    async def read(
        self, acting: ActingUser, addresses: Sequence[str], window: TimeSpan
    ) -> list[Schedule]:
        self.calls.append((acting, list(addresses), window))
        return [self._of(address, window) for address in addresses]

    def _of(self, address: str, window: TimeSpan) -> Schedule:
        found = self.told.get(address.partition("@")[0], [])
        if isinstance(found, Unknown):
            return Schedule(address, unknown=found)
        busy = [BusySpan(span, BusyStatus.BUSY) for span in found]
        hours = WorkingHours(frozenset(range(7)), time(8), time(18), UTC, "UTC")
        return Schedule(address, view=view_of(busy, window), hours=hours)


def a_participant(name: str, role: ParticipantRole = ParticipantRole.MENTEE) -> Participant:
    return Participant(role, f"{name}@contoso.com", ObjectId(f"id-{name}"))


MENTOR = a_participant("mentor", ParticipantRole.MENTOR)
MENTEE = a_participant("mentee")
PAIR = Pairing(PairingId("p1"), OrganizationId("org"), TENANT, (MENTOR, MENTEE))


def a_group(*others: Participant) -> Pairing:
    return replace(PAIR, participants=(MENTOR, MENTEE, *others))


def a_caller(**settings: object) -> Caller:
    organization = Organization(
        OrganizationId("org"),
        TENANT,
        NOW,
        settings=OrganizationSettings(**settings),  # type: ignore[arg-type]  # a builder's keywords
    )
    return Caller(organization, ActingUser(Mailbox(TENANT, ObjectId("id-mentee")), "assertion"))


def span(start: str, end: str) -> TimeSpan:
    return TimeSpan(at(f"2026-03-02T{start}"), at(f"2026-03-02T{end}"))


def starts(spans: Sequence[TimeSpan]) -> list[str]:
    return [f"{one.start:%H:%M}" for one in spans]


async def available(
    caller: Caller,
    pairing: Pairing,
    request: AvailabilityRequest,
    *,
    schedules: Schedules,
    clock: Clock,
    held: HeldSpans | None = None,
) -> Availability:
    """Ask as `offer_slots` does, with *held* instead of a store."""
    rules = request_rules(caller.organization.settings, pairing, request, clock.now())
    snapshot = await read_schedules(caller, pairing.people, request.window, schedules=schedules)
    return find_availability(pairing, snapshot, request, rules, held=held or {})


# --- asking


async def test_one_read_for_all_as_the_caller() -> None:
    schedules, caller = CannedSchedules(), a_caller(step_minutes=60)
    found = await available(caller, PAIR, ASKED, schedules=schedules, clock=FixedClock())
    assert schedules.calls == [(caller.acting, ["mentor@contoso.com", "mentee@contoso.com"], TODAY)]
    assert starts([slot.span for slot in found.slots]) == ["09:00", "10:00", "11:00"]
    assert found.slots[0].confirmed_for == ("mentor@contoso.com", "mentee@contoso.com")
    assert found.unavailable_starts is None


async def test_buffers_are_read_and_the_window_lies_on_the_grid() -> None:
    schedules = CannedSchedules(mentor=[span("08:30", "09:00"), span("12:10", "12:30")])
    caller = a_caller(buffer_before=SLOT_GRID * 3, buffer_after=SLOT_GRID * 2, step_minutes=5)
    window = TODAY.widened(timedelta(minutes=2), timedelta(seconds=1))
    found = await available(
        caller, PAIR, replace(ASKED, window=window), schedules=schedules, clock=FixedClock()
    )
    assert schedules.calls[0][2] == span("08:40", "12:15")
    assert starts([found.slots[0].span, found.slots[-1].span]) == ["09:15", "11:00"]
    assert found.window == window
    busy = found.participants[0].busy
    assert busy == (BusySpan(TimeSpan(window.start, TODAY.start), BusyStatus.BUSY),)


async def test_no_more_than_six_weeks_are_read() -> None:
    schedules, caller = CannedSchedules(), a_caller(buffer_before=SLOT_GRID, buffer_after=SLOT_GRID)
    window = TimeSpan.lasting(TODAY.start, MAX_WINDOW)
    await available(
        caller, PAIR, replace(ASKED, window=window), schedules=schedules, clock=FixedClock()
    )
    assert schedules.calls[0][2].duration == MAX_WINDOW


async def test_participant_outside_the_tenant_is_unknown_without_a_read() -> None:
    guest = Participant(ParticipantRole.MENTEE, "guest@elsewhere.com")
    schedules = CannedSchedules()
    found = await available(
        a_caller(), a_group(guest), ASKED, schedules=schedules, clock=FixedClock()
    )
    assert schedules.calls[0][1] == ["mentor@contoso.com", "mentee@contoso.com"]
    assert found.slots == ()
    told = found.participants[2].unknown
    assert told is not None
    assert (told.reason, told.code) == (UnknownReason.OUTSIDE_TENANT, "")
    assert "directory" in told.detail

    found = await available(
        a_caller(),
        a_group(guest),
        replace(ASKED, include_unknown=True),
        schedules=schedules,
        clock=FixedClock(),
    )
    assert found.slots[0].unknown_for == ("guest@elsewhere.com",)


async def test_optional_participant_does_not_block() -> None:
    other = replace(a_participant("other"), required=False)
    schedules = CannedSchedules(other=[TODAY])
    found = await available(
        a_caller(), a_group(other), ASKED, schedules=schedules, clock=FixedClock()
    )
    assert found.slots[0].confirmed_for == ("mentor@contoso.com", "mentee@contoso.com")


async def test_the_caller_is_always_required() -> None:
    pairing = replace(PAIR, participants=(MENTOR, replace(MENTEE, required=False)))
    schedules = CannedSchedules(mentee=[TODAY])
    found = await available(a_caller(), pairing, ASKED, schedules=schedules, clock=FixedClock())
    assert found.slots == ()


async def test_at_least_so_many_with_the_caller_among_them() -> None:
    schedules = CannedSchedules(mentor=[span("09:00", "10:00")], mentee=[span("10:00", "11:00")])
    found = await available(
        a_caller(step_minutes=60),
        a_group(a_participant("other")),
        replace(ASKED, at_least=2),
        schedules=schedules,
        clock=FixedClock(),
    )
    assert starts([slot.span for slot in found.slots]) == ["09:00", "11:00"]
    assert found.slots[0].confirmed_for == ("mentee@contoso.com", "other@contoso.com")


async def test_window_in_the_past_or_too_far_is_explained() -> None:
    window = TimeSpan.lasting(NOW - 3 * HOUR, timedelta(days=3))
    found = await available(
        a_caller(horizon=timedelta(days=1), step_minutes=60),
        PAIR,
        replace(ASKED, window=window, explain=True),
        schedules=CannedSchedules(),
        clock=FixedClock(),
    )
    assert starts([found.slots[0].span, found.slots[-1].span]) == ["08:00", "17:00"]
    assert found.unavailable_starts is not None
    assert found.unavailable_starts[0].obstacles[-1] == (Obstacle.NOTICE, ())
    assert found.unavailable_starts[-1].obstacles[-1] == (Obstacle.HORIZON, ())


async def test_held_time_is_not_offered() -> None:
    held = {"mentor@contoso.com": [HeldSpan(span("09:00", "11:00"))]}
    found = await available(
        a_caller(), PAIR, ASKED, schedules=CannedSchedules(), clock=FixedClock(), held=held
    )
    assert starts([slot.span for slot in found.slots]) == ["11:00"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (
            replace(ASKED, window=TimeSpan.lasting(NOW, MAX_WINDOW + SLOT_GRID)),
            "query.to",
        ),
        (replace(ASKED, duration=timedelta(minutes=7)), "query.duration_minutes"),
        (replace(ASKED, duration=timedelta(hours=9)), "query.duration_minutes"),
        (replace(ASKED, step=timedelta(minutes=7)), "query.step_minutes"),
        (replace(ASKED, time_zone="Nowhere"), "query.time_zone"),
        (replace(ASKED, at_least=3), "query.at_least"),
        (replace(ASKED, at_least=0), "query.at_least"),
    ],
)
async def test_a_bad_question_names_its_field_and_asks_nobody(
    request_: AvailabilityRequest, field: str
) -> None:
    schedules = CannedSchedules()
    with pytest.raises(Invalid) as refused:
        await available(a_caller(), PAIR, request_, schedules=schedules, clock=FixedClock())
    assert refused.value.field == field
    assert not schedules.calls


async def test_an_answer_that_leaves_somebody_out_leaves_them_unknown() -> None:
    class Forgetful(CannedSchedules):
        async def read(
            self, acting: ActingUser, addresses: Sequence[str], window: TimeSpan
        ) -> list[Schedule]:
            return (await super().read(acting, addresses, window))[1:]

    snapshot = await read_schedules(a_caller(), PAIR.people, TODAY, schedules=Forgetful())
    (unknown,) = snapshot.unknown_people()
    assert (unknown.address, unknown.reason) == ("mentor@contoso.com", UnknownReason.NO_ANSWER)


def test_every_reason_has_words() -> None:
    assert set(EXPLANATIONS) == set(UnknownReason)
    for explanation in EXPLANATIONS.values():
        assert explanation.detail.endswith(".")
        assert explanation.remedy.endswith(".")


# --- judging a given time


def some_rules(caller: Caller) -> SlotRules:
    return rules_for(caller.organization.settings, duration=HOUR, now=NOW)


async def an_occasion(
    pairing: Pairing = PAIR, **told: list[TimeSpan] | Unknown
) -> tuple[AvailabilitySnapshot, SlotRules]:
    caller = a_caller(step_minutes=60)
    day = TimeSpan.lasting(at("2026-03-02T00:00"), timedelta(days=1))
    snapshot = await read_schedules(caller, pairing.people, day, schedules=CannedSchedules(**told))
    return snapshot, some_rules(caller)


async def test_free_time_can_be_taken_also_outside_working_hours() -> None:
    snapshot, rules = await an_occasion()
    assert snapshot.require_bookable(span("10:00", "11:00"), rules)[0] == ()
    assert snapshot.require_bookable(span("20:00", "21:00"), rules)[0] == ()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"mentor": [span("10:00", "11:00")]}, "The mentor is busy then."),
        ({"mentee": [span("10:30", "11:00")]}, "You are busy then."),
        (
            {"mentor": [span("10:00", "11:00")], "mentee": [span("10:00", "11:00")]},
            "2 participants are busy then.",
        ),
    ],
)
async def test_taken_time_says_by_whom_and_what_else_there_is(
    told: dict[str, list[TimeSpan]], said: str
) -> None:
    snapshot, rules = await an_occasion(PAIR, **told)
    with pytest.raises(SlotTaken, match=said):
        snapshot.require_bookable(span("10:00", "11:00"), rules)
    found = snapshot.nearest_slots(at("2026-03-02T10:00"), rules)
    assert starts(found) == [
        "09:00",
        "11:00",
        "08:00",
        "12:00",
        "13:00",
    ]


async def test_one_of_several_mentees_is_called_a_mentee() -> None:
    snapshot, rules = await an_occasion(
        a_group(a_participant("other")), other=[span("10:00", "11:00")]
    )
    with pytest.raises(SlotTaken, match=r"^A mentee is busy then\.$"):
        snapshot.require_bookable(span("10:00", "11:00"), rules)


async def test_held_time_is_taken() -> None:
    snapshot, rules = await an_occasion()
    held = {"mentor@contoso.com": [HeldSpan(span("09:00", "11:00"))]}
    with pytest.raises(SlotTaken, match="another mentoring session"):
        snapshot.require_bookable(span("10:00", "11:00"), rules, held=held)
    found = snapshot.nearest_slots(at("2026-03-02T10:00"), rules, held=held)
    assert starts(found)[:2] == [
        "11:00",
        "08:00",
    ]


async def test_buffers_count() -> None:
    snapshot, rules = await an_occasion(mentor=[span("11:05", "12:00")])
    with pytest.raises(SlotTaken, match="something too close"):
        snapshot.require_bookable(
            span("10:00", "11:00"), replace(rules, buffer_after=SLOT_GRID * 2)
        )


async def test_unknown_is_not_free_unless_accepted() -> None:
    snapshot, rules = await an_occasion(mentor=Unknown(UnknownReason.NO_ACCESS, "ErrorX"))
    with pytest.raises(SlotUnknown) as refused:
        snapshot.require_bookable(span("10:00", "11:00"), rules)
    (person,) = refused.value.unknown
    assert (person.address, person.reason, person.code) == (
        "mentor@contoso.com",
        UnknownReason.NO_ACCESS,
        "ErrorX",
    )
    assert person.remedy
    accepted, _ = snapshot.require_bookable(span("10:00", "11:00"), rules, accept_unknown=True)
    assert accepted == ("mentor@contoso.com",)


async def test_accepting_the_unknown_accepts_nobody_busy() -> None:
    snapshot, rules = await an_occasion(
        mentor=Unknown(UnknownReason.NO_ACCESS), mentee=[span("10:00", "11:00")]
    )
    with pytest.raises(SlotTaken):
        snapshot.require_bookable(span("10:00", "11:00"), rules, accept_unknown=True)
    found = snapshot.nearest_slots(at("2026-03-02T10:00"), rules, include_unknown=True)
    assert starts(found)[:2] == ["09:00", "11:00"]


async def test_unknown_optional_participant_is_named_and_blocks_nothing() -> None:
    other = replace(a_participant("other"), required=False)
    snapshot, rules = await an_occasion(a_group(other), other=Unknown(UnknownReason.NOT_FOUND))
    assert snapshot.require_bookable(span("10:00", "11:00"), rules)[0] == ("other@contoso.com",)


async def test_a_session_can_be_moved_onto_its_own_time() -> None:
    own = span("10:00", "11:00")
    snapshot, rules = await an_occasion(mentor=[own, span("12:00", "13:00")], mentee=[own])
    moved = snapshot.ignoring(own)
    assert moved.require_bookable(span("10:30", "11:30"), rules)[0] == ()
    with pytest.raises(SlotTaken):
        moved.require_bookable(span("11:30", "12:30"), rules)


async def test_what_is_at_the_time_of_a_declined_session_is_something_else() -> None:
    own = span("10:00", "11:00")
    snapshot, rules = await an_occasion(mentor=[own], mentee=[own])
    moved = snapshot.ignoring(own, except_of={"mentee@contoso.com"})
    with pytest.raises(SlotTaken, match=r"^You are busy then\.$"):
        moved.require_bookable(span("10:30", "11:30"), rules)


async def test_mailboxes_are_those_in_the_tenant() -> None:
    guest = Participant(ParticipantRole.MENTEE, "guest@elsewhere.com")
    snapshot, _ = await an_occasion(a_group(guest))
    assert snapshot.mailboxes == {
        "mentor@contoso.com": Mailbox(TENANT, ObjectId("id-mentor")),
        "mentee@contoso.com": Mailbox(TENANT, ObjectId("id-mentee")),
    }
