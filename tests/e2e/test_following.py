"""Following Outlook: changes of sessions are found, other events cost no call."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.graph.faults import FaultRule
from local.world import MailboxKind
from shared.adapters.tables.client import table_service
from shared.adapters.tables.keys import MAILBOXES
from shared.jobs import DueKind
from shared.sessions.missing import SECOND_LOOK
from shared.wiring import Wiring
from tests.e2e.conftest import AppUnderTest, wiring_of
from tests.today import today


async def shown(stage: AppUnderTest, session: Any, who: str = "ben") -> Any:
    """Return the session as it is now."""
    await stage.settled()
    reply = await stage.call(who, "GET", f"sessions/{session['id']}")
    assert reply.status_code == 200, reply.text
    return reply.json()


async def booked(stage: AppUnderTest) -> Any:
    """Return a session whose mail and notifications have all arrived."""
    session = await stage.book()
    await stage.settled()
    stage.cloud.graph.requests.reset()
    return session


def evening(days: int = 3) -> datetime:
    """Return eight in the evening, UTC, some days from now, when all seeded people are free."""
    return today(20) + timedelta(days=days)


def z(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


async def test_answers_given_in_outlook_are_seen(stage: AppUnderTest) -> None:
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


async def test_a_time_proposed_in_outlook_is_seen_and_can_be_taken(stage: AppUnderTest) -> None:
    session = await booked(stage)
    start = evening()
    stage.cloud.graph.outlook.propose("ada", session["id"], start, start + timedelta(minutes=30))
    (attendee,) = (await shown(stage, session))["attendees"]
    assert attendee["proposed"] == {"start": z(start), "end": z(start + timedelta(minutes=30))}


async def test_a_move_in_outlook_is_seen_and_silences_answers(stage: AppUnderTest) -> None:
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
    stage: AppUnderTest,
) -> None:
    first, second = await booked(stage), await booked(stage)
    stage.cloud.graph.outlook.cancel("ben", first["id"])
    stage.cloud.graph.outlook.delete("ben", second["id"])
    assert (await shown(stage, first))["state"] == "cancelled"
    assert (await shown(stage, second, "ada"))["state"] == "cancelled"


async def test_answering_a_meeting_that_was_cancelled_unheard_is_a_conflict(
    stage: AppUnderTest,
) -> None:
    session = await booked(stage)
    await stage.settled()
    switches = stage.cloud.graph.switches
    switches.set("drop_share", 1.0)
    switches.set("tell_missed", value=False)
    try:
        stage.cloud.graph.outlook.cancel("ben", session["id"])
        await stage.settled()
        path = f"sessions/{session['id']}"
        assert (await stage.call("ben", "GET", path)).json()["state"] == "scheduled"
        answer = {"response": "accepted"}
        reply = await stage.call("ada", "POST", f"{path}/response", json=answer)
        assert (reply.status_code, reply.json()["type"]) == (409, "/api/problems/conflict"), (
            reply.text
        )
        assert "cancelled in Outlook" in reply.json()["detail"]
        await stage.settled()
        assert (await stage.call("ben", "GET", path)).json()["state"] == "cancelled"
    finally:
        switches.set("drop_share", 0.0)
        switches.set("tell_missed", value=True)


async def test_our_own_writes_are_not_read_again(stage: AppUnderTest) -> None:
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
    # getSchedule and PATCH: the notification about it needs no third call.
    assert graph.requests.count() == 2


async def test_meetings_that_are_not_ours_cost_no_call(stage: AppUnderTest) -> None:
    await booked(stage)
    graph, start = stage.cloud.graph, evening(5)
    other = graph.outlook.busy("ben", start, start + timedelta(hours=1))
    await stage.settled()
    delivered = graph.tally.delivered
    # The subscription covers updated and deleted events, not created ones.
    graph.outlook.edit("ben", other.ical_uid, subject="Another private thing")
    graph.outlook.delete("ben", other.ical_uid)
    await stage.settled()
    assert graph.tally.delivered > delivered
    assert graph.requests.count() == 0


async def test_a_wrong_client_state_is_acknowledged_and_dropped(stage: AppUnderTest) -> None:
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


async def test_notifications_twice_late_and_out_of_order_come_to_the_same(
    stage: AppUnderTest,
) -> None:
    for name, value in (("duplicates", 4), ("reorder", True), ("late_share", 0.5)):
        stage.cloud.graph.switches.set(name, value)
    stage.cloud.graph.switches.set("late_by_seconds", 60.0)
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.accept("ada", session["id"])
    outlook.decline("ada", session["id"])
    assert (await shown(stage, session))["attendees"][0]["response"] == "declined"


async def test_the_first_session_subscribes_and_the_second_does_not(stage: AppUnderTest) -> None:
    graph = stage.cloud.graph
    await stage.book()
    await stage.settled()
    (subscription,) = graph.backend.subscriptions.all()
    await stage.book()
    await stage.settled()
    assert [s.id for s in graph.backend.subscriptions.all()] == [subscription.id]
    assert graph.requests.count("POST", "subscriptions") == 1


async def test_health_says_that_every_part_answers(stage: AppUnderTest) -> None:
    anybodys = await stage.http.get("/api/health")
    assert (anybodys.status_code, anybodys.json()) == (200, {"status": "ok"})
    reply = await stage.call("platform", "GET", "health/details")
    assert reply.status_code == 200, reply.text
    assert set(reply.json()["checks"].values()) == {"ok"}
    assert set(reply.json()["poison"].values()) == {0}


async def test_forwarded_attendee_is_shown(stage: AppUnderTest) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.forward("ada", session["id"], "priya@contoso.example")
    seen = (await shown(stage, session))["attendees"]
    forwarded = {each["address"]: each["forwarded"] for each in seen}
    assert forwarded == {"ada@contoso.example": False, "priya@contoso.example": True}


async def test_words_that_are_changed_in_outlook_change_nothing_here(stage: AppUnderTest) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    before = await shown(stage, session)
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()
    outlook.edit("ben", session["id"], subject="Secret words", body="Secret lines")
    assert await shown(stage, session) == before
    after = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()
    assert after == feed


async def test_a_meeting_that_goes_to_another_calendar_is_followed_there(
    stage: AppUnderTest,
) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.move_to("ben", session["id"], "Mentoring")
    assert (await shown(stage, session))["state"] == "scheduled"
    outlook.accept("ada", session["id"])
    await stage.settled()
    # A subscription covers the default calendar only, so here reconciliation finds the changes.
    await read_again(stage)
    assert (await shown(stage, session))["attendees"][0]["response"] == "accepted"


async def test_a_meeting_that_goes_to_another_calendar_is_found_there_by_its_uid(
    stage: AppUnderTest,
) -> None:
    session, graph = await booked(stage), stage.cloud.graph
    graph.switches.set("events_of_default_calendar", value=True)
    try:
        graph.outlook.move_to("ben", session["id"], "Mentoring")
        await stage.settled()
        await second_look(stage, session)
        assert (await shown(stage, session))["state"] == "scheduled"
        assert graph.requests.count(operation="/calendars") > 0
    finally:
        graph.switches.set("events_of_default_calendar", value=False)


async def test_a_meeting_that_is_restored_from_deleted_items_is_scheduled_again(
    stage: AppUnderTest,
) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.delete("ben", session["id"], send=False)
    await stage.settled()
    await second_look(stage, session)
    assert (await shown(stage, session))["state"] == "cancelled"
    outlook.restore("ben", session["id"])
    outlook.accept("ada", session["id"])
    await stage.settled()
    await second_look(stage, session)
    seen = await shown(stage, session, "ada")
    assert (seen["state"], seen["attendees"][0]["response"]) == ("scheduled", "accepted")
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()["items"]
    assert [e["kind"] for e in feed if e["session_id"] == session["id"]][-3:] == [
        "session.cancelled",
        "session.restored",
        "session.responded",
    ]


async def test_a_restored_meeting_that_its_attendees_know_as_cancelled_stays_so(
    stage: AppUnderTest,
) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.delete("ben", session["id"])
    assert (await shown(stage, session))["state"] == "cancelled"
    outlook.restore("ben", session["id"])
    await second_look(stage, session)
    assert (await shown(stage, session))["state"] == "cancelled"


async def test_an_event_in_deleted_items_that_its_id_still_finds_is_gone(
    stage: AppUnderTest,
) -> None:
    session, graph = await booked(stage), stage.cloud.graph
    graph.switches.set("deleted_items_readable", value=True)
    try:
        graph.outlook.delete("ben", session["id"], send=False)
        await stage.settled()
        await second_look(stage, session)
        assert (await shown(stage, session))["state"] == "cancelled"
    finally:
        graph.switches.set("deleted_items_readable", value=False)


async def test_a_404_that_passes_while_an_attendee_is_removed_ends_nothing(
    stage: AppUnderTest,
) -> None:
    session, graph = await booked(stage), stage.cloud.graph
    graph.faults.add(FaultRule(method="GET", path="/events/[^/]+$", status=404, count=1))
    graph.outlook.patch("ben", session["id"], {"attendees": []})
    await stage.settled()
    await second_look(stage, session)
    assert (await shown(stage, session))["state"] == "scheduled"


async def test_a_meeting_that_its_organizer_wiped_out_is_cancelled(stage: AppUnderTest) -> None:
    session = await booked(stage)
    stage.cloud.graph.outlook.delete("ben", session["id"], hard=True)
    assert (await shown(stage, session, "ada"))["state"] == "cancelled"
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()["items"]
    cancelled = [each for each in feed if each["kind"] == "session.cancelled"]
    assert {each["cause"] for each in cancelled} == {"outlook"}


async def test_a_mailbox_that_cannot_be_subscribed_to_is_polled_and_it_is_said(
    stage: AppUnderTest,
) -> None:
    stage.cloud.graph.faults.add(FaultRule(method="POST", path="/subscriptions$", status=403))
    session = await booked(stage)
    path = "organizations/contoso/health"
    health = (await stage.call("platform", "GET", path)).json()["subscriptions"]
    assert (health["active"], health["polling"]) == (0, 1)
    stage.cloud.graph.outlook.accept("ada", session["id"])
    await stage.settled()
    assert (await shown(stage, session))["attendees"][0]["response"] == "pending"
    await read_again(stage)
    assert (await shown(stage, session))["attendees"][0]["response"] == "accepted"
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()["items"]
    assert feed[-1]["cause"] == "reconciliation"


async def test_an_organizer_without_a_mailbox_is_reported_once_and_read_rarely(
    stage: AppUnderTest,
) -> None:
    session = await booked(stage)
    stage.cloud.world.person("ben").kind = MailboxKind.UNLICENSED
    await read_again(stage)
    asked = stage.cloud.graph.requests.count()
    for _ in range(3):
        await read_again(stage)
    # The refused read, counted as two with its batch, a probe of the mailbox and of its owner.
    assert asked < 10
    assert stage.cloud.graph.requests.count() == asked
    assert not [line for line in stage.lines if "Failed" in line]
    seen = (await stage.call("ada", "GET", f"sessions/{session['id']}")).json()
    assert seen["state"] == "scheduled"  # without a notification of the cancellation
    assert seen["unreadable_since"] is not None
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()["items"]
    trouble = [each for each in feed if each["kind"] == "organization.trouble"]
    ben = stage.cloud.world.person("ben")
    reported = [(each["object_id"], each["cause"], each["detail"]) for each in trouble]
    assert reported == [(ben.object_id, "reconciliation", "mailbox_not_hosted")]
    assert "Get-EXORecipient" in trouble[0]["remedy"]
    ben.kind = MailboxKind.ONLINE
    await read_again(stage, DueKind.LOOK)
    assert (await shown(stage, session))["unreadable_since"] is None
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()["items"]
    assert feed[-1]["kind"] == "organization.recovered"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "ResourceNotFound"),
        (404, "NeverHeardOf"),
        (410, "Whatever"),
        (400, "ErrorInvalidIdMalformed"),
        (404, "ErrorInvalidMailboxItemId"),
        (404, "UnknownError"),
        (403, "ErrorAccessDenied"),
        (404, "ErrorItemNotFound"),
    ],
)
async def test_a_refusal_that_says_nothing_of_the_event_ends_no_session(
    stage: AppUnderTest, status: int, code: str
) -> None:
    session = await booked(stage)
    await stage.settled()
    graph = stage.cloud.graph
    for method, path in (("GET", "/events/"), ("POST", "/batch")):
        graph.faults.add(FaultRule(method=method, path=path, status=status, code=code))
    graph.outlook.accept("ada", session["id"])
    await graph.settle()
    reply = await stage.call("ada", "GET", f"sessions/{session['id']}")
    assert reply.json()["state"] == "scheduled"
    graph.faults.clear()
    await stage.settled()
    await read_again(stage)
    seen = await shown(stage, session)
    assert (seen["state"], seen["unreadable_since"]) == ("scheduled", None)
    assert [a["response"] for a in seen["attendees"]] == ["accepted"]
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()["items"]
    assert "session.cancelled" not in [each["kind"] for each in feed]


async def second_look(stage: AppUnderTest, *sessions: Any) -> None:
    """Reconcile as if a minute had passed since the first look for the missing *sessions*."""
    async with wiring_of(stage.cloud) as adapters:
        await backdate_missing(adapters, sessions)
    await read_again(stage)


async def backdate_missing(adapters: Wiring, sessions: Sequence[Any]) -> None:
    """Make the first look for the missing *sessions* a minute older."""
    identity, transport = adapters.credentials.managed_identity, adapters.credentials.transport()
    url = adapters.settings.storage_tables_url
    async with table_service(url, identity, transport) as service:
        table = service.get_table_client(MAILBOXES)
        named = " or ".join(f"session_id eq '{session['id']}'" for session in sessions)
        async for row in table.query_entities(named):
            if "missing_since" in row:
                since = datetime.fromisoformat(row["missing_since"]) - SECOND_LOOK
                await table.update_entity({**row, "missing_since": since.isoformat()})


async def read_again(stage: AppUnderTest, kind: DueKind = DueKind.RECONCILIATION) -> None:
    """Make every reconciliation, or look, come due, and run it."""
    async with wiring_of(stage.cloud) as adapters:
        item = await adapters.due.oldest(kind)
        assert item is not None
        # Replace its own time, which may come while the test runs.
        await adapters.due.remove([item])
        await adapters.due.put([replace(item, due_at=datetime.now(UTC) - timedelta(minutes=1))])
    await stage.host.invoke_timer("reconcile_sessions")
    await stage.settled()
