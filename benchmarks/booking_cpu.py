"""CPU cost of a request in the app's own process, with the local cloud in other processes.

The functions are called as the worker calls them. The first run calls Graph and storage over TLS,
by the SDKs' clients. In the second run they answer at once within the process (Graph below its SDK,
tables below the stores), so only the app's own cost is left. Only CPU time of this process counts;
waiting costs nothing. The work after the answer is the cost of other messages.

Run with ``python -m benchmarks.booking_cpu [--profile]``.
"""

import asyncio
import cProfile
import json
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, cast

import httpx

from benchmarks.graph_calls import Credentials, event, schedule
from benchmarks.shared_world import SharedTables, World
from local.cloud import NO_LIMITS, LocalCloud
from local.seed_storage import enrol
from shared.ids import OrganizationId, PairingId

GOAL_MS: Final = 8.0
_WARM_UP: Final = 20
_BOOKINGS: Final = 120
_A_DAY: Final = 4
"""Sessions in the evening, when all seeded people are free."""


async def main(arguments: tuple[str, ...] = ()) -> None:
    """Print the median and the goal of each operation."""
    with tempfile.TemporaryDirectory() as folder:
        async with LocalCloud(folder=Path(folder), settings=NO_LIMITS) as cloud:
            await _enrolled(cloud)
            whole = await _app(cloud, arguments)
            alone = await _app(cloud, ("--alone", *arguments))
    print("CPU of the app's process per request, ms: median (nine in ten below)")
    print(f"{'':14}{'with the clients of Graph and storage':>40}{'beyond them':>22}")
    for name, spent in whole.items():
        print(f"{name:<14}{_told(spent):>40}{_told(alone[name]):>22}")
    booking = statistics.median(alone["book"])
    print(f"a booking beyond Graph and storage: {booking:.2f} ms (goal: {GOAL_MS:.0f})")


def _told(spent: list[float]) -> str:
    return f"{statistics.median(spent):.2f} ({statistics.quantiles(spent, n=10)[8]:.2f})"


async def _app(cloud: LocalCloud, arguments: tuple[str, ...]) -> dict[str, list[float]]:
    """Run the app's process; return milliseconds of each request by operation."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.booking_cpu",
        "--app",
        *arguments,
        env=os.environ | cloud.environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    token = cloud.entra.token_for(cloud.world.person("ben"))
    said, _ = await process.communicate(token.encode())
    lines = said.decode().splitlines()
    if lines[:-1]:
        print("\n".join(lines[:-1]))
    figures: dict[str, list[float]] = json.loads(lines[-1])
    return figures


async def _enrolled(cloud: LocalCloud) -> None:
    """Write the seeded organizations. The SDKs read the settings from the environment."""
    known = dict(os.environ)
    os.environ.update(cloud.environment)
    try:
        await enrol(cloud.environment)
    finally:
        os.environ.clear()
        os.environ.update(known)


# --- the app's process


class _Within:
    """A world's tables, called directly instead of over a connection."""

    def __init__(self) -> None:
        self._world = World({})

    async def call(self, method: str, *args: object) -> Any:  # noqa: ANN401 - whatever it answers
        """Call the world's *method*."""
        return getattr(self._world, method)(*args)


class _Quiet:
    """Queues that accept and drop every message."""

    async def send(self, queue: str, message: bytes, delay: timedelta = timedelta()) -> None:
        """Drop the message."""

    async def aclose(self) -> None:
        """Do nothing."""


async def _leave_alone() -> None:
    """Move Graph and storage into this process, with the existing organization and pairing."""
    from shared.adapters.graph.client import GraphClient
    from shared.adapters.http_pool import HttpPool
    from shared.wiring import wiring

    adapters = wiring()
    organization = await adapters.organizations.get(OrganizationId("contoso"))
    pairing = await adapters.pairings.get(organization.id, PairingId("ada-ben"))
    await adapters.tables.aclose()
    for name in (
        "organizations",
        "pairings",
        "sessions",
        "due",
        "changes",
        "jobs",
        "session_ports",
    ):
        adapters.__dict__.pop(name, None)
    clients: Any = (SharedTables(cast("Any", _Within())), _Quiet(), Credentials())
    adapters.__dict__["tables"], adapters.__dict__["queues"], credentials = clients
    http_pool = HttpPool(httpx.MockTransport(_graph_answers))
    adapters.__dict__["graph"] = GraphClient(adapters.settings, credentials, http_pool)
    await adapters.organizations.create(organization)
    await adapters.pairings.put(replace(pairing, version=""))


async def _graph_answers(request: httpx.Request) -> httpx.Response:
    """Answer like Graph: every person is free, every event is created."""
    asked = {name.lower(): value for name, value in json.loads(await request.aread()).items()}
    if not request.url.path.endswith("getSchedule"):
        return httpx.Response(201, json=event() | {"id": f"event-{asked['transactionid']}"})
    start, end = (datetime.fromisoformat(asked[n]["dateTime"]) for n in ("starttime", "endtime"))
    cells = (end - start) // timedelta(minutes=asked["availabilityviewinterval"])
    return httpx.Response(200, content=_everybody_free(tuple(asked["schedules"]), cells))


@cache
def _everybody_free(addresses: tuple[str, ...], cells: int) -> bytes:
    answers = [schedule(address) | {"availabilityView": "0" * cells} for address in addresses]
    return json.dumps({"value": answers}).encode()


async def _measure(token: str, *, profiles: bool, alone: bool) -> dict[str, list[float]]:
    """Book, look and list many times; return the CPU milliseconds of each request."""
    from functions import availability, sessions
    from shared.wiring import wiring

    if alone:
        await _leave_alone()
    book, look = _function(sessions.book_session), _function(availability.show_availability)
    listing = _function(sessions.list_my_sessions)
    day = datetime.now(UTC).replace(hour=19, minute=0, second=0, microsecond=0)
    week = {"from": day.isoformat(), "to": (day + timedelta(days=7)).isoformat()}
    profile = cProfile.Profile()

    def request(method: str, path: str, **given: Any) -> Any:  # noqa: ANN401  # an HttpRequest
        import azure.functions as func

        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return func.HttpRequest(
            method,
            f"https://app.test/api/{path}",
            headers=headers | given.pop("headers", {}),
            route_params={"pairing_id": "ada-ben"},
            body=given.pop("body", b""),
            **given,
        )

    def booking(number: int) -> Any:  # noqa: ANN401  # an HttpRequest
        days, part = divmod(number, _A_DAY)
        start = day + timedelta(days=days + 1, minutes=30 * part)
        wish = {
            "start": start.isoformat(),
            "duration_minutes": 30,
            "time_zone": "Europe/Berlin",
            "title": "Talk",
            "agenda": "About this and that.",
            "online_meeting": "teams",
        }
        return request(
            "POST",
            "pairings/ada-ben/sessions",
            headers={"idempotency-key": f"bench-{number}"},
            body=json.dumps(wish).encode(),
        )

    spent: dict[str, list[float]] = {"book": [], "availability": [], "list": []}
    for number in range(_WARM_UP + _BOOKINGS):
        is_warm = number >= _WARM_UP
        if profiles and is_warm:
            profile.enable()
        took = await _cpu_ms(partial(book, booking(number)), 201)
        profile.disable()
        seen = await _cpu_ms(partial(look, request("GET", "availability", params=week)), 200)
        listed = await _cpu_ms(partial(listing, request("GET", "sessions")), 200)
        if is_warm:
            spent["book"].append(took)
            spent["availability"].append(seen)
            spent["list"].append(listed)
    await wiring().aclose()
    if profiles:
        pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(45)
        pstats.Stats(profile, stream=sys.stdout).sort_stats("cumtime").print_stats(70)
    return spent


async def _cpu_ms(act: Callable[[], Awaitable[Any]], status: int) -> float:
    started = time.process_time()
    reply = await act()
    took = 1000 * (time.process_time() - started)
    if reply.status_code != status:
        raise SystemExit(f"{reply.status_code}: {reply.get_body().decode()}")
    return took


def _function(builder: Any) -> Callable[[Any], Awaitable[Any]]:  # noqa: ANN401  # untyped there
    found: Callable[[Any], Awaitable[Any]] = builder._function.get_user_function()  # noqa: SLF001
    return found


if __name__ == "__main__":
    if "--app" in sys.argv:
        measured = asyncio.run(
            _measure(
                sys.stdin.read().strip(),
                profiles="--profile" in sys.argv,
                alone="--alone" in sys.argv,
            )
        )
        print(json.dumps(measured))
    else:
        asyncio.run(main(tuple(sys.argv[1:])))
