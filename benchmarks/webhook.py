"""Graph's webhook under load: acknowledgements, then the queue drained; count in, count out.

``python -m benchmarks.webhook [--seconds 60] [--per-second 500] [--flood 500]``. The app runs in
the development host, in a process of its own, on Azurite. The sender, in place of Graph, shares the
machine with both. ``--flood``: additional notifications a second of one mailbox, all about other
meetings.
"""

import argparse
import asyncio
import json
import os
import random
import re
import ssl
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from local.cloud import NO_LIMITS, ROOT, LocalCloud
from local.seed_storage import enrol
from local.serving import take_address
from shared.administration.sync_health import percentile
from shared.ids import Mailbox, ObjectId, TenantId
from shared.settings import Settings
from shared.wiring import Wiring

FOREIGN: Final = 0.9
PER_POST: Final = 20
_READY_SECONDS: Final = 120
_FAILED: Final = re.compile(r"Executed 'Functions\.follow_outlook' \(Failed")
_HANDLED: Final = re.compile(r"notification\.handled state=(\w+) count=(\d+)")
_TAKEN: Final = re.compile(
    r"webhook\.acknowledged accepted=(\d+) dropped=(\d+) put_off=(\d+) messages=(\d+)"
)
_ORGANIZERS: Final = {
    "ada": "ada-ben",
    "ben": "ada-ben",
    "priya": "ada-priya",
    "dana": "dana-tashi",
    "tashi": "dana-tashi",
    "layla": "layla-misaki",
    "misaki": "layla-misaki",
}
_OTHERS: Final = 200
"""Mailboxes with notifications but without a session: a followed mentor has other meetings."""


@dataclass
class Outcome:
    """The sent notifications and their outcome."""

    sent: int = 0
    posts: int = 0
    accepted: int = 0
    dropped: int = 0
    put_off: int = 0
    messages: int = 0
    handled: Counter[str] = field(default_factory=Counter)
    distinct: int = 0
    """Events to handle, after repetitions within a delivery were joined."""
    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    drained_seconds: float = 0.0
    failed: int = 0
    """Messages that came back to the queue: their events are handled again."""


class Host:
    """The development host in its own process, and its log lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.lines.append(line.decode(errors="replace"))

    async def stop(self) -> None:
        """Stop the host, and read its last lines."""
        self._process.terminate()
        await self._process.wait()
        await self._reading


@asynccontextmanager
async def a_host(cloud: LocalCloud, port: int, *arguments: str) -> AsyncIterator[Host]:
    """Run the app on *port* while the block runs."""
    files = cloud.certificate
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "local.host", "--no-timers"),
        *("--app-dir", str(ROOT), "--port", str(port)),
        *("--certificate", str(files.certificate), "--key", str(files.key), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **cloud.environment},
        cwd=ROOT,
        limit=1024 * 1024,
    )
    host = Host(process)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_READY_SECONDS):
            ready = json.loads(await process.stdout.readline())
        if ready["failure"]:
            raise RuntimeError(ready["failure"])
        yield host
    finally:
        await host.stop()


@contextmanager
def environment_of(cloud: LocalCloud) -> Iterator[None]:
    """Set the environment so that this process's SDKs find the cloud."""
    before = dict(os.environ)
    os.environ.update(cloud.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def run(seconds: float, per_second: int, flood: int = 0) -> Outcome:
    """Send for *seconds*, then drain; return the counts."""
    address = take_address()
    port = address.port
    address.taken.close()
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        async with LocalCloud(
            folder=Path(folder),
            public_url=f"https://localhost:{port}",
            weeks=1,
            settings=NO_LIMITS,
        ) as cloud:
            with environment_of(cloud):
                await enrol(cloud.environment)
                adapters = Wiring(Settings.from_environment(cloud.environment))
                ours = await _booked(cloud, port)
                async with a_host(cloud, port, "--no-queues") as host:
                    senders = await _senders(cloud, adapters, ours)
                    await _send(cloud, port, senders, seconds, per_second, flood, outcome)
                _count_taken(host.lines, outcome)
                outcome.distinct -= outcome.put_off
                started = time.perf_counter()
                async with a_host(cloud, port) as host:
                    await _drained(host, outcome)
                    outcome.drained_seconds = time.perf_counter() - started
                _count_handled(host.lines, outcome)
                await adapters.aclose()
    return outcome


async def _booked(cloud: LocalCloud, port: int) -> dict[str, list[str]]:
    """Book sessions; return their event ids in Graph's form, by organizer."""
    async with (
        a_host(cloud, port, "--no-queues"),
        _client(cloud, port) as http,
    ):
        return {
            organizer: await _book(cloud, http, organizer, pairing)
            for organizer, pairing in _ORGANIZERS.items()
        }


async def _book(
    cloud: LocalCloud, http: httpx.AsyncClient, organizer: str, pairing: str
) -> list[str]:
    token = cloud.entra.token_for(cloud.world.person(organizer))
    start = datetime.now(UTC) + timedelta(days=1)
    query = {
        "from": start.isoformat(),
        "to": (start + timedelta(days=6)).isoformat(),
        "duration_minutes": "30",
    }
    headers = {"authorization": f"Bearer {token}"}
    path = f"/api/pairings/{pairing}/availability"
    found = await _repeated(http, "GET", path, params=query, headers=headers)
    booked: list[str] = []
    for slot in found.json()["slots"][::2][:5]:
        body = {"start": slot["start"], "duration_minutes": 30, "time_zone": "Europe/Berlin"}
        reply = await _repeated(
            http,
            "POST",
            f"/api/pairings/{pairing}/sessions",
            json=body,
            headers=headers | {"idempotency-key": slot["start"]},
        )
        if reply.is_success:
            event = cloud.graph.outlook.find(organizer, reply.json()["id"])
            booked.append(event.id(immutable=True))
    return booked


async def _repeated(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    **given: Any,  # noqa: ANN401 - as of httpx
) -> httpx.Response:
    """Send a request as often as its 503 asks for, as on a slow machine."""
    for _ in range(5):
        reply = await http.request(method, path, **given)
        if reply.status_code != 503:
            break
    return reply


def _client(cloud: LocalCloud, port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"https://localhost:{port}",
        timeout=100,
        verify=ssl.create_default_context(cafile=str(cloud.certificate.authority)),
        limits=httpx.Limits(max_connections=100),
    )


@dataclass
class Senders:
    """The mailboxes with notifications."""

    tenant_id: str
    ours: list[tuple[str, str]]
    """The event of each session, with the client state of its organizer's subscription."""
    others: list[str]
    """Client states of mailboxes without sessions."""
    loud: str


async def _senders(cloud: LocalCloud, adapters: Wiring, ours: dict[str, list[str]]) -> Senders:
    tenant_id = cloud.world.person("ben").tenant_id

    async def state(object_id: str) -> str:
        mailbox = Mailbox(TenantId(tenant_id), ObjectId(object_id))
        return await adapters.client_states.create(mailbox, "nonce")

    return Senders(
        tenant_id,
        [
            (event_id, await state(cloud.world.person(organizer).object_id))
            for organizer, events in ours.items()
            for event_id in events
        ],
        [await state(str(uuid.uuid4())) for _ in range(_OTHERS)],
        await state(str(uuid.uuid4())),
    )


async def _send(
    cloud: LocalCloud,
    port: int,
    senders: Senders,
    seconds: float,
    per_second: int,
    flood: int,
    outcome: Outcome,
) -> None:
    chance = random.Random(7)

    def usual() -> tuple[str, str]:
        if chance.random() > FOREIGN:
            return chance.choice(senders.ours)
        return f"AA{chance.random()}", chance.choice(senders.others)

    def loud() -> tuple[str, str]:
        return f"AA{chance.random()}", senders.loud

    async with _client(cloud, port) as http:
        await http.post("/api/graph/notifications", json={"value": []})  # warm
        began = time.perf_counter()

        async def send(one: Callable[[], tuple[str, str]], rate: int) -> None:
            async with asyncio.TaskGroup() as posts:
                for number in range(int(seconds * rate / PER_POST)):
                    due = began + number * PER_POST / rate
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    said = [one() for _ in range(PER_POST)]
                    outcome.distinct += len(set(said))
                    body = {"value": [_notice(senders.tenant_id, *each, chance) for each in said]}
                    posts.create_task(_post(http, body, outcome))

        await asyncio.gather(send(usual, per_second), send(loud, flood))


def _notice(tenant_id: str, event_id: str, state: str, chance: random.Random) -> dict[str, Any]:
    return {
        "subscriptionId": "7f105c7d-2dc5-4530-97cd-4e7ae6534c07",
        "changeType": "updated",
        "clientState": state,
        "tenantId": tenant_id,
        "resource": f"Users/someone/Events/{event_id}",
        "resourceData": {
            "id": event_id,
            "@odata.type": "#Microsoft.Graph.Event",
            "@odata.etag": f'W/"{chance.random()}"',
        },
    }


async def _post(http: httpx.AsyncClient, body: dict[str, Any], outcome: Outcome) -> None:
    started = time.perf_counter()
    reply = await http.post("/api/graph/notifications", json=body)
    outcome.latencies_ms.append(1000 * (time.perf_counter() - started))
    outcome.statuses[reply.status_code] += 1
    outcome.posts += 1
    outcome.sent += len(body["value"])


def _count_taken(lines: list[str], outcome: Outcome) -> None:
    for line in lines:
        if found := _TAKEN.search(line):
            outcome.accepted += int(found[1])
            outcome.dropped += int(found[2])
            outcome.put_off += int(found[3])
            outcome.messages += int(found[4])


def _count_handled(lines: list[str], outcome: Outcome) -> None:
    for line in lines:
        if found := _HANDLED.search(line):
            outcome.handled[found[1]] += int(found[2])
        outcome.failed += bool(_FAILED.search(line))


async def _drained(host: Host, outcome: Outcome) -> None:
    """Wait until every accepted notification was handled."""
    async with asyncio.timeout(600):
        while True:
            so_far = Outcome()
            _count_handled(host.lines, so_far)
            if so_far.handled.total() >= outcome.distinct:
                return
            await asyncio.sleep(0.2)


def report(outcome: Outcome) -> str:
    """Return the figures as text."""
    ordered = sorted(round(each) for each in outcome.latencies_ms)
    rate = outcome.handled.total() / outcome.drained_seconds
    return (
        f"{outcome.sent:,} notifications in {outcome.posts:,} POSTs, {FOREIGN:.0%} of the usual"
        f" ones about other meetings; answers {dict(outcome.statuses)}\n"
        f"acknowledged: p50 {percentile(ordered, 50)} ms, p99 {percentile(ordered, 99)} ms"
        " (goal: p99 at most 100 ms)\n"
        f"accepted {outcome.accepted:,}, dropped {outcome.dropped:,}, in {outcome.messages:,}"
        f" messages; {outcome.put_off:,} of a loud mailbox put off\n"
        f"handled {outcome.handled.total():,} of {outcome.distinct:,}"
        f" ({dict(outcome.handled)}; {outcome.failed} messages came back)"
        f" in {outcome.drained_seconds:.1f} s, start included:"
        f" {rate:,.0f} a second"
    )


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--per-second", type=int, default=500)
    parser.add_argument("--flood", type=int, default=0)
    options = parser.parse_args()
    print(report(asyncio.run(run(options.seconds, options.per_second, options.flood))))


if __name__ == "__main__":
    main()
