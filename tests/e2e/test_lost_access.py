"""Callers while access is lost: a clear problem with its remedy, and nothing is lost."""

from typing import Any

import pytest

from local.graph.faults import FaultRule
from local.seed import CONTOSO_ID
from local.world import MailboxKind
from shared.jobs import DueKind
from tests.e2e.conftest import AppUnderTest
from tests.e2e.platform import Platform
from tests.e2e.test_following import read_again


@pytest.fixture
async def as_ben(stage: AppUnderTest) -> dict[str, str]:
    """Let the app act as itself; return the headers that name Ben."""
    platform = Platform(stage)
    stage.cloud.entra.registration.application.add("Calendars.ReadWrite")
    await platform.change("contoso", access_mode="application")
    page = await platform.visit(await platform.link("contoso"), "grant", "ines")
    assert page.status_code == 200, page.text
    ben = stage.cloud.world.person("ben")
    return {"acting-participant": f"contoso/{ben.object_id}"}


def lose(stage: AppUnderTest, how: str) -> None:
    ben = stage.cloud.world.person("ben")
    if how == "scope":
        stage.cloud.graph.switches.access_policy = [CONTOSO_ID]
        ben.in_scope = False
    else:
        ben.kind = MailboxKind.UNLICENSED


@pytest.mark.parametrize(
    ("how", "problem"),
    [("scope", "/api/problems/consent-missing"), ("mailbox", "/api/problems/mailbox-unusable")],
)
async def test_a_change_while_access_is_lost_names_the_remedy_and_loses_nothing(
    stage: AppUnderTest, as_ben: dict[str, str], how: str, problem: str
) -> None:
    session = await _book(stage, as_ben, "one")
    await stage.settled()
    slots = await stage.slots("ben")
    lose(stage, how)
    path = f"sessions/{session['id']}"
    before = (await stage.call("platform", "GET", path, headers=as_ben)).json()
    for method, target, body in (
        ("PATCH", path, {"start": slots[-1]["start"]}),
        ("POST", f"{path}/cancel", {}),
        ("POST", "pairings/ada-ben/sessions", _body(slots[-2]["start"])),
    ):
        headers = as_ben | {"if-match": "*", "idempotency-key": method + target}
        reply = await stage.call("platform", method, target, json=body, headers=headers)
        shown = reply.json()
        assert (reply.status_code, shown["type"]) == _expected(problem), reply.text
        assert "administrator" in shown["remedy"]
        assert shown["detail"]
    await stage.settled()
    after = (await stage.call("platform", "GET", path, headers=as_ben)).json()
    assert (after["state"], after["start"]) == ("scheduled", before["start"])
    assert not [line for line in stage.lines if "Failed" in line]
    health = (await stage.call("platform", "GET", "health/details")).json()
    assert set(health["poison"].values()) == {0}


def _expected(problem: str) -> tuple[int, str]:
    return (403 if problem.endswith("consent-missing") else 409), problem


@pytest.mark.parametrize("who", ["ada", "ben"])
async def test_an_account_created_anew_is_told_once_and_does_not_see_the_sessions(
    stage: AppUnderTest, who: str
) -> None:
    session = await stage.book()
    path = f"sessions/{session['id']}"
    # The directory's answers are kept for a day, so the account goes before the first one.
    former = stage.cloud.graph.backend.people.recreate(who)
    await stage.settled()
    for _ in range(3):
        await read_again(stage)
    ((kind, detail, remedy),) = await told_of(stage, former.object_id)
    assert (kind, detail) == ("organization.trouble", "account_recreated")
    assert former.object_id in remedy
    assert (await stage.call(who, "GET", path)).status_code == 404
    other = "ben" if who == "ada" else "ada"
    assert (await stage.call(other, "GET", path)).json()["state"] == "scheduled"
    if who == "ada":
        await register_anew(stage, former.object_id)
    else:
        stage.cloud.graph.backend.people.restore(former)
    await read_again(stage, DueKind.LOOK)
    for _ in range(2):
        await read_again(stage)
    told = await told_of(stage, former.object_id)
    assert [kind for kind, _, _ in told] == ["organization.trouble", "organization.recovered"]
    found = await stage.call(who, "GET", path)
    assert found.status_code == (404 if who == "ada" else 200)


async def register_anew(stage: AppUnderTest, former: str) -> None:
    """Register every pairing of the account with the object id *former*, by addresses."""
    path = "organizations/contoso/pairings"
    for pairing in (await stage.call("platform", "GET", path)).json()["items"]:
        people = pairing["participants"]
        if former in {each["object_id"] for each in people}:
            named = [{"role": each["role"], "address": each["address"]} for each in people]
            body = {"participants": named}
            reply = await stage.call("platform", "PUT", f"{path}/{pairing['id']}", json=body)
            assert reply.status_code in {200, 201}, reply.text


async def told_of(stage: AppUnderTest, object_id: str) -> list[tuple[str, str, str]]:
    """Return the feed's entries about the mailbox of a person."""
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()["items"]
    mine = [each for each in feed if each["object_id"] == object_id]
    return [(each["kind"], each["detail"], each["remedy"]) for each in mine]


async def test_foreign_ids_are_told_once_for_their_mailbox_until_they_are_good(
    stage: AppUnderTest,
) -> None:
    sessions = [await stage.book() for _ in range(3)]
    await stage.settled()
    graph, ben = stage.cloud.graph, stage.cloud.world.person("ben")
    graph.faults.add(
        FaultRule(method="GET", path="/events/.", status=404, code="ErrorInvalidMailboxItemId")
    )
    for _ in range(3):
        await read_again(stage)
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()["items"]
    troubles = [each for each in feed if each["kind"] == "organization.trouble"]
    assert [(each["session_id"], each["detail"]) for each in troubles] == [(None, "foreign_ids")]
    assert troubles[0]["object_id"] == ben.object_id
    for session in sessions:
        seen = (await stage.call("ada", "GET", f"sessions/{session['id']}")).json()
        assert seen["state"] == "scheduled"
        assert seen["unreadable_since"]
    graph.faults.clear()
    await read_again(stage, DueKind.LOOK)
    for session in sessions:
        seen = (await stage.call("ada", "GET", f"sessions/{session['id']}")).json()
        assert (seen["state"], seen["unreadable_since"]) == ("scheduled", None)
    told = await told_of(stage, ben.object_id)
    assert [(kind, detail) for kind, detail, _ in told] == [
        ("organization.trouble", "foreign_ids"),
        ("organization.recovered", "foreign_ids"),
    ]


async def _book(stage: AppUnderTest, headers: dict[str, str], key: str) -> Any:
    slot = (await stage.slots("ben"))[0]
    reply = await stage.call(
        "platform",
        "POST",
        "pairings/ada-ben/sessions",
        json=_body(slot["start"]),
        headers=headers | {"idempotency-key": key},
    )
    assert reply.status_code == 201, reply.text
    return reply.json()


def _body(start: str) -> dict[str, Any]:
    return {"start": start, "duration_minutes": 30, "time_zone": "Europe/Berlin"}
