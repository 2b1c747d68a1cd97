"""Tokens and permissions, as Graph checks them."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.local.graph.conftest import APP, OTHER_TENANT, TENANT, Graph, a_meeting


async def test_without_a_token_it_is_401(graph: Graph) -> None:
    async with graph.session.get(f"{graph.url}/v1.0/me/events") as answer:
        body = await answer.json()
        assert answer.status == 401
        assert body["error"]["code"] == "InvalidAuthenticationToken"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert body["error"]["innerError"]["request-id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"aud": "https://somewhere.else"},
        {"tid": "33333333-3333-4333-8333-333333333333"},
    ],
    ids=["expired", "wrong audience", "unknown tenant"],
)
async def test_a_wrong_token_is_401(graph: Graph, claims: dict[str, Any]) -> None:
    status, body, _ = await graph.call("GET", "/me", token=graph.token(**claims))
    assert (status, body["error"]["code"]) == (401, "InvalidAuthenticationToken")


async def test_another_key_is_401(graph: Graph) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    status, _, _ = await graph.call("GET", "/me", token=graph.token(key=stranger))
    assert status == 401


async def test_garbage_is_401(graph: Graph) -> None:
    status, _, _ = await graph.call("GET", "/me", token="not.a.token")
    assert status == 401


async def test_graphs_app_id_and_own_address_are_audiences_too(graph: Graph) -> None:
    for audience in ("00000003-0000-0000-c000-000000000000", graph.url):
        me = await graph.call("GET", "/me", token=graph.token(aud=audience), expect=200)
        assert me["mail"] == "ada@contoso.test"


async def test_reading_is_not_writing(graph: Graph) -> None:
    token = graph.token(permissions="Calendars.Read")
    status, body, _ = await graph.call("POST", "/me/events", a_meeting(), token=token)
    assert (status, body["error"]["code"]) == (403, "ErrorAccessDenied")


async def test_a_user_reads_only_the_own_mailbox(graph: Graph) -> None:
    await graph.call("GET", f"/users/{graph.oid('ada')}/events", expect=200)
    status, body, _ = await graph.call("GET", f"/users/{graph.oid('bob')}/events")
    assert (status, body["error"]["code"]) == (403, "ErrorAccessDenied")


async def test_the_app_reads_every_mailbox_of_the_tenant_alone(graph: Graph) -> None:
    as_app: dict[str, Any] = {"who": None, "permissions": "Calendars.Read"}
    await graph.call("GET", f"/users/{graph.oid('bob')}/events", **as_app, expect=200)
    status, body, _ = await graph.call("GET", f"/users/{graph.oid('zoe')}/events", **as_app)
    assert (status, body["error"]["code"]) == (404, "ErrorInvalidUser")
    status, _, _ = await graph.call("GET", "/me/events", **as_app)
    assert status == 400


async def test_an_app_without_roles_is_403(graph: Graph) -> None:
    path = f"/users/{graph.oid('bob')}/events"
    status, body, _ = await graph.call("GET", path, who=None, permissions="")
    assert (status, body["error"]["code"]) == (403, "ErrorAccessDenied")


async def test_exchange_grants_reach_people_in_scope_without_roles(graph: Graph) -> None:
    graph.simulator.switches.set("rbac", {TENANT: ["Calendars.Read"]})
    as_app: dict[str, Any] = {"who": None, "permissions": ""}
    await graph.call("GET", f"/users/{graph.oid('bob')}/events", **as_app, expect=200)
    status, body, _ = await graph.call("GET", f"/users/{graph.oid('outer')}/events", **as_app)
    assert (status, body["error"]["code"]) == (403, "ErrorAccessDenied")
    status, _, _ = await graph.call(
        "GET", f"/users/{graph.oid('zoe')}/events", **as_app, tenant=OTHER_TENANT
    )
    assert status == 403


async def test_an_access_policy_blocks_people_out_of_scope(graph: Graph) -> None:
    graph.simulator.switches.set("access_policy", [TENANT])
    as_app: dict[str, Any] = {"who": None, "permissions": "Calendars.Read"}
    await graph.call("GET", f"/users/{graph.oid('bob')}/events", **as_app, expect=200)
    status, body, _ = await graph.call("GET", f"/users/{graph.oid('outer')}/events", **as_app)
    assert status == 403
    assert "[RAOP]" in body["error"]["message"]


async def test_basic_permission_hides_bodies(graph: Graph) -> None:
    event = await graph.book()
    token = graph.token(permissions="Calendars.ReadBasic")
    shown = await graph.call("GET", f"/me/events/{event['id']}", token=token, expect=200)
    assert "body" not in shown
    assert shown["subject"] == "Mentoring"


async def test_directory_says_no_in_its_own_words(graph: Graph) -> None:
    token = graph.token(permissions="User.Read")
    status, body, _ = await graph.call("GET", f"/users/{graph.oid('bob')}", token=token)
    assert (status, body["error"]["code"]) == (403, "Authorization_RequestDenied")
    await graph.call("GET", f"/users/{graph.oid('ada')}", token=token, expect=200)


@pytest.mark.parametrize("who", ["prem", "nolic", "guest"])
async def test_mailboxes_out_of_reach_look_the_same(graph: Graph, who: str) -> None:
    path = f"/users/{graph.oid(who)}/mailboxSettings"
    status, body, _ = await graph.call("GET", path, who=None, permissions="MailboxSettings.Read")
    assert (status, body["error"]["code"]) == (404, "MailboxNotEnabledForRESTAPI")


async def test_a_shared_mailbox_may_be_stale_by_name(graph: Graph) -> None:
    graph.simulator.switches.shared_mailboxes_stale_by_name = True
    as_app: dict[str, Any] = {"who": None, "permissions": "Calendars.Read"}
    status, body, _ = await graph.call("GET", "/users/room@contoso.test/events", **as_app)
    assert (status, body["error"]["code"]) == (503, "MailboxInfoStale")
    await graph.call("GET", f"/users/{graph.oid('room')}/events", **as_app, expect=200)


async def test_unknown_paths_and_methods(graph: Graph) -> None:
    status, body, _ = await graph.call("GET", "/me/eventz")
    assert (status, body["error"]["code"]) == (400, "BadRequest")
    status, _, _ = await graph.call("PUT", "/me/events", {})
    assert status == 405


async def test_the_record_holds_identity_but_no_token(graph: Graph) -> None:
    await graph.book()
    (entry,) = graph.simulator.requests.entries
    assert entry.identity
    assert entry.identity.app_id == APP
    assert entry.operation == "{mailbox}/events"
    assert "Bearer" not in str(entry.as_json())
