"""The queries of alerts, workbook and documents over the real log lines of a troubled day."""

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from azure.core.exceptions import ResourceExistsError

from local.cloud import NO_LIMITS
from local.graph.faults import FaultRule
from shared.jobs import DueKind
from tests import kql
from tests.e2e.conftest import AppUnderTest, a_stage, wiring_of
from tests.e2e.platform import Platform
from tests.e2e.test_following import evening, read_again
from tests.e2e.test_limits import book_series as book_nine
from tests.e2e.test_series import book as book_series
from tests.queries import TRACE_ID, alert_queries, document_queries, workbook_queries

_EVENT: Final = re.compile(r"(?:.* mentor_calendar: )?([a-z_]+\.[a-z_]+(?: \w+=.*)?)", re.DOTALL)

_OF_OUR_LINES: Final = re.compile(r"AppTraces\b.*\bMessage\b", re.DOTALL)
_MAY_BE_ZERO: Final = {"lag_ms", "p50", "p95", "p99", "accepted", "dropped"}
"""The simulator's clock runs ahead of the app's, so that no change in it is old when it is seen."""


async def test_every_query_of_our_lines_finds_what_it_asks_for(tmp_path: Path) -> None:
    limits = NO_LIMITS | {"LIMIT_CHANGES_PER_DAY": "12"}
    async with a_stage(tmp_path, credential="certificate", settings=limits) as stage:
        await _sessions_come_and_go(stage)
        await _outlook_changes_them(stage)
        await _graph_is_in_trouble(stage)
        await _administrators_and_limits(stage)
        lines = [found[1] for line in stage.lines if (found := _EVENT.fullmatch(line))]
    # A document shows a trace id of the reader's.
    booked = next(line for line in lines if line.startswith("session.booked "))
    lines.append(re.sub(r"trace_id=\w+", f"trace_id={TRACE_ID}", booked))
    asked = {
        # What an alert counts need not have happened; that it can be read is what counts here.
        **{name: query.split(" | summarize ")[0] for name, query in alert_queries().items()},
        **workbook_queries(),
        **document_queries(),
    }
    ours = {name: query for name, query in asked.items() if _OF_OUR_LINES.match(query)}
    assert len(ours) > 25
    assert {name: why for name, query in ours.items() if (why := _trouble(query, lines))} == {}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("where Message startswith 'session.boked '", "session.boked is not written"),
        ("where Message startswith 'job.dropped ' and Message contains 'b=1'", "no row"),
        ("extend job = extract('jop=([^ ]+)', 1, Message)", "empty: job"),
        ("summarize bad = countif(Message startswith 'job.dropped ' and false)", "empty: bad"),
        ("parse Message with * ' job=' job ' reason=' reason", "empty: job, reason"),
    ],
)
def test_a_query_of_what_is_not_logged_is_found(query: str, why: str) -> None:
    assert _trouble(f"AppTraces | {query}", ["job.dropped job=verify trace_id=1"]) == why


def _trouble(query: str, lines: list[str]) -> str:
    """Return why *query* would show nothing, or an empty column, after *lines* were written."""
    for event in re.findall(r"Message startswith ['\"]([a-z_.]+)", query):
        if not any(re.match(rf"{re.escape(event)}[ \n]", line) for line in lines):
            return f"{event} is not written"
    rows: list[kql.Row] = [
        {"Message": line, "TimeGenerated": datetime.now(UTC), "_BilledSize": len(line)}
        for line in lines
    ]
    found = kql.run(query, {"AppTraces": rows})
    if not found:
        return "no row"
    empty = [
        column
        for column in found[0]
        if not any(row[column] or (row[column] == 0 and column in _MAY_BE_ZERO) for row in found)
    ]
    return f"empty: {', '.join(empty)}" if empty else ""


async def _sessions_come_and_go(stage: AppUnderTest) -> None:
    session = await stage.book()
    await book_series(stage)
    await stage.settled()
    path = f"sessions/{session['id']}"
    slot = (await stage.slots())[-1]
    moved = await stage.call(
        "ben", "PATCH", path, json={"start": slot["start"]}, headers={"if-match": "*"}
    )
    assert moved.status_code == 200, moved.text
    cancelled = await stage.call("ben", "POST", f"{path}/cancel", json={})
    assert cancelled.status_code == 200, cancelled.text
    await stage.settled()


async def _outlook_changes_them(stage: AppUnderTest) -> None:
    session, graph = await stage.book(), stage.cloud.graph
    await stage.settled()
    graph.outlook.move("ben", session["id"], evening(), evening() + timedelta(minutes=30))
    await stage.settled()
    graph.switches.set("drop_share", 1.0)
    graph.switches.set("tell_missed", value=False)
    graph.outlook.accept("ada", session["id"])
    await graph.settle(within=timedelta(minutes=2))
    await read_again(stage)
    graph.switches.set("drop_share", 0.0)
    graph.switches.set("tell_missed", value=True)


async def _graph_is_in_trouble(stage: AppUnderTest) -> None:
    faults = stage.cloud.graph.faults
    await _set_a_message_aside(stage)
    faults.add(FaultRule(method="GET", path="/events/", status=429, retry_after=1, count=1))
    await read_again(stage)
    await _renew(stage)
    for status in (500, 403, 404):
        faults.add(FaultRule(method="PATCH", path="/subscriptions/", status=status, count=1))
        await _renew(stage)
    # The subscription is gone, and Graph makes no other one: the job fails, and is tried again.
    faults.add(FaultRule(method="PATCH", path="/subscriptions/", status=404, count=1))
    faults.add(FaultRule(method="POST", path="/subscriptions$", status=503, count=3))
    await _renew(stage)
    faults.clear()
    faults.add(FaultRule(method="POST", path="/events$", status=503))
    refused = await stage.call(
        "ben",
        "POST",
        "pairings/ada-ben/sessions",
        json={"start": evening(5).isoformat(), "duration_minutes": 30, "time_zone": "UTC"},
        headers={"idempotency-key": "trouble"},
    )
    assert refused.status_code == 503, refused.text
    faults.clear()
    slots = await stage.call("ben", "GET", "pairings/ada-ben/availability", params={"from": "x"})
    assert slots.status_code == 422


async def _set_a_message_aside(stage: AppUnderTest) -> None:
    async with wiring_of(stage.cloud) as adapters:
        client = adapters.queues._client("jobs-poison")
        with suppress(ResourceExistsError):
            await client.create_queue()
        await client.send_message("{}")


async def _renew(stage: AppUnderTest) -> None:
    """Let the one subscription be of the day before its last, and renew what is due."""
    now = datetime.now(UTC)
    async with wiring_of(stage.cloud) as adapters:
        item = await adapters.due.oldest(DueKind.RENEWAL)
        assert item is not None
        known = await adapters.subscriptions.get(item.mailbox)
        assert known is not None
        await adapters.subscriptions.save(
            replace(known, renewed_at=now - timedelta(days=5), expires_at=now + timedelta(days=2))
        )
        await adapters.due.put([replace(item, due_at=now - timedelta(minutes=1))])
    await stage.host.invoke_timer("renew_subscriptions")
    await stage.settled()


async def _administrators_and_limits(stage: AppUnderTest) -> None:
    platform = Platform(stage)
    page = await platform.visit(await platform.link("contoso"), "grant", "ines")
    assert page.status_code == 200, page.text
    for day in range(6, 12):  # a midnight may come between, when all is allowed again
        reply = await book_nine(stage, f"k{day}", {"start": evening(day).isoformat()})
        if reply.status_code == 429:
            return
    pytest.fail("no limit is reached")
