"""Odd parts of Graph's answers spoil only themselves; texts reach Outlook as they were written."""

from datetime import timedelta
from typing import Any

import pytest

from local.graph.faults import FaultRule
from local.graph.rendering import plain_text
from tests.e2e.conftest import AppUnderTest
from tests.e2e.test_following import booked, evening, read_again, shown, z
from tests.e2e.test_unknown import asked, of, set_switches


async def _feed(stage: AppUnderTest, kind: str) -> list[Any]:
    reply = await stage.call("platform", "GET", "organizations/contoso/changes")
    return [each["detail"] for each in reply.json()["items"] if each["kind"] == kind]


async def test_a_session_moved_to_zero_minutes_is_said_to_be_odd_and_can_be_moved_again(
    stage: AppUnderTest,
) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    start = evening()
    outlook.move("ben", session["id"], start, start)
    seen = await shown(stage, session)
    assert (seen["start"], seen["end"]) == (z(start), z(start))
    assert (seen["odd_time"], seen["unreadable_since"]) == ("zero_minutes", None)
    assert await _feed(stage, "session.rescheduled") == ["zero_minutes"]
    for _ in range(2):
        await read_again(stage)
    assert await _feed(stage, "session.rescheduled") == ["zero_minutes"]
    listed = (await stage.call("ada", "GET", "sessions")).json()["items"]
    assert [s["odd_time"] for s in listed if s["id"] == session["id"]] == ["zero_minutes"]
    # It holds nothing: another session can be booked at the same time.
    other = await stage.call(
        "ben",
        "POST",
        "pairings/ada-ben/sessions",
        json={"start": z(start), "duration_minutes": 30, "time_zone": "Europe/Berlin"},
        headers={"idempotency-key": "other"},
    )
    assert other.status_code == 201, other.text
    await stage.settled()
    assert (await shown(stage, session))["conflicts_with"] == []
    path, fresh = f"sessions/{session['id']}", {"if-match": "*"}
    same = {"start": z(start)}
    refused = await stage.call("ben", "PATCH", path, json=same, headers=fresh)
    assert refused.status_code == 422, refused.text
    assert [e["field"] for e in refused.json()["errors"]] == ["body.duration_minutes"]
    body = {"start": z(start + timedelta(hours=1)), "duration_minutes": 30}
    moved = await stage.call("ben", "PATCH", path, json=body, headers=fresh)
    assert moved.status_code == 200, moved.text
    assert moved.json()["odd_time"] is None
    assert moved.json()["end"] == z(start + timedelta(minutes=90))
    assert not [line for line in stage.lines if "Failed" in line]


async def test_a_session_of_zero_minutes_is_answered_and_cancelled(stage: AppUnderTest) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    start = evening()
    outlook.move("ben", session["id"], start, start)
    await shown(stage, session)
    path = f"sessions/{session['id']}"
    reply = await stage.call("ada", "POST", f"{path}/response", json={"response": "accepted"})
    assert reply.status_code == 202, reply.text
    assert (await shown(stage, session))["attendees"][0]["response"] == "accepted"
    reply = await stage.call("ben", "POST", f"{path}/cancel", json={}, headers={"if-match": "*"})
    assert reply.status_code == 200, reply.text
    assert (await shown(stage, session))["state"] == "cancelled"


async def test_a_proposal_of_zero_minutes_is_shown_and_cannot_be_accepted(
    stage: AppUnderTest,
) -> None:
    session = await booked(stage)
    start = evening()
    stage.cloud.graph.outlook.propose("ada", session["id"], start, start)
    seen = await shown(stage, session)
    (attendee,) = seen["attendees"]
    assert attendee["response"] == "tentative"
    assert attendee["proposed"] == {"start": z(start), "end": z(start)}
    assert seen["unreadable_since"] is None
    ada = attendee["object_id"]
    reply = await stage.call("ben", "POST", f"sessions/{session['id']}/proposals/{ada}/accept")
    assert (reply.status_code, reply.json()["type"]) == (409, "/api/problems/conflict"), reply.text
    assert "no length" in reply.json()["detail"]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"without": ["attendees"]},
        {"parts": {"attendees.*.emailAddress": None}},
        {"parts": {"attendees.*.emailAddress.address": None}},
        {"parts": {"organizer": None}},
    ],
)
async def test_an_event_with_an_unreadable_part_is_followed_and_reported_once(
    stage: AppUnderTest, spoilt: dict[str, Any]
) -> None:
    session, graph = await booked(stage), stage.cloud.graph
    graph.faults.add(FaultRule("GET", "/events/", "spoil", **spoilt))
    start = evening()
    graph.outlook.move("ben", session["id"], start, start + timedelta(minutes=30))
    seen = await shown(stage, session)
    assert (seen["state"], seen["start"]) == ("scheduled", z(start))
    assert [a["address"] for a in seen["attendees"]] == ["ada@contoso.example"]
    assert seen["unreadable_since"] is not None
    for _ in range(3):
        await read_again(stage)
    assert await _feed(stage, "organization.trouble") == ["event_partly_unreadable"]
    assert not [line for line in stage.lines if "Failed" in line]
    graph.faults.clear()
    await read_again(stage)
    assert (await shown(stage, session))["unreadable_since"] is None


async def test_one_persons_spoilt_free_busy_leaves_the_other_known(stage: AppUnderTest) -> None:
    before = of(await asked(stage, "ada-ben", "ben"), "ben")
    addresses = [f"{who}@contoso.example" for who in ("ada", "ben")]
    set_switches(stage, schedule_without_view=addresses[:1])
    for part in ("value.0.scheduleId", "value.0.scheduleItems.0.start"):
        rule = FaultRule("POST", "getSchedule", "spoil", parts={part: None})
        stage.cloud.graph.faults.add(rule)
        found = await asked(stage, "ada-ben", "ben")
        reason = "no_answer" if part.endswith("Id") else "unreadable"
        assert of(found, "ada")["unknown"]["reason"] == reason
        assert of(found, "ben") == before
        assert found["slots"] == []
        stage.cloud.graph.faults.clear()


# --- texts


async def test_a_title_of_255_units_reaches_outlook_and_a_longer_one_is_refused(
    stage: AppUnderTest,
) -> None:
    title = "x" + 127 * "😀"
    session = await booked_with(stage, title=title, location=title)
    event = stage.cloud.graph.outlook.get(stage.cloud.graph.outlook.find("ben", session["id"]))
    assert event["subject"] == title
    assert event["location"]["displayName"] == title
    # A longer one is cut by Exchange, in the middle of what was meant.
    stage.cloud.graph.outlook.edit("ben", session["id"], subject=f"{title}y")
    cut = stage.cloud.graph.outlook.get(stage.cloud.graph.outlook.find("ben", session["id"]))
    assert cut["subject"].endswith("...")
    for field in ("title", "location"):
        reply = await stage.call(
            "ben",
            "POST",
            "pairings/ada-ben/sessions",
            json={
                "start": z(evening()),
                "duration_minutes": 30,
                "time_zone": "UTC",
                field: f"{title}y",
            },
            headers={"idempotency-key": field},
        )
        assert reply.status_code == 422, reply.text
        (error,) = reply.json()["errors"]
        assert error["field"] == f"body.{field}"
        assert "255 UTF-16 units" in error["message"]
        assert "has 256" in error["message"]


async def booked_with(stage: AppUnderTest, **changes: Any) -> Any:
    """Return a session that was booked with *changes*, and whose mail has arrived."""
    session = await stage.book(**changes)
    await stage.settled()
    return session


@pytest.mark.parametrize("is_html", [False, True])
async def test_a_comment_is_shown_as_it_was_written(stage: AppUnderTest, *, is_html: bool) -> None:
    stage.cloud.graph.switches.set("comments_are_html", is_html)
    session = await booked(stage)
    outlook, text = stage.cloud.graph.outlook, "Ill, <b>sorry</b> &amp; <3"
    copy = outlook.find("ada", session["id"])
    reply = await stage.call(
        "ben",
        "POST",
        f"sessions/{session['id']}/cancel",
        json={"comment": text},
        headers={"if-match": "*"},
    )
    assert reply.status_code == 200, reply.text
    await stage.settled()
    shown_text = plain_text(outlook.get(copy)["body"]["content"])
    assert shown_text.replace("\u200b", "") == text
