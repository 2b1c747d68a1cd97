"""The app in a process of its own: killed when a run takes too long, replaced when it ends.

The worker process runs a `Worker`. It exchanges pickled messages with the host over a socket: first
the descriptions of the functions, then calls and results.

Source: the host's `GrpcWorkerChannel` and `FunctionInvocationDispatcher` (4.1037).
"""

import asyncio
import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from local.host.calls import Call, Result
from local.host.console import set_up_logging
from local.host.errors import (
    AppRefused,
    FunctionFailed,
    FunctionTimedOut,
    WorkerCrashed,
    WorkerRefused,
)
from local.host.indexing import Description
from local.host.spawning import Spawned, spawn
from local.host.worker import Worker, timed_out

KILLED_AFTER: Final = timedelta(seconds=2)
"""From `functionTimeout` to the worker's end. What else it runs hangs until its own limit and so
long."""
ANSWERED_AFTER: Final = timedelta(seconds=12)
"""From `functionTimeout` to the failure of the invocation that took too long."""
_HOST_ROOT: Final = Path(__file__).resolve().parents[2]
_log: Final = logging.getLogger(__name__)


class WorkerProcess:
    """Runs functions in the current worker process, and starts another when it ends."""

    def __init__(self, first: Spawned) -> None:
        """Begin with the *first* worker."""
        self._first: Spawned | None = first
        self._current: asyncio.Future[_Channel] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def load(self, _: Path) -> Sequence[Description]:
        """Return the functions of the app, which the worker loads by itself. Raises AppRefused."""
        channel = await self._started()
        self._current = asyncio.get_running_loop().create_future()
        self._current.set_result(channel)
        return channel.functions

    async def invoke(self, call: Call, timeout: timedelta | None) -> Result:  # noqa: ASYNC109  # the host's functionTimeout, not the caller's
        """Run one invocation.

        Raises:
            FunctionTimedOut: it took longer than *timeout*, which ended the worker.
            WorkerCrashed: the worker ended under it.
            FunctionFailed: the function raised, or no worker can be started.
        """
        channel = await self._channel()
        answer = channel.ask(call)
        try:
            return await asyncio.wait_for(answer, timeout.total_seconds() if timeout else None)
        except TimeoutError:
            is_first = not channel.is_doomed
            if is_first:
                self._doom(channel)
            wait = ANSWERED_AFTER if is_first else KILLED_AFTER
            await asyncio.sleep(wait.total_seconds())
            raise FunctionTimedOut(timed_out(call, timeout)) from None

    async def stop(self) -> None:
        """End the worker, whatever it runs."""
        if self._first:
            await _Channel(self._first).close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _channel(self) -> "_Channel":
        if self._current is None:
            raise FunctionFailed("there is no worker")
        try:
            return await asyncio.shield(self._current)
        except AppRefused as refused:
            raise FunctionFailed(str(refused)) from refused

    async def _started(self) -> "_Channel":
        spawned, self._first = self._first or spawn(), None
        channel = _Channel(spawned)
        await channel.open()
        self._task(self._watch(channel))
        return channel

    async def _watch(self, channel: "_Channel") -> None:
        has_ended = False
        try:
            await channel.listen()
            has_ended = True
        finally:
            await channel.close(has_ended=has_ended)
        if not channel.is_doomed:
            channel.fail()
            self._current = self._task(self._started())

    def _doom(self, channel: "_Channel") -> None:
        """Kill the worker of *channel* soon. Another starts now, and serves from then on."""
        _log.error("The worker process is killed: all that it runs hangs until its own limit")
        channel.is_doomed = True
        successor = self._task(self._started())

        def kill() -> None:
            self._current = successor
            channel.kill()

        asyncio.get_running_loop().call_later(KILLED_AFTER.total_seconds(), kill)

    def _task(self, work: Any) -> "asyncio.Task[Any]":  # noqa: ANN401  # any coroutine
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("%s", error)


class _Channel:
    """One worker process and the calls that it has not answered."""

    def __init__(self, spawned: Spawned) -> None:
        self.functions: Sequence[Description] = ()
        self.is_doomed = False
        self._process, self._connection = spawned.process, spawned.connection
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[str, asyncio.Future[Result]] = {}

    async def open(self) -> None:
        """Wait until the worker has loaded the app. AppRefused: it does not load."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._connection)
        found: Any = AppRefused()
        try:
            found = await _receive(self._reader)
        finally:
            if found is None or isinstance(found, AppRefused):
                await self.close(has_ended=found is None)
        if found is None:
            raise WorkerRefused(f"{self._end} while it imported the app")
        if isinstance(found, AppRefused):
            raise found
        self.functions = found

    def ask(self, call: Call) -> "asyncio.Future[Result]":
        """Send *call*; its result comes, unless the worker is killed."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting[call.id] = answer
        answer.add_done_callback(lambda _: self._waiting.pop(call.id, None))
        if self._writer is not None:
            _send(self._writer, call)
        return answer

    async def listen(self) -> None:
        """Take the worker's answers until it ends."""
        while (message := await _receive(self._reader)) is not None:
            id_, result = message
            answer = self._waiting.get(id_)
            if answer is None or answer.done():
                continue
            if isinstance(result, Result):
                answer.set_result(result)
            else:
                answer.set_exception(result)

    def fail(self) -> None:
        """Fail all calls: the worker ended by itself."""
        _log.error("%s; another one starts", self._end)
        for answer in list(self._waiting.values()):
            if not answer.done():
                answer.set_exception(WorkerCrashed(self._end))

    def kill(self) -> None:
        """End the process."""
        self._process.kill()

    async def close(self, *, has_ended: bool = False) -> None:
        """End the process, unless it *has_ended* by itself, and the connection to it."""
        if not has_ended:
            self.kill()
        (self._writer or self._connection).close()
        await asyncio.to_thread(self._process.communicate)

    @property
    def _end(self) -> str:
        return f"The worker process ended with {self._process.returncode}"


def _send(writer: asyncio.StreamWriter, message: object) -> None:
    content = pickle.dumps(message)
    if not writer.is_closing():
        writer.write(len(content).to_bytes(8) + content)


async def _receive(reader: asyncio.StreamReader) -> Any:  # noqa: ANN401  # a message
    """Return the next message, None at the end."""
    try:
        size = int.from_bytes(await reader.readexactly(8))
        return pickle.loads(await reader.readexactly(size))  # noqa: S301  # from our own process
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


# --- in the worker process


def work(file: int, app_dir: Path) -> None:
    """Run the app in *app_dir* for the host at the other end of the open *file*."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host, which ends this
    set_up_logging()
    asyncio.run(_serve(socket.socket(fileno=file), app_dir))
    sys.stdout.flush()
    sys.stderr.flush()
    # A sync function that never ends must not keep the interpreter waiting.
    os._exit(0)


async def _serve(connection: socket.socket, app_dir: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    _leave(app_dir)
    worker = Worker()
    try:
        _send(writer, await worker.load(app_dir))
    except AppRefused as refused:
        _send(writer, refused)
    running: set[asyncio.Task[None]] = set()
    while (call := await _receive(reader)) is not None:
        task = asyncio.create_task(_answer(worker, call, writer))
        running.add(task)
        task.add_done_callback(running.discard)


async def _answer(worker: Worker, call: Call, writer: asyncio.StreamWriter) -> None:
    try:
        result: Result | FunctionFailed = await worker.invoke(call, None)
    except FunctionFailed as error:
        result = error
    _send(writer, (call.id, result))


def _leave(app_dir: Path) -> None:
    """Change to the app's folder, and remove the host's folder from its imports."""
    if app_dir != _HOST_ROOT:
        sys.path[:] = [each for each in sys.path if Path(each).resolve() != _HOST_ROOT]
    os.chdir(app_dir)
