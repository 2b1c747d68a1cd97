"""The platform's page: consent granted and declined, diagnostics, health over time."""

import pytest
from playwright.async_api import Locator, Page, expect

from local.seed import NORTHWIND_ID
from tests.browser.conftest import AppUnderTest, Picture

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def new_organization(stage: AppUnderTest) -> str:
    made = await stage.call("platform", "POST", "organizations", json={"tenant_id": NORTHWIND_ID})
    return str(made["id"])


def shown(page: Page, organization_id: str) -> Locator:
    return page.locator(f"[data-organization='{organization_id}']")


async def link_of(page: Page, organization_id: str) -> str:
    ours = shown(page, organization_id)
    await ours.get_by_role("button", name="Make a consent link").click()
    return await ours.get_by_label("Consent link").input_value()


async def test_an_admin_declines_then_approves(stage: AppUnderTest, picture: Picture) -> None:
    organization = await new_organization(stage)
    async with stage.someone(query="?admin") as page:
        await expect(shown(page, organization)).to_contain_text("not approved yet")
        link = await link_of(page, organization)
        await picture(page, "admin-link", docs=True)
        await page.goto(link)
        await picture(page, "consent-start", docs=True)
        await page.locator("#go").click()
        await page.locator("#refuse").click()
        await expect(page.locator("h1")).to_be_visible()
        await picture(page, "consent-declined")
        await page.goto(f"{stage.url}/?admin")
        await expect(shown(page, organization)).to_contain_text("declined")
        await page.goto(await link_of(page, organization))
        await page.locator("#go").click()
        await picture(page, "consent-asked", docs=True)
        await page.locator("#grant-vera").click()
        await page.locator("#vera").click()
        await expect(page.locator("h1")).to_be_visible()
        await picture(page, "consent-granted", docs=True)
        await page.goto(f"{stage.url}/?admin")
        await expect(shown(page, organization).locator(".consent")).to_have_text("approved")


async def test_diagnostics_name_the_responsible_person_and_the_remedy(
    stage: AppUnderTest, picture: Picture
) -> None:
    async with stage.someone(query="?admin") as page:
        ours = shown(page, "contoso")
        await ours.get_by_label("Also try the mailbox of").select_option("lena@contoso.example")
        await ours.get_by_role("button", name="Check what works").click()
        await expect(ours.locator(".finding.works").first).to_be_visible()
        failing = ours.locator(".finding.fails").first
        await expect(failing).to_contain_text("fails")
        await picture(page, "diagnostics", docs=True)


async def test_health_over_time(stage: AppUnderTest, picture: Picture) -> None:
    await stage.book("ben", "ada-ben", 25)
    async with stage.someone(query="?admin") as page:
        ours = shown(page, "contoso")
        await ours.get_by_text("Health", exact=True).click()
        await expect(ours.locator(".figures")).to_contain_text("Followed mailboxes")
        await expect(ours.locator(".chart li")).not_to_have_count(0)
        await expect(ours.locator(".chart li").last).to_contain_text("by push")
        await picture(page, "health", docs=True)


async def test_without_a_token_endpoint_one_is_pasted(stage: AppUnderTest) -> None:
    async with stage.someone() as page:
        settings = await (await page.request.get(f"{stage.url}/config.json")).json()
        del settings["platformTokenUrl"]
        await page.route("**/config.json", lambda route: route.fulfill(json=settings))
        await page.goto(f"{stage.url}/?admin")
        await page.get_by_label("Token with the role").fill(stage.cloud.entra.platform_token())
        await page.get_by_role("button", name="Use it").click()
        await expect(shown(page, "contoso")).to_be_visible()
