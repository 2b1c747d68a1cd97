"""Delta rounds; people, organization, grants, settings, zones, ids."""

from typing import Any

import pytest

from tests.local.graph.conftest import APP, TENANT, Graph
from tests.local.graph.test_schedules import at

DELTA = "/me/calendarView/delta?startDateTime=2026-03-01&endDateTime=2026-04-01"


async def pages(graph: Graph, path: str, size: int = 50) -> tuple[list[Any], str]:
    """Follow the pages of a round; return its items and the path of the next."""
    items: list[Any] = []
    while True:
        headers = {"Prefer": f"odata.maxpagesize={size}"}
        body = await graph.call("GET", path, headers=headers, expect=200)
        items += body["value"]
        if "@odata.deltaLink" in body:
            return items, body["@odata.deltaLink"].partition("/v1.0")[2]
        path = body["@odata.nextLink"].partition("/v1.0")[2]


async def test_a_round_reports_the_changes_since_the_last(graph: Graph) -> None:
    first = await graph.book("ada", "bob", transactionId="t-1")
    second = await graph.book("ada", "bob", subject="Second")
    items, link = await pages(graph, DELTA, size=1)
    assert {one["id"] for one in items} == {first["id"], second["id"]}
    assert "t-1" in {one.get("transactionId") for one in items}
    items, link = await pages(graph, link)
    assert items == []
    graph.simulator.outlook.edit("ada", second["iCalUId"], subject="Changed")
    graph.simulator.outlook.cancel("ada", first["iCalUId"])
    items, link = await pages(graph, link)
    assert items[0]["id"] == first["id"]
    assert items[0]["@removed"] == {"reason": "deleted"}
    assert [one["subject"] for one in items[1:]] == ["Changed"]
    items, link = await pages(graph, link)
    assert items == []


async def test_event_moved_out_of_the_window_is_removed(graph: Graph) -> None:
    event = await graph.book()
    _, link = await pages(graph, DELTA)
    graph.simulator.outlook.move("ada", event["iCalUId"], at(10).replace(month=5))
    items, _ = await pages(graph, link)
    assert [(one["id"], one["@removed"]["reason"]) for one in items] == [(event["id"], "changed")]


async def test_a_stale_token_is_410(graph: Graph) -> None:
    _, link = await pages(graph, DELTA)
    await graph.control("POST", "/delta/expire")
    status, body, _ = await graph.call("GET", link)
    assert (status, body["error"]["code"]) == (410, "syncStateNotFound")


async def test_delta_takes_no_select(graph: Graph) -> None:
    status, _, _ = await graph.call("GET", f"{DELTA}&$select=subject")
    assert status == 400


async def test_people_by_id_and_by_address(graph: Graph) -> None:
    me = await graph.call("GET", "/me", expect=200)
    assert me["mail"] == "ada@contoso.test"
    select = "?$select=id,mail"
    bob = await graph.call("GET", f"/users/bob@contoso.test{select}", expect=200)
    assert {bob["id"], bob["mail"]} == {graph.oid("bob"), "bob@contoso.test"}
    found = await graph.call(
        "GET", "/users?$filter=mail eq 'BOB@contoso.test' or id eq 'x'", expect=200
    )
    assert [one["id"] for one in found["value"]] == [graph.oid("bob")]
    status, body, _ = await graph.call("GET", "/users/nobody@contoso.test")
    assert (status, body["error"]["code"]) == (404, "Request_ResourceNotFound")
    status, _, _ = await graph.call("GET", "/me?$select=nonsense")
    assert status == 400


async def test_the_reason_of_a_missing_mailbox_needs_the_full_permission(graph: Graph) -> None:
    path = f"/users/{graph.oid('prem')}?$select=onPremisesSyncEnabled,assignedPlans"
    status, _, _ = await graph.call("GET", path)
    assert status == 403
    token = graph.token(permissions="User.Read.All")
    shown = await graph.call("GET", path, token=token, expect=200)
    assert shown["onPremisesSyncEnabled"] is True
    assert shown["assignedPlans"] == []


async def test_organization_and_grants(graph: Graph) -> None:
    found = await graph.call("GET", "/organization", expect=200)
    assert found["value"][0]["id"] == TENANT
    graph.simulator.backend.granted_roles = lambda _: {"Calendars.Read"}
    as_app: dict[str, Any] = {"who": None, "permissions": "Application.Read.All"}
    listed = await graph.call(
        "GET", f"/servicePrincipals?$filter=appId eq '{APP}'", **as_app, expect=200
    )
    path = f"/servicePrincipals/{listed['value'][0]['id']}"
    granted = await graph.call("GET", f"{path}/appRoleAssignments", **as_app, expect=200)
    assert [one["appRoleId"] for one in granted["value"]] == [
        "798ee544-9d2d-430c-a058-570e29e34338"
    ]
    by_app = await graph.call("GET", f"/servicePrincipals(appId='{APP}')", **as_app, expect=200)
    assert by_app["id"] == listed["value"][0]["id"]
    assigned = await graph.call("GET", f"{path}/appRoleAssignedTo", **as_app, expect=200)
    assert len(assigned["value"]) == 8


async def test_settings_zones_and_calendars(graph: Graph) -> None:
    settings = await graph.call("GET", "/me/mailboxSettings", who="cleo", expect=200)
    assert settings["timeZone"] == "Pacific Standard Time"
    assert settings["workingHours"]["endTime"] == "17:00:00.0000000"
    zones = await graph.call("GET", "/me/outlook/supportedTimeZones", expect=200)
    assert "W. Europe Standard Time" in {one["alias"] for one in zones["value"]}
    iana = "/me/outlook/supportedTimeZones(TimeZoneStandard=microsoft.graph.timeZoneStandard'Iana')"
    zones = await graph.call("GET", iana, expect=200)
    assert "Europe/Berlin" in {one["alias"] for one in zones["value"]}
    (calendar,) = (await graph.call("GET", "/me/calendars", expect=200))["value"]
    path = f"/me/calendars/{calendar['id']}"
    assert (await graph.call("GET", path, expect=200))["isDefaultCalendar"]
    assert not (await graph.call("GET", f"{path}/events", expect=200))["value"]
    status, _, _ = await graph.call("GET", "/me/calendars/nonsense/events")
    assert status == 404


async def test_ids_are_translated(graph: Graph) -> None:
    event = await graph.book()
    body = {
        "inputIds": [event["id"], "nonsense"],
        "sourceIdType": "restId",
        "targetIdType": "restImmutableEntryId",
    }
    found = await graph.call("POST", "/me/translateExchangeIds", body, expect=200)
    assert (await graph.get("ada", found["value"][0]["targetId"]))["id"] == event["id"]
    assert found["value"][1]["errorDetails"]["code"] == "ErrorInvalidIdMalformed"


@pytest.mark.parametrize("path", ["/me/licenseDetails", "/users/{bob}/licenseDetails"])
async def test_licenses(graph: Graph, path: str) -> None:
    token = graph.token(permissions="LicenseAssignment.Read.All")
    full = path.replace("{bob}", graph.oid("bob"))
    found = await graph.call("GET", full, token=token, expect=200)
    assert found["value"][0]["servicePlans"]
