"""The development host: an Azure Functions app on a laptop, no kinder than Azure."""

import asyncio
import logging
import os
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from local.host.calls import Call
from local.host.configuration import HostOptions, read_options
from local.host.connections import Connections
from local.host.cors import Cors
from local.host.errors import AppRefused, HostRefused
from local.host.http_server import HttpServer, Keys
from local.host.invoking import Invocation, Invoker
from local.host.kestrel import KestrelServer
from local.host.queue_client import Queue
from local.host.queue_listener import QueueListener
from local.host.requests import by_hand
from local.host.static import StaticSite
from local.host.timer_status import TimerStatuses
from local.host.timers import TimerListener
from local.host.triggers import AppFunction, QueueBinding, TimerSchedule, accepted
from local.host.worker import Worker
from local.host.worker_process import WorkerProcess
from local.serving import Acceptor

T = TypeVar("T")

GRACE: Final = timedelta(seconds=30)
"""The time for running invocations to end when the host stops."""

_log: Final = logging.getLogger(__name__)


class DevelopmentHost:
    """Runs the app in a folder while its block runs.

    In use::

        async with DevelopmentHost(app_dir, {"STORAGE": connection_string}) as host:
            reply = await client.get(f"{host.url}/api/health")

    An app that Azure would refuse does not raise: `failure` has the reason.
    """

    def __init__(
        self,
        app_dir: Path,
        environment: Mapping[str, str] | None = None,
        *,
        worker: Worker | WorkerProcess | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
        listening: socket.socket | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        cors: Cors | None = None,
        sites: Sequence[StaticSite] = (),
        function_key: str | None = None,
        master_key: str | None = None,
        polls_queues: bool = True,
        runs_timers: bool = True,
        delivers_twice: bool = False,
        grace: timedelta = GRACE,
        on_invocation: Callable[[Invocation], None] | None = None,
        open_queue: Callable[[QueueBinding], Queue] | None = None,
    ) -> None:
        """Prepare to run the app in *app_dir*.

        *worker*: without one the app runs in this process, which a timeout cannot end.
        *environment*: settings on top of the process's own, for as long as the block runs.
        *port*: 0 takes a free one. *listening*: a listening socket, which the host then owns.
        *certificate* and *key*: PEM files; with them it is HTTPS.
        *polls_queues*, *runs_timers*: without them only `drain_queues` and `invoke_timer` do.
        *open_queue*: opens queues, in place of the services in the settings.
        """
        self.keys = Keys(
            function_key or secrets.token_urlsafe(), master_key or secrets.token_urlsafe()
        )
        self.functions: Sequence[AppFunction] = ()
        """The loaded functions, in the order in which routes are tried."""
        self.failure: AppRefused | None = None
        """The first thing that is refused; after a `FunctionRefused` the other functions run."""
        self._app_dir = app_dir.resolve()
        self._environment = dict(environment or {})
        self._address, self._port = address, port
        self._listening = listening
        self._tls = _tls(certificate, key)
        self._http_server = HttpServer(self.keys, cors or Cors(()), sites)
        self._polls_queues, self._runs_timers = polls_queues, runs_timers
        self._delivers_twice = delivers_twice
        self._grace = grace
        self._on_invocation = on_invocation
        self._options = HostOptions()
        self._open_queue = open_queue
        self._stack = AsyncExitStack()
        self._worker = worker or Worker()
        self._invoker: Invoker | None = None
        self._queues: dict[str, QueueListener] = {}
        self._timers: dict[str, TimerListener] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._acceptor: Acceptor | None = None

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self._address}:{self._port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def listening(self) -> socket.socket:
        """The socket it listens on, once it has one."""
        if self._listening is None:
            raise RuntimeError("It does not listen yet.")
        return self._listening

    @property
    def counts(self) -> Counter[str]:
        """The ended invocations of each function."""
        return self._invoker.counts if self._invoker else Counter()

    async def __aenter__(self) -> Self:
        self._stack.enter_context(_environment(self._environment))
        try:
            self._stack.push_async_callback(self._worker.stop)
            await self._load()
            await self._serve()
            self._stack.push_async_callback(self._wind_down)
            self._listen()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run_in_app(self, work: Coroutine[Any, Any, T]) -> T:
        """Await *work* on the app's own loop, which owns its connections, in this process."""
        if not isinstance(self._worker, Worker):
            raise TypeError("The app runs in another process.")
        return await asyncio.wrap_future(self._worker.submit(work))

    async def drain_queues(self) -> int:
        """Handle every visible message, and those that they enqueue. Return their number.

        QueueFailed if the storage does not answer.
        """
        total = 0
        while found := sum([await each.drain() for each in self._queues.values()]):
            total += found
        return total

    async def invoke_timer(self, name: str, *, past_due: bool = False) -> None:
        """Run the timer function *name* now and wait for its end.

        Raises:
            KeyError: there is no such timer.
            Exception: the exception of the function.
        """
        await self._timers[name].run(past_due=past_due)

    # --- start

    async def _load(self) -> None:
        settings = dict(os.environ)
        try:
            self._options = read_options(self._app_dir, settings)
            described = await self._worker.load(self._app_dir)
            self.functions, refused = accepted(described, self._options, settings)
            for each in refused:
                self._refuse(each)
        except AppRefused as error:
            self._refuse(error)
        self._connect(Connections(settings))

    def _statuses(self, connections: Connections) -> TimerStatuses:
        try:
            return connections.timer_statuses()
        except ValueError as error:
            _log.error(
                "No timer runs: %s\nOn Azure: the same, and the host says it started.", error
            )  # no traceback helps
            self._runs_timers = False
            return TimerStatuses()

    def _refuse(self, error: AppRefused) -> None:
        _log.error("%s\nOn Azure: %s.", error, error.on_azure)
        self.failure = self.failure or error
        if isinstance(error, HostRefused):
            self._http_server.admin.errors = [str(error)]

    def _connect(self, connections: Connections) -> None:
        self._stack.push_async_callback(connections.close)

        def open_queue(binding: QueueBinding) -> Queue:
            # Imported here: the host listens before its SDK is there.
            from local.host.storage_queue import StorageQueue

            return StorageQueue(connections.queue(binding.connection, binding.queue))

        opener = self._open_queue or open_queue
        invoker = Invoker(
            self._worker, self._options, open_queue=opener, on_invocation=self._on_invocation
        )
        statuses = self._statuses(connections)
        for each in self.functions:
            if isinstance(each.trigger, QueueBinding):
                self._queues[each.name] = QueueListener(
                    each,
                    each.trigger,
                    self._options.queues,
                    invoker,
                    open_queue=opener,
                    delivers_twice=self._delivers_twice,
                )
            elif isinstance(each.trigger, TimerSchedule):
                self._timers[each.name] = TimerListener(each, each.trigger, invoker, statuses)
        self._invoker = self._http_server.invoker = invoker
        self._http_server.options = self._options
        self._http_server.functions = self._http_server.admin.functions = self.functions
        self._http_server.admin.run_by_hand = self._run_by_hand

    async def _serve(self) -> None:
        server = KestrelServer(self._http_server.answer)
        if self._listening is None:
            self._listening = socket.create_server((self._address, self._port))
        self._stack.callback(self._listening.close)
        self._acceptor = Acceptor(server, self._listening, self._tls)
        self._stack.push_async_callback(self._acceptor.abort)
        self._stack.push_async_callback(server.shutdown, self._grace.total_seconds())
        self._stack.callback(server.pre_shutdown)
        self._stack.callback(self._listening.close)  # new clients are refused from then on
        self._acceptor.start()
        self._port = self._listening.getsockname()[1]

    def _listen(self) -> None:
        if self._polls_queues:
            self._tasks += [asyncio.create_task(each.listen()) for each in self._queues.values()]
        if self._runs_timers:
            self._tasks += [asyncio.create_task(each.listen()) for each in self._timers.values()]

    async def _run_by_hand(self, function: AppFunction, given: str) -> None:
        if function.name in self._timers:
            await self._timers[function.name].run()
        elif function.name in self._queues:
            await self._queues[function.name].run_once(given)
        elif self._invoker:
            await self._invoker.invoke(function, Call(function.name, by_hand(given)))

    # --- stop

    async def _wind_down(self) -> None:
        """Accept no new work, and give running invocations a moment to end."""
        if self._acceptor:
            await self._acceptor.stop()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._invoker and not await self._invoker.is_idle(self._grace):
            _log.warning("Invocations still run after %s: they are abandoned", self._grace)
        for listener in self._queues.values():
            listener.cancel()
            await listener.wait_idle()


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
