"""The page in a real Chromium, on the whole local cloud: the app, its queues, Graph, Entra."""

import asyncio
import os
import shutil
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from local.cloud import NO_LIMITS, ROOT, LocalCloud
from local.graph.outlook import NoSuchEvent
from local.host.cors import Cors
from local.host.host import DevelopmentHost
from local.host.static import StaticSite
from local.page import configured_page, is_built
from local.seed_storage import enrol
from local.serving import Address, serving, take_address
from tests.e2e.conftest import settings_in_process
from tests.today import today

BERLIN: Final = ZoneInfo("Europe/Berlin")
"""The default time zone of the people in tests, and of their browsers."""
_FAKED: Final = "FAKETIME"
"""Set if the suite runs with the clock on another day (`tests/on_dates.py`)."""
SCREENSHOTS: Final = ROOT / "build" / "screenshots"
IMAGES: Final = ROOT / "docs" / "images"
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Picture(Protocol):
    """Keeps a screenshot; with *docs* it is one of the tour's."""

    async def __call__(self, page: Page, name: str, *, docs: bool = False) -> None: ...


expect.set_options(timeout=60_000)


def chromium() -> str:
    """Return the browser of this machine; the tests never download one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := os.environ.get("CHROMIUM") or shutil.which(name):
            return found
    pytest.fail("Chromium is missing: apt-get install chromium (or set CHROMIUM)")


@dataclass
class AppUnderTest:
    """A running system and a browser."""

    cloud: LocalCloud
    host: DevelopmentHost
    url: str
    browser: Browser
    http: httpx.AsyncClient
    parent: Address
    """The origin that may embed the page; it serves nothing until a test does."""
    elsewhere: str
    """Another origin with the page."""

    @asynccontextmanager
    async def someone(
        self,
        who: str | None = None,
        query: str = "",
        *,
        tries_again: bool = True,
        origin: str | None = None,
        **options: Any,
    ) -> AsyncIterator[Page]:
        """Open the page in a browser of its own; with *who*, signed in through Entra's pages.

        *origin*: where the page is, if not beside the API.
        *tries_again*: press "Try again" where it is shown, as a person on a slow machine does.
        """
        context = await self.context(**options)
        page = await context.new_page()
        strangers: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: strangers.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: complaints.append(said.text) if _matters(said.text) else None,
        )
        if tries_again:
            again = page.get_by_role("button", name="Try again", exact=True)
            await page.add_locator_handler(again, lambda it: it.click(), no_wait_after=True)
        await page.goto(f"{origin or self.url}/{query}")
        if who:
            await sign_in(page, who)
        try:
            yield page
        finally:
            await context.close()
        assert not complaints, complaints
        ours = ("https://localhost:", "data:", "blob:")
        third = [url for url in strangers if not url.startswith(ours)]
        assert not third, f"asked others: {third}"

    async def context(self, **options: Any) -> BrowserContext:
        """Return a fresh browser profile, by default in Berlin and British English."""
        chosen = {
            "locale": "en-GB",
            "timezone_id": BERLIN.key,
            "viewport": {"width": 1360, "height": 900},
            **options,
        }
        context = await self.browser.new_context(ignore_https_errors=True, **chosen)
        if _FAKED in os.environ:
            await context.clock.install(time=datetime.now(BERLIN))
        return context

    async def call(self, who: str, method: str, path: str, **options: Any) -> Any:
        """Call the API as *who*, or as the platform."""
        token = (
            self.cloud.entra.platform_token()
            if who == "platform"
            else self.cloud.entra.token_for(self.cloud.world.person(who))
        )
        headers = {"authorization": f"Bearer {token}"} | options.pop("headers", {})
        for _ in range(3):  # on a slow machine the same request is repeated, as the API asks
            reply = await self.http.request(method, f"/api/{path}", headers=headers, **options)
            if reply.status_code != 503:
                break
        assert reply.is_success, reply.text
        return reply.json()

    async def slots(self, who: str, pairing: str, **more: str) -> list[Any]:
        """Return the slots of next week."""
        monday = next_monday()
        query = {
            "from": monday.isoformat(),
            "to": (monday + timedelta(days=7)).isoformat(),
            "duration_minutes": "30",
            "step_minutes": "30",
            **more,
        }
        found = await self.call(who, "GET", f"pairings/{pairing}/availability", params=query)
        return list(found["slots"])

    async def book(self, who: str, pairing: str, which: int = 0, **changes: Any) -> Any:
        """Book one of next week's slots over the API."""
        slot = (await self.slots(who, pairing))[which]
        body = {
            "start": slot["start"],
            "duration_minutes": 30,
            "time_zone": "Europe/Berlin",
            **changes,
        }
        headers = {"idempotency-key": os.urandom(8).hex()}
        path = f"pairings/{pairing}/sessions"
        return await self.call(who, "POST", path, json=body, headers=headers)

    async def arrived(self, who: str, session_id: str) -> None:
        """Wait until the invitation is in the mailbox of *who*."""
        async with asyncio.timeout(100):
            while True:
                try:
                    self.cloud.graph.outlook.find(who, session_id)
                except NoSuchEvent:
                    await asyncio.sleep(0.1)
                else:
                    return


def next_monday(zone: ZoneInfo = BERLIN) -> datetime:
    """Return the start of the next week on a page in *zone*: it lies wholly ahead.

    On a Sunday evening zones differ: Tokyo is already in the next week, Berlin is not.
    """
    return today(zone=zone) + timedelta(days=7 - today(zone=zone).weekday())


async def sign_in(page: Page, who: str) -> None:
    """Go through the sign-in, as a person does."""
    await page.get_by_role("button", name="Sign in").or_(page.locator("main button.main")).click()
    await page.locator(f"#{who}").click()
    await expect(page.locator(".layout")).to_be_visible()


def _matters(said: str) -> bool:
    """Return whether a line of the console is a complaint about the page.

    Chromium reports refused requests by itself, even if the page handles them.
    """
    return any(word in said for word in ("Content Security Policy", "Uncaught", "Warning:"))


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    """Run this machine's Chromium until the block ends."""
    # Chromium hangs if libfaketime moves its clocks, so the pages' clock is moved instead.
    real: dict[str, str | float | bool] = {
        name: value for name, value in os.environ.items() if name != "LD_PRELOAD"
    }
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=list(_FLAGS), headless=True, env=real
        )
        try:
            yield browser
        finally:
            await browser.close()


def _static(site: StaticSite) -> web.Application:
    """Return an application that has the page alone."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return site.answer(request) or web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", r"/{path:.*}", answer)
    return app


@asynccontextmanager
async def a_stage(folder: Path) -> AsyncIterator[AppUnderTest]:
    """Run cloud, app, page and browser until the block ends."""
    if not is_built():
        pytest.fail("The page is not built: make web")
    address = take_address()
    url = f"https://localhost:{address.port}"
    async with LocalCloud(folder=folder, public_url=url, weeks=4, settings=NO_LIMITS) as cloud:
        with settings_in_process(cloud.environment):
            await enrol(cloud.environment)
        parent = take_address(cloud.certificate.server_context())
        elsewhere = take_address(cloud.certificate.server_context())
        site = configured_page(cloud, folder / "page", parents=[parent.url])
        far = configured_page(cloud, folder / "elsewhere", api=f"{url}/api")
        async with (
            serving(_static(StaticSite(far, "")), elsewhere),
            DevelopmentHost(
                ROOT,
                cloud.environment,
                cors=Cors([elsewhere.url]),
                listening=address.taken,
                certificate=cloud.certificate.certificate,
                key=cloud.certificate.key,
                sites=[StaticSite(site, "")],
                runs_timers=False,
            ) as host,
            httpx.AsyncClient(
                base_url=url,
                timeout=100,
                verify=ssl.create_default_context(cafile=str(cloud.certificate.authority)),
            ) as http,
            a_browser() as browser,
        ):
            assert host.failure is None, host.failure
            try:
                yield AppUnderTest(cloud, host, url, browser, http, parent, elsewhere.url)
            finally:
                parent.taken.close()
                app = sys.modules["shared.wiring"].wiring()
                await host.run_in_app(app.aclose())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AppUnderTest]:
    """Provide one running system for all tests. Each uses other people."""
    async with a_stage(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture
def picture() -> Picture:
    """Provide a function that keeps screenshots. UPDATE_TOUR=1 writes the tour's into docs/."""

    async def take(page: Page, name: str, *, docs: bool = False) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        await page.screenshot(path=path, animations="disabled")
        if docs and os.environ.get("UPDATE_TOUR"):
            IMAGES.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, IMAGES / path.name)

    return take
