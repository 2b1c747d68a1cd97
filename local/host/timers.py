"""Timer triggers: runs each function when due, never two runs of it at once.

Source: azure-webjobs-sdk-extensions, `TimerListener` and `ScheduleMonitor`.
"""

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Final

from azure.functions.meta import Datum

from local.host.calls import Call
from local.host.invoking import Invoker
from local.host.timer_status import NEVER, StatusUnavailable, TimerStatus, TimerStatuses
from local.host.triggers import AppFunction, TimerSchedule

_log: Final = logging.getLogger(__name__)
# Long sleeps are split, so that a changed clock or a resumed laptop is noticed.
_LONGEST_SLEEP: Final = 30.0


class TimerListener:
    """Serves one timer-triggered function."""

    def __init__(
        self, function: AppFunction, timer: TimerSchedule, invoker: Invoker, statuses: TimerStatuses
    ) -> None:
        """Serve *function* by the schedule *timer*."""
        self.function = function
        self._timer = timer
        self._invoker = invoker
        self._statuses = statuses
        self._lock = asyncio.Lock()
        self._status: TimerStatus | None = None

    async def listen(self) -> None:
        """Run the function when due, until cancelled."""
        try:
            await self._serve()
        except StatusUnavailable as error:
            _log.error("Timer %r stops: %s", self.function.name, error)  # no traceback helps

    async def run(self, *, past_due: bool = False) -> None:
        """Run the function now, after any current run has ended.

        Raises:
            Exception: the exception of the last attempt; its traceback is logged already.
        """
        async with self._lock:
            call = Call(self.function.name, self._request(past_due=past_due))
            await self._invoker.invoke(self.function, call)

    async def _serve(self) -> None:
        now = datetime.now(UTC)
        status = await self._known(now)
        if now > status.next:
            _log.warning("Timer %r is past due: it runs now", self.function.name)
            status = await self._tick(now, past_due=True)
        elif self._timer.runs_on_startup:
            status = await self._tick(now)
        while True:
            while (left := (status.next - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110  # it is the clock that is waited for
                await asyncio.sleep(min(left, _LONGEST_SLEEP))
            # Never before it is due, or the same occurrence would come again.
            status = await self._tick(max(datetime.now(UTC), status.next))

    async def _known(self, now: datetime) -> TimerStatus:
        """Return the status that was kept, or the first; a changed schedule counts from now."""
        after = self._timer.schedule.after
        known = await self._statuses.read(self.function.name) if self._timer.is_monitored else None
        self._status = known or TimerStatus(NEVER, after(now), now)
        due = after(now if self._status.last == NEVER else self._status.last)
        if self._status.next != due:
            await self._keep(TimerStatus(self._status.last, due if due >= now else after(now), now))
        elif known is None:
            await self._keep(self._status)
        return self._status

    async def _tick(self, started: datetime, *, past_due: bool = False) -> TimerStatus:
        """Run the function; a failed run counts. Return when it is due again."""
        try:
            await self.run(past_due=past_due)
        except Exception:  # noqa: BLE001  # the invoker logged it; the next tick comes all the same
            _log.debug("%s waits for its next tick", self.function.name)
        # From the start of the run: an occurrence within it is followed at once.
        due = self._timer.schedule.after(started)
        return await self._keep(TimerStatus(started, due, started))

    async def _keep(self, status: TimerStatus) -> TimerStatus:
        self._status = status
        if self._timer.is_monitored:
            await self._statuses.write(self.function.name, status)
        return status

    def _request(self, *, past_due: bool) -> Datum:
        now = datetime.now(UTC)
        status = self._status or TimerStatus(NEVER, self._timer.schedule.after(now), now)
        document = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": status.document() if self._timer.is_monitored else None,
            "IsPastDue": past_due,
        }
        return Datum(json.dumps(document), "json")
