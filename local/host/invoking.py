"""One invocation from trigger to outputs: timed, logged, counted, retried if its function asks."""

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Protocol

from azure.functions.meta import Datum

from local.host.calls import Call, Result, RetryContext
from local.host.configuration import HostOptions
from local.host.errors import FunctionFailed
from local.host.indexing import RETURN
from local.host.messages import bodies, encode
from local.host.queue_client import Queue
from local.host.triggers import AppFunction, QueueBinding

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Invocation:
    """An ended invocation."""

    function: str
    id: str
    duration: timedelta
    error: BaseException | None
    """None: it succeeded, and its outputs are sent."""


class Runner(Protocol):
    """Runs the app's functions: a thread of this process or a process of its own."""

    async def invoke(self, call: Call, timeout: timedelta | None) -> Result:  # noqa: ASYNC109  # the host's functionTimeout, not the caller's
        """Run one invocation. FunctionFailed: it failed, or took longer than *timeout*."""
        ...


class Invoker:
    """Runs functions on the worker and sends their outputs."""

    def __init__(
        self,
        worker: Runner,
        options: HostOptions,
        *,
        open_queue: Callable[[QueueBinding], Queue],
        on_invocation: Callable[[Invocation], None] | None = None,
    ) -> None:
        """Call *on_invocation* after each one."""
        self.counts: Counter[str] = Counter()
        """Invocations that ended, by function."""
        self._worker = worker
        self._options = options
        self._open_queue = open_queue
        self._on_invocation = on_invocation
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def invoke(self, function: AppFunction, call: Call) -> Datum | None:
        """Run *call* and send its outputs; return the result for an HTTP caller.

        Raises:
            Exception: the error of the last attempt. Its traceback is logged already.
        """
        self._running += 1
        self._idle.clear()
        try:
            return await self._tried(function, call)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def is_idle(self, within: timedelta) -> bool:
        """Return whether all running invocations end *within* that time."""
        try:
            await asyncio.wait_for(self._idle.wait(), within.total_seconds())
        except TimeoutError:
            return False
        return True

    async def _tried(self, function: AppFunction, call: Call) -> Datum | None:
        policy, attempt = function.retry, 0
        while True:
            try:
                return await self._timed(function, call)
            except Exception as error:
                if policy is None or (policy.max_retries != -1 and attempt >= policy.max_retries):
                    raise
                await asyncio.sleep(policy.delay(attempt).total_seconds())
                attempt += 1
                context = RetryContext(attempt, policy.max_retries, str(error))
                call = replace(call, retry=context, id=str(uuid.uuid4()))

    async def _timed(self, function: AppFunction, call: Call) -> Datum | None:
        started = time.perf_counter()
        error: BaseException | None = None
        try:
            return await self._run(function, call)
        except BaseException as caught:
            error = caught
            raise
        finally:
            duration = timedelta(seconds=time.perf_counter() - started)
            _tell(Invocation(function.name, call.id, duration, error))
            self.counts[function.name] += 1
            if self._on_invocation:
                self._on_invocation(Invocation(function.name, call.id, duration, error))

    async def _run(self, function: AppFunction, call: Call) -> Datum | None:
        result = await self._worker.invoke(call, self._options.function_timeout)
        outputs = dict(result.outputs)
        if RETURN in function.outputs and result.returned is not None:
            outputs[RETURN] = result.returned
        for name, binding in function.outputs.items():
            if name in outputs:
                await self._send(binding, outputs[name])
        return result.outputs.get(function.http_out or "", result.returned)

    async def _send(self, binding: QueueBinding, output: Datum) -> None:
        queue = self._open_queue(binding)
        is_base64 = self._options.queues.is_base64
        contents = [encode(body, is_base64=is_base64) for body in bodies(output)]
        await queue.create()
        for content in contents:
            await queue.send(content)


def _tell(ended: Invocation) -> None:
    error = ended.error
    why = error.trace or error if isinstance(error, FunctionFailed) else repr(error)
    _log.log(
        logging.ERROR if error else logging.INFO,
        "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)%s",
        ended.function,
        "Failed" if error else "Succeeded",
        ended.id,
        round(ended.duration.total_seconds() * 1000),
        f"\n{why}" if error else "",
    )
