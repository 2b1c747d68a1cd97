"""The simulator against Microsoft's description and printed samples."""

from typing import Any

import pytest

from local.graph.permissions import RequiredPermission
from local.graph.request_log import LoggedRequest
from local.graph.routes import ROUTES, Route
from tests.graph_contract import GraphContract, graph_contract, graph_samples
from tests.local.graph.conftest import NOW, Graph, Webhook, a_meeting
from tests.local.graph.test_subscriptions import AS_APP, subscribe

PRINTED = graph_samples()
REQUESTS = [
    name
    for name, sample in PRINTED.items()
    if sample.get("method") == "POST"
    and sample["url"].partition("/v1.0")[2] in {"/me/events", "/me/calendar/getSchedule"}
]


@pytest.fixture
def contract() -> GraphContract:
    return graph_contract()


def an_exchange(**more: Any) -> LoggedRequest:
    values: dict[str, Any] = {
        "at": NOW,
        "method": "GET",
        "path": "/me/events/x",
        "operation": "",
        "query": {},
        "headers": {},
        "body": None,
        "identity": None,
        "status": 200,
        "response": {"subject": "x"},
    }
    return LoggedRequest(**(values | more))


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"path": "/me/eventz"}, "no such operation"),
        ({"method": "PUT"}, "no such operation"),
        ({"query": {"$sellect": "x"}}, "unknown option"),
        ({"response": {"subject": 7}}, "response 200"),
        ({"method": "PATCH", "body": {"importance": "huge"}}, "request"),
        ({"body": {"subject": "x"}}, "takes no body"),
        ({"status": 404, "response": {"error": "gone"}}, "response 404"),
        ({"status": 302}, "not described"),
    ],
)
def test_the_contract_finds_violations(
    contract: GraphContract, more: dict[str, Any], problem: str
) -> None:
    found = contract.problems(an_exchange(**more))
    assert found
    assert problem in found[0]


def test_the_contract_accepts_valid_exchanges(contract: GraphContract) -> None:
    assert contract.problems(an_exchange(query={"$select": "subject"})) == []
    assert contract.problems(an_exchange(method="DELETE", status=204, response=None)) == []


def _routes() -> list[Route]:
    # Below a calendar Graph serves more paths than the excerpt of the description has.
    beyond = ("calendars/{calendar}/", "calendar/events/{event}/", "calendar/calendarView/delta")
    return [route for route in ROUTES if not any(part in route.pattern for part in beyond)]


@pytest.mark.parametrize("route", _routes(), ids=lambda r: f"{r.method} {r.pattern}")
def test_no_route_is_more_generous_than_graph(contract: GraphContract, route: Route) -> None:
    for prefix, kind in (("me", "delegated"), ("users/x", "application")):
        path = "/" + route.pattern.replace("{mailbox}", prefix)
        path = path.replace("({standard})", "(TimeZoneStandard='Iana')")
        operation = contract.operation(route.method, path)
        assert operation, f"{path} is not in the description"
        described = operation["x-permissions"].get(kind)
        if described is None:
            continue
        ours = _granted(route.need, kind)
        assert ours <= set(described["accepted"]), (path, kind)
        if route.need.refusal == "outlook" and "delta" not in path:
            assert ours & set(described["leastPrivileged"]) or "forward" in path, (path, kind)


def _granted(need: RequiredPermission, kind: str) -> set[str]:
    names = need.delegated if kind == "delegated" else need.application
    # Printed without the .All that it is granted with.
    return {name.replace("ReadBasic.All", "ReadBasic") if "Cal" in name else name for name in names}


@pytest.mark.parametrize("name", REQUESTS)
async def test_printed_event_requests_are_understood(graph: Graph, name: str) -> None:
    sample = PRINTED[name]
    url = sample["url"].partition("/v1.0")[2]
    graph.simulator.switches.schedule_window_days = 62
    status, body, _ = await graph.call(
        "POST",
        url,
        sample["request"],
        headers={"Prefer": sample.get("headers", {}).get("Prefer", "")},
    )
    assert status == sample.get("status", 201), body
    if "response" in sample and url == "/me/events":
        _same_members(sample["response"], body)


def _same_members(printed: dict[str, Any], ours: dict[str, Any]) -> None:
    """Check that all members Microsoft prints are there, with values of the same kind."""
    for name, value in printed.items():
        if name in {"uid", "@odata.context"}:
            continue
        assert name in ours, name
        both = (value, ours[name])
        if None not in both:
            assert type(value) is type(ours[name]), name


async def test_printed_answers_look_like_ours(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    graph.simulator.outlook.tentative("bob", event["iCalUId"])
    await graph.simulator.settle()
    shown = await graph.get("ada", event["id"])
    _same_members(PRINTED["event-organizer-copy-after-response"]["response"], shown)
    schedule = await graph.call(
        "POST",
        "/me/calendar/getSchedule",
        PRINTED["getschedule-two-users"]["request"] | {"schedules": ["bob@contoso.test"]},
        expect=200,
    )
    printed = PRINTED["getschedule-two-users"]["response"]["value"][1]
    _same_members(printed, schedule["value"][0])
    settings = await graph.call("GET", "/me/mailboxSettings", expect=200)
    _same_members(PRINTED["mailboxsettings-get"]["response"], settings)
    calendar = await graph.call("GET", "/me/calendar", expect=200)
    _same_members(PRINTED["calendar-get-online-providers"]["response"], calendar)
    _same_members(PRINTED["user-me"]["response"], await graph.call("GET", "/me", expect=200))


@pytest.mark.parametrize(
    ("sample", "path", "who"),
    [
        ("observed-mailbox-not-enabled", "/users/prem@contoso.test/events", None),
        ("observed-access-policy-blocked", "/users/outer@contoso.test/events", None),
    ],
)
async def test_observed_errors_are_the_same(
    graph: Graph, sample: str, path: str, who: str | None
) -> None:
    graph.simulator.switches.access_policy = list(graph.world.tenants)
    status, body, _ = await graph.call("GET", path, who=who, permissions="Calendars.Read")
    printed = PRINTED[sample]
    assert status == printed["status"]
    for member in ("code", "message"):
        assert body["error"][member] == printed["response"]["error"][member]
    assert body["error"]["innerError"].keys() == printed["response"]["error"]["innerError"].keys()


async def test_observed_booking_errors_are_the_same(graph: Graph) -> None:
    graph.simulator.switches.duplicate_transaction_names_event = True
    await graph.book("ada", "bob", transactionId="t-1")
    _, body, _ = await graph.call("POST", "/me/events", a_meeting(transactionId="t-1"))
    printed = PRINTED["observed-duplicate-transactionid"]["response"]["error"]
    assert body["error"].keys() == printed.keys()
    assert body["error"]["message"] == printed["message"]


async def test_printed_subscriptions_look_like_ours(graph: Graph, webhook: Webhook) -> None:
    made = await subscribe(graph, webhook)
    printed = PRINTED["subscription-created-outlook-basic"]["response"]
    for name in printed.keys() - {"notificationContentType", "@odata.context"}:
        assert name in made, name
    listed = await graph.call("GET", "/subscriptions", **AS_APP, expect=200)
    assert listed["value"][0]["clientState"] is None


async def test_notifications_are_as_described(
    graph: Graph, webhook: Webhook, contract: GraphContract
) -> None:
    made = await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
    await graph.book()
    await graph.simulator.settle()
    for shape in ("live", "printed"):
        graph.simulator.switches.set("lifecycle_shape", shape)
        await graph.control("POST", f"/subscriptions/{made['id']}/lifecycle/missed")
        await graph.simulator.settle()
    changes, live, lifecycle = webhook.posts
    assert contract.notification_problems({"value": changes}) == []
    printed = PRINTED["lifecycle-missed"]["request"]["value"][0]
    assert lifecycle[0].keys() == printed.keys()
    observed = PRINTED["observed-lifecycle-reauthorization"]["request"]["value"][0]
    assert live[0].keys() == observed.keys()
    printed = PRINTED["notification-outlook-basic"]["request"]["value"][0]
    assert changes[0].keys() == printed.keys() | {"id"}
    assert changes[0]["resourceData"].keys() == printed["resourceData"].keys()
