"""Graph's webhook: the handshake, and deliveries that are not trusted."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest

from functions._deliveries import MAX_BODY_BYTES, MAX_NOTIFICATIONS
from shared.errors import Misconfigured, StoreUnavailable
from shared.notifications.intake import MAX_UNPROVEN
from tests.builders import a_subscription, a_uuid
from tests.edge.api import Api, encoded
from tests.fakes import InMemoryNotificationQueue

STRANGER = "1bfefe6d-d4f2-4815-b343-ffe65054e74c"
ROUTES = ["graph/notifications", "graph/lifecycle"]


def outbox(api: Api) -> InMemoryNotificationQueue:
    found: InMemoryNotificationQueue = api.adapters.__dict__["notification_queue"]
    return found


def a_notification(api: Api, **changes: Any) -> dict[str, Any]:
    """Return a notification in Graph's form."""
    mentee = api.env.mentee
    return {
        "subscriptionId": a_uuid(),
        "subscriptionExpirationDateTime": "2026-03-09T08:00:00Z",
        "tenantId": mentee.tenant_id,
        "clientState": f"v1.{mentee.object_id}.n.{mentee.tenant_id}",
        "changeType": "updated",
        "resource": f"Users/{mentee.object_id}/Events/AAMk",
        "resourceData": {"@odata.type": "#Microsoft.Graph.Event", "@odata.etag": "e", "id": "AAMk"},
        **changes,
    }


async def delivered(api: Api, body: object, route: str = ROUTES[0]) -> int:
    content = body if isinstance(body, bytes) else encoded(body)
    status: int = (await api.call("POST", route, who=None, content=content)).status_code
    return status


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "token", ["Validation: 1+1=2 é", "<script>alert(1)</script>", "{}", "a,b", "x" * 2000]
)
async def test_the_handshake_is_echoed_as_plain_text(api: Api, route: str, token: str) -> None:
    response = await api.call("POST", f"{route}?validationToken={quote(token)}", who=None)
    assert (response.status_code, response.get_body().decode()) == (200, token)
    assert response.mimetype == "text/plain"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_verified_notifications_are_queued_once_per_mailbox(api: Api) -> None:
    known = a_notification(api)
    both = [known, known | {"resourceData": {"id": "AAMk2"}}, known]
    assert await delivered(api, {"value": both}) == 202
    ((changes, _),) = outbox(api).put_changes
    assert changes.mailbox == api.env.mentee
    assert [event.event_id for event in changes.events] == ["AAMk", "AAMk2"]


async def test_a_lifecycle_notification_is_queued(api: Api) -> None:
    missed = a_notification(api, lifecycleEvent="missed", resourceData=None)
    assert await delivered(api, {"value": [missed]}, ROUTES[1]) == 202
    ((changes, _),) = outbox(api).put_changes
    assert changes.lifecycle == ("missed",)


def a_lifecycle_notification(api: Api, event: str, **changes: Any) -> dict[str, Any]:
    """Return a lifecycle notification as the live service writes it.

    Source: https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/3103
    """
    mentee, subscription = api.env.mentee, a_uuid()
    return {
        "lifecycleEvent": event,
        "subscriptionId": subscription,
        "resource": f"Subscriptions/{subscription}",
        "resourceChangeType": None,
        "clientState": f"v1.{mentee.object_id}.n.{mentee.tenant_id}",
        "resourceData": {
            "@odata.type": "#microsoft.graph.subscription",
            "@odata.id": f"subscriptions/{subscription}",
            "id": subscription,
        },
        "encryptedContent": None,
        "organizationId": mentee.tenant_id,
        "subscriptionExpirationDateTime": "2026-03-08T04:18:58.0463343-08:00",
        **changes,
    }


@pytest.mark.parametrize(
    "event", ["missed", "subscriptionRemoved", "reauthorizationRequired", "new to this app"]
)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resource": ""},
        {"resourceData": None},
        {"tenantId": None},
        {"tenantId": ""},
        {"tenantId": STRANGER},
        {"subscriptionExpirationDateTime": None},
    ],
    ids=str,
)
async def test_a_lifecycle_notification_names_the_tenant_as_organization(
    api: Api, event: str, changes: dict[str, Any]
) -> None:
    notice = a_lifecycle_notification(api, event, **changes)
    assert await delivered(api, {"value": [notice]}, ROUTES[1]) == 202
    ((queued, _),) = outbox(api).put_changes
    assert (queued.mailbox, queued.lifecycle, queued.events) == (api.env.mentee, (event,), ())
    assert queued.subscription_id == notice["subscriptionId"]


@pytest.mark.parametrize(
    ("nonce", "is_ours", "accepted"),
    [("present", True, 1), ("older", True, 0), ("present", False, 0), ("older", False, 1)],
    ids=["ours", "an older state, our id", "our state, another id", "an older subscription"],
)
async def test_the_client_state_of_a_lifecycle_notification_belongs_to_its_subscription(
    api: Api, nonce: str, *, is_ours: bool, accepted: int
) -> None:
    mentee = api.env.mentee
    row = a_subscription(mailbox=mentee, nonce="present")
    await api.adapters.subscriptions.save(row)
    state = f"v1.{mentee.object_id}.{nonce}.{mentee.tenant_id}"
    subscription = row.id if is_ours else a_uuid()
    notice = a_lifecycle_notification(
        api, "subscriptionRemoved", clientState=state, subscriptionId=subscription
    )
    assert await delivered(api, {"value": [notice]}, ROUTES[1]) == 202
    assert len(outbox(api).put_changes) == accepted


async def test_a_client_state_counts_for_one_subscription_of_a_delivery(api: Api) -> None:
    known = a_notification(api)
    others = [a_notification(api, resourceData={"id": f"other{n}"}) for n in range(5)]
    assert await delivered(api, {"value": [known, *others, known]}) == 202
    ((queued, _),) = outbox(api).put_changes
    assert queued.subscription_id == known["subscriptionId"]
    assert [event.event_id for event in queued.events] == ["AAMk"]


async def test_a_lifecycle_notification_is_not_acknowledged_while_the_tables_are_down(
    api: Api,
) -> None:
    class DownSubscriptions:
        async def get(self, _: object) -> None:
            raise StoreUnavailable("down")

    api.adapters.__dict__["subscriptions"] = DownSubscriptions()
    assert await delivered(api, {"value": [a_notification(api)]}) == 202
    missed = a_lifecycle_notification(api, "missed")
    assert await delivered(api, {"value": [missed]}, ROUTES[1]) == 503


async def test_a_lifecycle_notification_names_its_subscription_in_the_resource_too(
    api: Api,
) -> None:
    notice = a_lifecycle_notification(api, "missed")
    assert await delivered(api, {"value": [notice | {"subscriptionId": None}]}) == 202
    ((queued, _),) = outbox(api).put_changes
    assert queued.subscription_id == notice["subscriptionId"]


@pytest.mark.parametrize("route", ROUTES)
async def test_one_delivery_may_mix_changes_and_lifecycle(api: Api, route: str) -> None:
    mixed = [
        a_lifecycle_notification(api, "missed"),
        a_notification(api),
        a_lifecycle_notification(api, "reauthorizationRequired"),
    ]
    subscription = mixed[1]["subscriptionId"]
    mixed = [notice | {"subscriptionId": subscription} for notice in mixed]
    assert await delivered(api, {"value": mixed}, route) == 202
    ((queued, _),) = outbox(api).put_changes
    assert [event.event_id for event in queued.events] == ["AAMk"]
    assert queued.lifecycle == ("missed", "reauthorizationRequired")


async def test_a_change_needs_only_its_tenant_its_proof_and_its_event(api: Api) -> None:
    known = a_notification(api)
    needed = {"subscriptionId", "tenantId", "clientState", "resource"}
    least = {name: value for name, value in known.items() if name in needed}
    renamed = least | {"organizationId": least["tenantId"].upper()}
    del renamed["tenantId"]
    assert await delivered(api, {"value": [least, renamed]}) == 202
    ((queued, _),) = outbox(api).put_changes
    assert [event.event_id for event in queued.events] == ["AAMk"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 10_000,
        b'{"value": ' + b"9" * 5000 + b"}",
        [],
        None,
        1,
        {},
        {"value": None},
        {"value": {"a": 1}},
        {"value": [None, 1, "x", [], {}]},
        {"validationTokens": ["x"], "value": []},
    ],
    ids=lambda body: repr(body)[:24],
)
async def test_garbage_is_dropped_and_acknowledged(api: Api, body: object) -> None:
    assert await delivered(api, body) == 202
    assert outbox(api).put_changes == []


@pytest.mark.parametrize(
    "changes",
    [
        {"clientState": "v1.somebody.n.wrong"},
        {"clientState": None},
        {"clientState": "x" * 129},
        {"clientState": "\ud800"},
        {"clientState": 1},
        {"tenantId": None},
        {"tenantId": "no-tenant"},
        {"tenantId": "\ud800"},
        {"tenantId": ["x"]},
        {"tenantId": None, "organizationId": "no-tenant"},
        {"tenantId": STRANGER, "organizationId": STRANGER},
        {"subscriptionId": None},
        {"subscriptionId": "\ud800"},
        {"resourceData": None, "resource": None},
        {"resourceData": {}, "resource": "Users/x/Messages/y"},
        {"resourceData": {"id": "\ud800"}, "resource": ""},
        {"resourceData": {"id": 7}, "resource": "Users/x/Events/"},
    ],
    ids=str,
)
async def test_unverified_notifications_are_dropped_and_acknowledged(
    api: Api, changes: dict[str, Any]
) -> None:
    good, bad = a_notification(api), a_notification(api, **changes)
    assert await delivered(api, {"value": [bad, good]}) == 202
    assert len(outbox(api).put_changes) == 1


async def test_an_event_is_found_in_the_resource_too(api: Api) -> None:
    assert await delivered(api, {"value": [a_notification(api, resourceData=None)]}) == 202
    ((changes, _),) = outbox(api).put_changes
    assert [(e.event_id, e.etag) for e in changes.events] == [("AAMk", None)]


@pytest.mark.parametrize(
    "rest",
    [b" " * MAX_BODY_BYTES, b",0" * 20_000, b",{}" * 10_000, b"," + b"[" * 20_000],
    ids=lambda rest: repr(rest[:8]),
)
async def test_more_than_graph_ever_sends_is_not_parsed(api: Api, rest: bytes) -> None:
    first = json.dumps({"value": [a_notification(api)]}).encode()
    assert await delivered(api, first[:-2] + rest + b"]}") == 413
    assert outbox(api).put_changes == []


async def test_as_many_as_graph_may_send_are_accepted(api: Api) -> None:
    known = a_notification(api)
    many = [known | {"resourceData": {"id": f"AAMk{n}"}} for n in range(MAX_NOTIFICATIONS)]
    assert await delivered(api, {"value": many}) == 202
    assert sum(len(c.events) for c, _ in outbox(api).put_changes) == MAX_NOTIFICATIONS


async def test_after_many_forged_ones_the_rest_is_not_looked_at(api: Api) -> None:
    forged = [a_notification(api, clientState=f"v1.x.{n}.wrong") for n in range(MAX_UNPROVEN)]
    good = a_notification(api)
    assert await delivered(api, {"value": [*forged[1:], good]}) == 202
    assert len(outbox(api).put_changes) == 1
    assert await delivered(api, {"value": [*forged, good]}) == 202
    assert len(outbox(api).put_changes) == 1


async def _is_down() -> None:
    raise StoreUnavailable("down")


async def _is_wrong() -> None:
    raise Misconfigured("A setting is missing.")


async def _hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("fails", [_is_down, _is_wrong, _hangs])
async def test_nothing_is_acknowledged_while_the_queue_does_not_take_it(
    api: Api, fails: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class UnavailableQueue:
        async def put(self, *_: object, **__: object) -> int:
            await fails()
            return 1

    monkeypatch.setattr("functions.notifications._ACCEPT_SECONDS", 0.05)
    api.adapters.__dict__["notification_queue"] = UnavailableQueue()
    response = await api.call(
        "POST", ROUTES[0], who=None, content=encoded({"value": [a_notification(api)]})
    )
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
