"""One invocation from trigger to outputs: timed, logged, counted."""

import asyncio
import logging
import sysconfig
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final

from azure.functions.meta import Datum

from local.host.configuration import HostOptions
from local.host.indexing import RETURN, QueueBinding
from local.host.messages import bodies, encode
from local.host.queue_client import Queue
from local.host.worker import Call, FunctionTimedOut, Worker

# Frames between the host and the app: those of this package and of the standard library.
_OURS: Final = (
    str(Path(__file__).parent),
    sysconfig.get_path("stdlib") + "/asyncio",
    sysconfig.get_path("stdlib") + "/concurrent",
)
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Invocation:
    """An ended invocation."""

    function: str
    id: str
    duration: timedelta
    error: BaseException | None
    """None: it succeeded, and its outputs are sent."""


class Invoker:
    """Runs functions on the worker and sends their outputs."""

    def __init__(
        self,
        worker: Worker,
        options: HostOptions,
        *,
        open_queue: Callable[[QueueBinding], Queue],
        on_invocation: Callable[[Invocation], None] | None = None,
        on_timeout: Callable[[], None] | None = None,
    ) -> None:
        """Call *on_invocation* after each one, *on_timeout* when Azure would kill the worker."""
        self.counts: Counter[str] = Counter()
        """Invocations that ended, by function."""
        self._worker = worker
        self._options = options
        self._open_queue = open_queue
        self._on_invocation = on_invocation
        self._on_timeout = on_timeout
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def invoke(self, call: Call) -> Datum | None:
        """Run *call* and send its outputs; return the result for an HTTP caller.

        Raises:
            Exception: the error of the function or of an output. Its traceback is logged already.
        """
        return await self._during(self._timed(call))

    async def is_idle(self, within: timedelta) -> bool:
        """Return whether all running invocations end *within* that time."""
        try:
            await asyncio.wait_for(self._idle.wait(), within.total_seconds())
        except TimeoutError:
            return False
        return True

    async def _during(self, work: Awaitable[Datum | None]) -> Datum | None:
        self._running += 1
        self._idle.clear()
        try:
            return await work
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _timed(self, call: Call) -> Datum | None:
        name, started = call.function.name, time.perf_counter()
        error: BaseException | None = None
        try:
            return await self._run(call)
        except BaseException as caught:
            error = caught
            raise
        finally:
            duration = timedelta(seconds=time.perf_counter() - started)
            _tell(name, call.id, duration, error)
            self.counts[name] += 1
            if self._on_invocation:
                self._on_invocation(Invocation(name, call.id, duration, error))
            if isinstance(error, FunctionTimedOut) and self._on_timeout:
                self._on_timeout()

    async def _run(self, call: Call) -> Datum | None:
        result = await self._worker.invoke(call, self._options.function_timeout)
        outputs = dict(result.outputs)
        if RETURN in call.function.outputs and result.returned is not None:
            outputs[RETURN] = result.returned
        for name, (_, binding) in call.function.outputs.items():
            if name in outputs:
                await self._send(binding, outputs[name])
        return result.outputs.get(call.function.http_out or "", result.returned)

    async def _send(self, binding: QueueBinding, output: Datum) -> None:
        queue = self._open_queue(binding)
        is_base64 = self._options.queues.is_base64
        contents = [encode(body, is_base64=is_base64) for body in bodies(output)]
        await queue.create()
        for content in contents:
            await queue.send(content)


def _tell(name: str, id_: str, duration: timedelta, error: BaseException | None) -> None:
    milliseconds = round(duration.total_seconds() * 1000)
    outcome = "Failed" if error else "Succeeded"
    _log.log(
        logging.ERROR if error else logging.INFO,
        "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)",
        name,
        outcome,
        id_,
        milliseconds,
        exc_info=error and (type(error), error, _of_the_app(error)),
    )


def _of_the_app(error: BaseException) -> TracebackType | None:
    """Return the traceback from the app's first line on; all of it if none is the app's."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OURS):
        found = found.tb_next
    return found or error.__traceback__
