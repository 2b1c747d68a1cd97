"""The whole local cloud and the app on it, for tests that use only HTTP.

The app is the repository's, in this process; with ``APP_DIR`` it is the unpacked package, in a
process that sees only the package. The same tests prove both.
"""

import logging
import os
import shutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from local.azurite import Azurite, azurite
from local.browser_cookies import BrowserCookies
from local.certificate import LocalCertificate, ensure_certificate
from local.cloud import NO_LIMITS, LocalCloud
from local.host.cors import Cors
from local.host.host import DevelopmentHost
from local.seed_storage import enrol
from local.serving import take_address
from shared.settings import Settings
from shared.wiring import Wiring
from tests.e2e.packaged import APP_DIR, ROOT, link_local, packaged_host
from tests.e2e.slow_machine import is_slow_machine
from tests.graph_contract import graph_contract

# These run the use-cases in this process, on simulated time, or start a host of the sources.
_SOURCES = ["test_fault_matrix.py", "test_renewal.py", "test_throughput.py"]
collect_ignore = _SOURCES if APP_DIR else []


class SharedStorage:
    """One Azurite for all tests of a process: a start costs a second. Each has an account."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._accounts = [f"account{number}" for number in range(400)]
        self._running: Azurite | None = None
        self._folder: Path | None = None

    def take(self) -> Azurite:
        """Return the storage for a new account."""
        if self._running is None:
            portal = self._stack.enter_context(start_blocking_portal())
            running = azurite(ensure_certificate(self._its_folder()), accounts=self._accounts)
            self._running = self._stack.enter_context(portal.wrap_async_context_manager(running))
        return self._running.of(self._accounts.pop())

    def certificate(self, folder: Path) -> LocalCertificate:
        """Put its certificate into *folder*, so that the other simulators share its authority."""
        shutil.copytree(self._its_folder(), folder, dirs_exist_ok=True)
        return ensure_certificate(folder)

    def _its_folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="azurite-")))
            ensure_certificate(self._folder)
        return self._folder

    def close(self) -> None:
        """Stop it, if it was started."""
        self._stack.close()


STORAGE: Final = SharedStorage()


def pytest_sessionfinish() -> None:
    """Stop the shared Azurite."""
    STORAGE.close()


class Host(Protocol):
    """The host's operations for tests, in this process or another one."""

    async def drain_queues(self) -> int:
        """Handle every message visible now. Return how many there were."""
        ...

    async def invoke_timer(self, name: str) -> None:
        """Run the timer function *name* and wait for its end."""
        ...


@dataclass
class AppUnderTest:
    """A running system, with the acts of people and of the platform."""

    cloud: LocalCloud
    host: Host
    http: httpx.AsyncClient
    lines: list[str] = field(default_factory=list)
    """The app's log lines."""

    async def call(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the API as *who*.

        Retry after took-too-long, as the answer asks: a slow machine is not a failure.
        """
        headers = {"authorization": f"Bearer {self.token(who)}"} | options.pop("headers", {})
        for _ in range(5):
            reply = await self.http.request(method, f"/api/{path}", headers=headers, **options)
            retry_after = reply.headers.get("retry-after", "")
            if not is_slow_machine(reply.status_code, retry_after, reply.content):
                break
        return reply

    def token(self, who: str) -> str:
        """Return a person's token for the API, or the platform's."""
        if who == "platform":
            return self.cloud.entra.platform_token()
        return self.cloud.entra.token_for(self.cloud.world.person(who))

    async def settled(self) -> None:
        """Wait until all mail, notifications and queue messages are handled."""
        for _ in range(10):
            await self.cloud.graph.settle(within=timedelta(minutes=2))
            if not await self.host.drain_queues():
                return

    async def book(self, who: str = "ben", pairing: str = "ada-ben", **changes: Any) -> Any:
        """Book the first free slot and return the session."""
        slot = (await self.slots(who, pairing))[0]
        body = {
            "start": slot["start"],
            "duration_minutes": 30,
            "time_zone": "Europe/Berlin",
            **changes,
        }
        reply = await self.call(
            who,
            "POST",
            f"pairings/{pairing}/sessions",
            json=body,
            headers={"idempotency-key": os.urandom(8).hex()},
        )
        assert reply.status_code == 201, reply.text
        return reply.json()

    async def slots(self, who: str = "ben", pairing: str = "ada-ben") -> list[Any]:
        """Return the slots of the next week."""
        start = datetime.now(UTC)
        query = {
            "from": start.isoformat(),
            "to": (start + timedelta(days=7)).isoformat(),
            "duration_minutes": "30",
        }
        reply = await self.call(who, "GET", f"pairings/{pairing}/availability", params=query)
        assert reply.status_code == 200, reply.text
        return list(reply.json()["slots"])


@contextmanager
def settings_in_process(environment: Mapping[str, str]) -> Iterator[None]:
    """Set *environment* in this process while the block runs."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        yield


@asynccontextmanager
async def wiring_of(cloud: LocalCloud) -> AsyncIterator[Wiring]:
    """Provide the test's own adapters to *cloud*, beside the app's."""
    with settings_in_process(cloud.environment):
        adapters = Wiring(Settings.from_environment(cloud.environment))
        try:
            yield adapters
        finally:
            await adapters.aclose()


@asynccontextmanager
async def a_cloud(
    folder: Path,
    public_url: str,
    *,
    telemetry: bool = False,
    credential: str = "managed-identity",
    webhook_url: str = "",
    settings: Mapping[str, str] = NO_LIMITS,
) -> AsyncIterator[LocalCloud]:
    """Run the cloud, with the seed's people enrolled, until the block ends."""
    contract, problems = graph_contract(), list[str]()
    STORAGE.certificate(folder)
    async with LocalCloud(
        folder=folder,
        public_url=public_url,
        weeks=2,
        telemetry=telemetry,
        webhook_url=webhook_url,
        credential=credential,
        storage=STORAGE.take(),
        settings=settings,
        on_exchange=lambda exchange: problems.extend(contract.problems(exchange)),
    ) as cloud:
        # The SDKs read the identity's endpoint, and TLS its trust, from the process itself.
        with settings_in_process(cloud.environment):
            await enrol(cloud.environment)
        yield cloud
    assert not problems, "\n".join(problems[:20])


@asynccontextmanager
async def an_app(
    cloud: LocalCloud, listening: socket.socket, folder: Path, *, cors: str = ""
) -> AsyncIterator[AppUnderTest]:
    """Run the app of *cloud* at the cloud's public URL, until the block ends.

    *cors*: an origin whose pages may call it.
    """
    running = _packaged if APP_DIR else _in_process
    lines: list[str] = []
    async with (
        running(cloud, listening, folder, lines, cors) as host,
        httpx.AsyncClient(
            base_url=cloud.public_url,
            cookies=BrowserCookies(),
            timeout=100,
            verify=ssl.create_default_context(cafile=str(cloud.certificate.authority)),
        ) as http,
    ):
        yield AppUnderTest(cloud, host, http, lines)


@asynccontextmanager
async def a_stage(folder: Path, *, cors: str = "", **options: Any) -> AsyncIterator[AppUnderTest]:
    """Run cloud and app until the block ends. *options*: those of `a_cloud`."""
    address = take_address()
    async with (
        a_cloud(folder, f"https://localhost:{address.port}", **options) as cloud,
        an_app(cloud, address.taken, folder, cors=cors) as app,
    ):
        yield app


@asynccontextmanager
async def _in_process(
    cloud: LocalCloud, listening: socket.socket, _: Path, lines: list[str], cors: str
) -> AsyncIterator[Host]:
    handler, logger = _Keeping(lines), logging.getLogger("mentor_calendar")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    async with DevelopmentHost(
        ROOT,
        cloud.environment,
        listening=listening,
        certificate=cloud.certificate.certificate,
        key=cloud.certificate.key,
        cors=Cors([cors] if cors else []),
        polls_queues=False,
        runs_timers=False,
    ) as host:
        assert host.failure is None, host.failure
        try:
            yield host
        finally:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
            # On Azure the process ends; here its connections must not outlive the test.
            app = sys.modules["shared.wiring"].wiring()
            await host.run_in_app(app.aclose())


@asynccontextmanager
async def _packaged(
    cloud: LocalCloud, listening: socket.socket, folder: Path, lines: list[str], cors: str
) -> AsyncIterator[Host]:
    assert APP_DIR is not None
    files = cloud.certificate
    async with packaged_host(
        APP_DIR,
        cloud.environment,
        link_local(folder / "host"),
        *("--certificate", str(files.certificate), "--key", str(files.key), "--cors", cors),
        listening=listening,
        lines=lines,
    ) as host:
        assert host.failure is None, host.failure
        yield host


class _Keeping(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[AppUnderTest]:
    """Provide a running system of its own."""
    async with a_stage(tmp_path) as running:
        yield running
