"""Attacks on consent: by the holder of a link, and by a platform's backend that is taken over."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from local.browser_cookies import BrowserCookies
from local.seed import CONTOSO_ID, NORTHWIND_ID
from local.world import DirectoryRole
from tests.e2e.conftest import AppUnderTest
from tests.e2e.platform import Platform, query_of, target_of

CALLBACK = "/api/consent/callback"


@pytest.fixture
def platform(stage: AppUnderTest) -> Platform:
    return Platform(stage)


def approve_elsewhere(stage: AppUnderTest) -> None:
    """Let Northwind have approved the app, while it belongs to no organization."""
    stage.cloud.entra.grant(NORTHWIND_ID)


def asked_of(stage: AppUnderTest, tenant_id: str) -> list[tuple[str, str]]:
    """Return the requests for tokens of one tenant."""
    return [each for each in stage.cloud.entra.requests if each[1] == tenant_id]


async def is_untouched(stage: AppUnderTest, platform: Platform, organization_id: str) -> bool:
    """Return whether the organization has no tenant, and nothing was asked of Northwind."""
    shown = await platform.answer("GET", f"organizations/{organization_id}")
    app_only = [each for each in asked_of(stage, NORTHWIND_ID) if each[0] != "authorization_code"]
    return (shown["consent"], shown["tenant_id"]) == ("pending", None) and not app_only


async def skip_consent(
    stage: AppUnderTest, start: httpx.Response, tenant_id: str
) -> httpx.Response:
    """Call the callback as Entra's consent page would, without any approval."""
    state = query_of(target_of(start))["state"]
    claims = {"tenant": tenant_id, "admin_consent": "True"}
    return await stage.http.get(CALLBACK, params={"state": state} | claims)


@asynccontextmanager
async def another_browser(stage: AppUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    trust = ssl.create_default_context(cafile=str(stage.cloud.certificate.authority))
    async with httpx.AsyncClient(
        base_url=stage.http.base_url, verify=trust, cookies=BrowserCookies()
    ) as browser:
        yield browser


async def test_the_holder_of_a_link_connects_no_tenant_by_calling_the_callback(
    stage: AppUnderTest, platform: Platform
) -> None:
    approve_elsewhere(stage)
    made = await platform.answer("POST", "organizations", 201, json={})
    link = await platform.link(made["id"])
    claims = {"tenant": NORTHWIND_ID, "admin_consent": "True"}
    page = await stage.http.get(CALLBACK, params={"state": query_of(link)["state"]} | claims)
    assert "connected" not in page.text
    assert await is_untouched(stage, platform, made["id"])


async def test_the_holder_of_a_link_signs_in_to_no_tenant_but_their_own(
    stage: AppUnderTest, platform: Platform
) -> None:
    """The callback is called by hand from the holder's browser, with the tenant of others."""
    approve_elsewhere(stage)
    made = await platform.answer("POST", "organizations", 201, json={})
    link = await platform.link(made["id"])
    for person, status in (("nils", 403), ("rosa", 400)):
        start = await platform.opened(link)
        to_sign_in = await skip_consent(stage, start, NORTHWIND_ID)
        assert to_sign_in.headers["location"].startswith(stage.cloud.entra.root_url)
        page = await platform.signed_in(to_sign_in, person)
        assert page.status_code == status, page.text
    assert await is_untouched(stage, platform, made["id"])


async def test_an_administrator_who_is_sent_a_later_step_connects_nothing(
    stage: AppUnderTest, platform: Platform
) -> None:
    """The holder goes half way, and sends the address of Entra's sign-in to the administrator."""
    approve_elsewhere(stage)
    made = await platform.answer("POST", "organizations", 201, json={})
    start = await platform.opened(await platform.link(made["id"]))
    to_sign_in = await skip_consent(stage, start, NORTHWIND_ID)
    async with another_browser(stage) as browser:
        platform.browser = browser
        page = await platform.signed_in(to_sign_in, "vera")
        assert (page.status_code, "own link" in page.text) == (400, True)
    assert await is_untouched(stage, platform, made["id"])


async def test_a_role_that_cannot_consent_or_is_not_known_connects_nothing(
    stage: AppUnderTest, platform: Platform
) -> None:
    approve_elsewhere(stage)
    made = await platform.answer("POST", "organizations", 201, json={})
    link = await platform.link(made["id"])
    vera = stage.cloud.world.person("vera")
    vera.directory_roles = frozenset({DirectoryRole.APPLICATION_ADMINISTRATOR})
    to_sign_in = await skip_consent(stage, await platform.opened(link), NORTHWIND_ID)
    page = await platform.signed_in(to_sign_in, "vera")
    assert (page.status_code, "An administrator must do this" in page.text) == (403, True)
    vera.directory_roles = frozenset({DirectoryRole.PRIVILEGED_ROLE_ADMINISTRATOR})
    stage.cloud.entra.registration.emits_directory_roles = False
    page = await platform.visit(link, "grant", "vera")
    assert (page.status_code, "could not be checked" in page.text) == (409, True)
    assert await is_untouched(stage, platform, made["id"])
    stage.cloud.entra.registration.emits_directory_roles = True
    assert "is connected" in (await platform.visit(link, "grant", "vera")).text


async def test_an_administrator_who_abandons_the_sign_in_may_begin_again(
    stage: AppUnderTest, platform: Platform
) -> None:
    made = await platform.answer("POST", "organizations", 201, json={})
    link = await platform.link(made["id"])
    to_sign_in = await platform.decided(await platform.opened(link), "grant", "vera")
    state = query_of(to_sign_in.headers["location"])["state"]
    cancelled = {"state": state, "error": "access_denied", "error_description": "AADSTS50105: no"}
    page = await stage.http.get(CALLBACK, params=cancelled)
    assert (page.status_code, "access_denied (AADSTS50105)" in page.text) == (400, True)
    assert await is_untouched(stage, platform, made["id"])
    assert "is connected" in (await platform.visit(link, "grant", "vera")).text


async def test_a_replayed_code_connects_nothing_and_the_approval_may_come_later(
    stage: AppUnderTest, platform: Platform
) -> None:
    """The person signs in without having approved; another administrator approves in Entra."""
    made = await platform.answer("POST", "organizations", 201, json={})
    start = await platform.opened(await platform.link(made["id"]))
    to_sign_in = await skip_consent(stage, start, NORTHWIND_ID)
    chosen = await stage.http.get(f"{to_sign_in.headers['location']}&person=vera")
    back = chosen.headers["location"]
    proven = (await stage.http.get(back)).headers["location"]
    replayed = await stage.http.get(back)
    assert (replayed.status_code, "AADSTS54005" in replayed.text) == (400, True)
    waiting = await stage.http.get(proven)
    assert ("Almost done" in waiting.text, waiting.headers["refresh"]) == (True, "20")
    stage.cloud.entra.grant(NORTHWIND_ID)
    assert "is connected" in (await stage.http.get(proven)).text
    assert "nothing more to do" in (await stage.http.get(proven)).text
    shown = await platform.answer("GET", f"organizations/{made['id']}")
    assert (shown["consent"], shown["tenant_id"]) == ("granted", NORTHWIND_ID)


async def test_a_backend_that_is_taken_over_does_not_widen_the_access(
    stage: AppUnderTest, platform: Platform
) -> None:
    ben = stage.cloud.world.person("ben")
    as_ben = {"acting-participant": f"contoso/{ben.object_id}"}
    await platform.change("contoso", access_mode="application")
    assert (await platform.call("GET", "me", headers=as_ben)).status_code == 403
    assert (await platform.call("GET", "pairings", headers=as_ben)).status_code == 403


async def test_an_organization_that_is_created_anew_has_no_wider_access(
    stage: AppUnderTest, platform: Platform
) -> None:
    """The tenant has approved the app; the customer's organization is removed and made again."""
    await platform.answer("DELETE", "organizations/contoso")
    ben, ada = (stage.cloud.world.person(who) for who in ("ben", "ada"))
    wide = {"access_mode": "application"}
    body = {"tenant_id": CONTOSO_ID, "settings": wide}
    made = await platform.answer("POST", "organizations", 201, json=body)
    stage.cloud.entra.requests.clear()
    await platform.call("GET", f"organizations/{made['id']}/diagnostics")
    await _pair(platform, made["id"], ben, ada)
    as_ben = {"acting-participant": f"{made['id']}/{ben.object_id}"}
    for path in ("me", "pairings"):
        assert (await platform.call("GET", path, headers=as_ben)).status_code == 403
    shown = await platform.answer("GET", f"organizations/{made['id']}")
    assert (shown["consent"], shown["settings"]["access_mode"]) == ("pending", "delegated")
    assert not asked_of(stage, CONTOSO_ID)


async def _pair(platform: Platform, organization_id: str, *people: Any) -> None:
    roles = ("mentee", "mentor")
    participants = [
        {"role": role, "address": person.address, "object_id": person.object_id}
        for role, person in zip(roles, people, strict=True)
    ]
    path = f"organizations/{organization_id}/pairings/first"
    await platform.answer("PUT", path, json={"participants": participants})
