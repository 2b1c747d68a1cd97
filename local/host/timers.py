"""Timer triggers: runs each function when due, never two runs of it at once."""

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Final

from azure.functions.meta import Datum

from local.host.calls import Call
from local.host.invoking import Invoker
from local.host.triggers import AppFunction, TimerSchedule

_log: Final = logging.getLogger(__name__)
# Long sleeps are split, so that a changed clock or a resumed laptop is noticed.
_LONGEST_SLEEP: Final = 30.0


class TimerListener:
    """Serves one timer-triggered function."""

    def __init__(self, function: AppFunction, timer: TimerSchedule, invoker: Invoker) -> None:
        """Serve *function* by the schedule *timer*."""
        self.function = function
        self._timer = timer
        self._invoker = invoker
        self._lock = asyncio.Lock()
        self._last: datetime | None = None

    async def listen(self) -> None:
        """Run the function when due, until cancelled. A failed run waits for the next tick."""
        if self._timer.runs_on_startup:
            await self._tick()
        while True:
            due = self._timer.schedule.after(datetime.now(UTC))
            while (left := (due - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110  # it is the clock that is waited for
                await asyncio.sleep(min(left, _LONGEST_SLEEP))
            await self._tick()

    async def run(self, *, past_due: bool = False) -> None:
        """Run the function now, after any current run has ended.

        Raises:
            Exception: the exception of the last attempt; its traceback is logged already.
        """
        async with self._lock:
            now = datetime.now(UTC)
            request = self._request(now, past_due=past_due)
            self._last = now
            await self._invoker.invoke(self.function, Call(self.function.name, request))

    async def _tick(self) -> None:
        try:
            await self.run()
        except Exception:  # noqa: BLE001  # the invoker logged it; the next tick comes all the same
            _log.debug("%s waits for its next tick", self.function.name)

    def _request(self, now: datetime, *, past_due: bool) -> Datum:
        last = self._last or datetime.min.replace(tzinfo=UTC)
        document = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": {
                "Last": last.isoformat(),
                "LastUpdated": last.isoformat(),
                "Next": self._timer.schedule.after(now).isoformat(),
            },
            "IsPastDue": past_due,
        }
        return Datum(json.dumps(document), "json")
