"""Subscriptions: handshake, limits, renewal, refusal."""

from datetime import timedelta
from typing import Any

import pytest

from tests.local.graph.conftest import APP, NOW, TENANT, Graph, Webhook

AS_APP: dict[str, Any] = {"who": None, "permissions": "Calendars.Read"}


def in_minutes(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def wanted(graph: Graph, webhook: Webhook, who: str = "ada", **more: Any) -> dict[str, Any]:
    return {
        "changeType": "created,updated,deleted",
        "resource": f"/users/{graph.oid(who)}/events",
        "notificationUrl": webhook.url,
        "expirationDateTime": in_minutes(10_000),
        "clientState": "secret",
    } | more


async def subscribe(graph: Graph, webhook: Webhook, who: str = "ada", **more: Any) -> Any:
    headers = more.pop("headers", {})
    body = wanted(graph, webhook, who, **more)
    return await graph.call("POST", "/subscriptions", body, headers=headers, **AS_APP, expect=201)


async def test_graph_shakes_hands_with_both_addresses_before_it_answers(
    graph: Graph, webhook: Webhook
) -> None:
    made = await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
    assert webhook.handshakes == 2
    assert made["applicationId"] == APP
    assert made["clientState"] == "secret"
    listed = await graph.call("GET", "/subscriptions", **AS_APP, expect=200)
    assert [(one["id"], one["clientState"]) for one in listed["value"]] == [(made["id"], None)]


@pytest.mark.parametrize("broken", ["wrong echo", "slow", "nobody there"])
async def test_a_failed_handshake_is_400(graph: Graph, webhook: Webhook, broken: str) -> None:
    body = wanted(graph, webhook)
    if broken == "wrong echo":
        webhook.echo = False
    elif broken == "slow":
        graph.simulator.switches.handshake_seconds = 0.0001
    else:
        body["notificationUrl"] = "http://127.0.0.1:9/hook"
    status, answer, _ = await graph.call("POST", "/subscriptions", body, **AS_APP)
    assert (status, answer["error"]["code"]) == (400, "InvalidRequest")
    assert not list(graph.simulator.backend.subscriptions.all())


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"expirationDateTime": in_minutes(10_071)}, 400, "ExtensionError"),
        ({"expirationDateTime": in_minutes(-1)}, 400, "InvalidRequest"),
        ({"changeType": ""}, 400, "InvalidRequest"),
        ({"changeType": "created,exploded"}, 400, "InvalidRequest"),
        ({"resource": "/users/x/messages"}, 400, "InvalidRequest"),
        ({"resource": "/users/nobody@contoso.test/events"}, 404, "ResourceNotFound"),
        ({"resource": "/users/prem@contoso.test/events"}, 404, "ExtensionError"),
        ({"resource": "/users/nolic@contoso.test/events"}, 404, "ExtensionError"),
        ({"resource": "me/events"}, 400, "InvalidRequest"),
        ({"notificationUrl": "ftp://somewhere"}, 400, "InvalidRequest"),
        ({"clientState": "x" * 129}, 400, "InvalidRequest"),
        ({"includeResourceData": True}, 400, "InvalidRequest"),
    ],
)
async def test_impossible_subscriptions(
    graph: Graph, webhook: Webhook, more: dict[str, Any], status: int, code: str
) -> None:
    body = wanted(graph, webhook, **more)
    got, answer, _ = await graph.call("POST", "/subscriptions", body, **AS_APP)
    assert (got, answer["error"]["code"]) == (status, code)
    assert webhook.handshakes == 0


async def test_a_short_life_is_raised_to_45_minutes(graph: Graph, webhook: Webhook) -> None:
    made = await subscribe(graph, webhook, expirationDateTime=in_minutes(5))
    assert made["expirationDateTime"] == "2026-03-02T09:45:00.0000000Z"


async def test_the_write_permission_alone_does_not_subscribe(
    graph: Graph, webhook: Webhook
) -> None:
    status, answer, _ = await graph.call(
        "POST",
        "/subscriptions",
        wanted(graph, webhook),
        who=None,
        permissions="Calendars.ReadWrite",
    )
    assert (status, answer["error"]["code"]) == (403, "ExtensionError")


async def test_users_subscribe_to_themselves_alone(graph: Graph, webhook: Webhook) -> None:
    body = wanted(graph, webhook, resource="me/events")
    made = await graph.call("POST", "/subscriptions", body, expect=201)
    assert made["creatorId"] == graph.oid("ada")
    status, _, _ = await graph.call("POST", "/subscriptions", wanted(graph, webhook, "bob"))
    assert status == 403
    status, _, _ = await graph.call("GET", f"/subscriptions/{made['id']}", who="bob")
    assert status == 404


async def test_exchange_grants_may_or_may_not_suffice(graph: Graph, webhook: Webhook) -> None:
    graph.simulator.switches.set("rbac", {TENANT: ["Calendars.Read"]})
    body = wanted(graph, webhook)
    as_app: dict[str, Any] = {"who": None, "permissions": ""}
    await graph.call("POST", "/subscriptions", body, **as_app, expect=201)
    graph.simulator.switches.rbac_subscriptions = False
    status, _, _ = await graph.call("POST", "/subscriptions", body, **as_app)
    assert status == 403


async def test_a_policy_blocks_subscribing(graph: Graph, webhook: Webhook) -> None:
    graph.simulator.switches.set("access_policy", [TENANT])
    body = wanted(graph, webhook, "outer")
    status, answer, _ = await graph.call("POST", "/subscriptions", body, **AS_APP)
    assert (status, answer["error"]["code"]) == (403, "ExtensionError")
    assert "RAOP" in answer["error"]["message"]


async def test_a_second_one_may_be_refused(graph: Graph, webhook: Webhook) -> None:
    first = await subscribe(graph, webhook)
    await subscribe(graph, webhook)
    graph.simulator.switches.refuse_second_subscription = True
    status, answer, _ = await graph.call("POST", "/subscriptions", wanted(graph, webhook), **AS_APP)
    assert status == 409
    assert first["id"] in answer["error"]["message"]


async def test_renewing_and_ending(graph: Graph, webhook: Webhook) -> None:
    made = await subscribe(graph, webhook)
    path = f"/subscriptions/{made['id']}"
    await graph.simulator.advance(timedelta(minutes=5000))
    later = {"expirationDateTime": in_minutes(15_000)}
    renewed = await graph.call("PATCH", path, later, **AS_APP, expect=200)
    assert renewed["expirationDateTime"].startswith(in_minutes(15_000)[:19])
    await graph.simulator.advance(timedelta(minutes=9000))
    await graph.call("GET", path, **AS_APP, expect=200)
    await graph.call("DELETE", path, **AS_APP, expect=204)
    for method in ("GET", "DELETE", "PATCH"):
        body = later if method == "PATCH" else None
        status, _, _ = await graph.call(method, path, body, **AS_APP)
        assert status == 404


async def test_a_new_address_shakes_hands_again_and_lifecycle_cannot_be_added(
    graph: Graph, webhook: Webhook
) -> None:
    made = await subscribe(graph, webhook)
    path = f"/subscriptions/{made['id']}"
    await graph.call("PATCH", path, {"notificationUrl": webhook.url + "?v=2"}, **AS_APP, expect=200)
    assert webhook.handshakes == 2
    body = {"lifecycleNotificationUrl": webhook.url}
    status, _, _ = await graph.call("PATCH", path, body, **AS_APP)
    assert status == 400


async def test_expiry_is_notified_only_to_a_lifecycle_address(
    graph: Graph, webhook: Webhook
) -> None:
    silent = await subscribe(graph, webhook)
    notified = await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
    await graph.simulator.advance(timedelta(minutes=10_001))
    assert [(i["subscriptionId"], i["lifecycleEvent"]) for i in webhook.items] == [
        (notified["id"], "subscriptionRemoved")
    ]
    status, _, _ = await graph.call("GET", f"/subscriptions/{silent['id']}", **AS_APP)
    assert status == 404
