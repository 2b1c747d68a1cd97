"""The page's accessibility: keyboard, screen reader, phone, languages, direction, size."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from local.cloud import ROOT
from local.page import BUILT
from local.serving import Address, serving, take_address
from tests.browser.conftest import AppUnderTest, Picture
from tests.browser.test_booking import next_week, turn

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE: Final = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
WCAG: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
BUDGET: Final = 150 * 1000
"""The most bytes of the first load of the page, compressed."""


async def findings(page: Page) -> list[str]:
    """Return the findings of axe. Its script comes from the test, past the page's own policy."""
    await page.evaluate(AXE.read_text())
    # Animated texts are checked while they stand still.
    await page.evaluate("document.getElementById('said')?.replaceChildren()")
    result: dict[str, Any] = await page.evaluate(
        "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", WCAG
    )
    return [
        f"{each['id']}: {each['help']} ({node['target']}: {node['failureSummary']})"
        for each in result["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(stage: AppUnderTest, picture: Picture, scheme: Any) -> None:
    async with stage.someone(color_scheme=scheme) as page:
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert await findings(page) == []
    await stage.book("ben", "ada-ben", 20)
    async with stage.someone("ben", color_scheme=scheme) as page:
        await next_week(page)
        await expect(page.locator(".card").first).to_be_visible()
        await page.get_by_label("Show why other times are not offered").check()
        await expect(page.locator(".start.refused").first).to_be_visible()
        await page.locator(".legend summary").click()
        assert await findings(page) == []
        await picture(page, f"{scheme}")
        await page.locator(".start:not(.refused)").nth(2).click()
        await page.get_by_label("Repeat").select_option("weekly")
        assert await findings(page) == []
        await page.get_by_role("dialog").get_by_role("button", name="Close").first.click()
        for button in ("Move", "Cancel"):
            await page.locator(".card").first.get_by_role("button", name=button).click()
            assert await findings(page) == []
            await page.keyboard.press("Escape")
            await expect(page.get_by_role("dialog")).to_have_count(0)
    async with stage.someone("ada", "?pairing=ada-gil", color_scheme=scheme) as page:
        await expect(page.locator(".notice").first).to_be_visible()
        await page.get_by_label("Offer times although a calendar is unknown").check()
        await (
            page.locator(".card")
            .first.get_by_role("button", name="Answer")
            .or_(page.locator(".card").first.get_by_role("button", name="Move"))
            .first.click()
        )
        assert await findings(page) == []
    async with stage.someone(query="?admin", color_scheme=scheme) as page:
        await page.locator("[data-organization='contoso'] summary").click()
        await page.locator("[data-organization='contoso'] form button").click()
        await expect(page.locator(".finding").first).to_be_visible()
        assert await findings(page) == []


async def test_everything_by_keyboard(stage: AppUnderTest) -> None:
    async with stage.someone() as page:
        press = page.keyboard.press

        async def tab_to(selector: str, most: int = 60) -> None:
            for _ in range(most):
                await press("Tab")
                if await page.evaluate("s => document.activeElement?.matches(s)", selector):
                    return
            pytest.fail(f"no way to {selector} by keyboard")

        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        await tab_to("main button.main")
        await press("Enter")
        await page.locator("#priya").focus()
        await press("Enter")
        await expect(page.locator(".layout")).to_be_visible()
        await expect(page.locator(".status")).to_contain_text("Free times")
        await tab_to("a[href='#with']")
        await press("Enter")
        await tab_to("button[aria-label='Next']")
        await press("Enter")
        await expect(page.locator(".start").first).to_be_visible()
        await tab_to(".start")
        first = await page.evaluate("document.activeElement.dataset.start")
        await press("ArrowDown")
        await press("ArrowRight")
        chosen = await page.evaluate("document.activeElement.dataset.start")
        assert int(chosen) - int(first) > 20 * 3600 * 1000
        await press("Enter")
        dialog = page.get_by_role("dialog", name="Book a session")
        await expect(dialog).to_be_visible()
        await press("Escape")
        await expect(dialog).to_have_count(0)
        # The focus is back where it was.
        assert await page.evaluate("document.activeElement.dataset.start") == chosen
        await press("Enter")
        await expect(dialog).to_be_visible()
        await tab_to("textarea")
        await page.keyboard.type("By keyboard alone")
        await tab_to("button[type=submit]")
        await press("Enter")
        await expect(page.locator("#said")).to_contain_text("Booked:")
        await tab_to(".card button[aria-label^='Cancel']", most=120)
        await press("Enter")
        await expect(page.get_by_role("dialog", name="Cancel the session?")).to_be_visible()
        await tab_to("dialog button[type=submit]")
        await press("Enter")
        await expect(page.locator("#said")).to_contain_text("Cancelled:")


async def test_on_a_phone_there_is_a_day(stage: AppUnderTest, picture: Picture) -> None:
    phone: dict[str, Any] = {
        "viewport": {"width": 390, "height": 844},
        "has_touch": True,
        "is_mobile": True,
    }
    async with stage.someone("ben", **phone) as page:
        await expect(page.locator(".day")).to_have_count(1)
        # On any day, one of the next seven has times.
        await turn(page)
        for _ in range(6):
            if await page.locator(".start").count():
                break
            await turn(page)
        await expect(page.locator(".start").first).to_be_visible()
        too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(too_wide) <= 0
        small = await page.locator(
            "button:visible, select:visible, a:visible:not(.unseen-until-focus)"
        ).evaluate_all(
            "all => all.filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"
        )
        assert small == []
        await picture(page, "phone", docs=True)


@pytest.mark.parametrize(
    ("locale", "free", "first_day", "time"),
    [
        ("de-DE", "Freie Zeiten", "Mo", "08:"),
        ("fr-FR", "Horaires libres", "lun", "08:"),
        ("en-US", "Free times", "Sun", "8:00 AM"),
    ],
)
async def test_language_clock_and_week_follow_the_browser(
    stage: AppUnderTest, picture: Picture, locale: str, free: str, first_day: str, time: str
) -> None:
    async with stage.someone("ben", locale=locale) as page:
        await expect(page.locator(".status")).to_contain_text(free)
        await expect(page.locator(".day .heading").first).to_contain_text(first_day)
        await expect(page.locator(".axis")).to_contain_text(time)
        assert await page.evaluate("document.documentElement.lang") == locale
        await picture(page, locale)


async def test_right_to_left(stage: AppUnderTest, picture: Picture) -> None:
    async with stage.someone("ben", "?lang=ar") as page:
        assert await page.evaluate("document.documentElement.dir") == "rtl"
        days = page.locator(".day")
        await expect(days).to_have_count(7)
        await next_week(page)
        first, last = await days.first.bounding_box(), await days.last.bounding_box()
        assert first
        assert last
        assert first["x"] > last["x"]
        await page.locator(".start").first.focus()
        at = await page.evaluate("document.activeElement.dataset.start")
        await page.keyboard.press("ArrowLeft")
        assert int(await page.evaluate("document.activeElement.dataset.start")) > int(at)
        too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(too_wide) <= 0
        assert await findings(page) == []
        await picture(page, "right-to-left", docs=True)


async def test_the_other_ones_local_time_is_beside_mine(
    stage: AppUnderTest, picture: Picture
) -> None:
    async with stage.someone("priya", "?pairing=ada-priya", timezone_id="Asia/Kolkata") as page:
        await next_week(page)
        await expect(page.locator(".axis .theirs").first).to_be_visible()
        label = await page.locator(".start").first.get_attribute("aria-label")
        assert label
        assert "for Ada" in label
        await picture(page, "two-zones", docs=True)


async def test_nothing_jumps(stage: AppUnderTest) -> None:
    async with stage.someone("ben") as page:
        # On a slow machine one part comes well after the other.
        slow = await page.context.new_cdp_session(page)
        await slow.send("Emulation.setCPUThrottlingRate", {"rate": 6})
        await page.reload()
        await page.evaluate(
            "window.shifts = 0; new PerformanceObserver(list => list.getEntries().forEach(e => {"
            "if (!e.hadRecentInput) window.shifts += e.value}))"
            ".observe({type: 'layout-shift', buffered: true})"
        )
        await expect(page.locator(".calendar")).to_have_attribute("aria-busy", "false")
        # Sessions come last; the layout shift that they cause shows in the next frame.
        await expect(page.locator("aside")).to_have_attribute("aria-busy", "false")
        await page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        # Lighthouse rates at most 0.1 as good.
        assert await page.evaluate("window.shifts") < 0.1


async def test_the_first_load_is_light(stage: AppUnderTest) -> None:
    async with stage.someone() as page:
        loaded: list[str] = []
        page.on("request", lambda request: loaded.append(request.url))
        await page.reload()
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    files = [BUILT / "index.html"]
    files += [BUILT / url.removeprefix(f"{stage.url}/") for url in loaded if "/assets/" in url]
    sizes = {file.name: len(gzip.compress(file.read_bytes(), 9)) for file in files}
    assert len(sizes) > 2
    assert sum(sizes.values()) <= BUDGET, sizes


# --- as part of another page


@asynccontextmanager
async def a_platform(stage: AppUnderTest, address: Address) -> AsyncIterator[str]:
    """Serve a platform's page at *address*, with the booking page in a frame."""

    async def answer(_: web.Request) -> web.Response:
        frame = f'<iframe src="{stage.url}/?embed&pairing=ada-ben" width="1000" height="800">'
        return web.Response(text=f"<h1>A platform</h1>{frame}</iframe>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    async with serving(app, address):
        yield address.url


async def test_only_allowed_parents_may_embed(stage: AppUnderTest, picture: Picture) -> None:
    policy = (await stage.http.get("/")).headers["content-security-policy"]
    assert f"frame-ancestors 'self' {stage.parent.url}" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert (await stage.http.get("/staticwebapp.config.json")).status_code == 404
    stranger = take_address(stage.cloud.certificate.server_context())
    page = await (await stage.context()).new_page()
    async with a_platform(stage, stranger) as url:
        async with page.expect_event("requestfailed") as refused:
            await page.goto(url)
        assert (await refused.value).url.startswith(stage.url)
    async with a_platform(stage, stage.parent) as url:
        await page.goto(url)
        frame = page.frame_locator("iframe")
        await expect(frame.get_by_role("button", name="Sign in")).to_be_visible()
        await expect(frame.get_by_role("heading", level=1)).to_have_count(0)
        # Entra is never shown in a frame: it opens a window of its own.
        async with page.expect_popup() as opened:
            await frame.get_by_role("button", name="Sign in").click()
        popup = await opened.value
        await popup.locator("#ben").click()
        await expect(frame.locator(".status")).to_contain_text("Free times")
        await picture(page, "embedded")
    await page.context.close()


async def test_a_page_of_another_origin_reads_what_the_answers_say(stage: AppUnderTest) -> None:
    async with stage.someone("ben", "?pairing=ada-ben", origin=stage.elsewhere) as page:
        await expect(page.locator(".status")).to_contain_text("Free times")
        # It asks whether something is new by the ETag of the answer before.
        async with page.expect_event("response", lambda reply: reply.status == 304):
            pass
        read = await page.evaluate(
            """async ([url, token]) => {
                const reply = await fetch(url, {headers: {authorization: token}});
                return ["etag", "x-trace-id"].map((name) => reply.headers.get(name));
            }""",
            [
                f"{stage.url}/api/pairings/ada-ben",
                f"Bearer {stage.cloud.entra.token_for(stage.cloud.world.person('ben'))}",
            ],
        )
        assert all(read), read
