"""Runs the app: one thread with one event loop for async functions, a thread pool for the others.

As in the worker process of Azure, a blocking call in an async function stops every invocation.

Source: azure-functions-python-worker, `dispatcher.py`.
"""

import asyncio
import inspect
import logging
import os
import sysconfig
import threading
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import azure.functions as func
from azure.functions.meta import Datum

from local.host.calls import Call, Context, Out, Result, thread_local
from local.host.errors import AppRefused, FunctionFailed, FunctionTimedOut
from local.host.importing import fresh_modules, import_app
from local.host.indexing import GENERIC, HTTP, QUEUE, Description, LoadedFunction, index

T = TypeVar("T")

_STOP_SECONDS: Final = 10.0
# Frames between the host and the app: those of this package and of the standard library.
_OURS: Final = (
    str(Path(__file__).parent),
    sysconfig.get_path("stdlib") + "/asyncio",
    sysconfig.get_path("stdlib") + "/concurrent",
)
_log: Final = logging.getLogger(__name__)
_registry: Final[Callable[[], Any]] = func.get_binding_registry  # untyped
_running: Final[set[str]] = set()


class Worker:
    """The thread that imports the app and runs its functions."""

    def __init__(self) -> None:
        """Make a worker that `load` starts."""
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(_new_task)
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._pool = ThreadPoolExecutor(_pool_size(), thread_name_prefix="worker")
        self._functions: dict[str, LoadedFunction] = {}
        self._modules = ExitStack()

    async def load(self, app_dir: Path) -> Sequence[Description]:
        """Start, import the app in *app_dir* and describe its functions. AppRefused: it is refused.

        The app's modules are forgotten when the worker stops.
        """
        self._modules.enter_context(fresh_modules(app_dir))
        self._thread.start()

        async def loaded() -> list[LoadedFunction]:
            return index(import_app(app_dir))

        try:
            functions = await asyncio.wrap_future(self.submit(loaded()))
        except AppRefused as refused:
            if refused.__cause__:
                lines = "".join(traceback.format_exception(refused.__cause__))
                _log.error("The app's own error:\n%s", lines)
            raise
        self._functions = {each.name: each for each in functions}
        return [each.description for each in functions]

    async def invoke(self, call: Call, timeout: timedelta | None) -> Result:  # noqa: ASYNC109  # the host's functionTimeout, not the caller's
        """Run one invocation.

        Raises:
            FunctionTimedOut: *timeout* passed. The invocation continues, since Python is not
            notified.
            FunctionFailed: the function raised, or the worker refuses its result.
        """
        future = asyncio.wrap_future(self.submit(self._invoked(call)))
        try:
            seconds = timeout.total_seconds() if timeout else None
            return await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            future.add_done_callback(_forget)
            raise FunctionTimedOut(timed_out(call, timeout)) from None

    async def stop(self) -> None:
        """Cancel running invocations and end the thread; abandon it if the app blocks its loop."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            cancelled = asyncio.wrap_future(self.submit(self._cancelled()))
            await asyncio.wait_for(cancelled, _STOP_SECONDS)
        except TimeoutError:
            _log.warning("The app does not let go of its event loop: it is left behind")
        else:
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join)
        self._modules.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run *work* on the app's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _cancelled(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _invoked(self, call: Call) -> Result:
        task = asyncio.current_task()
        if isinstance(task, _Task):
            task.invocation_id = call.id
        _running.add(call.id)
        try:
            return await self._ran(call)
        except (Exception, SystemExit) as error:
            lines = traceback.format_exception(type(error), error, _of_the_app(error))
            message = f"{type(error).__name__}: {error}"
            raise FunctionFailed(message, "".join(lines)) from error
        finally:
            _running.discard(call.id)

    async def _ran(self, call: Call) -> Result:
        function = self._functions[call.function]
        arguments = _arguments(function, call)
        if function.is_async:
            returned = await function.call(**arguments)
        else:
            context = copy_context()
            returned = await self._loop.run_in_executor(
                self._pool, lambda: context.run(_called, function, call.id, arguments)
            )
        if returned is not None and function.returns is None:
            if inspect.iscoroutine(returned):
                returned.close()
            raise RuntimeError(
                f"function {function.name!r} without a $return binding returned a non-None value"
            )
        return Result(_returned(function, returned), _outputs(function, arguments))


class _Task(asyncio.Task[Any]):
    """A task of the app."""

    invocation_id = ""


def _new_task(
    loop: asyncio.AbstractEventLoop,
    coro: Any,  # noqa: ANN401  # asyncio's own type is private
    **options: Any,  # noqa: ANN401
) -> _Task:
    """Return a task that belongs to the invocation of the task that makes it."""
    task = _Task(coro, loop=loop, **options)
    task.invocation_id = getattr(asyncio.current_task(loop), "invocation_id", "")
    return task


def current_invocation() -> str:
    """Return the id of the invocation that this code's log lines carry, "" without one.

    A thread that the app started has none unless it sets `thread_local_storage.invocation_id`, and
    neither has what goes on after its invocation's end.
    """
    try:
        found: str = getattr(asyncio.current_task(), "invocation_id", "")
    except RuntimeError:
        found = getattr(thread_local, "invocation_id", "")
    return found if found in _running else ""


def timed_out(call: Call, timeout: timedelta | None) -> str:
    """Return the message for a *call* that took longer than *timeout*."""
    return f"Timeout value of {timeout} exceeded by function {call.function!r}"


def _of_the_app(error: BaseException) -> TracebackType | None:
    """Return the traceback from the app's first line on; all of it if none is the app's."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OURS):
        found = found.tb_next
    return found or error.__traceback__


def _arguments(function: LoadedFunction, call: Call) -> dict[str, Any]:
    arguments: dict[str, Any] = {function.trigger_name: _decoded(function, call)}
    if function.wants_context:
        arguments["context"] = Context(call, function.directory)
    arguments.update({name: Out() for name in function.outputs})
    return arguments


def _decoded(function: LoadedFunction, call: Call) -> Any:  # noqa: ANN401  # HttpRequest, QueueMessage, TimerRequest, str
    if function.trigger_converter == GENERIC:
        return call.data.value
    converter = _registry().get(function.trigger_converter)
    return converter.decode(call.data, trigger_metadata=call.metadata)


def _called(function: LoadedFunction, id_: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
    thread_local.invocation_id = id_
    try:
        return function.call(**arguments)
    finally:
        thread_local.invocation_id = ""


def _returned(function: LoadedFunction, value: Any) -> Datum | None:  # noqa: ANN401
    if function.returns == HTTP:
        return _encoded(HTTP, value)
    # A queue's $return may be None: nothing is sent.
    if function.returns == QUEUE and value is not None:
        return _encoded(QUEUE, value)
    return None


def _outputs(function: LoadedFunction, arguments: Mapping[str, Any]) -> dict[str, Datum]:
    return {
        name: _encoded(converter, value)
        for name, converter in function.outputs.items()
        if (value := arguments[name].get()) is not None
    }


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
