"""`scripts.verify` as an operator runs it, and a gateway before the app that spoils answers."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx
from aiohttp import web

from local.seed import CLIENT_ID, CONTOSO_ID
from local.serving import serving, take_address
from shared.ids import OrganizationId
from shared.jobs import DueKind
from tests.e2e.conftest import AppUnderTest, a_stage, wiring_of
from tests.e2e.packaged import ROOT
from tests.e2e.test_following import backdate_missing

PAGE: Final = "https://page.example"
ALIAS: Final = "ada.alias@contoso.example"
_OWN: Final = {"content-length", "connection", "transfer-encoding", "date", "server"}
"""Headers of one connection."""


@dataclass
class Gateway:
    """Stands in front of the app, as a gateway of the platform's would, and changes what passes."""

    app: AppUnderTest
    url: str = ""
    without: set[str] = field(default_factory=set)
    """Headers that it removes, in lower case."""
    delays: dict[str, float] = field(default_factory=dict)
    """Seconds that it waits, by a part of the path."""
    spoiled: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    """Changes of JSON answers, by a part of the path."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Statuses that it answers itself, without a body, by a part of the path."""

    async def pass_on(self, request: web.Request) -> web.Response:
        path = request.rel_url.raw_path_qs
        for part, status in self.statuses.items():
            if part in path:
                return web.Response(status=status, text="Nothing here.")
        for part, seconds in self.delays.items():
            if part in path:
                await asyncio.sleep(seconds)
        headers = {n: v for n, v in request.headers.items() if n.lower() not in {"host", *_OWN}}
        reply = await self.app.http.request(
            request.method, path, headers=headers, content=await request.read()
        )
        return web.Response(
            status=reply.status_code,
            body=self._body(path, reply),
            headers={
                name: value
                for name, value in reply.headers.items()
                if name not in self.without | _OWN | {"content-encoding"}
            },
        )

    def _body(self, path: str, reply: httpx.Response) -> bytes:
        for part, spoil in self.spoiled.items():
            if part in path:
                return json.dumps(spoil(reply.json())).encode()
        return reply.content


@dataclass
class Verified:
    """A run that has ended."""

    status: int
    text: str
    """Its standard output."""
    said: str
    """Its standard error."""

    @property
    def report(self) -> Any:
        """The report, of `--json`."""
        assert self.text, self.said
        return json.loads(self.text)

    def outcomes(self) -> dict[int, str]:
        """Return the outcome of each check by its number."""
        return {each["number"]: each["outcome"] for each in self.report["checks"]}

    def of(self, number: int) -> Any:
        """Return what the report says of one check."""
        (found,) = [each for each in self.report["checks"] if each["number"] == number]
        return found


@dataclass
class Operator:
    """Somebody who runs the script against `gateway`, with all the tokens."""

    app: AppUnderTest
    gateway: Gateway
    tokens: dict[str, str]
    says_ca: bool = True
    """Names the authority by `--ca`, not by SSL_CERT_FILE."""
    on_line: Callable[[str], Awaitable[None]] | None = None
    """Is called with each line of the standard error at once."""

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start the script; only what an operator has is in its environment."""
        authority = str(self.app.cloud.certificate.authority)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scripts.verify", self.gateway.url),
            *("--client", CLIENT_ID, "--organization", "contoso", "--pairing", "ada-ben"),
            *("--page", PAGE, "--graph", self.app.cloud.graph_url),
            *(("--ca", authority) if self.says_ca else ()),
            *arguments,
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                **({} if self.says_ca else {"SSL_CERT_FILE": authority}),
                **self.tokens,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str) -> Verified:
        """Run the script to its end."""
        return await self.ended(await self.start(*arguments))

    async def ended(self, process: asyncio.subprocess.Process) -> Verified:
        """Wait for the end of *process*."""
        assert process.stdout
        out, said, status = await asyncio.gather(
            process.stdout.read(), self._listen(process), process.wait()
        )
        return Verified(status, out.decode(), said)

    async def _listen(self, process: asyncio.subprocess.Process) -> str:
        assert process.stderr
        lines = []
        async for line in process.stderr:
            lines.append(line.decode())
            if self.on_line:
                await self.on_line(lines[-1])
        return "".join(lines)

    async def session_at(self, when: str) -> Any:
        """Return Ben's session that begins at *when*, ``2026-11-30 10:00`` in Tokyo."""
        start = datetime.fromisoformat(when).replace(tzinfo=ZoneInfo("Asia/Tokyo"))
        reply = await self.app.call("ben", "GET", "sessions", params={"state": "scheduled"})
        (session,) = [
            each for each in reply.json()["items"] if datetime.fromisoformat(each["start"]) == start
        ]
        return session

    async def upcoming(self) -> list[str]:
        """Return the ids of Ben's sessions that are scheduled."""
        reply = await self.app.call("ben", "GET", "sessions", params={"state": "scheduled"})
        assert reply.status_code == 200, reply.text
        return [each["id"] for each in reply.json()["items"]]


@asynccontextmanager
async def an_operator(folder: Path, **options: Any) -> AsyncIterator[Operator]:
    """Run app, gateway and the queues until the block ends. *options*: those of `a_stage`."""
    async with a_stage(folder, cors=PAGE, **options) as app:
        cloud = app.cloud
        cloud.world.person("ada").aliases.append(ALIAS)
        gateway, address = Gateway(app), take_address(cloud.certificate.server_context())
        gateway.url = address.url
        site = web.Application()
        site.router.add_route("*", "/{path:.*}", gateway.pass_on)
        tokens = {
            "PLATFORM": app.token("platform"),
            "BEN": app.token("ben"),
            "GRAPH": graph_token(app, ["Calendars.Read", "Calendars.ReadWrite"]),
        }
        async with serving(site, address), _polled(app):
            yield Operator(app, gateway, tokens)


async def reconcile(app: AppUnderTest, session: Any) -> None:
    """Reconcile *session* alone as if a minute had passed since the first look for it.

    The others must be found changed by what Outlook notifies, so they do not come due.
    """
    async with wiring_of(app.cloud) as adapters:
        await backdate_missing(adapters, [session])
        pages = adapters.due.of_organization(OrganizationId("contoso"))
        items = [
            item
            async for page in pages
            for item in page
            if (item.kind, item.key) == (DueKind.RECONCILIATION, session["id"])
        ]
        assert items
        await adapters.due.put([replace(items[0], due_at=datetime.now(UTC) - timedelta(minutes=1))])
    await app.host.invoke_timer("reconcile_sessions")
    await app.settled()


def graph_token(app: AppUnderTest, roles: Iterable[str]) -> str:
    """Return the app's own token for Graph in Contoso's tenant."""
    cloud = app.cloud
    return cloud.entra.mint.for_graph_as_app(CONTOSO_ID, cloud.graph_url, roles)


@asynccontextmanager
async def _polled(app: AppUnderTest) -> AsyncIterator[None]:
    """Let the host take messages from its queues, as on Azure by itself."""

    async def poll() -> None:
        while True:
            await app.host.drain_queues()
            await asyncio.sleep(0.2)

    polling = asyncio.create_task(poll())
    try:
        yield
    finally:
        polling.cancel()
        with suppress(asyncio.CancelledError):
            await polling
