"""Crashes before and after every outside effect of a use-case, of one date and of four."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from shared.administration.job_runner import run_job
from shared.calendar_sync.merge import merge
from shared.errors import SchedulingError
from shared.ids import SeriesId, SessionId
from shared.jobs import JobKind
from shared.sessions import reservations
from shared.sessions.booking import book
from shared.sessions.cancelling import cancel
from shared.sessions.model import HOLD_FOR, ResponseState, Session, SessionState
from shared.sessions.ports import Books
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import InvitationResponse, RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.responding import accept_proposal, respond
from shared.sessions.series import Booking, OnConflict, Scope, occurrence_id
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_span, at
from tests.unit.sessions.conftest import Desk, a_desk, a_request

LOOKING = {JobKind.VERIFY, JobKind.SETTLE, JobKind.SERIES, JobKind.FOLLOW_SERIES}
NOBODY: Any = None
"""Nobody follows mailboxes here: jobs that would are not run."""


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


@dataclass
class Fate:
    """Dies at one effect, before or after it happened; without *dies_at* it only counts."""

    dies_at: int | None = None
    is_after: bool = False
    names: list[str] = field(default_factory=list)

    async def let(self, name: str, effect: Callable[[], Awaitable[Any]]) -> Any:
        number = len(self.names)
        self.names.append(name)
        if number == self.dies_at and not self.is_after:
            raise Killed
        try:
            return await effect()
        finally:
            if number == self.dies_at:
                raise Killed


class Doomed:
    """A port every call of which is an outside effect."""

    def __init__(self, port: Any, fate: Fate) -> None:
        self._port, self._fate = port, fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._fate.let(
                f"{type(self._port).__name__}.{name}", lambda: method(*args, **kwargs)
            )

        return call


def doomed(desk: Desk, fate: Fate) -> Books:
    books = desk.books
    return replace(
        books,
        schedules=Doomed(books.schedules, fate),
        calendar=Doomed(books.calendar, fate),
        sessions=Doomed(books.sessions, fate),
        jobs=Doomed(books.jobs, fate),
        changes=Doomed(books.changes, fate),
        due=Doomed(books.due, fate),
    )


Act = Callable[[Desk, Books], Awaitable[Any]]
SECOND = a_span(at(10, day=8))
WINDOW = TimeSpan(at(0), at(0, day=60))


def _book(dates: int, **wish: Any) -> Act:
    """Book one date, or so many weeks."""

    async def act(desk: Desk, books: Books) -> Booking:
        if "on_conflict" in wish:
            desk.outlook.busy[desk.address(desk.mentor)] = [SECOND]
        repeat = Repeat(Frequency.WEEKLY, count=dates) if dates > 1 else None
        request = a_request(repeat=repeat, time_zone="UTC", **wish)
        return await book(desk.acting(desk.mentee), desk.pairing, request, books=books)

    return act


def _book_group(dates: int) -> Act:
    """Book for two of three: on one date the third is busy, and invited all the same."""

    async def act(desk: Desk, books: Books) -> Booking:
        _add_third(desk, SECOND if dates > 1 else a_span(at(10, day=1)))
        booked: Booking = await _book(dates, at_least=2)(desk, books)
        return booked

    return act


def _add_third(desk: Desk, busy: TimeSpan) -> None:
    """Let a third meet with them who is *busy* then; once."""
    if len(desk.pairing.participants) == 2:
        third = a_mailbox(desk.mentor.tenant_id)
        desk.pairing = a_pairing(
            desk.mentor, desk.mentee, third, organization_id=desk.organization.id
        )
        desk.outlook.addresses[desk.address(third)] = third.object_id
        desk.outlook.busy[desk.address(third)] = [busy]


def _book_with_proposal(dates: int) -> Act:
    """Book, and let the mentor propose another time for the last date."""

    async def act(desk: Desk, books: Books) -> Session:
        await _book(dates)(desk, books)
        session, event = await _nth(desk, dates - 1), desk.outlook.events[-1]
        session = replace(session, event_id=event.seen.event_id)
        seen = desk.calendar.answered(
            event, desk.address(desk.mentor), ResponseState.TENTATIVE, proposed=_new_time(dates - 1)
        )
        return await reservations.save(desk.sessions, merge(session, seen).session)

    return act


async def _nth(desk: Desk, number: int) -> Session:
    """Return the session of that date, as it is now."""
    key = desk.outlook.events[0].session_id
    is_series = desk.outlook.events[0].pattern is not None
    session_id = occurrence_id(SeriesId(key), number) if is_series else SessionId(key)
    return await desk.sessions.get(desk.mentee, session_id)


def _new_time(number: int, days: int = 0) -> TimeSpan:
    return a_span(at(14, day=1 + 7 * number + days))


def _reschedule(number: int, scope: Scope, days: int = 0, at_least: int | None = None) -> Act:
    """Move that date, or it and others, to another hour and perhaps day."""

    async def act(desk: Desk, books: Books) -> list[Session]:
        to = RescheduleRequest(_new_time(number, days), "UTC", at_least=at_least)
        session = await _nth(desk, number)
        return await reschedule(
            desk.acting(desk.mentee), desk.pairing, session, to, scope, books=books
        )

    return act


def _cancel(number: int, scope: Scope) -> Act:
    async def act(desk: Desk, books: Books) -> list[Session]:
        session = await _nth(desk, number)
        return await cancel(desk.acting(desk.mentee), session, "sorry", scope, books=books)

    return act


def _respond(number: int, answer: ResponseState) -> Act:
    async def act(desk: Desk, books: Books) -> Session:
        session = await _nth(desk, number)
        response = InvitationResponse(answer)
        return await respond(desk.acting(desk.mentor), session, response, books=books)

    return act


def _accept_proposal(number: int) -> Act:
    async def act(desk: Desk, books: Books) -> Session:
        return await accept_proposal(
            desk.acting(desk.mentee),
            desk.pairing,
            await _nth(desk, number),
            desk.mentor.object_id,
            books=books,
        )

    return act


def _acts(dates: int) -> dict[str, tuple[Act | None, Act]]:
    """Return what is done of *dates* at once: the act, and what was done before."""
    everything = Scope.ALL if dates > 1 else Scope.ONE
    last = dates - 1
    acts: dict[str, tuple[Act | None, Act]] = {
        "book": (None, _book(dates)),
        "book a group": (None, _book_group(dates)),
        "reschedule": (_book(dates), _reschedule(0, everything)),
        "reschedule to another day": (_book(dates), _reschedule(0, everything, days=1)),
        "reschedule a group": (_book_group(dates), _reschedule(0, everything, at_least=2)),
        "reschedule the last": (_book(dates), _reschedule(last, Scope.ONE, days=1)),
        "cancel": (_book(dates), _cancel(0, everything)),
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
    "cancel this and following": (_book(4), _cancel(2, FOLLOWING)),
    "cancel what was skipped in": (_book(4, on_conflict=SKIP), _cancel(2, FOLLOWING)),
    "reschedule one in the middle": (_book(4), _reschedule(1, Scope.ONE, days=1)),
    "reschedule this and following": (_book(4), _reschedule(1, FOLLOWING, days=1)),
    "reschedule a group's following": (_book_group(4), _reschedule(1, FOLLOWING, at_least=2)),
    "reschedule what was skipped in": (
        _book(4, on_conflict=SKIP),
        _reschedule(0, Scope.ALL, days=1),
    ),
}
ACTS = _acts(1) | _acts(4) | _OF_A_SERIES


async def _desk(name: str) -> Desk:
    desk, before = a_desk(), ACTS[name][0]
    if before is not None:
        await before(desk, desk.books)
    return desk


async def _effects(name: str) -> list[str]:
    desk, fate = await _desk(name), Fate()
    await ACTS[name][1](desk, doomed(desk, fate))
    return fate.names


async def time_passes(desk: Desk, fate: Fate | None = None) -> None:
    """Let the queue hand out what was put, as often as it takes, and the holds run out.

    With *fate* a worker dies as well; its message comes again.
    """
    desk.clock.advance(timedelta(minutes=3))
    while desk.jobs.put_jobs:
        jobs = [job for job, _ in desk.jobs.put_jobs if job.kind in LOOKING]
        desk.jobs.put_jobs.clear()
        while jobs:
            books = doomed(desk, fate) if fate else desk.books
            try:
                await run_job(jobs[0], desk.organization, books=books, subscription_ports=NOBODY)
            except (Killed, BaseExceptionGroup):
                if fate is None:
                    raise
                fate = None
            else:
                jobs.pop(0)
    desk.clock.advance(HOLD_FOR)


async def _spans_held(desk: Desk) -> set[tuple[Any, TimeSpan]]:
    return {
        (mailbox, hold.span)
        for mailbox in (desk.mentor, desk.mentee)
        for hold in await desk.sessions.holds(mailbox, WINDOW, desk.clock.now())
    }


async def is_consistent(desk: Desk) -> None:
    """Calendar and tables say the same, and nothing is held that nobody has."""
    assert len([e for e in desk.outlook.events if e.master is None]) <= 1
    alive = [e for e in desk.outlook.events if not e.is_gone and e.pattern is None]
    sessions, _ = await desk.sessions.of_mailbox(
        desk.mentee, since=None, until=None, after=None, limit=10
    )
    scheduled = [s for s in sessions if s.state is SessionState.SCHEDULED]
    assert [s.state for s in sessions if s.state is SessionState.REQUESTED] == []
    assert {(s.event_id, s.span) for s in scheduled} == {
        (e.seen.event_id, e.seen.span) for e in alive
    }
    assert all(s.pending_span is None for s in scheduled)
    for session in scheduled:
        assert all(a.is_free_then is None for a in session.attendees)
        for mailbox in session.holders:
            holds = await desk.sessions.holds(mailbox, WINDOW, desk.clock.now())
            spans = {hold.span for hold in holds if hold.session_id == session.id}
            assert spans == ({session.span} if session.holds_time_of(mailbox) else set())
    held = {(m, e.seen.span) for e in alive for m in (desk.mentor, desk.mentee)}
    assert await _spans_held(desk) == held
    if not desk.outlook.events:
        assert not any(each.series for each in desk.sessions.ledgers.values())


async def _dies(desk: Desk, name: str, number: int, *, is_after: bool) -> None:
    with pytest.raises((Killed, BaseExceptionGroup)):
        await ACTS[name][1](desk, doomed(desk, Fate(number, is_after)))


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_a_crash_leaves_it_done_or_undone(name: str, *, is_after: bool) -> None:
    for number, effect in enumerate(await _effects(name)):
        desk = await _desk(name)
        await _dies(desk, name, number, is_after=is_after)
        await time_passes(desk)
        try:
            await is_consistent(desk)
        except AssertionError as error:
            when = "after" if is_after else "before"
            raise AssertionError(f"died {when} {effect} ({number})") from error


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_the_recovery_job_may_crash_as_well(name: str, *, is_after: bool) -> None:
    effects = await _effects(name)
    # Of long acts some deaths: each is followed by one at every effect of the looking.
    for number in range(0, len(effects), 1 + len(effects) // 8):
        looking = 0
        while True:
            desk, fate = await _desk(name), Fate(looking, is_after)
            await _dies(desk, name, number, is_after=True)
            await time_passes(desk, fate)
            try:
                await is_consistent(desk)
            except AssertionError as error:
                seen = f"died after {effects[number]}, then at {fate.names[-1:]} ({looking})"
                raise AssertionError(seen) from error
            if len(fate.names) <= looking:
                break  # it was over before
            looking += 1 + looking // 4


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_a_retry_after_a_crash_gives_the_one_true_answer(
    name: str, *, is_after: bool, waits: bool
) -> None:
    act = ACTS[name][1]
    whole = await _desk(name)
    await act(whole, whole.books)
    await time_passes(whole)
    for number, effect in enumerate(await _effects(name)):
        desk = await _desk(name)
        await _dies(desk, name, number, is_after=is_after)
        if waits:
            await time_passes(desk)
        try:
            await act(desk, desk.books)
        except SchedulingError as error:
            raise AssertionError(f"retry after {effect} ({number})") from error
        await time_passes(desk)
        try:
            await is_consistent(desk)
            if not (waits and name in KEPT_WHERE_NOBODY_RETRIES):
                assert _meetings(desk) == _meetings(whole)
        except AssertionError as error:
            raise AssertionError(f"retry after {effect} ({number})") from error


KEPT_WHERE_NOBODY_RETRIES = {"book, skipping", "book, at alternatives"}
"""Once somebody looked, Outlook was right: dates that nobody got to take out are sessions."""


def _meetings(desk: Desk) -> list[TimeSpan]:
    return sorted(e.seen.span for e in desk.outlook.events if not e.is_gone and not e.pattern)


async def test_every_act_has_effects_to_die_at() -> None:
    assert {name: len(await _effects(name)) > 1 for name in ACTS} == dict.fromkeys(ACTS, True)
