"""Death before and after every outside effect of a use-case, all of them, found by running it."""

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
from shared.sessions.booking import Books, book
from shared.sessions.changing import (
    Answer,
    Reschedule,
    accept_proposal,
    cancel,
    reschedule,
    respond,
)
from shared.sessions.model import HOLD_FOR, ResponseState, Session, SessionState
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.series import OnConflict, Scope, occurrence_id
from shared.sessions.series_booking import BookedSeries, book_series
from shared.sessions.series_changing import cancel_scope, reschedule_scope
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
NEW = a_span(at(14, day=1))
FOUR_WEEKS = Repeat(Frequency.WEEKLY, count=4)
SECOND = a_span(at(10, day=8))
WINDOW = TimeSpan(at(0), at(0, day=60))


async def _book(desk: Desk, books: Books) -> Session:
    return await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=books)


async def _the_session(desk: Desk) -> Session:
    return await desk.sessions.get(desk.mentee, SessionId(desk.outlook.events[0].session_id))


async def _reschedule(desk: Desk, books: Books) -> Session:
    session = await _the_session(desk)
    return await reschedule(
        desk.acting(desk.mentee), desk.pairing, session, Reschedule(NEW, "UTC"), books=books
    )


async def _cancel(desk: Desk, books: Books) -> Session:
    return await cancel(desk.acting(desk.mentee), await _the_session(desk), "sorry", books=books)


async def _respond(desk: Desk, books: Books) -> Session:
    return await respond(
        desk.acting(desk.mentor),
        await _the_session(desk),
        Answer(ResponseState.ACCEPTED),
        books=books,
    )


async def _book_with_proposal(desk: Desk, books: Books) -> Session:
    session = await _book(desk, books)
    event = desk.outlook.events[0]
    seen = desk.calendar.answered(
        event, desk.address(desk.mentor), ResponseState.TENTATIVE, proposed=NEW
    )
    return await reservations.save(desk.sessions, merge(session, seen).session)


async def _accept_proposal(desk: Desk, books: Books) -> Session:
    return await accept_proposal(
        desk.acting(desk.mentee),
        desk.pairing,
        await _the_session(desk),
        desk.mentor.object_id,
        books=books,
    )


def _add_third(desk: Desk, busy: TimeSpan) -> None:
    """Let a third meet with them who is *busy* then; once."""
    if len(desk.pairing.participants) == 2:
        third = a_mailbox(desk.mentor.tenant_id)
        desk.pairing = a_pairing(
            desk.mentor, desk.mentee, third, organization_id=desk.organization.id
        )
        desk.outlook.addresses[desk.address(third)] = third.object_id
        desk.outlook.busy[desk.address(third)] = [busy]


async def _book_group(desk: Desk, books: Books) -> Session:
    """Book for two of three: the third is busy, and invited all the same."""
    _add_third(desk, a_span(at(10, day=1)))
    request = a_request(at_least=2)
    return await book(desk.acting(desk.mentee), desk.pairing, request, books=books)


async def _move_group(desk: Desk, books: Books) -> Session:
    """Move it to where the third is free; what is held of their time is not looked at here."""
    to = Reschedule(NEW, "UTC", at_least=2)
    return await reschedule(
        desk.acting(desk.mentee), desk.pairing, await _the_session(desk), to, books=books
    )


async def _book_group_series(desk: Desk, books: Books) -> BookedSeries:
    """Book for two of three: on the second date the third is busy."""
    _add_third(desk, SECOND)
    request = a_request(repeat=FOUR_WEEKS, time_zone="UTC", at_least=2)
    return await book_series(desk.acting(desk.mentee), desk.pairing, request, books=books)


def _book_series(on_conflict: OnConflict = OnConflict.REFUSE) -> Act:
    async def act(desk: Desk, books: Books) -> BookedSeries:
        if on_conflict is not OnConflict.REFUSE:
            desk.outlook.busy[desk.address(desk.mentor)] = [SECOND]
        request = a_request(repeat=FOUR_WEEKS, on_conflict=on_conflict, time_zone="UTC")
        return await book_series(desk.acting(desk.mentee), desk.pairing, request, books=books)

    return act


async def _occurrence(desk: Desk, number: int) -> Session:
    master = next(e for e in desk.outlook.events if e.pattern)
    session_id = occurrence_id(SeriesId(master.session_id), number)
    return await desk.sessions.get(desk.mentee, session_id)


def _cancel_scope(number: int, scope: Scope) -> Act:
    async def act(desk: Desk, books: Books) -> list[Session]:
        session = await _occurrence(desk, number)
        return await cancel_scope(desk.acting(desk.mentee), session, "", scope, books=books)

    return act


def _move_scope(number: int, scope: Scope, days: int = 1, at_least: int | None = None) -> Act:
    async def act(desk: Desk, books: Books) -> list[Session]:
        session = await _occurrence(desk, number)
        to = a_span(at(14, day=1 + 7 * number + days))
        return await reschedule_scope(
            desk.acting(desk.mentee),
            desk.pairing,
            session,
            Reschedule(to, "UTC", at_least=at_least),
            scope,
            books=books,
        )

    return act


async def _answer_occurrence(desk: Desk, books: Books) -> Session:
    return await respond(
        desk.acting(desk.mentor),
        await _occurrence(desk, 1),
        Answer(ResponseState.DECLINED),
        books=books,
    )


ACTS: dict[str, tuple[Act | None, Act]] = {
    "book": (None, _book),
    "reschedule": (_book, _reschedule),
    "cancel": (_book, _cancel),
    "respond": (_book, _respond),
    "accept a proposal": (_book_with_proposal, _accept_proposal),
    "book a group": (None, _book_group),
    "move a group": (_book_group, _move_group),
    "book a series": (None, _book_series()),
    "book a series, skipping": (None, _book_series(OnConflict.SKIP)),
    "book a series at alternatives": (None, _book_series(OnConflict.ALTERNATIVES)),
    "book a series for a group": (None, _book_group_series),
    "answer one date": (_book_series(), _answer_occurrence),
    "cancel one date": (_book_series(), _cancel_scope(1, Scope.ONE)),
    "cancel this and following": (_book_series(), _cancel_scope(2, Scope.THIS_AND_FOLLOWING)),
    "cancel all": (_book_series(), _cancel_scope(0, Scope.ALL)),
    "cancel what was skipped in": (
        _book_series(OnConflict.SKIP),
        _cancel_scope(2, Scope.THIS_AND_FOLLOWING),
    ),
    "move one date": (_book_series(), _move_scope(1, Scope.ONE)),
    "move this and following": (_book_series(), _move_scope(1, Scope.THIS_AND_FOLLOWING)),
    "move all": (_book_series(), _move_scope(0, Scope.ALL)),
    "move all, in another hour": (_book_series(), _move_scope(0, Scope.ALL, days=0)),
    "move a series of a group": (
        _book_group_series,
        _move_scope(1, Scope.THIS_AND_FOLLOWING, at_least=2),
    ),
    "move what was skipped in": (_book_series(OnConflict.SKIP), _move_scope(0, Scope.ALL)),
}
BOOKS_ANEW = {name for name, (before, _) in ACTS.items() if before is None}


async def _desk(name: str) -> Desk:
    desk, before = a_desk(), ACTS[name][0]
    if before is not None:
        await before(desk, desk.books)
    return desk


async def _effects(name: str) -> list[str]:
    desk, fate = await _desk(name), Fate()
    await ACTS[name][1](desk, doomed(desk, fate))
    return fate.names


async def _time_passes(desk: Desk, fate: Fate | None = None) -> None:
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


async def _is_consistent(desk: Desk) -> None:
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
async def test_whoever_dies_leaves_it_done_or_undone(name: str, *, is_after: bool) -> None:
    for number, effect in enumerate(await _effects(name)):
        desk = await _desk(name)
        await _dies(desk, name, number, is_after=is_after)
        await _time_passes(desk)
        try:
            await _is_consistent(desk)
        except AssertionError as error:
            when = "after" if is_after else "before"
            raise AssertionError(f"died {when} {effect} ({number})") from error


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_whoever_comes_to_look_may_die_as_well(name: str, *, is_after: bool) -> None:
    effects = await _effects(name)
    # Of long acts some deaths: each is followed by one at every effect of the looking.
    for number in range(0, len(effects), 1 + len(effects) // 8):
        looking = 0
        while True:
            desk, fate = await _desk(name), Fate(looking, is_after)
            await _dies(desk, name, number, is_after=True)
            await _time_passes(desk, fate)
            try:
                await _is_consistent(desk)
            except AssertionError as error:
                seen = f"died after {effects[number]}, then at {fate.names[-1:]} ({looking})"
                raise AssertionError(seen) from error
            if len(fate.names) <= looking:
                break  # it was over before
            looking += 1 + looking // 4


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_a_retry_after_death_gives_the_one_true_answer(
    name: str, *, is_after: bool, waits: bool
) -> None:
    act = ACTS[name][1]
    whole = await _desk(name)
    await act(whole, whole.books)
    await _time_passes(whole)
    for number, effect in enumerate(await _effects(name)):
        desk = await _desk(name)
        await _dies(desk, name, number, is_after=is_after)
        if waits:
            await _time_passes(desk)
        try:
            await act(desk, desk.books)
        except SchedulingError as error:
            raise AssertionError(f"retry after {effect} ({number})") from error
        await _time_passes(desk)
        try:
            await _is_consistent(desk)
            if not (waits and name in KEPT_WHERE_NOBODY_RETRIES):
                assert _meetings(desk) == _meetings(whole)
        except AssertionError as error:
            raise AssertionError(f"retry after {effect} ({number})") from error


KEPT_WHERE_NOBODY_RETRIES = {"book a series, skipping", "book a series at alternatives"}
"""Once somebody looked, Outlook was right: dates that nobody got to take out are sessions."""


def _meetings(desk: Desk) -> list[TimeSpan]:
    return sorted(e.seen.span for e in desk.outlook.events if not e.is_gone and not e.pattern)


async def test_every_act_has_effects_to_die_at() -> None:
    assert {name: len(await _effects(name)) > 1 for name in ACTS} == dict.fromkeys(ACTS, True)
