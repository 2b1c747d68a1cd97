"""Who is who: people whom Outlook shows under other addresses, who go and come back."""

from typing import Any

import pytest

from local.graph.exchange import x500_address
from tests.e2e.conftest import AppUnderTest

ADA, PRIYA = "ada@contoso.example", "priya@contoso.example"


async def booked(stage: AppUnderTest) -> Any:
    session = await stage.book()
    await stage.settled()
    return session


async def shown(stage: AppUnderTest, session: Any, who: str = "ada") -> Any:
    """Return the session as *who* sees it now."""
    await stage.settled()
    reply = await stage.call(who, "GET", f"sessions/{session['id']}")
    assert reply.status_code == 200, reply.text
    return reply.json()


async def told(stage: AppUnderTest, session: Any) -> list[tuple[str, str, str | None]]:
    """Return the feed's entries about *session* after it was scheduled."""
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()["items"]
    return [
        (each["kind"].removeprefix("session."), each["detail"], each["attendee"])
        for each in feed
        if each["session_id"] == session["id"] and each["kind"] != "session.scheduled"
    ]


@pytest.mark.parametrize(
    "label",
    [
        "Ada Lindqvist <ada@contoso.example>",
        " ADA@Contoso.Example ",
        "smtp:ada@contoso.example",
        x500_address(ADA),
        "a.lindqvist@contoso.example",
    ],
)
async def test_a_participant_under_another_address_stays_who_they_are(
    stage: AppUnderTest, label: str
) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.accept("ada", session["id"])
    await stage.settled()
    outlook.relabel("ben", session["id"], ADA, label)
    seen = await shown(stage, session)
    (attendee,) = (each for each in seen["attendees"] if not each["forwarded"])
    assert (attendee["address"], attendee["is_me"], attendee["invited"]) == (ADA, True, True)
    if "@" not in label or ADA in label.lower():
        assert (len(seen["attendees"]), attendee["response"]) == (1, "accepted")


async def test_a_participant_who_was_renamed_stays_who_they_are(stage: AppUnderTest) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.accept("ada", session["id"])
    outlook.rename("ada", "ada.byron@contoso.example")
    outlook.edit("ben", session["id"], subject="Anything")
    seen = await shown(stage, session)
    (attendee,) = seen["attendees"]
    assert (attendee["is_me"], attendee["response"]) == (True, "accepted")
    outlook.decline("ada", session["id"])
    assert (await shown(stage, session))["attendees"][0]["response"] == "declined"


async def test_an_answer_that_exchange_cannot_match_is_its_giver_s(stage: AppUnderTest) -> None:
    session, graph = await booked(stage), stage.cloud.graph
    graph.outlook.accept("ada", session["id"])
    await stage.settled()
    graph.switches.set("answers_from", "x500")
    try:
        graph.outlook.tentative("ada", session["id"])
        seen = await shown(stage, session)
    finally:
        graph.switches.set("answers_from", "address")
    (attendee,) = seen["attendees"]
    assert (attendee["response"], attendee["required"]) == ("tentative", True)


async def test_whoever_is_removed_and_put_back_is_invited_again(stage: AppUnderTest) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    ada = stage.cloud.world.person("ada").object_id
    outlook.accept("ada", session["id"])
    await stage.settled()
    outlook.attend("ben", session["id"], ADA, None)
    (attendee,) = (await shown(stage, session))["attendees"]
    assert (attendee["invited"], attendee["response"]) == (False, "pending")
    answer = await stage.call(
        "ada", "POST", f"sessions/{session['id']}/response", json={"response": "accepted"}
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/problems/conflict")
    outlook.attend("ben", session["id"], ADA, "optional")
    (attendee,) = (await shown(stage, session))["attendees"]
    assert (attendee["invited"], attendee["required"]) == (True, False)
    outlook.attend("ben", session["id"], ADA, "required")
    outlook.accept("ada", session["id"])
    (attendee,) = (await shown(stage, session))["attendees"]
    assert (attendee["required"], attendee["response"]) == (True, "accepted")
    assert [each for each in await told(stage, session) if each[0] == "attendees"] == [
        ("attendees", "removed", ada),
        ("attendees", "added", ada),
        ("attendees", "required", ada),
    ]


async def test_somebody_else_s_answer_is_shown_and_nobody_leaves(stage: AppUnderTest) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.forward("ada", session["id"], "guest@elsewhere.example")
    seen = await shown(stage, session)
    by_address = {each["address"]: each for each in seen["attendees"]}
    assert by_address[ADA]["invited"]
    assert by_address["guest@elsewhere.example"]["forwarded"]
    # A row that nobody can read does not push Ada out: her own calendar has the meeting.
    outlook.relabel("ben", session["id"], ADA, "Somebody Typed This")
    seen = await shown(stage, session)
    assert {each["address"]: each["invited"] for each in seen["attendees"]}[ADA]
    assert "somebody" not in str(seen).lower()
