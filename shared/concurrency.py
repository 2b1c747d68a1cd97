"""Several things at once, but never too many."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

_T = TypeVar("_T")


async def gather_limited(calls: Iterable[Awaitable[_T]], *, at_once: int = 8) -> list[_T]:
    """Await *calls* and return their answers in order; raise the first error as it is.

    The others are then cancelled. What was not begun is not begun.
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
        raise failed.exceptions[0] from None
    finally:
        for call in waiting:
            if asyncio.iscoroutine(call):
                call.close()  # those that never had their turn; no harm to the others
    return [task.result() for task in tasks]
