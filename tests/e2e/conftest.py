"""The whole local cloud and the app on it, for tests that speak HTTP only."""

import os
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.cloud import LocalCloud
from local.enrolment import enrol
from local.host.host import DevelopmentHost
from local.serving import take_address
from tests.graph_contract import graph_contract

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Stage:
    """A running system, and whoever acts on it."""

    cloud: LocalCloud
    host: DevelopmentHost
    http: httpx.AsyncClient

    async def call(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the API as *who*."""
        headers = {"authorization": f"Bearer {self.token(who)}"} | options.pop("headers", {})
        return await self.http.request(method, f"/api/{path}", headers=headers, **options)

    def token(self, who: str) -> str:
        """Return a person's token for the API."""
        return self.cloud.entra.token_for(self.cloud.world.person(who))

    async def settled(self) -> None:
        """Let everything that is under way arrive: mail, notifications, queues."""
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
    """Have *environment* in this process while the block runs."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        yield


@asynccontextmanager
async def a_stage(folder: Path) -> AsyncIterator[Stage]:
    """Run cloud and app until the block ends."""
    contract, problems = graph_contract(), list[str]()
    address = take_address()
    port = address.taken.getsockname()[1]
    address.taken.close()
    async with LocalCloud(
        folder=folder,
        public_url=f"https://localhost:{port}",
        weeks=2,
        on_exchange=lambda e: problems.extend(contract.problems(e)) if contract else None,
    ) as cloud:
        environment = cloud.environment
        # The SDKs read the identity's endpoint, and TLS its trust, from the process itself.
        with settings_in_process(environment):
            await enrol(environment)
        async with (
            DevelopmentHost(
                ROOT,
                environment,
                port=port,
                certificate=cloud.certificate.certificate,
                key=cloud.certificate.key,
                polls_queues=False,
                runs_timers=False,
            ) as host,
            httpx.AsyncClient(
                base_url=f"https://localhost:{port}",
                timeout=30,
                verify=ssl.create_default_context(cafile=str(cloud.certificate.authority)),
            ) as http,
        ):
            assert host.failure is None, host.failure
            try:
                yield Stage(cloud, host, http)
            finally:
                # On Azure the process ends; here its connections must not outlive the test.
                app = sys.modules["shared.wiring"].wiring()
                await host.run_in_app(app.aclose())
    assert not problems, "\n".join(problems[:20])


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Provide a running system of its own."""
    async with a_stage(tmp_path) as running:
        yield running
