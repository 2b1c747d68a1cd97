"""Following Outlook: what people do there is seen, what is not ours costs nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.conftest import Stage


async def shown(stage: Stage, session: Any, who: str = "ben") -> Any:
    """Return the session as it is now."""
    await stage.settled()
    reply = await stage.call(who, "GET", f"sessions/{session['id']}")
    assert reply.status_code == 200, reply.text
    return reply.json()


async def booked(stage: Stage) -> Any:
    """Return a session that everybody has heard of, with nothing more under way."""
    session = await stage.book()
    await stage.settled()
    stage.cloud.graph.requests.reset()
    return session


def evening(days: int = 3) -> datetime:
    """Return eight in the evening, UTC, some days from now: nobody has anything then."""
    today = datetime.now(UTC).replace(hour=20, minute=0, second=0, microsecond=0)
    return today + timedelta(days=days)


def z(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


async def test_answers_given_in_outlook_are_seen(stage: Stage) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    for act, response in (
        (outlook.tentative, "tentative"),
        (outlook.accept, "accepted"),
        (outlook.decline, "declined"),
    ):
        act("ada", session["id"])
        (attendee,) = (await shown(stage, session))["attendees"]
        assert attendee["response"] == response
        assert attendee["responded_at"]


async def test_a_time_proposed_in_outlook_is_seen_and_can_be_taken(stage: Stage) -> None:
    session = await booked(stage)
    start = evening()
    stage.cloud.graph.outlook.propose("ada", session["id"], start, start + timedelta(minutes=30))
    (attendee,) = (await shown(stage, session))["attendees"]
    assert attendee["proposed"] == {"start": z(start), "end": z(start + timedelta(minutes=30))}


async def test_a_move_in_outlook_is_seen_and_silences_answers(stage: Stage) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.accept("ada", session["id"])
    assert (await shown(stage, session))["attendees"][0]["response"] == "accepted"
    start = evening()
    outlook.move("ben", session["id"], start, start + timedelta(hours=1))
    seen = await shown(stage, session)
    assert (seen["start"], seen["end"]) == (z(start), z(start + timedelta(hours=1)))
    assert seen["attendees"][0]["response"] == "pending"
    assert seen["id"] in {
        s["id"] for s in (await stage.call("ada", "GET", "sessions")).json()["items"]
    }


async def test_a_meeting_cancelled_or_deleted_in_outlook_is_a_cancelled_session(
    stage: Stage,
) -> None:
    first, second = await booked(stage), await booked(stage)
    stage.cloud.graph.outlook.cancel("ben", first["id"])
    stage.cloud.graph.outlook.delete("ben", second["id"])
    assert (await shown(stage, first))["state"] == "cancelled"
    assert (await shown(stage, second, "ada"))["state"] == "cancelled"


async def test_our_own_writes_are_not_read_again(stage: Stage) -> None:
    session, graph = await booked(stage), stage.cloud.graph
    slots = await stage.slots()
    graph.requests.reset()
    moved = await stage.call(
        "ben",
        "PATCH",
        f"sessions/{session['id']}",
        json={"start": slots[-1]["start"]},
        headers={"if-match": "*"},
    )
    assert moved.status_code == 200, moved.text
    delivered = graph.tally.delivered
    await stage.settled()
    assert graph.tally.delivered > delivered
    # getSchedule and PATCH: what Graph said of it needed no third call.
    assert graph.requests.count() == 2


async def test_meetings_that_are_not_ours_cost_no_call(stage: Stage) -> None:
    await booked(stage)
    graph, start = stage.cloud.graph, evening(5)
    other = graph.outlook.busy("ben", start, start + timedelta(hours=1))
    await stage.settled()
    delivered = graph.tally.delivered
    # Events that are made are not subscribed to; those that change and go are.
    graph.outlook.edit("ben", other.ical_uid, subject="Another private thing")
    graph.outlook.delete("ben", other.ical_uid)
    await stage.settled()
    assert graph.tally.delivered > delivered
    assert graph.requests.count() == 0


async def test_a_wrong_client_state_is_acknowledged_and_dropped(stage: Stage) -> None:
    session = await booked(stage)
    ben = stage.cloud.world.person("ben")
    event = stage.cloud.graph.outlook.find("ben", session["id"])
    notification = {
        "subscriptionId": "00000000-0000-4000-8000-000000000000",
        "tenantId": ben.tenant_id,
        "clientState": f"v1.{ben.object_id}.nonce.{'A' * 43}",
        "changeType": "updated",
        "resource": f"Users/{ben.object_id}/Events/{event.id(immutable=True)}",
        "resourceData": {"id": event.id(immutable=True)},
    }
    reply = await stage.http.post("/api/graph/notifications", json={"value": [notification]})
    assert reply.status_code == 202
    await stage.settled()
    assert stage.cloud.graph.requests.count() == 0


async def test_notifications_twice_late_and_out_of_order_come_to_the_same(stage: Stage) -> None:
    for name, value in (("duplicates", 4), ("reorder", True), ("late_share", 0.5)):
        stage.cloud.graph.switches.set(name, value)
    stage.cloud.graph.switches.set("late_by_seconds", 60.0)
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.accept("ada", session["id"])
    outlook.decline("ada", session["id"])
    assert (await shown(stage, session))["attendees"][0]["response"] == "declined"


async def test_the_first_session_subscribes_and_the_second_does_not(stage: Stage) -> None:
    graph = stage.cloud.graph
    await stage.book()
    await stage.settled()
    (subscription,) = graph.site.subscriptions.all()
    await stage.book()
    await stage.settled()
    assert [s.id for s in graph.site.subscriptions.all()] == [subscription.id]
    assert graph.requests.count("POST", "subscriptions") == 1


async def test_health_says_that_every_part_answers(stage: Stage) -> None:
    reply = await stage.http.get("/api/health")
    assert reply.status_code == 200, reply.text
    assert set(reply.json()["checks"].values()) == {"ok"}
    assert set(reply.json()["poison"].values()) == {0}
