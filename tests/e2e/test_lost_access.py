"""Callers while access is lost: a clear problem with its remedy, and nothing is lost."""

from typing import Any

import pytest

from local.seed import CONTOSO_ID
from local.world import MailboxKind
from tests.e2e.conftest import AppUnderTest


@pytest.fixture
async def as_ben(stage: AppUnderTest) -> dict[str, str]:
    """Let the app act as itself; return the headers that name Ben."""
    reply = await stage.call(
        "platform",
        "PATCH",
        "organizations/contoso",
        json={"settings": {"access_mode": "application"}},
        headers={"if-match": "*"},
    )
    assert reply.status_code == 200, reply.text
    stage.cloud.entra.registration.application.add("Calendars.ReadWrite")
    stage.cloud.entra.grant(CONTOSO_ID)
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
    [("scope", "/problems/consent-missing"), ("mailbox", "/problems/mailbox-unusable")],
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
    health = (await stage.http.get("/api/health")).json()
    assert set(health["poison"].values()) == {0}


def _expected(problem: str) -> tuple[int, str]:
    return (403 if problem.endswith("consent-missing") else 409), problem


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
