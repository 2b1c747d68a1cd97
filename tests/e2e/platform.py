"""The mentoring platform's backend in tests, and the administrators whom it sends links to."""

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.e2e.conftest import AppUnderTest


class Platform:
    """The mentoring platform's backend, and the administrators it sends links to."""

    def __init__(self, stage: AppUnderTest) -> None:
        self._stage = stage
        self.browser = stage.http
        """The administrator's browser, with its cookies."""

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._stage.cloud.entra.platform_token()}"}
        headers |= options.pop("headers", {})
        return await self._stage.http.request(method, f"/api/{path}", headers=headers, **options)

    async def answer(self, method: str, path: str, expect: int = 200, **options: Any) -> Any:
        answer = await self.call(method, path, **options)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def change(self, organization_id: str, **settings: Any) -> Any:
        """Change settings of the organization; return it."""
        return await self.answer(
            "PATCH",
            f"organizations/{organization_id}",
            json={"settings": settings},
            headers={"if-match": "*"},
        )

    async def link(self, organization_id: str) -> str:
        made = await self.answer("POST", f"organizations/{organization_id}/consent-link")
        return str(made["url"])

    async def visit(
        self, link: str, decision: str, admin: str, *, sign_in_as: str | None = None
    ) -> httpx.Response:
        """Open *link* as *admin*, decide, sign in, and return the last page."""
        page = await self.opened(link)
        if page.status_code != 200 or "Continue to Microsoft" not in page.text:
            return page
        page = await self.decided(page, decision, admin)
        if page.status_code != 302:
            return page
        return await self.signed_in(page, sign_in_as or admin)

    async def opened(self, link: str) -> httpx.Response:
        """Open *link* in the browser."""
        return await self.browser.get(link)

    async def decided(self, start: httpx.Response, decision: str, admin: str) -> httpx.Response:
        """Decide on Entra's consent page; return the app's answer."""
        target = target_of(start)
        decided = await self.browser.post(
            target.partition("?")[0],
            data=query_of(target) | {"decision": decision, "person": admin},
        )
        assert decided.status_code == 302, decided.text
        return await self.browser.get(decided.headers["location"])

    async def signed_in(self, redirect: httpx.Response, person: str) -> httpx.Response:
        """Follow the app to Entra's sign-in, sign in as *person* and return the last page."""
        back = await self.browser.get(f"{redirect.headers['location']}&person={person}")
        if back.status_code != 302:
            return back  # Entra's own page
        return await self.browser.get(back.headers["location"], follow_redirects=True)

    async def issues(self, organization_id: str, mailbox: str = "") -> dict[str, str]:
        """Return the issues of the diagnosis, by capability."""
        query = {"mailbox": mailbox} if mailbox else {}
        path = f"organizations/{organization_id}/diagnostics"
        report = await self.answer("GET", path, params=query)
        return {f["capability"]: f["issue"] or f["state"] for f in report["findings"]}


def target_of(page: httpx.Response) -> str:
    """Return where the first page of a consent link leads."""
    (target,) = re.findall(r'id="go" href="([^"]+)"', page.text)
    return html.unescape(target)


def query_of(url: str) -> dict[str, str]:
    """Return the parameters of *url*."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
