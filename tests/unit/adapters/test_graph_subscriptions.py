"""Subscriptions: creation, renewal and deletion."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.adapters.graph.people import GraphDirectory
from shared.adapters.graph.subscriptions import GraphSubscriptionService
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    ConsentMissing,
    EventGone,
    MailboxUnusable,
)
from shared.ids import Mailbox, ObjectId, SubscriptionId, TenantId
from tests.unit.adapters.conftest import Graph
from tests.unit.adapters.entra_fixtures import NOW, TENANT, USER
from tests.unit.adapters.test_graph_client import refused

MAILBOX = Mailbox(TenantId(TENANT), ObjectId(USER))
EXPIRES = NOW + timedelta(minutes=10_000)
URL = "https://app.example/api/graph/notifications"


def created(id_: str = "s-1") -> httpx.Response:
    payload = {"id": id_, "expirationDateTime": "2026-03-08T07:40:00Z"}
    return httpx.Response(201, json=payload)


def service(graph: Graph) -> GraphSubscriptionService:
    return GraphSubscriptionService(graph.client, "https://app.example")


async def test_subscribing(graph: Graph) -> None:
    graph.respond_with(created())
    found = await service(graph).create(MAILBOX, "v1.state", EXPIRES)
    assert found == ("s-1", datetime(2026, 3, 8, 7, 40, tzinfo=UTC))
    body = graph.answers.body()
    body.pop("@odata.type", None)
    assert datetime.fromisoformat(body.pop("expirationDateTime")) == EXPIRES
    assert body == {
        "changeType": "updated,deleted",
        "notificationUrl": URL,
        "lifecycleNotificationUrl": "https://app.example/api/graph/lifecycle",
        "resource": f"/users/{USER}/events",
        "clientState": "v1.state",
    }
    # Without this header notifications have ids that change when the event is moved.
    assert 'IdType="ImmutableId"' in graph.answers.last.headers["prefer"]
    assert len(graph.answers.requests) == 1


async def test_one_that_exists_at_our_url_is_replaced(graph: Graph) -> None:
    def listed(id_: str, resource: str, url: str) -> dict[str, Any]:
        return {"id": id_, "resource": resource, "notificationUrl": url, "clientState": None}

    first = {
        "value": [listed("other", "/users/other/events", URL)],
        "@odata.nextLink": "https://graph.microsoft.com/v1.0/subscriptions?$skiptoken=a%2Bb",
    }
    second = {
        "value": [
            listed("old", f"users/{USER.upper()}/Events", URL),
            listed("elsewhere", f"/users/{USER}/events", "https://elsewhere.example"),
        ]
    }
    graph.respond_with(
        refused(409, "ObjectIdentifierInUse"),
        httpx.Response(200, json=first),
        httpx.Response(200, json=second),
        httpx.Response(204),
        created("new"),
    )
    assert (await service(graph).create(MAILBOX, "v1.state", EXPIRES))[0] == "new"
    methods = [(r.method, r.url.path.rsplit("/", 1)[-1]) for r in graph.answers.requests]
    assert methods == [
        ("POST", "subscriptions"),
        ("GET", "subscriptions"),
        ("GET", "subscriptions"),
        ("DELETE", "old"),
        ("POST", "subscriptions"),
    ]
    assert "skiptoken=a%2Bb" in str(graph.answers.requests[2].url)


async def test_one_that_exists_elsewhere_is_left_alone(graph: Graph) -> None:
    graph.respond_with(
        refused(409, "ObjectIdentifierInUse"), httpx.Response(200, json={"value": []})
    )
    with pytest.raises(CalendarRefused):
        await service(graph).create(MAILBOX, "v1.state", EXPIRES)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ValidationError", CalendarRefused),
        (400, "InvalidRequest", CalendarRefused),
        (403, "ExtensionError", ConsentMissing),
        (404, "ExtensionError", MailboxUnusable),
        (404, "ResourceNotFound", MailboxUnusable),
        (404, "Request_ResourceNotFound", MailboxUnusable),
        (429, "TooManyRequests", CalendarThrottled),
    ],
)
async def test_subscribing_is_refused(
    graph: Graph, status: int, code: str, kind: type[Exception]
) -> None:
    graph.respond_with(refused(status, code))
    with pytest.raises(kind):
        await service(graph).create(MAILBOX, "v1.state", EXPIRES)
    assert len(graph.answers.requests) == 1


async def test_renewing_many_in_one_request(graph: Graph) -> None:
    def answered(request: httpx.Request) -> httpx.Response:
        parts = json.loads(request.content)["requests"]
        assert [(p["method"], p["url"]) for p in parts] == [
            ("PATCH", f"/subscriptions/s-{n}") for n in range(4)
        ]
        assert all(p["headers"]["content-type"] == "application/json" for p in parts)
        assert all(
            datetime.fromisoformat(p["body"]["expirationDateTime"]) == EXPIRES for p in parts
        )
        renewed = {"id": "s-0", "expirationDateTime": "2026-03-08T07:40:00.0000000Z"}
        denied = {"error": {"code": "Forbidden"}}
        responses = [
            {"id": parts[0]["id"], "status": 200, "body": renewed},
            {"id": parts[1]["id"], "status": 404, "body": {"error": {"code": "ResourceNotFound"}}},
            {"id": parts[2]["id"], "status": 403, "body": denied},
            {"id": parts[3]["id"], "status": 400, "body": {"error": {"code": "InvalidRequest"}}},
        ]
        return httpx.Response(200, json={"responses": responses})

    graph.respond_by(answered)
    ids = [SubscriptionId(f"s-{n}") for n in range(4)]
    renewed, gone, denied, refused_ = await service(graph).renew(TenantId(TENANT), ids, EXPIRES)
    assert renewed == datetime(2026, 3, 8, 7, 40, tzinfo=UTC)
    assert isinstance(gone, EventGone)
    assert isinstance(denied, ConsentMissing)
    assert isinstance(refused_, EventGone)
    assert len(graph.answers.requests) == 1


@pytest.mark.parametrize(
    ("answered", "is_deleted"),
    [
        ({}, False),
        ({"notificationUrl": URL}, False),
        ({"notificationUrl": URL.replace("app.example", "APP.example") + "/"}, False),
        ({"notificationUrl": None, "lifecycleNotificationUrl": 7}, False),
        ({"notificationUrl": "https://[x"}, False),
        ({"notificationUrl": "https://old.example/api/graph/notifications"}, True),
        (
            {"notificationUrl": URL, "lifecycleNotificationUrl": "https://old.example/lifecycle"},
            True,
        ),
    ],
)
async def test_one_that_notifies_another_host_is_deleted_when_it_is_renewed(
    graph: Graph, answered: dict[str, Any], is_deleted: bool
) -> None:
    renewed = {"id": "s-1", "expirationDateTime": "2026-03-08T07:40:00Z"} | answered
    parts = {"responses": [{"id": "0", "status": 200, "body": renewed}]}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            return httpx.Response(204)
        parts["responses"][0]["id"] = json.loads(request.content)["requests"][0]["id"]
        return httpx.Response(200, json=parts)

    graph.respond_by(answer)
    (outcome,) = await service(graph).renew(TenantId(TENANT), [SubscriptionId("s-1")], EXPIRES)
    assert isinstance(outcome, EventGone) == is_deleted
    assert [r.method for r in graph.answers.requests] == ["POST", "DELETE"][: 1 + is_deleted]


async def test_ending_one_that_is_gone_is_no_error(graph: Graph) -> None:
    graph.respond_with(refused(404, "ResourceNotFound"))
    await service(graph).delete(TenantId(TENANT), SubscriptionId("s-1"))
    graph.respond_with(refused(403, "Forbidden"))
    with pytest.raises(ConsentMissing):
        await service(graph).delete(TenantId(TENANT), SubscriptionId("s-1"))


async def test_people_are_found_by_address(graph: Graph) -> None:
    payload = {"id": USER.upper(), "mail": "Ada@X.com", "displayName": "Ada"}
    graph.respond_with(httpx.Response(200, json={"value": [payload]}))
    person = await GraphDirectory(graph.client).find(TenantId(TENANT), "o'hara@x.com")
    assert person is not None
    assert (person.object_id, person.address) == (USER, "ada@x.com")
    assert graph.answers.last.url.params["$filter"] == (
        "mail eq 'o''hara@x.com' or userPrincipalName eq 'o''hara@x.com'"
    )
    graph.respond_with(httpx.Response(200, json={"value": []}))
    assert await GraphDirectory(graph.client).find(TenantId(TENANT), "x@x.com") is None


async def test_user_with_an_unknown_id_is_none(graph: Graph) -> None:
    graph.respond_with(refused(404, "Request_ResourceNotFound"))
    assert await GraphDirectory(graph.client).get(MAILBOX) is None


async def test_a_mailbox_is_probed(graph: Graph) -> None:
    graph.respond_with(httpx.Response(200, json={"id": "x"}))
    await GraphDirectory(graph.client).probe_mailbox(MAILBOX)
    assert graph.answers.last.url.path == f"/v1.0/users/{USER}/calendar"
    graph.respond_with(refused(404, "MailboxNotEnabledForRESTAPI"))
    with pytest.raises(MailboxUnusable):
        await GraphDirectory(graph.client).probe_mailbox(MAILBOX)
