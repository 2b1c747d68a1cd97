"""People's acts on sessions, on the page and in Outlook beside it."""

import re
from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import AppUnderTest, Picture, next_monday

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def turn(page: Page) -> None:
    """Turn to the next days and wait until their times are shown."""
    shown = page.locator(".calendar .range")
    before = await shown.inner_text()
    await page.locator(".bar .group button").last.click()
    await expect(shown).not_to_have_text(before)
    await expect(page.locator(".calendar")).to_have_attribute("aria-busy", "false")


async def next_week(page: Page) -> None:
    """Turn to the week that lies wholly ahead."""
    await expect(page.locator(".calendar")).to_be_visible()
    await turn(page)
    await expect(page.locator(".start").first).to_be_visible()


def card(page: Page, session_id: str) -> Locator:
    return page.locator(f".card[data-session='{session_id}']")


async def booked_by_hand(page: Page, slot: Locator) -> str:
    """Choose *slot*, book it, return the session's id."""
    await slot.click()
    async with page.expect_response(
        lambda r: r.request.method == "POST" and r.url.endswith("/sessions")
    ) as answered:
        await page.get_by_role("button", name="Book", exact=True).click()
    session: str = (await (await answered.value).json())["id"]
    await expect(page.get_by_role("dialog")).to_have_count(0)
    return session


async def test_book_and_see_the_answer_of_outlook(stage: AppUnderTest, picture: Picture) -> None:
    async with stage.someone() as page:
        await picture(page, "signed-out", docs=True)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
        await picture(page, "who-are-you", docs=True)
        await page.locator("#ben").click()
        await next_week(page)
        await picture(page, "week", docs=True)
        await page.locator(".start").nth(5).click()
        dialog = page.get_by_role("dialog", name="Book a session")
        await dialog.get_by_label("Title").fill("First talk")
        await dialog.get_by_label("What would you like to discuss?").fill("How to begin")
        await dialog.get_by_label("Meet").select_option("teams")
        await picture(page, "book", docs=True)
        async with page.expect_response(lambda r: r.request.method == "POST") as answered:
            await dialog.get_by_role("button", name="Book", exact=True).click()
        session = (await (await answered.value).json())["id"]
        await expect(dialog).to_have_count(0)
        await expect(page.get_by_text("Booked:")).to_be_visible()
        mine = card(page, session)
        await expect(mine).to_contain_text("Ada: no answer yet")
        await expect(mine.get_by_role("link", name="Join")).to_have_attribute(
            "href", re.compile("^https://")
        )
        # In Outlook, beside it, the mentor accepts; nothing is reloaded here.
        outlook = await page.context.new_page()
        monday = f"{next_monday():%Y-%m-%d}"
        await outlook.goto(f"{stage.cloud.outlook_url}/ada?week={monday}")
        await outlook.get_by_role("button", name="First talk").click()
        await picture(outlook, "outlook", docs=True)
        await outlook.get_by_role("button", name="Accept", exact=True).click()
        await outlook.close()
        await page.bring_to_front()
        await expect(mine).to_contain_text("Ada: accepted")
        await picture(page, "accepted", docs=True)


async def test_move_by_dragging(stage: AppUnderTest, picture: Picture) -> None:
    session = await stage.book("priya", "ada-priya", 6)
    async with stage.someone("priya", "?pairing=ada-priya") as page:
        await next_week(page)
        block = page.locator(f".session[data-session='{session['id']}']")
        target = page.locator(".start").last
        await target.scroll_into_view_if_needed()
        await block.scroll_into_view_if_needed()
        await target.evaluate("e => e.scrollIntoView({block: 'nearest', inline: 'nearest'})")
        from_, to = await block.bounding_box(), await target.bounding_box()
        assert from_
        assert to
        await page.mouse.move(from_["x"] + 20, from_["y"] + 8)
        await page.mouse.down()
        await page.mouse.move(to["x"] + 20, to["y"] + 4, steps=8)
        await page.mouse.move(to["x"] + 20, to["y"] + 10, steps=2)
        await expect(page.locator(".ghost")).to_be_visible()
        await picture(page, "drag")
        await page.mouse.up()
        dialog = page.get_by_role("dialog", name="Move the session")
        await dialog.get_by_role("button", name="Move", exact=True).click()
        await expect(dialog).to_have_count(0)
        await expect(page.locator("#said")).to_contain_text("Moved to")
        seen = await stage.call("priya", "GET", f"sessions/{session['id']}")
        assert seen["start"] != session["start"]


async def test_move_by_form_and_cancel_with_a_comment(stage: AppUnderTest) -> None:
    session = await stage.book("priya", "ada-priya", 9)
    week = next_monday() + timedelta(days=7)
    later = {"from": week.isoformat(), "to": (week + timedelta(days=7)).isoformat()}
    free = Counter(slot["start"][:10] for slot in await stage.slots("priya", "ada-priya", **later))
    day = next(day for day, slots in free.items() if slots > 2)
    async with stage.someone("priya", "?pairing=ada-priya") as page:
        mine = card(page, session["id"])
        await mine.get_by_role("button", name="Move").click()
        dialog = page.get_by_role("dialog", name="Move the session")
        await dialog.get_by_label("Day").fill(day)
        times = dialog.get_by_label("Time")
        await expect(times.locator("option").nth(2)).to_be_attached()
        await times.select_option(index=2)
        await dialog.get_by_role("button", name="Move", exact=True).click()
        await expect(dialog).to_have_count(0)
        moved = await stage.call("priya", "GET", f"sessions/{session['id']}")
        assert moved["start"].startswith(day)
        await mine.get_by_role("button", name="Cancel").click()
        dialog = page.get_by_role("dialog", name="Cancel the session?")
        await dialog.get_by_label("A word to the others").fill("A cold, sorry")
        await dialog.get_by_role("button", name="Cancel the session").click()
        await expect(mine).to_contain_text("cancelled")
    assert any("A cold, sorry" in str(m.as_json()) for m in stage.cloud.graph.mail)


async def test_two_browsers_want_the_same_time(stage: AppUnderTest, picture: Picture) -> None:
    async with stage.someone("ben") as first, stage.someone("priya") as second:
        await second.get_by_role("button", name=re.compile("^Ada Mentor$")).click()
        for page in (first, second):
            await next_week(page)
        # The same instant in Ben's and in Priya's zone, from a slot offered to both.
        wanted = first.locator(".start")
        theirs = await second.locator(".start").evaluate_all(
            "all => all.map(each => each.dataset.start)"
        )
        ours = await wanted.evaluate_all("all => all.map(each => each.dataset.start)")
        at = next(each for each in reversed(ours) if each in theirs)
        await second.locator(f"[data-start='{at}']").click()
        dialog = second.get_by_role("dialog")
        await dialog.get_by_label("What would you like to discuss?").fill("Kept whatever happens")
        await booked_by_hand(first, first.locator(f"[data-start='{at}']"))
        await dialog.get_by_role("button", name="Book", exact=True).click()
        await expect(dialog).to_contain_text("This time has just gone. These are near:")
        await picture(second, "conflict", docs=True)
        await expect(dialog.get_by_label("What would you like to discuss?")).to_have_value(
            "Kept whatever happens"
        )
        await dialog.locator(".alternatives button").first.click()
        await dialog.get_by_role("button", name="Book", exact=True).click()
        await expect(dialog).to_have_count(0)


async def test_take_the_time_that_was_proposed(stage: AppUnderTest, picture: Picture) -> None:
    session = await stage.book("hugo", "faye-hugo", 1)
    other = (await stage.slots("hugo", "faye-hugo"))[-1]
    await stage.arrived("faye", session["id"])
    await stage.call(
        "faye",
        "POST",
        f"sessions/{session['id']}/response",
        json={
            "response": "tentative",
            "proposed": {"start": other["start"], "end": other["end"]},
        },
    )
    async with stage.someone("hugo", timezone_id="America/Los_Angeles") as page:
        mine = card(page, session["id"])
        await expect(mine).to_contain_text("Faye proposes")
        await expect(mine).to_contain_text("Faye: perhaps")
        await picture(page, "proposal", docs=True)
        await mine.get_by_role("button", name="Take it").click()
        await expect(mine.get_by_role("button", name="Take it")).to_have_count(0)
    seen = await stage.call("hugo", "GET", f"sessions/{session['id']}")
    assert seen["start"] == other["start"]


async def test_answer_an_invitation(stage: AppUnderTest) -> None:
    session = await stage.book("hugo", "faye-hugo", 4)
    await stage.arrived("faye", session["id"])
    async with stage.someone("faye", timezone_id="America/Los_Angeles", locale="en-US") as page:
        mine = card(page, session["id"])
        await expect(mine).to_contain_text(re.compile("[AP]M"))
        await mine.get_by_role("button", name="Answer").click()
        dialog = page.get_by_role("dialog", name="Will you come?")
        await dialog.get_by_label("No").check()
        await dialog.get_by_label("A word to the organizer").fill("On a plane")
        await dialog.get_by_role("button", name="Send").click()
        await expect(dialog).to_have_count(0)
        await expect(mine).to_contain_text("You: declined")


async def test_answer_the_invitations_of_a_series(stage: AppUnderTest) -> None:
    repeat = {"frequency": "weekly", "count": 3}
    booked = await stage.book("hugo", "faye-hugo", 9, repeat=repeat)
    sessions = [each["id"] for each in booked["series"]["sessions"]]
    await stage.arrived("faye", booked["series"]["id"])
    async with stage.someone("faye") as page:
        mine = card(page, sessions[0])
        await mine.get_by_role("button", name="Answer").click()
        dialog = page.get_by_role("dialog", name="Will you come?")
        await dialog.get_by_label("Perhaps").check()
        await expect(dialog.get_by_label("Propose another time")).to_be_visible()
        await dialog.get_by_label("Which ones").select_option("the whole series")
        await expect(dialog.get_by_label("Propose another time")).to_have_count(0)
        await dialog.get_by_role("button", name="Send").click()
        await expect(dialog).to_have_count(0)
        for session_id in sessions:
            await expect(card(page, session_id)).to_contain_text("You: perhaps")


async def test_unknown_participant_is_shown_with_reason_and_remedy(
    stage: AppUnderTest, picture: Picture
) -> None:
    async with stage.someone("ada", "?pairing=ada-gil") as page:
        await expect(page.locator(".notice")).to_contain_text("It is not known when Gil Perrin")
        await expect(page.locator(".notice")).to_contain_text("What can be done")
        await page.get_by_role("button", name="Next").click()
        await expect(page.locator(".status")).to_contain_text("Free times: 0")
        await page.get_by_label("Offer times although a calendar is unknown").check()
        await expect(page.locator(".start.unknown").first).to_be_visible()
        await picture(page, "unknown", docs=True)
        await page.locator(".start.unknown").first.click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Book", exact=True).click()
        await expect(dialog).to_contain_text("It is not known whether everybody is free then.")
        await dialog.get_by_label("Book although it is not known").check()
        await dialog.get_by_role("button", name="Book", exact=True).click()
        await expect(dialog).to_have_count(0)
        await expect(page.locator(".card", has_text="Booked without knowing")).to_have_count(1)


async def test_a_mentor_on_premises(stage: AppUnderTest, picture: Picture) -> None:
    stage.cloud.graph.switches.set("schedule_on_premises_answers", value=False)
    try:
        async with stage.someone("ben", "?pairing=oskar-ben") as page:
            await expect(page.locator(".notice")).to_contain_text("on premises")
            await picture(page, "on-premises")
    finally:
        stage.cloud.graph.switches.set("schedule_on_premises_answers", value=True)


async def test_a_series_one_date_of_which_is_not_free(
    stage: AppUnderTest, picture: Picture
) -> None:
    week, tokyo = timedelta(weeks=1), ZoneInfo("Asia/Tokyo")
    monday = next_monday(tokyo)
    window = {"from": monday.isoformat(), "to": (monday + 3 * week).isoformat()}
    found = await stage.slots("misaki", "layla-misaki", **window)
    starts = [datetime.fromisoformat(slot["start"]) for slot in found]
    at = next(each for each in starts if each + week in starts and each + 2 * week in starts)
    stage.cloud.graph.outlook.busy("layla", at + week, at + week + timedelta(minutes=30))
    async with stage.someone("misaki", "?pairing=layla-misaki", timezone_id=tokyo.key) as page:
        await next_week(page)
        await page.locator(f"[data-start='{at.timestamp() * 1000:.0f}']").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Repeat").select_option("weekly")
        await dialog.get_by_label("How many sessions").fill("3")
        await dialog.get_by_role("button", name="Book", exact=True).click()
        await expect(dialog).to_contain_text("Not free on these dates:")
        await picture(page, "series", docs=True)
        await dialog.get_by_role("button", name="Book the others without them").click()
        await expect(dialog).to_have_count(0)
        await expect(page.locator("#said")).to_contain_text("Sessions booked: 2; not on")
        await expect(page.locator(".card", has_text="of a series")).to_have_count(2)


async def test_a_missing_time_is_explained(stage: AppUnderTest, picture: Picture) -> None:
    async with stage.someone("ben") as page:
        await next_week(page)
        await page.get_by_label("Show why other times are not offered").check()
        refused = page.locator(".start.refused[aria-label*='busy']")
        await refused.first.click()
        await expect(page.locator(".status")).to_contain_text("not offered:")
        await expect(page.locator(".status")).to_contain_text("busy")
        await picture(page, "why", docs=True)
