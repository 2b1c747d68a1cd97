"""One stuck function holds no participant: each ends itself, long before the host would.

At the host's own limit the worker is killed, and all that it had in hand hangs with it.
"""

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from functions._background import FUNCTION_SECONDS
from functions._http import WAIT_SECONDS
from local.graph.faults import FaultRule
from shared.adapters.graph.client import BUDGET_SECONDS
from shared.jobs import DueKind
from tests.e2e.conftest import AppUnderTest, wiring_of
from tests.e2e.packaged import ROOT

REQUESTS = 100


def test_the_hosts_limit_is_beyond_every_deadline_of_ours() -> None:
    hours, minutes, seconds = map(
        int, json.loads((ROOT / "host.json").read_text())["functionTimeout"].split(":")
    )
    limit = hours * 3600 + minutes * 60 + seconds
    assert max(FUNCTION_SECONDS, WAIT_SECONDS) + 30 < limit
    assert limit <= 180


async def test_a_job_whose_call_is_never_answered_holds_no_participant(
    stage: AppUnderTest,
) -> None:
    session = await stage.book()
    await stage.settled()
    async with wiring_of(stage.cloud) as adapters:
        item = await adapters.due.oldest(DueKind.RECONCILIATION)
        assert item is not None
        await adapters.due.put([replace(item, due_at=datetime.now(UTC) - timedelta(minutes=1))])
    never = stage.cloud.graph.faults.add(
        FaultRule(path=r"\$batch|/events/", behaviour="delay", delay_seconds=3600)
    )
    await stage.host.invoke_timer("reconcile_sessions")
    began = time.monotonic()
    job = asyncio.create_task(stage.host.drain_queues())
    async with asyncio.timeout(60):
        while not never.hits:  # noqa: ASYNC110 - nobody tells of a hit
            await asyncio.sleep(0.05)

    async def waited(number: int) -> float:
        sent = time.monotonic()
        await stage.slots("ada" if number % 2 else "ben")
        return time.monotonic() - sent

    waits: list[float] = []
    # Outlook takes four at a time from an app for a mailbox, and the job has one of Ben's.
    for start in range(0, REQUESTS, 4):
        waits += await asyncio.gather(*(waited(number) for number in range(start, start + 4)))
        if start == 0:
            assert not job.done()
    await job
    took = time.monotonic() - began
    # The call's own limit ended it: the session is due again, and nothing was concluded.
    assert max(waits) < took
    assert took < FUNCTION_SECONDS
    assert took > BUDGET_SECONDS / 2
    stage.cloud.graph.faults.clear()
    shown = await stage.call("ben", "GET", f"sessions/{session['id']}")
    assert shown.json()["state"] == "scheduled"
    async with wiring_of(stage.cloud) as adapters:
        assert await adapters.due.oldest(DueKind.RECONCILIATION) is not None
