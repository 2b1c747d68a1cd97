"""Reads Graph's listings page by page, to an end: every listing that this app reads.

Graph has returned the same page again and again under ever new links. So a listing is trouble if a
page repeats the one before, if a link repeats, or if it has too many pages. A link to another host
is trouble too, and not followed.

Sources: https://learn.microsoft.com/graph/paging,
https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/3082
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation

from shared.adapters.graph.client import GraphSession
from shared.errors import ListingEndless
from shared.logs import log_event

MAX_PAGES: Final = 200
"""The most pages of one listing. The longest real one, an organization's subscriptions, has a
hundred on a page."""


async def list_items(graph: GraphSession, request: RequestInformation) -> AsyncIterator[Any]:
    """Yield every item of the listing that *request* begins, page after page: usually objects.

    Raises:
        ListingEndless: what was not yielded is unknown, absent items as well.
        SchedulingError: as `GraphSession.call`.
    """
    template, links, ids = request.url_template, set[str](), set[str]()
    for _ in range(MAX_PAGES):
        payload = (await graph.call(request, repeatable=True)).json()
        items = payload.get("value")
        if not isinstance(items, list):
            raise _trouble("value")
        before, ids = ids, {_key(item) for item in items}
        if ids and ids == before:
            raise _trouble("page")
        for item in items:
            yield item
        link = payload.get("@odata.nextLink")
        if not link:
            return
        if not _is_same_host(link, graph):
            raise _trouble("host")
        if link in links:
            raise _trouble("link")
        links.add(link)
        # A link is followed as it is. The template stays, for the names of spans and log lines.
        request = RequestInformation(Method.GET, template, {RequestInformation.RAW_URL_KEY: link})
        request.headers.try_add("Accept", "application/json")
    raise _trouble("pages")


def _key(item: object) -> str:
    return str(item.get("id")) if isinstance(item, dict) else repr(item)


def _trouble(reason: str) -> ListingEndless:
    log_event("graph.listing_endless", reason=reason)
    return ListingEndless(
        "A listing of Graph does not end.",
        code="listing_endless",
        status=200,
        remedy="It is read again. If it stays so, open a case with Microsoft.",
    )


def _is_same_host(link: object, graph: GraphSession) -> bool:
    """Return whether *link* leads to the host that the token is for."""
    if not isinstance(link, str):
        return False
    base = httpx.URL(graph.adapter.base_url)
    try:
        url = httpx.URL(link)
    except (httpx.InvalidURL, ValueError):
        return False
    return (url.scheme, url.host, url.port, url.userinfo) == (
        base.scheme,
        base.host,
        base.port,
        b"",
    )
