"""Crashes before and after every effect of every use case, for one date and for four."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from shared.administration.job_runner import run_job
from shared.calendar_sync.merge import merge
from shared.errors import SchedulingError, StoreUnavailable
from shared.ids import EventId, SeriesId, SessionId
from shared.jobs import JobKind
from shared.sessions import reservations
from shared.sessions.booking import book
from shared.sessions.cancelling import cancel
from shared.sessions.model import HOLD_TTL, ResponseState, Session, SessionState
from shared.sessions.ports import SessionPorts
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import InvitationResponse, RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.responding import accept_proposal, respond
from shared.sessions.series import Booking, OnConflict, Scope, occurrence_id
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_span, at
from tests.feed import assert_feed_matches
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request

LOOKING = {JobKind.VERIFY, JobKind.SETTLE, JobKind.SERIES, JobKind.FOLLOW_SERIES}
NO_SUBSCRIPTION_PORTS: Any = None
NO_LOOK_PORTS: Any = None
"""There are no subscriptions here: jobs about them are not run."""


class SimulatedCrash(BaseException):
    """The process ends: a BaseException, so that the code under test cannot catch it."""


@dataclass
class CrashPlan:
    """Crashes at effect number *dies_at*, before or after it happened; None: only counts."""

    dies_at: int | None = None
    is_after: bool = False
    crash: type[BaseException] = SimulatedCrash
    names: list[str] = field(default_factory=list)

    async def effect_of(self, name: str, effect: Callable[[], Awaitable[Any]]) -> Any:
        number = len(self.names)
        self.names.append(name)
        if number == self.dies_at and not self.is_after:
            raise self.crash("no answer")
        try:
            return await effect()
        finally:
            if number == self.dies_at:
                raise self.crash("no answer")


class CrashingPort:
    """A port that reports every call to the crash plan as an effect."""

    def __init__(self, port: Any, plan: CrashPlan) -> None:
        self._port, self._plan = port, plan

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._plan.effect_of(
                f"{type(self._port).__name__}.{name}", lambda: method(*args, **kwargs)
            )

        return call


def crashing_ports(env: BookingEnv, plan: CrashPlan) -> SessionPorts:
    ports = env.ports
    env.sessions.changes = CrashingPort(env.changes, plan)
    return replace(
        ports,
        schedules=CrashingPort(ports.schedules, plan),
        calendar=CrashingPort(ports.calendar, plan),
        sessions=CrashingPort(ports.sessions, plan),
        jobs=CrashingPort(ports.jobs, plan),
        due=CrashingPort(ports.due, plan),
    )


Act = Callable[[BookingEnv, SessionPorts], Awaitable[Any]]
SECOND = a_span(at(10, day=8))
WINDOW = TimeSpan(at(0), at(0, day=60))


def _book(dates: int, **wish: Any) -> Act:
    """Book one date, or a weekly series of *dates*."""

    async def act(env: BookingEnv, ports: SessionPorts) -> Booking:
        if "on_conflict" in wish:
            env.outlook.busy[env.address(env.mentor)] = [SECOND]
        repeat = Repeat(Frequency.WEEKLY, count=dates) if dates > 1 else None
        request = a_request(repeat=repeat, time_zone="UTC", **wish)
        return await book(env.acting(env.mentee), env.pairing, request, ports=ports)

    return act


def _book_group(dates: int) -> Act:
    """Book for three with a quorum of two: on one date the third is busy, and invited."""

    async def act(env: BookingEnv, ports: SessionPorts) -> Booking:
        _add_third(env, SECOND if dates > 1 else a_span(at(10, day=1)))
        booked: Booking = await _book(dates, at_least=2)(env, ports)
        return booked

    return act


def _add_third(env: BookingEnv, busy: TimeSpan) -> None:
    """Add a third participant who is *busy* then, unless there are three."""
    if len(env.pairing.participants) == 2:
        third = a_mailbox(env.mentor.tenant_id)
        env.pairing = a_pairing(env.mentor, env.mentee, third, organization_id=env.organization.id)
        env.outlook.addresses[env.address(third)] = third.object_id
        env.outlook.busy[env.address(third)] = [busy]


def _book_with_proposal(dates: int) -> Act:
    """Book, and record the mentor's proposal of another time for the last date."""

    async def act(env: BookingEnv, ports: SessionPorts) -> Session:
        await _book(dates)(env, ports)
        session, event = await _nth(env, dates - 1), env.outlook.events[-1]
        session = replace(session, event_id=event.seen.event_id)
        seen = env.calendar.answered(
            event, env.address(env.mentor), ResponseState.TENTATIVE, proposed=_new_time(dates - 1)
        )
        return await reservations.save(env.sessions, merge(session, seen))

    return act


async def _nth(env: BookingEnv, number: int) -> Session:
    """Return the stored session of date *number*."""
    key = env.outlook.events[0].session_id
    is_series = env.outlook.events[0].pattern is not None
    session_id = occurrence_id(SeriesId(key), number) if is_series else SessionId(key)
    return await env.sessions.get(env.mentee, session_id)


def _new_time(number: int, days: int = 0) -> TimeSpan:
    return a_span(at(14, day=1 + 7 * number + days))


def _reschedule(number: int, scope: Scope, days: int = 0, at_least: int | None = None) -> Act:
    """Move date *number*, and the others in *scope*, to another hour and by *days*."""

    async def act(env: BookingEnv, ports: SessionPorts) -> list[Session]:
        to = RescheduleRequest(_new_time(number, days), "UTC", at_least=at_least)
        session = await _nth(env, number)
        return await reschedule(
            env.acting(env.mentee), env.pairing, session, to, scope, ports=ports
        )

    return act


def _cancel(number: int, scope: Scope) -> Act:
    async def act(env: BookingEnv, ports: SessionPorts) -> list[Session]:
        session = await _nth(env, number)
        return await cancel(env.acting(env.mentee), session, "sorry", scope, ports=ports)

    return act


def _respond(number: int, answer: ResponseState, scope: Scope = Scope.ONE) -> Act:
    async def act(env: BookingEnv, ports: SessionPorts) -> list[Session]:
        session = await _nth(env, number)
        response = InvitationResponse(answer)
        return await respond(env.acting(env.mentor), session, response, scope, ports=ports)

    return act


def _accept_proposal(number: int) -> Act:
    async def act(env: BookingEnv, ports: SessionPorts) -> Session:
        return await accept_proposal(
            env.acting(env.mentee),
            env.pairing,
            await _nth(env, number),
            env.mentor.object_id,
            ports=ports,
        )

    return act


def _followed(book_it: Act) -> Act:
    """Book, and let the job run that learns the ids of a series' dates, as it does at once."""

    async def act(env: BookingEnv, ports: SessionPorts) -> None:
        await book_it(env, ports)
        for job in [job for job, _ in env.jobs.put_jobs if job.kind is JobKind.FOLLOW_SERIES]:
            await run_job(
                job,
                env.organization,
                ports=ports,
                subscription_ports=NO_SUBSCRIPTION_PORTS,
                look_ports=NO_LOOK_PORTS,
            )

    return act


def _acts(dates: int) -> dict[str, tuple[Act | None, Act]]:
    """Return the acts on *dates*, each with the act that prepares it (or None)."""
    everything = Scope.ALL if dates > 1 else Scope.ONE
    last = dates - 1
    acts: dict[str, tuple[Act | None, Act]] = {
        "book": (None, _book(dates)),
        "book a group": (None, _book_group(dates)),
        "reschedule": (_book(dates), _reschedule(0, everything)),
        "reschedule to another day": (_book(dates), _reschedule(0, everything, days=1)),
        "reschedule a group": (_book_group(dates), _reschedule(0, everything, at_least=2)),
        "reschedule the last": (_book(dates), _reschedule(last, Scope.ONE, days=1)),
        "cancel": (_followed(_book(dates)), _cancel(0, everything)),
        "cancel the last": (_book(dates), _cancel(last, Scope.ONE)),
        "accept": (_book(dates), _respond(last, ResponseState.ACCEPTED)),
        "decline": (_book(dates), _respond(last, ResponseState.DECLINED)),
        "accept a proposal": (_book_with_proposal(dates), _accept_proposal(last)),
    }
    return {f"{name}, {dates}": act for name, act in acts.items()}


FOLLOWING, SKIP = Scope.THIS_AND_FOLLOWING, OnConflict.SKIP
_OF_A_SERIES: dict[str, tuple[Act | None, Act]] = {
    "book, skipping": (None, _book(4, on_conflict=SKIP)),
    "book, at alternatives": (None, _book(4, on_conflict=OnConflict.ALTERNATIVES)),
    "cancel this and following": (_followed(_book(4)), _cancel(2, FOLLOWING)),
    "cancel what was skipped in": (_book(4, on_conflict=SKIP), _cancel(2, FOLLOWING)),
    "accept a series": (_followed(_book(4)), _respond(0, ResponseState.ACCEPTED, Scope.ALL)),
    "decline a series": (_book(4), _respond(0, ResponseState.DECLINED, Scope.ALL)),
    "decline this and following": (
        _followed(_book(4)),
        _respond(2, ResponseState.DECLINED, FOLLOWING),
    ),
    "reschedule one in the middle": (_book(4), _reschedule(1, Scope.ONE, days=1)),
    "reschedule this and following": (_book(4), _reschedule(1, FOLLOWING, days=1)),
    "reschedule a group's following": (_book_group(4), _reschedule(1, FOLLOWING, at_least=2)),
    "reschedule what was skipped in": (
        _book(4, on_conflict=SKIP),
        _reschedule(0, Scope.ALL, days=1),
    ),
}
ACTS = _acts(1) | _acts(4) | _OF_A_SERIES


async def _desk(name: str) -> BookingEnv:
    env, before = a_booking_env(), ACTS[name][0]
    if before is not None:
        await before(env, env.ports)
    return env


async def _effects(name: str) -> list[str]:
    env, plan = await _desk(name), CrashPlan()
    await ACTS[name][1](env, crashing_ports(env, plan))
    return plan.names


async def time_passes(env: BookingEnv, plan: CrashPlan | None = None) -> None:
    """Run the recovery jobs until the queue is empty, then let the holds expire.

    With *plan* a worker crashes as well; its message is delivered again.
    """
    env.sessions.changes = env.changes
    env.clock.advance(timedelta(minutes=3))
    while env.jobs.put_jobs:
        jobs = [job for job, _ in env.jobs.put_jobs if job.kind in LOOKING]
        env.clock.advance(max(delay for _, delay in env.jobs.put_jobs))
        env.jobs.put_jobs.clear()
        while jobs:
            ports = crashing_ports(env, plan) if plan else env.ports
            if plan is None:
                env.sessions.changes = env.changes
            try:
                await run_job(
                    jobs[0],
                    env.organization,
                    ports=ports,
                    subscription_ports=NO_SUBSCRIPTION_PORTS,
                    look_ports=NO_LOOK_PORTS,
                )
            except (SimulatedCrash, BaseExceptionGroup):
                if plan is None:
                    raise
                plan = None
            else:
                jobs.pop(0)
    env.clock.advance(HOLD_TTL)


async def _spans_held(env: BookingEnv) -> set[tuple[Any, TimeSpan]]:
    return {
        (mailbox, hold.span)
        for mailbox in (env.mentor, env.mentee)
        for hold in await env.sessions.holds(mailbox, WINDOW, env.clock.now())
    }


async def is_consistent(env: BookingEnv) -> None:
    """Assert that calendar and rows agree, and that every hold belongs to a scheduled session."""
    assert len([e for e in env.outlook.events if e.master is None]) <= 1
    alive = [e for e in env.outlook.events if not e.is_gone and e.pattern is None]
    sessions, _ = await env.sessions.list_by_mailbox(
        env.mentee, since=None, until=None, after=None, limit=10
    )
    scheduled = [s for s in sessions if s.state is SessionState.SCHEDULED]
    assert [s.state for s in sessions if s.state is SessionState.REQUESTED] == []
    assert_feed_matches(await env.changes.recent(env.organization.id, 100), sessions)
    assert {(s.event_id, s.span) for s in scheduled} == {
        (e.seen.event_id, e.seen.span) for e in alive
    }
    assert all(s.pending_span is None for s in scheduled)
    for session in scheduled:
        assert all(a.is_free_at_pending is None for a in session.attendees)
        for mailbox in session.mailboxes:
            holds = await env.sessions.holds(mailbox, WINDOW, env.clock.now())
            spans = {hold.span for hold in holds if hold.session_id == session.id}
            assert spans == ({session.span} if session.holds_time_of(mailbox) else set())
    people = (env.mentor, env.mentee)
    held = {(m, s.span) for s in scheduled for m in people if s.holds_time_of(m)}
    assert await _spans_held(env) == held
    if not env.outlook.events:
        assert not any(each.series for each in env.sessions.ledgers.values())


async def _dies(env: BookingEnv, name: str, number: int, *, is_after: bool) -> None:
    with pytest.raises((SimulatedCrash, BaseExceptionGroup)):
        await ACTS[name][1](env, crashing_ports(env, CrashPlan(number, is_after)))


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_a_crash_leaves_it_done_or_undone(name: str, *, is_after: bool) -> None:
    for number, effect in enumerate(await _effects(name)):
        env = await _desk(name)
        await _dies(env, name, number, is_after=is_after)
        await time_passes(env)
        try:
            await is_consistent(env)
        except AssertionError as error:
            when = "after" if is_after else "before"
            raise AssertionError(f"died {when} {effect} ({number})") from error


async def test_a_series_that_was_split_before_its_booking_is_recovered() -> None:
    env = await _split_before_it_was_recovered()
    await time_passes(env)
    sessions = [await _nth(env, number) for number in range(4)]
    assert [s.state for s in sessions] == [SessionState.SCHEDULED] * 4
    assert [s.span.start.hour for s in sessions] == [10, 10, 11, 11]


async def test_dates_that_several_series_may_have_are_not_lost_by_recovery() -> None:
    env = await _split_before_it_was_recovered()
    second = env.outlook.events[-1]
    rival = replace(second, seen=replace(second.seen, event_id=EventId("rival")))
    dates = [event for event in env.outlook.events if event.master is second]
    copies = [
        replace(e, master=rival, seen=replace(e.seen, event_id=EventId(f"rival {n}")))
        for n, e in enumerate(dates)
    ]
    env.outlook.events += [rival, *copies]
    await time_passes(env)
    sessions = [await _nth(env, number) for number in range(4)]
    assert [s.state for s in sessions] == [SessionState.SCHEDULED] * 4
    assert [bool(s.unreadable_since) for s in sessions] == [False, False, True, True]


async def _split_before_it_was_recovered() -> BookingEnv:
    """Return a series of four whose request died after Outlook had it; two dates go on later."""
    name = "book, 4"
    effects, env = await _effects(name), await _desk(name)
    await _dies(env, name, effects.index("FakeCalendar.create"), is_after=True)
    _split(env, 2, timedelta(hours=1))
    return env


def _split(env: BookingEnv, number: int, later: timedelta) -> None:
    """Make the dates from *number* on another series, *later*, as Outlook does."""
    master = env.outlook.events[0]
    new = replace(master, seen=replace(master.seen, event_id=EventId("second half")))
    dates = [event for event in env.outlook.events if event.master is master]
    for position, event in enumerate(dates[number:]):
        span = TimeSpan(event.seen.span.start + later, event.seen.span.end + later)
        event.seen = replace(event.seen, event_id=EventId(f"new {position}"), span=span)
        event.master = new
    env.outlook.events.append(new)


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_the_recovery_job_may_crash_as_well(name: str, *, is_after: bool) -> None:
    effects = await _effects(name)
    # A sample of crashes for long acts: each is combined with one at every effect of recovery.
    for number in range(0, len(effects), 1 + len(effects) // 8):
        looking = 0
        while True:
            env, plan = await _desk(name), CrashPlan(looking, is_after)
            await _dies(env, name, number, is_after=True)
            await time_passes(env, plan)
            try:
                await is_consistent(env)
            except AssertionError as error:
                seen = f"died after {effects[number]}, then at {plan.names[-1:]} ({looking})"
                raise AssertionError(seen) from error
            if len(plan.names) <= looking:
                break  # recovery has fewer effects
            looking += 1 + looking // 4


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_a_retry_after_a_crash_gives_the_one_true_answer(
    name: str, *, is_after: bool, waits: bool
) -> None:
    act = ACTS[name][1]
    whole = await _desk(name)
    await act(whole, whole.ports)
    await time_passes(whole)
    for number, effect in enumerate(await _effects(name)):
        env = await _desk(name)
        await _dies(env, name, number, is_after=is_after)
        if waits:
            await time_passes(env)
        try:
            await act(env, env.ports)
        except SchedulingError as error:
            raise AssertionError(f"retry after {effect} ({number})") from error
        await time_passes(env)
        try:
            await is_consistent(env)
            if not (waits and name in KEPT_WHERE_NOBODY_RETRIES):
                assert _meetings(env) == _meetings(whole)
        except AssertionError as error:
            raise AssertionError(f"retry after {effect} ({number})") from error


@pytest.mark.parametrize("retries", [False, True])
@pytest.mark.parametrize("is_after", [False, True], ids=["refused", "unanswered"])
@pytest.mark.parametrize("name", ACTS)
async def test_change_feed_that_fails_is_told_later(
    name: str, *, is_after: bool, retries: bool
) -> None:
    act = ACTS[name][1]
    for number, effect in enumerate(await _effects(name)):
        if effect != "InMemoryChanges.append":
            continue
        env = await _desk(name)
        ports = crashing_ports(env, CrashPlan(number, is_after, StoreUnavailable))
        with pytest.raises((StoreUnavailable, BaseExceptionGroup)):
            await act(env, ports)
        env.sessions.changes = env.changes
        if retries:
            await act(env, env.ports)
        await time_passes(env)
        await is_consistent(env)


KEPT_WHERE_NOBODY_RETRIES = {"book, skipping", "book, at alternatives"}
"""Acts in which recovery stores sessions for dates that were to be skipped: Outlook has them."""


def _meetings(env: BookingEnv) -> list[TimeSpan]:
    return sorted(e.seen.span for e in env.outlook.events if not e.is_gone and not e.pattern)


async def test_every_act_has_effects_to_die_at() -> None:
    assert {name: len(await _effects(name)) > 1 for name in ACTS} == dict.fromkeys(ACTS, True)
