"""Errors are explained in words, and typed text is kept."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page, Route, expect

from local.entra.simulator import CHALLENGE
from tests.browser.conftest import AppUnderTest, Picture, sign_in
from tests.browser.test_booking import card, next_week

pytestmark = pytest.mark.asyncio(loop_scope="session")

_POST = re.compile(r"/api/pairings/[^/]+/sessions$")


async def half_booked(page: Page, agenda: str = "Typed once") -> None:
    """Open the form and type into it."""
    await next_week(page)
    await page.locator(".start").nth(8).click()
    await page.get_by_label("What would you like to discuss?").fill(agenda)


async def refuse(page: Page, status: int, kind: str, **headers: str) -> None:
    """Answer the next booking with a problem, as the API or a proxy before it would."""

    async def answer(route: Route) -> None:
        body = {"type": f"/api/problems/{kind}", "title": kind, "status": status, "detail": kind}
        await route.fulfill(
            status=status,
            content_type="application/problem+json",
            headers=headers,
            body=json.dumps(body if kind else {}),
        )

    await page.route(_POST, answer, times=1)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (429, "", "Too many requests at once."),
        (429, "limit-reached", "You have reached the limit for now."),
        (503, "calendar-throttled", "Outlook asks for a little patience."),
        (503, "", "The service is not available at the moment."),
        (502, "calendar-refused", "Outlook refused."),
        (403, "consent-missing", "Your company has not approved this app yet."),
    ],
)
async def test_refusals_are_shown_and_can_be_retried(
    stage: AppUnderTest, status: int, kind: str, said: str
) -> None:
    async with stage.someone("priya", "?pairing=ada-priya", tries_again=False) as page:
        await half_booked(page)
        await refuse(page, status, kind, **{"retry-after": "2"})
        await page.get_by_role("button", name="Book", exact=True).click()
        alert = page.get_by_role("dialog").get_by_role("alert")
        await expect(alert).to_contain_text(said)
        if status in {429, 503}:
            await expect(alert).to_contain_text("Try again in")
            await expect(alert.get_by_role("button", name="Try again")).to_be_enabled()
        await expect(page.get_by_label("What would you like to discuss?")).to_have_value(
            "Typed once"
        )


async def test_offline(stage: AppUnderTest, picture: Picture) -> None:
    async with stage.someone("priya", "?pairing=ada-priya", tries_again=False) as page:
        await half_booked(page)
        await page.context.set_offline(offline=True)
        await page.get_by_role("button", name="Book", exact=True).click()
        alert = page.get_by_role("dialog").get_by_role("alert")
        await expect(alert).to_contain_text("You are offline.")
        await picture(page, "offline")
        await page.context.set_offline(offline=False)
        await expect(page.get_by_label("What would you like to discuss?")).to_have_value(
            "Typed once"
        )
        await alert.get_by_role("button", name="Try again").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.locator("#said")).to_contain_text("Booked:")


async def test_an_answer_that_was_lost_books_once(stage: AppUnderTest) -> None:
    async with stage.someone("priya", "?pairing=ada-priya", tries_again=False) as page:
        await half_booked(page)

        async def lose(route: Route) -> None:
            await route.fetch()
            await route.abort("connectionreset")

        await page.route(_POST, lose, times=1)
        before = len((await stage.call("priya", "GET", "sessions"))["items"])
        await page.get_by_role("button", name="Book", exact=True).click()
        alert = page.get_by_role("dialog").get_by_role("alert")
        await expect(alert).to_contain_text("No answer came.")
        await alert.get_by_role("button", name="Try again").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        after = len((await stage.call("priya", "GET", "sessions"))["items"])
        assert after == before + 1


async def test_an_expired_session_keeps_typed_text(stage: AppUnderTest) -> None:
    async with stage.someone("priya", "?pairing=ada-priya") as page:
        await half_booked(page, "Outlives the sign-in")
        await refuse(page, 401, "not-authenticated")
        await page.get_by_role("button", name="Book", exact=True).click()
        alert = page.get_by_role("dialog").get_by_role("alert")
        await expect(alert).to_contain_text("Your sign-in has expired.")
        await alert.get_by_role("button", name="Sign in").click()
        await page.locator("#priya").click()
        dialog = page.get_by_role("dialog", name="Book a session")
        await expect(dialog.get_by_label("What would you like to discuss?")).to_have_value(
            "Outlives the sign-in"
        )
        await dialog.get_by_role("button", name="Book", exact=True).click()
        await expect(dialog).to_have_count(0)


async def test_a_claims_challenge_leads_to_another_sign_in(stage: AppUnderTest) -> None:
    tenant = stage.cloud.world.person("hugo").tenant_id
    stage.cloud.entra.demand_claims(tenant)
    try:
        async with stage.someone() as page:
            await page.get_by_role("button", name="Sign in").click()
            await page.locator("#hugo").click()
            # The first read of a calendar is refused; the page returns to Entra by itself.
            await expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
            assert "claims=" in page.url
            await page.locator("#hugo").click()
            await next_week(page)
    finally:
        stage.cloud.entra.app_in(tenant).demanded_claims = None


async def test_a_challenge_while_booking_keeps_typed_text(stage: AppUnderTest) -> None:
    async with stage.someone("priya", "?pairing=ada-priya") as page:
        await half_booked(page, "After another sign-in")
        claims = base64.b64encode(CHALLENGE.encode()).decode()
        header = f'Bearer realm="", error="insufficient_claims", claims="{claims}"'
        await refuse(page, 401, "sign-in-again", **{"www-authenticate": header})
        await page.get_by_role("button", name="Book", exact=True).click()
        await page.locator("#priya").click()
        dialog = page.get_by_role("dialog", name="Book a session")
        await expect(dialog.get_by_label("What would you like to discuss?")).to_have_value(
            "After another sign-in"
        )


async def test_hidden_it_is_quiet(stage: AppUnderTest) -> None:
    async with stage.someone("ben") as page:
        await page.clock.install(time=datetime.now(UTC))
        await page.reload()
        await next_week(page)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        # While visible, the page retries by itself; while hidden, ten minutes pass without a
        # request.
        async with page.expect_request(lambda request: "/api/sessions" in request.url):
            await page.clock.run_for(60_000)
        await page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        await page.wait_for_load_state("networkidle")
        asked.clear()
        await page.clock.run_for(600_000)
        assert not [url for url in asked if "/api/" in url]


async def test_signing_out_and_in_as_another_person(stage: AppUnderTest) -> None:
    async with stage.someone("ben") as page:
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        await sign_in(page, "priya")
        await expect(page.locator(".who")).to_contain_text("Priya Raman")


async def test_an_overlap_that_outlook_made_is_said_in_words(stage: AppUnderTest) -> None:
    one, other = [await stage.book("ben", "ada-ben", which) for which in (12, 16)]
    start = datetime.fromisoformat(other["start"])
    async with stage.someone("ben", "?pairing=ada-ben") as page:
        mine = card(page, one["id"])
        await expect(mine).not_to_contain_text("another session")
        stage.cloud.graph.outlook.move("ben", one["id"], start)
        for each in (one, other):
            await expect(card(page, each["id"])).to_contain_text(
                "Somebody here has another session at this time"
            )
        assert other["id"][:8] not in await mine.inner_text()


async def test_a_session_of_zero_minutes_is_explained_and_moved(stage: AppUnderTest) -> None:
    session = await stage.book("ben", "ada-ben", 20)
    start = datetime.fromisoformat(session["start"])
    async with stage.someone("ben", "?pairing=ada-ben") as page:
        mine = card(page, session["id"])
        await expect(mine).not_to_contain_text("no length")
        stage.cloud.graph.outlook.move("ben", session["id"], start, start)
        await expect(mine).to_contain_text("In Outlook this session has no length")
        await mine.get_by_role("button", name="Move").click()
        dialog = page.get_by_role("dialog", name="Move the session")
        await dialog.get_by_label("Length").select_option("45")
        await expect(dialog.get_by_label("Time")).to_be_enabled()
        await dialog.get_by_role("button", name="Move", exact=True).click()
        await expect(dialog).to_have_count(0)
        await expect(mine).not_to_contain_text("no length")
    moved = await stage.call("ben", "GET", f"sessions/{session['id']}")
    lasting = datetime.fromisoformat(moved["end"]) - datetime.fromisoformat(moved["start"])
    assert (moved["odd_time"], lasting) == (None, timedelta(minutes=45))


async def test_a_title_is_counted_as_outlook_counts(stage: AppUnderTest) -> None:
    async with stage.someone("priya", "?pairing=ada-priya") as page:
        await half_booked(page)
        title = page.get_by_label("Title")
        await title.focus()
        await page.keyboard.insert_text("x" + 200 * "😀")
        assert await title.input_value() == "x" + 127 * "😀"


async def test_an_all_day_session_shows_its_date_and_gets_hours_again(
    stage: AppUnderTest,
) -> None:
    session = await stage.book("ben", "ada-ben", 14, title="Off-site")
    day = datetime.fromisoformat(session["start"]).date()
    async with stage.someone("ben", "?pairing=ada-ben") as page:
        mine = card(page, session["id"])
        outlook = await page.context.new_page()
        await outlook.goto(f"{stage.cloud.outlook_url}/ben?week={day}")
        await outlook.get_by_role("button", name="Off-site").click()
        await outlook.get_by_role("button", name="All day", exact=True).click()
        await expect(outlook.get_by_role("button", name="All day Off-site")).to_be_visible()
        await outlook.close()
        await expect(mine).to_contain_text(", all day")
        await expect(mine.locator(".card-when b")).not_to_contain_text(":")
        await mine.get_by_role("button", name="Move").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text(", all day")
        # Its own day is full of it.
        other = (day + timedelta(days=1)).isoformat()
        await dialog.locator("input[type=date]").fill(other)
        await dialog.get_by_role("button", name="Move").click()
        await expect(mine.locator(".card-when b")).to_contain_text(":")


async def test_event_missing_in_outlook_is_explained(stage: AppUnderTest) -> None:
    session = await stage.book("ben", "ada-ben", 18)

    async def gone(route: Route) -> None:
        reply = await route.fetch()
        body = await reply.json()
        for each in body["items"]:
            if each["id"] == session["id"]:
                each["unreadable_since"] = "2026-01-05T08:00:00Z"
        await route.fulfill(response=reply, json=body)

    async with stage.someone("ben", "?pairing=ada-ben") as page:
        await page.route(re.compile(r"/api/sessions\?"), gone)
        await page.reload()
        await expect(card(page, session["id"])).to_contain_text("Not seen in Outlook since")
