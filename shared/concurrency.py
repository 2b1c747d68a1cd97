"""Concurrent calls."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")
_U = TypeVar("_U")


async def gather_limited(calls: Iterable[Awaitable[_T]], *, at_once: int = 8) -> list[_T]:
    """Await *calls*, at most *at_once* concurrently; return their results in order.

    The first error is raised itself, not in a group. Running calls are then cancelled, and calls
    that have not started never start.
    """
    turn = asyncio.Semaphore(at_once)

    async def one(call: Awaitable[_T]) -> _T:
        async with turn:
            return await call

    waiting = list(calls)
    tasks: list[asyncio.Task[_T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(one(call)) for call in waiting]
    except BaseExceptionGroup as failed:
        raise _first(failed) from _first(failed).__cause__
    finally:
        for call in waiting:
            if asyncio.iscoroutine(call):
                call.close()  # needed for calls that never started, harmless for the others
    return [task.result() for task in tasks]


async def gather_both(
    first: Coroutine[Any, Any, _T], second: Coroutine[Any, Any, _U]
) -> tuple[_T, _U]:
    """Await *first* and *second* concurrently; return both results.

    The first error is raised itself, not in a group, and the other call is cancelled.
    """
    try:
        async with asyncio.TaskGroup() as group:
            one, other = group.create_task(first), group.create_task(second)
    except BaseExceptionGroup as failed:
        raise _first(failed) from _first(failed).__cause__
    return one.result(), other.result()


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    return failed.exceptions[0]
