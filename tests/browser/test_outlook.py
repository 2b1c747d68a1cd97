"""The local cloud's small Outlook: each act of people, on a simulated Graph alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from local.graph.acts import ACTS
from local.graph.mailbox import Event
from local.graph.outlook import NoSuchEvent
from local.graph.simulator import GraphSimulator
from local.outlook.pages import OutlookPages
from local.seed import seeded_world
from local.serving import serving, take_address
from tests.browser.conftest import a_browser, next_monday
from tests.browser.test_everybody import findings

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEN, PRIYA = "ben@contoso.example", "priya@contoso.example"


@dataclass(frozen=True)
class Desk:
    """Ada's meeting with Ben next Monday at ten, and the pages on which people act on it."""

    graph: GraphSimulator
    url: str
    browser: Browser
    uid: str

    def event(self, who: str = "ada") -> Event:
        return self.graph.outlook.find(who, self.uid)

    @asynccontextmanager
    async def page(self, who: str) -> AsyncIterator[Page]:
        page = await self.browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text))
        await page.goto(f"{self.url}/{who}?week={next_monday():%Y-%m-%d}")
        yield page
        await page.close()
        assert not complaints

    @asynccontextmanager
    async def opened(self, who: str) -> AsyncIterator[Locator]:
        """Open the meeting in the calendar of *who*; afterwards wait for the act, and for mail."""
        async with self.page(who) as page:
            dialog = await opened(page)
            yield dialog
            await expect(dialog).to_have_count(0)
            await expect(page.locator("#trouble")).to_be_hidden()
        await self.graph.settle()

    async def press(self, who: str, button: str) -> None:
        async with self.opened(who) as dialog:
            await dialog.get_by_role("button", name=button, exact=True).click()


async def opened(page: Page) -> Locator:
    await page.get_by_role("button", name="Mentoring").first.click()
    return page.get_by_role("dialog", name="Mentoring")


@asynccontextmanager
async def a_desk(browser: Browser, **more: Any) -> AsyncIterator[Desk]:
    graph = GraphSimulator(seeded_world(), token_keys=dict, background=False)
    day = f"{next_monday():%Y-%m-%d}"
    zone = "Europe/Berlin"
    event = graph.outlook.invite(
        "ada",
        {
            "subject": "Mentoring",
            "start": {"dateTime": f"{day}T10:00:00", "timeZone": zone},
            "end": {"dateTime": f"{day}T11:00:00", "timeZone": zone},
            "attendees": [{"emailAddress": {"address": BEN}, "type": "required"}],
            **more,
        },
    )
    await graph.settle()
    address = take_address()
    async with serving(OutlookPages(graph).app(), address):
        yield Desk(graph, address.url, browser, event.ical_uid)
    await graph.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with a_browser() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def desk(browser: Browser) -> AsyncIterator[Desk]:
    async with a_desk(browser) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def series(browser: Browser) -> AsyncIterator[Desk]:
    """Provide the same meeting, on three days."""
    pattern = {"type": "daily", "interval": 1}
    days = {"type": "numbered", "startDate": f"{next_monday():%Y-%m-%d}", "numberOfOccurrences": 3}
    async with a_desk(browser, recurrence={"pattern": pattern, "range": days}) as one:
        yield one


def invited(event: Event) -> dict[str, str]:
    return {each.address: each.kind for each in event.details.attendees}


async def test_every_act_is_on_the_page(desk: Desk) -> None:
    async with desk.page("ada") as page:
        script = await (await page.request.get(f"{desk.url}/files/outlook.js")).text()
    assert [name for name in ACTS if f'"{name}"' not in script] == ["edit"]


async def test_an_invitation_is_answered(desk: Desk) -> None:
    for button, response in (("Accept", "accepted"), ("Tentative", "tentativelyAccepted")):
        await desk.press("ben", button)
        assert desk.event().details.attendees[0].response == response
    async with desk.opened("ben") as dialog:
        await dialog.get_by_label("Time").fill(f"{next_monday():%Y-%m-%d}T15:00")
        await dialog.get_by_role("button", name="Propose this time").click()
    proposed = desk.event().details.attendees[0].proposed
    assert proposed
    assert proposed[0].instant == next_monday() + timedelta(hours=15)
    async with desk.opened("ben") as dialog:
        await dialog.get_by_label("A word to go with it").fill("A cold")
        await dialog.get_by_role("button", name="Decline").click()
    assert desk.event().details.attendees[0].response == "declined"
    assert desk.graph.mail[-1].comment == "A cold"


async def test_a_meeting_is_moved_and_made_all_day(desk: Desk) -> None:
    async with desk.opened("ada") as dialog:
        await dialog.get_by_label("Time").fill(f"{next_monday():%Y-%m-%d}T14:30")
        await dialog.get_by_role("button", name="Move", exact=True).click()
    assert desk.event("ben").start_at == next_monday() + timedelta(hours=14.5)
    await desk.press("ada", "All day")
    assert desk.event("ben").details.is_all_day
    await desk.press("ada", "Not all day")
    assert not desk.event("ben").details.is_all_day


async def test_a_meeting_is_dragged_to_another_time(desk: Desk) -> None:
    async with desk.page("ada") as page:
        meeting = page.get_by_role("button", name="10:00 Mentoring")
        await meeting.hover()
        box = await meeting.bounding_box()
        assert box
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 2.5 * box["height"], steps=5)
        await page.mouse.up()
        await expect(page.get_by_role("button", name="12:00 Mentoring")).to_be_visible()
    assert desk.event().start_at == next_monday() + timedelta(hours=12)


async def test_people_are_added_made_optional_and_removed(desk: Desk) -> None:
    for button, kind in (("Add", "required"), ("Add as optional", "optional")):
        async with desk.opened("ada") as dialog:
            await dialog.get_by_label("Address").fill(PRIYA)
            await dialog.get_by_role("button", name=button, exact=True).click()
        assert invited(desk.event()) == {BEN: "required", PRIYA: kind}
        assert not desk.event("priya").is_organizer
    await desk.press("ada", "Make required: Priya Raman")
    assert invited(desk.event()) == {BEN: "required", PRIYA: "required"}
    await desk.press("ada", "Make optional: Ben Adeyemi")
    await desk.press("ada", "Remove: Priya Raman")
    assert invited(desk.event()) == {BEN: "optional"}
    assert desk.event("priya").is_cancelled
    await desk.press("priya", "Remove")
    with pytest.raises(NoSuchEvent):
        desk.event("priya")


async def test_a_meeting_is_forwarded(desk: Desk) -> None:
    async with desk.opened("ben") as dialog:
        await dialog.get_by_label("Address").fill(PRIYA)
        await dialog.get_by_role("button", name="Forward").click()
    assert PRIYA in invited(desk.event())
    assert not desk.event("priya").is_organizer


async def test_an_address_is_asked_for(desk: Desk) -> None:
    async with desk.page("ada") as page:
        dialog = await opened(page)
        for button in ("Add", "Forward", "Move there"):
            await dialog.get_by_role("button", name=button, exact=True).click()
        await expect(dialog).to_be_visible()
    assert invited(desk.event()) == {BEN: "required"}


async def test_deleted_items_are_listed_and_restored(desk: Desk) -> None:
    await desk.press("ben", "Delete")
    await desk.press("ada", "Cancel meeting")
    for who in ("ada", "ben"):
        with pytest.raises(NoSuchEvent):
            desk.event(who)
        async with desk.page(who) as page:
            await page.get_by_role("button", name="Restore: Mentoring").click()
            await expect(page.locator("#deleted")).to_be_empty()
            await expect(page.get_by_role("button", name="Mentoring")).to_be_visible()
        assert not desk.event(who).is_deleted


async def test_a_meeting_goes_to_another_calendar_and_back(desk: Desk) -> None:
    for calendar, shown in (("Private life", "10:00 Mentoring (Private life)"), ("Calendar", "")):
        async with desk.opened("ada") as dialog:
            await dialog.get_by_label("Other calendar").fill(calendar)
            await dialog.get_by_role("button", name="Move there").click()
        assert desk.event().calendar == calendar
        async with desk.page("ada") as page:
            name = shown or "10:00 Mentoring"
            await expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()


async def test_a_series_goes_to_another_calendar_as_a_whole(series: Desk) -> None:
    async with series.opened("ben") as dialog:
        await dialog.get_by_label("Other calendar").fill("Mentoring")
        await dialog.get_by_role("button", name="Move the series there").click()
    assert series.event("ben").calendar == "Mentoring"
    async with series.page("ben") as page:
        await expect(page.get_by_role("button", name="(Mentoring)")).to_have_count(3)


async def test_a_person_is_added_to_one_date_of_a_series(series: Desk) -> None:
    async with series.opened("ada") as dialog:
        await dialog.get_by_label("Address").fill(PRIYA)
        await dialog.get_by_role("button", name="Add", exact=True).click()
    first, second, _ = series.event().dates()
    assert PRIYA in invited(series.event().occurrence(first))
    assert PRIYA not in invited(series.event().occurrence(second))


async def test_a_date_and_those_that_follow_are_changed(series: Desk) -> None:
    second = next_monday() + timedelta(days=1)
    async with series.page("ada") as page:
        await page.get_by_role("button", name="Mentoring").nth(1).click()
        dialog = page.get_by_role("dialog", name="Mentoring")
        following = dialog.get_by_role("group", name="This and following")
        await following.get_by_label("Starts").fill(f"{second:%Y-%m-%d}T15:00")
        await following.get_by_label("Ends").fill(f"{second:%Y-%m-%d}T15:30")
        await following.get_by_role("button", name="Change this and following").click()
        await expect(dialog).to_have_count(0)
    assert series.event().dates() == [next_monday().date()]
    week = series.graph.outlook.events("ada", next_monday(), next_monday() + timedelta(days=5))
    found = [each for each in week if each.details.subject == "Mentoring"]
    assert [each.start_at for each in found[1:]] == [
        second + timedelta(days=n, hours=15) for n in (0, 1)
    ]
    async with series.page("ben") as page:
        dialog = await opened(page)
        await expect(dialog.get_by_role("group", name="This and following")).to_have_count(0)


async def test_a_private_appointment_is_made_and_gets_company(desk: Desk) -> None:
    async with desk.page("priya") as page:
        await page.locator(".day").nth(2).click(position={"x": 20, "y": 480})
        dialog = page.get_by_role("dialog", name="Private appointment")
        await dialog.get_by_label("Subject").fill("Dentist")
        await dialog.get_by_role("button", name="Save").click()
        await page.get_by_role("button", name="Dentist").click()
        dialog = page.get_by_role("dialog", name="Dentist")
        await dialog.get_by_label("Address").fill(BEN)
        await dialog.get_by_role("button", name="Add", exact=True).click()
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="Dentist").click()
        await expect(dialog).to_contain_text("Ben Adeyemi: pending")


async def test_axe_finds_nothing(series: Desk) -> None:
    series.graph.outlook.delete("ben", series.uid)
    async with series.page("ben") as page:
        await expect(page.get_by_role("button", name="Restore: Mentoring")).to_be_visible()
        assert await findings(page) == []
    async with series.page("ada") as page:
        await opened(page)
        assert await findings(page) == []
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="New appointment").press("Enter")
        await expect(page.get_by_label("Starts")).to_have_value(f"{next_monday():%Y-%m-%d}T09:00")
        assert await findings(page) == []
