"""Counts without noise: modules of a cold start, calls to Graph per operation."""

import json
import subprocess
import sys
from datetime import timedelta

from tests.e2e.conftest import AppUnderTest
from tests.e2e.packaged import APP_DIR, ROOT, python

_COUNT = """
import json, sys
{code}
# Peak memory of this process alone; what getrusage says begins with its parent's.
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
print(json.dumps([sorted(sys.modules), peak]))
"""


def _loaded(code: str) -> tuple[list[str], int]:
    command = python(APP_DIR) if APP_DIR else [sys.executable, "-c"]
    done = subprocess.run(
        [*command, _COUNT.format(code=code)],
        capture_output=True,
        text=True,
        check=True,
        cwd=APP_DIR or ROOT,
    )
    modules, megabytes = json.loads(done.stdout.splitlines()[-1])
    return modules, megabytes


def test_importing_the_app_loads_no_sdk() -> None:
    modules, megabytes = _loaded("import function_app")
    # Almost a hundred are the app's own. The newest Python brings five more than 3.13 does.
    assert len(modules) <= (480 if sys.version_info < (3, 14) else 485)
    # The bound is that of 3.13 and older; on 3.14 the import took 52 MB before there was one.
    assert megabytes <= (50 if sys.version_info < (3, 14) else 54)
    heavy = ("msgraph", "azure.identity", "aiohttp", "azure.data", "azure.storage", "httpx")
    assert [m for m in modules if m.startswith(heavy)] == []


def test_the_handshake_loads_nothing_more() -> None:
    before, _ = _loaded("import function_app")
    handshake = """
import asyncio
import azure.functions as func
import function_app
from functions import notifications
for builder in (notifications.receive_notifications, notifications.receive_lifecycle):
    request = func.HttpRequest(
        "POST", "/api/graph/notifications", params={"validationToken": "to<b>ken"}, body=b""
    )
    reply = asyncio.run(builder._function.get_user_function()(request))
    assert (reply.status_code, reply.get_body(), reply.mimetype) == (200, b"to<b>ken", "text/plain")
"""
    after, _ = _loaded(handshake)
    # The modules of asyncio, without modules of the app or of an SDK.
    more = {m.partition(".")[0] for m in set(after) - set(before)}
    assert more.isdisjoint({"shared", "functions", "azure", "msgraph", "httpx", "aiohttp", "jwt"})


async def test_calls_to_graph_per_operation(stage: AppUnderTest) -> None:
    graph = stage.cloud.graph
    graph.switches.duplicates = 0  # two copies at once may be read twice, without another effect

    graph.requests.reset()
    slots = await stage.slots()
    assert graph.requests.count() == 1

    graph.requests.reset()
    reply = await stage.call(
        "ben",
        "POST",
        "pairings/ada-ben/sessions",
        json={
            "start": slots[0]["start"],
            "duration_minutes": 30,
            "time_zone": "Europe/Berlin",
            "online_meeting": "teams",
        },
        headers={"idempotency-key": "one"},
    )
    assert reply.status_code == 201
    assert graph.requests.count() == 2
    session = reply.json()["id"]
    await stage.settled()

    graph.requests.reset()
    graph.outlook.accept("ada", session)
    await stage.settled()
    seen = (await stage.call("ben", "GET", f"sessions/{session}")).json()
    assert seen["attendees"][0]["response"] == "accepted"
    assert graph.requests.count("GET") == 1

    graph.requests.reset()
    start = stage.cloud.world.clock.now() + timedelta(days=20)
    other = graph.outlook.busy("ben", start, start + timedelta(hours=1), subject="Something else")
    await stage.settled()
    delivered = graph.tally.delivered
    graph.outlook.edit("ben", other.ical_uid, subject="Something else again")
    await stage.settled()
    assert graph.tally.delivered > delivered
    assert graph.requests.count() == 0
