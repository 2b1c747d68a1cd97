"""The platform's routes: organizations, consent, pairings, diagnostics, health, removal."""

import html
import re
from dataclasses import fields, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.errors import CalendarUnavailable, ConsentMissing, StoreUnavailable
from shared.ids import Mailbox, ObjectId, OrganizationId
from shared.organizations.consent_model import ConsentOutcome
from shared.organizations.model import (
    AccessMode,
    ConsentState,
    Organization,
    OrganizationSettings,
    PendingSettings,
)
from shared.organizations.ports import Capability, ProbeResult
from shared.organizations.protection import WEAKENING
from tests.builders import NOW, a_change, a_subscription, a_tenant, a_uuid
from tests.edge.api import Api, body_of
from tests.fake_probes import FakeDirectory

GONE = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=700016, request_id="r-1")


@pytest.fixture
def people(api: Api) -> FakeDirectory:
    directory: FakeDirectory = api.adapters.__dict__["directory"]
    return directory


async def created(api: Api, **body: Any) -> dict[str, Any]:
    answer = await api.call("POST", "organizations", who="platform", body=body)
    assert answer.status_code == 201
    shown: dict[str, Any] = body_of(answer)
    assert answer.headers["location"] == f"/api/organizations/{shown['id']}"
    return shown


async def connected(api: Api, **changes: Any) -> Organization:
    """Return an organization whose tenant has approved."""
    shown = await created(api, tenant_id=a_tenant())
    organization = await api.adapters.organizations.get(shown["id"])
    return await api.adapters.organizations.save(
        replace(organization, consent=ConsentState.GRANTED, **changes)
    )


async def test_an_organization_that_is_not_there_is_not_found(
    api: Api, people: FakeDirectory
) -> None:
    for method, path in (
        ("GET", "organizations/none"),
        ("PATCH", "organizations/none"),
        ("POST", "organizations/none/consent-link"),
        ("GET", "organizations/none/diagnostics"),
        ("GET", "organizations/none/health"),
        ("GET", "organizations/none/changes"),
        ("GET", "organizations/none/pairings"),
        ("PUT", "organizations/none/pairings/one"),
        ("GET", "organizations/none/pairings/one"),
        ("DELETE", "organizations/none/pairings/one"),
    ):
        absent = await api.call(method, path, who="platform", body={"settings": {}})
        assert absent.status_code == 404, path
    assert not people.known


# --- organizations


async def test_a_new_organization_has_the_documented_defaults(api: Api) -> None:
    shown = await created(api)
    assert shown["settings"] == {
        "access_mode": "delegated",
        "sync_mode": "push",
        "tentative_is_busy": True,
        "minimum_notice_minutes": 120,
        "horizon_days": 90,
        "buffer_before_minutes": 0,
        "buffer_after_minutes": 0,
        "step_minutes": 15,
        "online_meeting": "auto",
        "retention_days": 30,
        "owner_address": None,
    }
    assert (shown["tenant_id"], shown["consent"], shown["is_closing"]) == (None, "pending", False)


async def test_every_setting_can_be_set_and_read_back(api: Api) -> None:
    wanted = {
        "access_mode": "delegated",
        "sync_mode": "poll",
        "tentative_is_busy": False,
        "minimum_notice_minutes": 30,
        "horizon_days": 10,
        "buffer_before_minutes": 5,
        "buffer_after_minutes": 10,
        "step_minutes": 60,
        "online_meeting": "teams",
        "retention_days": 7,
        "owner_address": "Owner@Contoso.example",
    }
    shown = await created(api, settings=wanted)
    assert shown["settings"] == wanted | {"owner_address": "owner@contoso.example"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum_notice_minutes": -1},
        {"minimum_notice_minutes": 20161},
        {"horizon_days": 0},
        {"horizon_days": 366},
        {"buffer_before_minutes": 7},
        {"buffer_after_minutes": 125},
        {"step_minutes": 7},
        {"retention_days": 0},
        {"retention_days": 366},
        {"owner_address": "nobody"},
        {"access_mode": "root"},
        {"nonsense": 1},
    ],
)
async def test_settings_have_bounds(api: Api, wrong: dict[str, Any]) -> None:
    refused = await api.call("POST", "organizations", who="platform", body={"settings": wrong})
    assert refused.status_code == 422
    assert body_of(refused)["errors"][0]["field"] == f"body.settings.{next(iter(wrong))}"


async def test_a_tenant_belongs_to_one_organization(api: Api) -> None:
    tenant = a_tenant()
    await created(api, tenant_id=tenant)
    again = await api.call("POST", "organizations", who="platform", body={"tenant_id": tenant})
    assert again.status_code == 409


async def test_organizations_are_listed_in_pages(api: Api) -> None:
    ids = {(await created(api))["id"] for _ in range(3)} | {api.env.organization.id}
    first = body_of(await api.call("GET", "organizations?limit=3", who="platform"))
    rest = await api.call("GET", f"organizations?cursor={first['next']}", who="platform")
    assert {o["id"] for o in first["items"] + body_of(rest)["items"]} == ids


async def test_a_change_needs_the_version_that_was_seen(api: Api) -> None:
    path = f"organizations/{(await created(api))['id']}"
    seen = await api.call("GET", path, who="platform")
    change = {"settings": {"retention_days": 5, "owner_address": "a@b.example"}}
    missing = await api.call("PATCH", path, who="platform", body=change)
    headers = {"if-match": seen.headers["etag"]}
    changed = await api.call("PATCH", path, who="platform", body=change, headers=headers)
    stale = await api.call("PATCH", path, who="platform", body=change, headers=headers)
    assert (missing.status_code, changed.status_code, stale.status_code) == (422, 200, 412)
    settings = body_of(changed)["settings"]
    assert (settings["retention_days"], settings["horizon_days"]) == (5, 90)
    assert changed.headers["etag"] != seen.headers["etag"]


async def test_an_owner_can_be_taken_away(api: Api) -> None:
    shown = await created(api, settings={"owner_address": "a@b.example"})
    changed = await api.call(
        "PATCH",
        f"organizations/{shown['id']}",
        who="platform",
        body={"settings": {"owner_address": None}},
        headers={"if-match": "*"},
    )
    assert body_of(changed)["settings"]["owner_address"] is None


async def test_matching_if_none_match_is_304(api: Api) -> None:
    path = f"organizations/{(await created(api))['id']}"
    etag = (await api.call("GET", path, who="platform")).headers["etag"]
    again = await api.call("GET", path, who="platform", headers={"if-none-match": etag})
    assert again.status_code == 304


# --- settings that weaken the customer's protection


async def patch(api: Api, organization_id: str, **settings: Any) -> Any:
    answer = await api.call(
        "PATCH",
        f"organizations/{organization_id}",
        who="platform",
        body={"settings": settings},
        headers={"if-match": "*"},
    )
    assert answer.status_code == 200
    return body_of(answer)


async def test_a_wider_setting_is_pending_and_narrowing_is_immediate(api: Api) -> None:
    organization = await connected(api)
    asked = await patch(api, organization.id, access_mode="application", retention_days=90)
    assert (asked["settings"]["access_mode"], asked["settings"]["retention_days"]) == (
        "delegated",
        30,
    )
    assert asked["pending_settings"] == {"access_mode": "application", "retention_days": 90}
    other = await patch(api, organization.id, horizon_days=10, retention_days=7)
    assert (other["settings"]["horizon_days"], other["settings"]["retention_days"]) == (10, 7)
    assert other["pending_settings"] == {"access_mode": "application", "retention_days": None}
    assert (await patch(api, organization.id, access_mode="delegated"))["pending_settings"] is None


async def test_an_access_that_is_narrowed_is_narrow_at_once(api: Api) -> None:
    wide = OrganizationSettings(access_mode=AccessMode.APPLICATION)
    organization = await connected(api, settings=wide)
    shown = await patch(api, organization.id, access_mode="delegated")
    assert shown["settings"]["access_mode"] == "delegated"
    again = await patch(api, organization.id, access_mode="application")
    assert again["settings"]["access_mode"] == "delegated"


async def test_a_wider_setting_is_in_the_feed_when_it_is_asked_for_and_when_it_begins(
    api: Api,
) -> None:
    organization = await connected(api)
    for _ in range(2):
        await patch(api, organization.id, access_mode="application")
    page = await visit(api, organization.id)
    assert page.status_code == 200
    feed = body_of(
        await api.call("GET", f"organizations/{organization.id}/changes", who="platform")
    )
    assert [(c["kind"], c["detail"]) for c in feed["items"]] == [
        ("organization.setting_requested", "access_mode"),
        ("organization.setting_approved", "access_mode"),
    ]
    assert "consent link" in feed["items"][0]["remedy"]
    now = body_of(await api.call("GET", f"organizations/{organization.id}", who="platform"))
    assert (now["settings"]["access_mode"], now["pending_settings"]) == ("application", None)


def test_every_setting_is_weighed() -> None:
    """A new setting must be put on one of the lists, in docs/security.md as well."""
    harmless = {
        "sync_mode",
        "tentative_is_busy",
        "minimum_notice",
        "horizon",
        "buffer_before",
        "buffer_after",
        "step_minutes",
        "online_meeting",
        "owner_address",
    }
    assert {each.name for each in fields(OrganizationSettings)} == harmless | WEAKENING.keys()
    assert {each.name for each in fields(PendingSettings)} == WEAKENING.keys()


# --- consent


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def open_link(api: Api, organization_id: str) -> tuple[str, dict[str, str]]:
    """Make a consent link and open it; return Entra's address and the cookie for later steps."""
    link = await api.call("POST", f"organizations/{organization_id}/consent-link", who="platform")
    assert link.status_code == 200
    url = str(body_of(link)["url"]).partition("/api/")[2]
    page = await api.call("GET", url, who=None)
    assert page.status_code == 200, page.get_body()
    (target,) = re.findall(r'href="([^"]+)"', page.get_body().decode())
    cookie = str(page.headers["set-cookie"])
    assert cookie.startswith("__Host-consent=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    return html.unescape(target), {"cookie": f"other=1; {cookie.partition(';')[0]}"}


async def visit(api: Api, organization_id: str, **query: str) -> Any:
    """Open a new link, come back from Entra with *query*, and go on; return the last page.

    Without *query* an administrator of the organization's tenant approves.
    """
    target, cookie = await open_link(api, organization_id)
    stored = await api.adapters.organizations.get(OrganizationId(organization_id))
    query = query or {"tenant": str(stored.tenant_id), "admin_consent": "True"}
    page = await back(api, cookie, state=query_of(target)["state"], **query)
    if page.status_code == 302:
        at_entra = query_of(page.headers["location"])
        assert page.headers["location"].startswith("https://login.test/")
        page = await back(api, cookie, state=at_entra["state"], code=at_entra["as"])
    if page.status_code == 302:
        page = await back(api, cookie, **query_of(page.headers["location"]))
    return page


async def back(api: Api, headers: dict[str, str], **query: str) -> Any:
    return await api.call(
        "GET", "consent/callback", who=None, query=list(query.items()), headers=headers
    )


async def test_an_administrator_approves_and_reads_the_result(api: Api) -> None:
    shown = await created(api)
    tenant = a_tenant()
    page = await visit(api, shown["id"], tenant=tenant, admin_consent="True", scope="x")
    now = body_of(await api.call("GET", f"organizations/{shown['id']}", who="platform"))
    assert page.status_code == 200
    assert "Your organization is connected" in page.get_body().decode()
    assert (now["consent"], now["tenant_id"]) == ("granted", tenant)


async def test_a_sign_in_that_is_interrupted_is_not_loaded_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = await connected(api)
    await patch(api, organization.id, access_mode="application")
    target, cookie = await open_link(api, organization.id)
    query = {"tenant": str(organization.tenant_id), "admin_consent": "True"}
    page = await back(api, cookie, state=query_of(target)["state"], **query)
    at_entra = query_of(page.headers["location"])

    async def fail(*_: object) -> None:
        raise StoreUnavailable("The tables do not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(api.adapters.organizations, "of_tenant", fail)
        page = await back(api, cookie, state=at_entra["state"], code=at_entra["as"])
    assert page.status_code == 503
    # Entra takes a code once: what would be loaded again could only fail.
    assert "refresh" not in page.headers
    assert "open the link again" in page.get_body().decode()
    assert (await visit(api, organization.id)).status_code == 200


async def test_without_the_browsers_cookie_nothing_goes_on(api: Api) -> None:
    shown = await created(api)
    target, _ = await open_link(api, shown["id"])
    page = await back(
        api, {}, state=query_of(target)["state"], tenant=a_tenant(), admin_consent="True"
    )
    assert page.status_code == 400
    assert "own link" in page.get_body().decode()


async def test_the_first_page_says_what_is_asked_for(api: Api) -> None:
    organization = await connected(api)
    await patch(api, organization.id, access_mode="application", retention_days=90)
    link = await api.call("POST", f"organizations/{organization.id}/consent-link", who="platform")
    page = await api.call("GET", body_of(link)["url"].partition("/api/")[2], who=None)
    text = page.get_body().decode()
    assert "Approve a change" in text
    assert "without their sign-in" in text
    assert "90 days" in text
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_the_pages_run_nothing_and_are_kept_nowhere(api: Api) -> None:
    for path in ("consent/callback?state=nonsense", "consent/start?state=nonsense"):
        page = await api.call("GET", path, who=None)
        assert page.status_code == 400
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "<script" not in page.get_body().decode()


async def test_consent_page_never_echoes_the_query(api: Api) -> None:
    shown = await created(api)
    evil = "<img src=x onerror=alert(1)>"
    page = await visit(
        api, shown["id"], error=evil, error_description=f"AADSTS65004: {evil}", tenant=evil
    )
    assert "onerror" not in page.get_body().decode()


async def test_an_approval_that_spreads_slowly_makes_the_page_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.organizations.consent_proof.PAUSES", ())
    api.adapters.probes.ill[Capability.TOKEN] = GONE  # type: ignore[attr-defined]  # the fake's
    shown = await created(api)
    page = await visit(api, shown["id"], tenant=a_tenant(), admin_consent="True")
    assert page.status_code == 200
    assert page.headers["refresh"] == "20"


async def test_an_entra_that_does_not_answer_asks_for_the_link_again(api: Api) -> None:
    api.adapters.sign_in.error = CalendarUnavailable("Entra is down.")  # type: ignore[attr-defined]
    shown = await created(api)
    page = await visit(api, shown["id"], tenant=a_tenant(), admin_consent="True")
    assert page.status_code == 503
    assert "open the link again" in page.get_body().decode()


async def test_a_tenant_that_still_blocks_the_app_is_reported_with_the_reason(api: Api) -> None:
    api.adapters.probes.ill[Capability.TOKEN] = replace(  # type: ignore[attr-defined]
        GONE, aadsts=7000112
    )
    shown = await created(api)
    page = await visit(api, shown["id"], tenant=a_tenant(), admin_consent="True")
    text = page.get_body().decode()
    assert page.status_code == 409
    assert "switched off in the tenant" in text
    assert "AADSTS7000112" in text


async def test_every_outcome_has_its_words() -> None:
    from functions._consent_page import PAGES

    assert set(PAGES) == set(ConsentOutcome)


# --- diagnostics


async def test_diagnostics_name_the_responsible_person_and_the_remedy(
    api: Api, people: FakeDirectory
) -> None:
    organization = await connected(api)
    api.adapters.probes.ill[Capability.TOKEN] = GONE  # type: ignore[attr-defined]
    path = f"organizations/{organization.id}/diagnostics"
    report = body_of(await api.call("GET", path, who="platform"))
    token = report["findings"][0]
    assert (report["healthy"], report["consent"]) == (False, "withdrawn")
    assert (token["issue"], token["responsible"], token["code"]) == (
        "app_gone",
        "entra_admin",
        "AADSTS700016",
    )
    assert token["request_id"] == "r-1"
    assert not people.known


async def test_a_withdrawal_is_in_the_feed_once(api: Api, people: FakeDirectory) -> None:
    organization = await connected(api)
    api.adapters.probes.ill[Capability.TOKEN] = GONE  # type: ignore[attr-defined]
    for _ in range(2):
        await api.call("GET", f"organizations/{organization.id}/diagnostics", who="platform")
    feed = body_of(
        await api.call("GET", f"organizations/{organization.id}/changes", who="platform")
    )
    assert [(c["kind"], c["detail"]) for c in feed["items"]] == [
        ("organization.trouble", "consent_withdrawn")
    ]
    assert people is api.adapters.directory


async def test_a_person_is_named_by_address_or_object_id(api: Api, people: FakeDirectory) -> None:
    organization = await connected(api)
    assert organization.tenant_id
    ada = people.add(organization.tenant_id, "ada@contoso.example")
    path = f"organizations/{organization.id}/diagnostics"
    for name in (ada.address, ada.object_id):
        report = body_of(await api.call("GET", f"{path}?mailbox={name}", who="platform"))
        assert report["mailbox"] == ada.object_id
    nobody = await api.call("GET", f"{path}?mailbox=no@contoso.example", who="platform")
    nonsense = await api.call("GET", f"{path}?mailbox=nonsense", who="platform")
    assert (nobody.status_code, nonsense.status_code) == (422, 422)


# --- health


async def test_health_counts_subscriptions_and_changes(api: Api, people: FakeDirectory) -> None:
    organization = await connected(api)
    assert organization.tenant_id
    mailbox = Mailbox(organization.tenant_id, ObjectId(a_uuid()))
    await api.adapters.subscriptions.save(a_subscription(mailbox=mailbox, last_push_at=NOW))
    await api.adapters.subscriptions.save(a_subscription())  # another tenant's
    await api.adapters.changes.append(
        [a_change(organization.id, cause="outlook", lag_ms=lag) for lag in (1000, 2000, 3000, None)]
        + [a_change(organization.id, cause="reconciliation", lag_ms=60_000)]
        + [a_change(organization.id)]
    )
    api.adapters.throttle_counts[organization.tenant_id] = 3
    health = body_of(
        await api.call("GET", f"organizations/{organization.id}/health", who="platform")
    )
    assert health["subscriptions"]["active"] == 1
    assert health["subscriptions"]["last_push_at"] == "2026-03-02T08:00:00Z"
    assert health["changes"]["push"] | {"last_at": None} == {
        "count": 4,
        "lag_p50_ms": 2000,
        "lag_p99_ms": 3000,
        "last_at": None,
    }
    assert health["changes"]["reconciliation"]["count"] == 1
    assert health["credential"]["kind"] == "secret"
    assert health["throttled"] == 3
    assert people is api.adapters.directory


# --- pairings


def wanted(*named: dict[str, Any]) -> dict[str, Any]:
    roles = ["mentor", *["mentee"] * (len(named) - 1)]
    return {"participants": [{"role": role} | who for role, who in zip(roles, named, strict=True)]}


async def put(api: Api, organization: Organization, *named: dict[str, Any]) -> Any:
    path = f"organizations/{organization.id}/pairings/pair-7"
    return await api.call("PUT", path, who="platform", body=wanted(*named))


async def test_addresses_become_people_and_people_get_addresses(
    api: Api, people: FakeDirectory
) -> None:
    organization = await connected(api)
    assert organization.tenant_id
    ada = people.add(organization.tenant_id, "ada@contoso.example")
    ben = people.add(organization.tenant_id, "ben@contoso.example")
    stored = await put(
        api,
        organization,
        {"address": "Ada@Contoso.example"},
        {"object_id": ben.object_id.upper()},
        {"address": "outside@partner.example", "required": False},
    )
    assert stored.status_code == 200
    assert [(p["address"], p["object_id"]) for p in body_of(stored)["participants"]] == [
        (ada.address, ada.object_id),
        (ben.address, ben.object_id),
        ("outside@partner.example", None),
    ]


async def test_participant_with_id_and_address_needs_no_directory(
    api: Api, people: FakeDirectory
) -> None:
    shown = await created(api, tenant_id=a_tenant())
    organization = await api.adapters.organizations.get(shown["id"])
    both = [
        {"address": f"{name}@contoso.example", "object_id": a_uuid()} for name in ("ada", "ben")
    ]
    assert (await put(api, organization, *both)).status_code == 200
    alone = await put(api, organization, both[0], {"address": "x@contoso.example"})
    assert alone.status_code == 409
    assert body_of(alone)["remedy"]
    assert not people.known


async def test_an_alias_is_registered_under_the_main_address(
    api: Api, people: FakeDirectory
) -> None:
    organization = await connected(api)
    assert organization.tenant_id
    ada = people.add(organization.tenant_id, "ada@contoso.example")
    ben = people.add(organization.tenant_id, "ben@contoso.example")
    people.aliases["b@contoso.example"] = ben
    for named in (
        {"address": "b@contoso.example"},
        {"address": "former@contoso.example", "object_id": ben.object_id},
    ):
        stored = await put(api, organization, {"object_id": ada.object_id}, named)
        shown = body_of(stored)["participants"][1]
        assert (shown["address"], shown["object_id"]) == (ben.address, ben.object_id)


async def test_an_address_of_the_tenant_that_is_not_found_is_no_outsider(
    api: Api, people: FakeDirectory
) -> None:
    organization = await connected(api)
    assert organization.tenant_id
    ada = people.add(organization.tenant_id, "ada@contoso.example")
    refused = await put(
        api, organization, {"object_id": ada.object_id}, {"address": "alias@contoso.example"}
    )
    assert refused.status_code == 422
    (error,) = body_of(refused)["errors"]
    assert error["field"] == "body.participants.1.address"
    assert "object_id" in error["message"]


async def test_an_account_that_was_created_anew_is_said(api: Api, people: FakeDirectory) -> None:
    organization = await connected(api)
    assert organization.tenant_id
    ada = people.add(organization.tenant_id, "ada@contoso.example")
    former = {"address": "ben@contoso.example", "object_id": a_uuid()}
    refused = await put(api, organization, {"object_id": ada.object_id}, former)
    assert refused.status_code == 422
    assert "created anew" in body_of(refused)["errors"][0]["message"]
    # Where the app may not read the directory, people are taken as they are named.
    people.error = ConsentMissing("Graph denies the access.", remedy="An administrator approves.")
    by_both = {"address": ada.address, "object_id": ada.object_id}
    assert (await put(api, organization, by_both, former)).status_code == 200


async def test_a_pairing_is_checked_as_a_whole(api: Api, people: FakeDirectory) -> None:
    organization = await connected(api)
    assert organization.tenant_id
    ada = people.add(organization.tenant_id, "ada@contoso.example")
    by_id, by_address = {"object_id": ada.object_id}, {"address": ada.address}
    for named in (
        [by_id],
        [by_id, by_address],
        [by_id, {"object_id": a_uuid()}],
        [by_id, {"address": "no address"}],
        [by_id, {}],
        [{"address": "one@partner.example"}, {"address": "two@partner.example"}],
        [{"address": f"n{n}@partner.example"} for n in range(20)] + [by_id],
    ):
        refused = await put(api, organization, *named)
        assert refused.status_code == 422, named
        assert body_of(refused)["errors"][0]["field"].startswith("body.participants")


async def test_twenty_people_may_meet(api: Api, people: FakeDirectory) -> None:
    organization = await connected(api)
    assert organization.tenant_id
    ada = people.add(organization.tenant_id, "ada@contoso.example")
    others = [{"address": f"n{n}@partner.example"} for n in range(19)]
    stored = await put(api, organization, {"object_id": ada.object_id}, *others)
    assert len(body_of(stored)["participants"]) == 20


@pytest.mark.parametrize("pairing_id", ["a b", "x" * 65, "ü", "a;b"])
async def test_odd_pairing_ids_are_refused(
    api: Api, people: FakeDirectory, pairing_id: str
) -> None:
    organization = await connected(api)
    assert organization.tenant_id
    ada = people.add(organization.tenant_id, "ada@contoso.example")
    refused = await api.call(
        "PUT",
        f"organizations/{organization.id}/pairings/{pairing_id}",
        who="platform",
        body=wanted({"object_id": ada.object_id}, {"address": "out@partner.example"}),
    )
    assert refused.status_code == 422


async def test_pairings_are_shown_listed_and_removed(api: Api, people: FakeDirectory) -> None:
    organization = api.env.organization
    path = f"organizations/{organization.id}/pairings"
    listed = body_of(await api.call("GET", path, who="platform"))
    one = f"{path}/{api.env.pairing.id}"
    shown = await api.call("GET", one, who="platform")
    assert listed["items"] == [body_of(shown)]
    for _ in range(2):
        assert (await api.call("DELETE", one, who="platform")).status_code == 204
    assert (await api.call("GET", one, who="platform")).status_code == 404
    assert not people.known


async def test_another_organizations_pairing_is_not_found(api: Api, people: FakeDirectory) -> None:
    other = await connected(api)
    absent = await api.call(
        "GET", f"organizations/{other.id}/pairings/{api.env.pairing.id}", who="platform"
    )
    assert absent.status_code == 404
    assert not people.known


# --- stopping


@pytest.mark.parametrize(
    "changes",
    [{"consent": ConsentState.WITHDRAWN}, {"is_closing": True}],
    ids=["withdrawn", "closing"],
)
async def test_participants_of_a_stopped_organization_get_a_refusal(
    api: Api, changes: dict[str, Any]
) -> None:
    organization = await api.adapters.organizations.get(api.env.organization.id)
    await api.adapters.organizations.save(replace(organization, **changes))
    refused = await api.call("GET", f"pairings/{api.env.pairing.id}")
    assert refused.status_code == 403
