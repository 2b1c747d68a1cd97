"""docs/onboarding.md, by the pages: Northwind from nothing to an answer, as a person clicks."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from local.seed import NORTHWIND_ID
from tests.browser.conftest import AppUnderTest
from tests.browser.test_booking import booked_by_hand, card, next_week
from tests.docs.onboarding import named_steps

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def forget_northwind(stage: AppUnderTest) -> None:
    """Remove the organization of Northwind's tenant, if there is one, and its approval."""
    for each in (await stage.call("platform", "GET", "organizations"))["items"]:
        is_left = each["tenant_id"] == NORTHWIND_ID
        while is_left:
            removal = await stage.call("platform", "DELETE", f"organizations/{each['id']}")
            is_left = not removal["complete"]
    stage.cloud.entra.withdraw(NORTHWIND_ID)


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(stage: AppUnderTest) -> AsyncIterator[AppUnderTest]:
    """Provide the system as it is where nobody has taken on Northwind, and leave it so."""
    await forget_northwind(stage)
    yield stage
    await forget_northwind(stage)


@dataclass
class Walk:
    """The steps that were walked, by the document's names."""

    stage: AppUnderTest
    admin: Page
    """The platform's browser, and then the customer's administrator's."""
    done: list[str] = field(default_factory=list)
    customer: str = ""
    link: str = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        yield
        self.done.append(name)

    async def add_the_customer(self) -> None:
        await self.admin.get_by_label("The customer's tenant id").fill(NORTHWIND_ID)
        await self.admin.get_by_role("button", name="Add a customer").click()
        ours = self.admin.locator("[data-organization]", has_text=NORTHWIND_ID)
        await expect(ours).to_contain_text("not approved yet")
        self.customer = await ours.get_by_role("heading").inner_text()

    async def make_the_link(self) -> None:
        ours = self.admin.locator(f"[data-organization='{self.customer}']")
        await ours.get_by_role("button", name="Make a consent link").click()
        self.link = await ours.get_by_label("Consent link").input_value()

    async def try_the_wrong_role(self) -> None:
        tab = await self.admin.context.new_page()
        await tab.goto(self.link)
        await tab.get_by_role("link", name="Continue to Microsoft").click()
        await tab.get_by_role("button", name="Accept as Arne Holm").click()
        await expect(tab.get_by_role("heading")).to_have_text("Need admin approval")
        await tab.get_by_role("link", name="Back to the app").click()
        await expect(tab.get_by_role("heading")).to_have_text("Nothing was approved")
        await tab.close()

    async def approve(self) -> None:
        tab = await self.admin.context.new_page()
        await tab.goto(self.link)
        await tab.get_by_role("link", name="Continue to Microsoft").click()
        await tab.get_by_role("button", name="Accept as Vera Lang").click()
        await tab.get_by_role("link", name="Vera Lang").click()
        await expect(tab.get_by_role("heading")).to_have_text("Your organization is connected")
        await tab.close()

    async def say_who_may_meet(self) -> None:
        people = [("mentor", "nils"), ("mentee", "noor")]
        named = [{"role": role, "address": f"{who}@northwind.example"} for role, who in people]
        path = f"organizations/{self.customer}/pairings/nils-noor"
        await self.stage.call("platform", "PUT", path, json={"participants": named})

    async def check_what_works(self) -> None:
        await self.admin.reload()
        ours = self.admin.locator(f"[data-organization='{self.customer}']")
        await expect(ours.locator(".consent")).to_have_text("approved")
        mailbox = ours.get_by_label("Also try the mailbox of")
        await mailbox.select_option("nils@northwind.example")
        await ours.get_by_role("button", name="Check what works").click()
        await expect(ours.locator(".finding.works")).to_have_count(5)
        await expect(ours.locator(".finding.fails")).to_have_count(0)

    async def accept_in_outlook(self, page: Page, title: str) -> None:
        outlook = await page.context.new_page()
        await outlook.goto(self.stage.cloud.outlook_url)
        await outlook.get_by_role("link", name="Nils Ekberg").click()
        async with outlook.expect_response(lambda reply: "/events" in reply.url):
            await outlook.get_by_role("button", name="Later").click()
        await outlook.get_by_role("button", name=title).click()
        await outlook.get_by_role("button", name="Accept", exact=True).click()
        await expect(outlook.get_by_role("dialog")).to_have_count(0)
        await outlook.close()

    async def see_that_answers_arrive(self) -> None:
        await self.admin.reload()
        ours = self.admin.locator(f"[data-organization='{self.customer}']")
        await ours.get_by_text("Health", exact=True).click()
        await expect(ours.locator(".chart li").last).to_contain_text("1 by push")


async def test_northwind_is_taken_on_by_the_pages(fresh: AppUnderTest) -> None:
    async with fresh.someone(query="?admin") as admin:
        walk = Walk(fresh, admin)
        with walk.step("Add the customer"):
            await walk.add_the_customer()
        with walk.step("Make the link"):
            await walk.make_the_link()
        with walk.step("Try it with the wrong role"):
            await walk.try_the_wrong_role()
        with walk.step("Approve"):
            await walk.approve()
        with walk.step("Say who may meet"):
            await walk.say_who_may_meet()
        with walk.step("Check what works"):
            await walk.check_what_works()
        async with fresh.someone("noor") as page:
            with walk.step("Book"):
                await next_week(page)
                slot = page.locator(".start").first
                session = await booked_by_hand(page, slot)
            with walk.step("Accept in Outlook"):
                await fresh.arrived("nils", session)
                await walk.accept_in_outlook(page, "Mentoring")
                await expect(card(page, session)).to_contain_text("Nils: accepted")
        with walk.step("See that answers arrive"):
            await walk.see_that_answers_arrive()
    assert walk.done == named_steps()
