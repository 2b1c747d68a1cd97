"""``approve``: what an administrator does with a consent link, page after page, as a browser."""

import ssl
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qsl, urljoin

import httpx

from local.browser_cookies import BrowserCookies
from local.commands import CommandFailed
from local.running_cloud import running_cloud

CONTINUE = "go"
"""The id of the link from the app's first page to Entra."""


class Page(HTMLParser):
    """A page: its heading, its texts, and where its links with an id lead."""

    def __init__(self, reply: httpx.Response) -> None:
        super().__init__()
        self.url = str(reply.url)
        self.is_error = reply.is_error
        self.links: dict[str, str] = {}
        self._texts: list[str] = []
        self._is_text = False
        self.feed(reply.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a link, or begin a text."""
        given = dict(attrs)
        if tag == "a" and (name := given.get("id")) and (target := given.get("href")):
            self.links[name] = urljoin(self.url, target)
        if tag in {"h1", "p"}:
            self._is_text = True
            self._texts.append("")

    def handle_endtag(self, tag: str) -> None:
        """End a text."""
        if tag in {"h1", "p"}:
            self._is_text = False

    def handle_data(self, data: str) -> None:
        """Add to the text that has begun."""
        if self._is_text:
            self._texts[-1] += data

    @property
    def text(self) -> str:
        """The heading and the texts, one a line."""
        return "\n".join(text for text in self._texts if text)


def approve(who: str, link: str, *, decline: bool = False, cloud: Path | None = None) -> str:
    """Open *link* as *who*, accept or decline, sign in; return the last page's text.

    Raises:
        CommandFailed: the page that *who* ends on is a refusal; the message is its text.
    """
    running = running_cloud(cloud)
    context = ssl.create_default_context(cafile=running.ca)
    try:
        with httpx.Client(
            verify=context,
            cookies=BrowserCookies(),
            follow_redirects=True,
            timeout=30,
            trust_env=False,
        ) as browser:
            page = _visit(browser, who, link, decision="refuse" if decline else "grant")
    except httpx.HTTPError as error:
        raise CommandFailed(f"the local cloud does not answer: {error}") from error
    if page.is_error:
        raise CommandFailed(page.text)
    return page.text


def _visit(browser: httpx.Client, who: str, link: str, *, decision: str) -> Page:
    """Go through the pages as far as they lead; return the last one."""
    page = Page(browser.get(link))
    if CONTINUE not in page.links:
        return page
    address, _, query = page.links[CONTINUE].partition("?")
    form = dict(parse_qsl(query)) | {"decision": decision, "person": who}
    page = Page(browser.post(address, data=form))
    if who in page.links:  # Entra's sign-in, whose links are the people
        page = Page(browser.get(page.links[who]))
    return page
