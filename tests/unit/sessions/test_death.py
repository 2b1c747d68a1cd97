"""Death before and after every outside effect of a use-case, all of them, found by running it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import Conflict, SchedulingError
from shared.ids import SessionId
from shared.sessions.booking import Books, book, verify
from shared.sessions.changing import (
    Answer,
    Reschedule,
    cancel,
    reschedule,
    respond,
    settle_change,
)
from shared.sessions.model import HOLD_FOR, ResponseState, Session, SessionState
from shared.sessions.ports import JobKind
from shared.timespan import TimeSpan
from tests.builders import a_span, at
from tests.unit.sessions.conftest import Desk, a_desk, a_request


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


async def _book(desk: Desk, books: Books) -> Session:
    return await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=books)


async def _the_session(desk: Desk) -> Session:
    return await desk.sessions.get(desk.mentee, SessionId(desk.outlook.events[0].session_id))


NEW = a_span(at(14, day=1))


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


ACTS: dict[str, tuple[bool, Act]] = {
    "book": (False, _book),
    "reschedule": (True, _reschedule),
    "cancel": (True, _cancel),
    "respond": (True, _respond),
}


async def _desk(*, booked: bool) -> Desk:
    desk = a_desk()
    if booked:
        await _book(desk, desk.books)
    return desk


async def _effects(name: str) -> list[str]:
    booked, act = ACTS[name]
    desk, fate = await _desk(booked=booked), Fate()
    await act(desk, doomed(desk, fate))
    return fate.names


async def _time_passes(desk: Desk) -> None:
    """Let the queue hand out what was put, as often as it takes, and the holds run out."""
    desk.clock.advance(timedelta(minutes=3))
    while desk.jobs.put_jobs:
        jobs = [job for job, _ in desk.jobs.put_jobs]
        desk.jobs.put_jobs.clear()
        for job in jobs:
            if job.kind is JobKind.VERIFY:
                await verify(job, desk.organization, books=desk.books)
            if job.kind is JobKind.SETTLE:
                await settle_change(job, desk.organization, books=desk.books)
    desk.clock.advance(HOLD_FOR)


async def _spans_held(desk: Desk) -> set[tuple[Any, TimeSpan]]:
    day = TimeSpan(at(0, day=1), at(23, day=1))
    return {
        (mailbox, hold.span)
        for mailbox in (desk.mentor, desk.mentee)
        for hold in await desk.sessions.holds(mailbox, day, desk.clock.now())
    }


async def _is_consistent(desk: Desk) -> None:
    """Calendar and tables say the same, and nothing is held that nobody has."""
    alive = [e for e in desk.outlook.events if not e.is_gone]
    assert len(desk.outlook.events) <= 1
    sessions, _ = await desk.sessions.of_mailbox(
        desk.mentee, since=None, until=None, after=None, limit=10
    )
    scheduled = [s for s in sessions if s.state is SessionState.SCHEDULED]
    assert [s.state for s in sessions if s.state is SessionState.REQUESTED] == []
    assert [(s.id, s.span) for s in scheduled] == [(e.session_id, e.seen.span) for e in alive]
    assert all(s.pending_span is None for s in scheduled)
    held = {(m, e.seen.span) for e in alive for m in (desk.mentor, desk.mentee)}
    assert await _spans_held(desk) == held


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_whoever_dies_leaves_it_done_or_undone(name: str, *, is_after: bool) -> None:
    booked, act = ACTS[name]
    effects = await _effects(name)
    for number, effect in enumerate(effects):
        desk = await _desk(booked=booked)
        fate = Fate(number, is_after)
        with pytest.raises((Killed, BaseExceptionGroup)):
            await act(desk, doomed(desk, fate))
        await _time_passes(desk)
        try:
            await _is_consistent(desk)
        except AssertionError as error:
            raise AssertionError(f"died {'after' if is_after else 'before'} {effect}") from error


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_a_retry_after_death_gives_the_one_true_answer(
    name: str, *, is_after: bool, waits: bool
) -> None:
    booked, act = ACTS[name]
    effects = await _effects(name)
    for number, effect in enumerate(effects):
        desk = await _desk(booked=booked)
        with pytest.raises((Killed, BaseExceptionGroup)):
            await act(desk, doomed(desk, Fate(number, is_after)))
        if waits:
            await _time_passes(desk)
        try:
            await act(desk, desk.books)
        except Conflict as told:
            # Answering an invitation that is gone, moving what was moved: told, not lost.
            assert name != "book", f"{effect}: {told}"  # noqa: PT017  # the kind is the point
        except SchedulingError as error:
            raise AssertionError(f"retry after {effect}") from error
        await _time_passes(desk)
        try:
            await _is_consistent(desk)
        except AssertionError as error:
            raise AssertionError(f"retry after {effect}") from error
        if name == "book":
            assert len([e for e in desk.outlook.events if not e.is_gone]) == 1
        if name == "reschedule":
            assert desk.outlook.events[0].seen.span == NEW
        if name == "cancel":
            assert desk.outlook.events[0].is_gone


async def test_every_act_has_effects_to_die_at() -> None:
    assert {name: len(await _effects(name)) > 1 for name in ACTS} == dict.fromkeys(ACTS, True)
