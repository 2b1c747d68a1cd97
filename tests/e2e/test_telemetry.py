"""The telemetry in Application Insights: one trace from the click to Graph, without names."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import AppUnderTest, a_stage

_TEXTS = ("Secret-title", "Secret-agenda", "Secret-place", "Secret-comment")


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AppUnderTest]:
    # A short interval, so that a test can wait for it; OpenTelemetry itself reads it.
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
    async with a_stage(tmp_path, telemetry=True) as running:
        yield running


def spans(envelopes: list[dict[str, Any]], trace_id: str) -> dict[str, dict[str, Any]]:
    """Return the spans of a trace, by name."""
    return {
        each["data"]["baseData"]["name"]: each
        for each in envelopes
        if each["tags"].get("ai.operation.id") == trace_id
    }


def figures(envelopes: list[dict[str, Any]]) -> set[str]:
    """Return the names of all metrics."""
    return {
        metric["name"]
        for each in envelopes
        if each["data"]["baseType"] == "MetricData"
        for metric in each["data"]["baseData"]["metrics"]
    }


async def test_one_trace_leads_from_the_request_through_the_queue_to_graph(
    stage: AppUnderTest,
) -> None:
    callers = "0af7651916cd43dd8448eb211c80319c"
    slot = (await stage.slots("ben", "ada-ben"))[0]
    reply = await stage.call(
        "ben",
        "POST",
        "pairings/ada-ben/sessions",
        json={
            "start": slot["start"],
            "duration_minutes": 30,
            "time_zone": "Europe/Berlin",
            "title": "Secret-title",
            "agenda": "Secret-agenda",
            "location": "Secret-place",
        },
        headers={"idempotency-key": "one", "traceparent": f"00-{callers}-b7ad6b7169203331-01"},
    )
    trace = reply.headers["x-trace-id"]
    assert trace != callers
    session_id = reply.json()["id"]
    await stage.settled()
    stage.cloud.graph.outlook.accept("ada", session_id, comment="Secret-comment")
    await stage.settled()
    wanted = {"book_session", "POST /users/{user}/events", "do_job", "POST /subscriptions"}
    insights = stage.cloud.insights
    async with asyncio.timeout(100):
        await insights.received(lambda sent: wanted <= spans(sent, trace).keys())
        await insights.received(
            lambda sent: (
                {
                    "http.replied.duration_ms",
                    "webhook.acknowledged.duration_ms",
                    "webhook.acknowledged.accepted",
                    "change.seen.lag_ms",
                }
                <= figures(sent)
            )
        )
    found = spans(insights.envelopes, trace)
    booked = found["book_session"]
    assert "ai.operation.parentId" not in booked["tags"]
    links = json.loads(booked["data"]["baseData"]["properties"]["_MS.links"])
    assert links == [{"operation_Id": callers, "id": "b7ad6b7169203331"}]
    created = found["POST /users/{user}/events"]
    assert created["tags"]["ai.operation.parentId"] == booked["data"]["baseData"]["id"]
    assert created["data"]["baseData"]["success"] is True
    assert any(trace in line for line in stage.lines if "session.booked " in line)
    assert insights.refused == 0


async def test_telemetry_names_no_person(stage: AppUnderTest) -> None:
    session = await stage.book(
        title="Secret-title", agenda="Secret-agenda", location="Secret-place"
    )
    await stage.settled()
    stage.cloud.graph.outlook.accept("ada", session["id"], comment="Secret-comment")
    await stage.settled()
    await stage.host.invoke_timer("renew_subscriptions")
    await stage.host.invoke_timer("reconcile_sessions")
    await stage.cloud.graph.settle(within=timedelta(minutes=2))
    insights = stage.cloud.insights
    async with asyncio.timeout(100):
        await insights.received(
            lambda sent: (
                {"renewal.queued.due", "poison.counted.count"} <= figures(sent)
                and any("/events/{event}" in json.dumps(each) for each in sent)
            )
        )
    sent = json.dumps(insights.envelopes, ensure_ascii=False)
    people = [person for tenant in stage.cloud.world.tenants.values() for person in tenant.people]
    private = [
        *_TEXTS,
        *(word for person in people for word in (person.address, person.object_id, person.name)),
        session["id"],
        "@contoso.example",
    ]
    assert [word for word in private if word in sent] == []


async def test_a_booking_does_not_depend_on_it(stage: AppUnderTest) -> None:
    stage.cloud.insights.is_down = True
    assert (await stage.book())["state"] == "scheduled"
