"""The queue of future acts: mail in transit, notifications, late links, in order of time."""

import asyncio
import contextlib
import heapq
import itertools
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local.clock import CloudClock

_log = logging.getLogger(__name__)
_LONGEST_NAP = 0.05  # seconds: the clock may be advanced at any moment


@dataclass(order=True, slots=True)
class _Entry:
    due_at: datetime
    order: int
    act: Callable[[], None] = field(compare=False)
    background: bool = field(compare=False)


class VirtualScheduler:
    """A queue ordered by due time; the world's clock alone decides what is due.

    Acts are quick and synchronous. Work that waits for another process (a webhook) starts with
    `create_task`; a caller that needs its end awaits it.
    """

    def __init__(self, clock: CloudClock) -> None:
        self._clock = clock
        self._queue: list[_Entry] = []
        self._order = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None

    def call_later(
        self, delay: timedelta, act: Callable[[], None], *, background: bool = False
    ) -> None:
        """Do *act* once *delay* has passed. `settle` does not wait for *background*."""
        self.call_at(self._clock.now() + delay, act, background=background)

    def call_at(
        self, due_at: datetime, act: Callable[[], None], *, background: bool = False
    ) -> None:
        """Do *act* at *due_at*."""
        heapq.heappush(self._queue, _Entry(due_at, next(self._order), act, background))

    def create_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work* beside the queue, owned by the scheduler."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run_due(self) -> None:
        """Do all due acts, and those that they start; return when none is left."""
        while self._do_due() or self._tasks:
            if self._tasks:
                await asyncio.wait(set(self._tasks))

    async def settle(self, within: timedelta) -> None:
        """Move the clock from one due act to the next, up to *within* from now, then stop.

        The clock moves only as far as needed.
        """
        limit = self._clock.now() + within
        await self.run_due()
        while due := [e.due_at for e in self._queue if not e.background and e.due_at <= limit]:
            await self._jump(min(due))

    async def advance(self, by: timedelta) -> None:
        """Let *by* pass, doing each act at its own time."""
        target = self._clock.now() + by
        await self.run_due()
        while self._queue and self._queue[0].due_at <= target:
            await self._jump(self._queue[0].due_at)
        self._clock.advance(max(target - self._clock.now(), timedelta()))
        await self.run_due()

    def start(self) -> None:
        """Start doing acts when they come due, in the running loop."""
        self._runner = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop, and drop the remaining acts."""
        tasks = [*self._tasks, *([self._runner] if self._runner else [])]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        self._queue.clear()

    def _do_due(self) -> bool:
        done = False
        while self._queue and self._queue[0].due_at <= self._clock.now():
            heapq.heappop(self._queue).act()
            done = True
        return done

    async def _jump(self, to: datetime) -> None:
        self._clock.advance(max(to - self._clock.now(), timedelta()))
        await self.run_due()

    async def _run(self) -> None:
        while True:
            try:
                self._do_due()
            except Exception:  # noqa: BLE001 - the last resort: the next act is tried anyway
                _log.exception("something due could not be done")
            await asyncio.sleep(_LONGEST_NAP)
