"""The cost of bodies made to be costly, for every route, and who waits for slow ones.

``python -m benchmarks.hostile_bodies``. Anybody can send a body to every route; those that need a
token are measured without one and with each. The handlers run on fakes in this process, so the
figures are the event loop's CPU time alone. *reading* is the cost of receiving as much as the route
reads, by asyncio on this machine: what any client can cost by sending more. Slow bodies come a byte
at a time to the development host.
"""

import argparse
import asyncio
import functools
import json
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import azure.functions as func
import httpx

from benchmarks.webhook import a_host
from local.cloud import LocalCloud
from local.serving import take_address
from shared.adapters.client_states import HmacClientStateSigner
from shared.administration.sync_health import percentile
from tests.builders import a_tenant, a_uuid
from tests.edge.api import Api, an_api, on_fakes
from tests.endpoints import Endpoint, endpoints
from tests.unit.adapters.test_key_vault_client_states import FakeSecrets

KIB: Final = 1024
SIZES: Final = (64 * KIB, 1000 * KIB, 1000 * KIB + 1)
"""As much as the API reads, as much as the webhook reads, and a byte more."""
_REPEATS: Final = 3


def _filled(start: bytes, part: bytes, end: bytes, size: int) -> bytes:
    """Return *start*, *part* repeated, and *end*, padded with blanks to *size*."""
    count = max(0, (size - len(start) - len(end)) // len(part))
    return (start + part * count + end).ljust(size)


def _items(item: Callable[[int], object], size: int) -> bytes:
    one = json.dumps(item(0), separators=(",", ":")).encode()
    count = max(1, size // (len(one) + 8))
    items = b",".join(json.dumps(item(n), separators=(",", ":")).encode() for n in range(count))
    return (b'{"value":[' + items + b"]}").ljust(size)[:size]


def _notification(number: int) -> dict[str, object]:
    """Return a notification with a client state of its own, of the right form and forged."""
    return {
        "subscriptionId": "s",
        "tenantId": a_tenant(),
        "organizationId": a_tenant(),
        "clientState": f"v1.{a_uuid()}.{number:08}.{'A' * 43}",
        "resource": "/events/x",
    }


BODIES: Final[Mapping[str, Callable[[int], bytes]]] = {
    "wide": lambda size: _filled(b'{"value":[0', b",0", b"]}", size),
    "objects": lambda size: _filled(b'{"value":[{}', b",{}", b"]}", size),
    "deep lists": lambda size: b"[" * size,
    "deep objects": lambda size: _filled(b"", b'{"value":', b"", size),
    "long string": lambda size: _filled(b'{"value":"', b"x", b'"}', size),
    "escapes": lambda size: _filled(b'{"value":"', b"\\u0041", b'"}', size),
    "long keys": lambda size: _filled(b'{"', b"x", b'":0}', size),
    "many keys": lambda size: (
        b"{" + b",".join(b'"%07d":0' % n for n in range(size // 12)) + b"}"
    ).ljust(size),
    "same keys": lambda size: _filled(b'{"value":0', b',"value":0', b"}", size),
    "numbers": lambda size: _filled(b'{"value":[0', b"," + b"9" * 4300, b"]}", size),
    "long number": lambda size: _filled(b'{"value":', b"9", b"}", size),
    "long fraction": lambda size: _filled(b'{"value":0.', b"9", b"}", size),
    "bad UTF-8": lambda size: _filled(b'{"value":"', b"x", b'\xff"}', size),
    "lone surrogates": lambda size: _filled(b'{"value":"', b"\\ud800", b'"}', size),
    "blanks": lambda size: b" " * size,
    "not JSON": lambda size: b"\x00" * size,
    "forged": lambda size: _items(_notification, size),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a body on one route, in CPU milliseconds."""

    route: str
    who: str | None
    body: str
    size: int
    status: int
    ms: float
    """Besides the cost of the same request without a body."""
    ratio: float
    """How many times as much as reading the longest body of the route."""

    @property
    def per_kib(self) -> float:
        """Milliseconds per KiB."""
        return self.ms / (self.size / KIB)


@functools.cache
def body_of(name: str, size: int) -> bytes:
    """Return the body *name* of *size* bytes."""
    return BODIES[name](size)


def routes() -> Iterator[tuple[Endpoint, str]]:
    """Yield every HTTP function of the app with each of its methods."""
    for endpoint in endpoints():
        for method in sorted(endpoint.methods):
            yield endpoint, method


async def hostile_api() -> Api:
    """Return the app on fakes, with the real signer of client states."""
    api = await an_api()
    keys: Any = FakeSecrets("the newer key", "the older key")
    api.adapters.__dict__["client_states"] = HmacClientStateSigner(keys)
    return api


async def costs_of(
    endpoint: Endpoint, method: str, *, size: int, who: str | None = None
) -> list[Cost]:
    """Return the cost of each body of *size* bytes on one route."""
    empty, _ = await _request_cost(endpoint, method, b"", who)
    longest = SIZES[1] if endpoint.operation is None else SIZES[0]
    reading = await reading_cost(longest)
    costs = []
    for name, body in _bodies(endpoint, size, who):
        spent, status = await _request_cost(endpoint, method, body, who)
        ms = max(0.0, spent - empty)
        route = f"{method} {endpoint.template.text}"
        costs.append(Cost(route, who, name, len(body), status, ms, ms / reading))
    return costs


def _bodies(endpoint: Endpoint, size: int, who: str | None) -> Iterator[tuple[str, bytes]]:
    """Yield each body by name; for a caller with a token also with each field of the route."""
    for name in BODIES:
        yield name, body_of(name, size)
    model = endpoint.operation.body if endpoint.operation and who else None
    for field in model.model_fields if model else ():
        for name in ("wide", "objects", "long string", "escapes"):
            body = body_of(name, size).replace(b'"value"', f'"{field}"'.encode(), 1)
            yield f"{field}, {name}", body[:size]


async def _request_cost(
    endpoint: Endpoint, method: str, body: bytes, who: str | None
) -> tuple[float, int]:
    """Return the least CPU milliseconds of some equal requests, and their status."""
    names = [one.name for part in endpoint.template.segments for one in part.parameters]
    headers = {"content-type": "application/json", "idempotency-key": "x", "if-match": "*"}
    if who is not None:
        headers["authorization"] = f"Bearer token-of-{who}"
    least, status = float("inf"), 0
    for _ in range(_REPEATS):
        request = func.HttpRequest(
            method,
            "https://app.test/api/x",
            headers=headers,
            params={},
            route_params=dict.fromkeys(names, "x"),
            body=body,
        )
        started = time.process_time()
        response = await endpoint.handler(request)
        least = min(least, 1000 * (time.process_time() - started))
        status = response.status_code
    return least, status


async def reading_cost(size: int) -> float:
    """Return the least CPU milliseconds of sending and receiving *size* bytes on this machine."""
    least = float("inf")
    for _ in range(_REPEATS):
        near, far = socket.socketpair()
        _, sender = await asyncio.open_connection(sock=near)
        reader, receiver = await asyncio.open_connection(sock=far)
        body = b"x" * size
        started = time.process_time()
        sender.write(body)
        await reader.readexactly(size)
        least = min(least, 1000 * (time.process_time() - started))
        sender.close()
        receiver.close()
    return least


async def measure() -> list[Cost]:
    """Return the cost of every body on every route, without a token and with each."""
    api = await hostile_api()
    with on_fakes(api.adapters):
        return [
            cost
            for endpoint, method in routes()
            for who in (None, "mentee", "platform")
            for size in SIZES
            for cost in await costs_of(endpoint, method, size=size, who=who)
        ]


def report(costs: list[Cost], who: str | None) -> str:
    """Return the worst body of each route for *who*."""
    head = f"{'route, sent by ' + (who or 'anybody'):60}{'worst body':>24}{'KiB':>6}{'status':>8}"
    lines = [head + f"{'ms':>8}{'ms/KiB':>9}{'x reading':>11}"]
    theirs = [cost for cost in costs if cost.who == who]
    for route in dict.fromkeys(cost.route for cost in theirs):
        worst = max((cost for cost in theirs if cost.route == route), key=lambda cost: cost.per_kib)
        most = max(cost.ratio for cost in theirs if cost.route == route)
        lines.append(
            f"{route:60}{worst.body:>24}{worst.size // KIB:>6}{worst.status:>8}"
            f"{worst.ms:>8.2f}{worst.per_kib:>9.4f}{most:>11.1f}"
        )
    return "\n".join(lines)


async def slow_bodies(connections: int, seconds: float) -> tuple[list[int], list[int]]:
    """Return the milliseconds that others wait: alone, and beside *connections* slow bodies."""
    address = take_address()
    port = address.port
    address.taken.close()
    with tempfile.TemporaryDirectory() as folder:
        public_url = f"https://localhost:{port}"
        async with (
            LocalCloud(folder=Path(folder), public_url=public_url, weeks=1) as cloud,
            a_host(cloud, port, "--no-queues"),
        ):
            tls = ssl.create_default_context(cafile=str(cloud.certificate.authority))
            async with httpx.AsyncClient(base_url=public_url, verify=tls) as http:
                alone = await _waits(http, seconds)
                slow = [asyncio.create_task(_dribble(port, tls)) for _ in range(connections)]
                beside = await _waits(http, seconds)
                for task in slow:
                    task.cancel()
                await asyncio.gather(*slow, return_exceptions=True)
    return alone, beside


async def _waits(http: httpx.AsyncClient, seconds: float) -> list[int]:
    waits, ends_at = [], time.perf_counter() + seconds
    while (started := time.perf_counter()) < ends_at:
        (await http.get("/api/openapi.json")).raise_for_status()
        waits.append(round(1000 * (time.perf_counter() - started)))
    return sorted(waits)


async def _dribble(port: int, tls: ssl.SSLContext) -> None:
    """Announce a long body and send it a byte at a time, until cancelled."""
    _, writer = await asyncio.open_connection("localhost", port, ssl=tls)
    start = (
        "POST /api/graph/notifications HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n"
    )
    with suppress(ConnectionError):
        writer.write(start.encode())
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    costs = asyncio.run(measure())
    for who in (None, "mentee", "platform"):
        print(report(costs, who), end="\n\n")
    alone, beside = asyncio.run(slow_bodies(options.connections, options.seconds))
    print(
        f"others wait, p50 and p99: {percentile(alone, 50)} and {percentile(alone, 99)} ms;"
        f" beside {options.connections} slow bodies {percentile(beside, 50)} and"
        f" {percentile(beside, 99)} ms"
    )


if __name__ == "__main__":
    main()
