"""Runs the app: one thread with one event loop for async functions, a thread pool for the others.

As in the worker process of Azure, a blocking call in an async function stops every invocation.

Source: azure-functions-python-worker, `dispatcher.py`.
"""

import asyncio
import inspect
import logging
import os
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeVar

import azure.functions as func
from azure.functions.meta import Datum

from local.host.indexing import GENERIC, HTTP, QUEUE, RETURN, IndexedFunction

T = TypeVar("T")

invocation_id: Final[ContextVar[str]] = ContextVar("invocation_id", default="")
_thread_local: Final = threading.local()
_STOP_SECONDS: Final = 10.0
_log: Final = logging.getLogger(__name__)
_registry: Final[Callable[[], Any]] = func.get_binding_registry  # untyped


class FunctionTimedOut(Exception):
    """An invocation took longer than `functionTimeout`: Azure kills the worker process."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an invocation, in the form that the worker sends to the host."""

    returned: Datum | None
    outputs: Mapping[str, Datum]


@dataclass(frozen=True, slots=True)
class Call:
    """The host's message to the worker for one invocation."""

    function: IndexedFunction
    data: Datum
    metadata: Mapping[str, Datum] = field(default_factory=dict)
    trace_parent: str = ""
    trace_state: str = ""
    retry: "RetryContext | None" = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Worker:
    """The thread that imports the app and runs its functions."""

    def __init__(self) -> None:
        """Make a worker that `start` starts."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._pool = ThreadPoolExecutor(_pool_size(), thread_name_prefix="worker")

    def start(self) -> None:
        """Start the thread and its loop."""
        self._thread.start()

    async def run(self, action: Callable[[], T]) -> T:
        """Call *action* on the worker's loop and return its result."""

        async def acted() -> T:
            return action()

        return await asyncio.wrap_future(self.submit(acted()))

    async def invoke(self, call: Call, timeout: timedelta | None) -> Result:  # noqa: ASYNC109  # the host's functionTimeout, not the caller's
        """Run one invocation.

        Raises:
            FunctionTimedOut: *timeout* passed. The invocation continues, since Python is not
            notified.
            Exception: the function's exception, or the worker's for its result.
        """
        future = asyncio.wrap_future(self.submit(self._invoked(call)))
        try:
            seconds = timeout.total_seconds() if timeout else None
            return await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            if future.done():
                return future.result()  # the function's own TimeoutError, or it ended just in time
            future.add_done_callback(_forget)
            raise FunctionTimedOut(
                f"Timeout value of {timeout} exceeded by function {call.function.name!r}"
            ) from None

    async def stop(self) -> None:
        """Cancel running invocations and end the thread; abandon it if the app blocks its loop."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            cancelled = asyncio.wrap_future(self.submit(self._cancelled()))
            await asyncio.wait_for(cancelled, _STOP_SECONDS)
        except TimeoutError:
            _log.warning("The app does not let go of its event loop: it is left behind")
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            asyncio.set_event_loop(None)
            self._loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run *work* on the app's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _cancelled(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _invoked(self, call: Call) -> Result:
        try:
            return await self._ran(call)
        except SystemExit as error:
            raise RuntimeError("sys.exit in a function kills the worker") from error

    async def _ran(self, call: Call) -> Result:
        invocation_id.set(call.id)
        function = call.function
        arguments = _arguments(call)
        if function.is_async:
            returned = await function.call(**arguments)
        else:
            context = copy_context()
            returned = await self._loop.run_in_executor(
                self._pool, lambda: context.run(_called, function, call.id, arguments)
            )
        if returned is not None and not function.has_return:
            if inspect.iscoroutine(returned):
                returned.close()
            raise RuntimeError(
                f"function {function.name!r} without a $return binding returned a non-None value"
            )
        return Result(_returned(function, returned), _outputs(function, arguments))


class Out:
    """The value of a function's ``func.Out`` parameter."""

    def __init__(self) -> None:
        """Start without a value."""
        self._value: Any = None

    def set(self, val: Any) -> None:  # noqa: ANN401  # azure.functions.Out's own signature
        """Keep *val* for the binding."""
        self._value = val

    def get(self) -> Any:  # noqa: ANN401
        """Return the value that was set, or None."""
        return self._value


@dataclass(frozen=True, slots=True)
class TraceContext:
    """W3C trace context of an invocation."""

    trace_parent: str
    trace_state: str
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class RetryContext:
    """The attempt of a retry policy."""

    retry_count: int
    max_retry_count: int
    exception: BaseException | None


class Context(func.Context):
    """The value of a parameter named ``context``."""

    def __init__(self, call: Call) -> None:
        """Describe *call*."""
        self._call = call

    @property
    def invocation_id(self) -> str:
        """The invocation's GUID."""
        return self._call.id

    @property
    def thread_local_storage(self) -> Any:  # noqa: ANN401  # a threading.local
        """Set its ``invocation_id`` in a thread of the app's own, to keep its log lines."""
        return _thread_local

    @property
    def function_name(self) -> str:
        """The registered name."""
        return self._call.function.name

    @property
    def function_directory(self) -> str:
        """The folder of the function's file."""
        return self._call.function.directory

    @property
    def trace_context(self) -> Any:  # noqa: ANN401  # shaped as azure.functions.TraceContext
        """The caller's trace context."""
        return TraceContext(self._call.trace_parent, self._call.trace_state, {})

    @property
    def retry_context(self) -> Any:  # noqa: ANN401  # shaped as azure.functions.RetryContext
        """The current attempt; None without a retry policy."""
        return self._call.retry


def current_invocation() -> str:
    """Return the id of the invocation this code runs in, "" outside of any."""
    return invocation_id.get() or str(getattr(_thread_local, "invocation_id", ""))


def _arguments(call: Call) -> dict[str, Any]:
    function = call.function
    arguments: dict[str, Any] = {function.trigger_name: _decoded(call)}
    if function.wants_context:
        arguments["context"] = Context(call)
    outs = [*function.outputs, *filter(None, [function.http_out])]
    arguments.update({name: Out() for name in outs if name != RETURN})
    return arguments


def _decoded(call: Call) -> Any:  # noqa: ANN401  # HttpRequest, QueueMessage, TimerRequest, str
    if call.function.trigger_converter == GENERIC:
        return call.data.value
    return (
        _registry()
        .get(call.function.trigger_converter)
        .decode(call.data, trigger_metadata=call.metadata)
    )


def _called(function: IndexedFunction, id_: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
    _thread_local.invocation_id = id_
    try:
        return function.call(**arguments)
    finally:
        _thread_local.invocation_id = ""


def _returned(function: IndexedFunction, value: Any) -> Datum | None:  # noqa: ANN401
    if function.returns_http:
        return _encoded(HTTP, value)
    # A queue's $return may be None: nothing is sent.
    if RETURN in function.outputs and value is not None:
        return _encoded(QUEUE, value)
    return None


def _outputs(function: IndexedFunction, arguments: Mapping[str, Any]) -> dict[str, Datum]:
    found: dict[str, Datum] = {}
    for name, (converter, _) in function.outputs.items():
        if name != RETURN and (value := arguments[name].get()) is not None:
            found[name] = _encoded(converter, value)
    if function.http_out and (value := arguments[function.http_out].get()) is not None:
        found[function.http_out] = _encoded(HTTP, value)
    return found


def _encoded(converter: str, value: Any) -> Datum:  # noqa: ANN401
    if converter == GENERIC:
        if isinstance(value, str):
            return Datum(value, "string")
        if isinstance(value, bytes | bytearray):
            return Datum(bytes(value), "bytes")
    else:
        try:
            datum = _registry().get(converter).encode(value, expected_type=None)
        except NotImplementedError:
            pass
        else:
            assert isinstance(datum, Datum)  # noqa: S101  # for the type checker
            return datum
    if inspect.iscoroutine(value):
        value.close()
    raise TypeError(
        f"unable to encode outgoing TypedData: unsupported type {converter!r}"
        f" for Python type {type(value).__name__!r}"
    )


def _pool_size() -> int:
    asked = os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    return (
        int(asked) if asked.isdecimal() and int(asked) > 0 else min(32, (os.cpu_count() or 1) + 4)
    )


def _forget(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()
