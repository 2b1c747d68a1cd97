"""Listings, page after page: where the reading ends, and which links are followed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation

from shared.adapters.graph.listings import MAX_PAGES, list_items
from shared.errors import ListingEndless
from shared.ids import TenantId
from tests.graph_contract import graph_sample
from tests.unit.adapters.conftest import Graph
from tests.unit.adapters.entra_fixtures import TENANT

PAGES = "https://graph.microsoft.com/v1.0/users/x/events"


async def read(graph: Graph) -> list[str]:
    """Return the ids of the items of a listing."""
    session = graph.client.app(TenantId(TENANT))
    request = RequestInformation(Method.GET, "{+baseurl}/users/x/events", {})
    return [str(item["id"]) async for item in list_items(session, request)]


def page(*ids: str, link: object = None) -> httpx.Response:
    body: dict[str, Any] = {"value": [{"id": id_} for id_ in ids]}
    return httpx.Response(200, json=body if link is None else body | {"@odata.nextLink": link})


async def test_pages_are_read_to_the_end_by_links_as_they_are(graph: Graph) -> None:
    graph.respond_with(
        page("a", "b", link=f"{PAGES}?$skip=2&$filter=x%20eq%20'1'"),
        page(link=f"{PAGES}?$skiptoken=a%2Bb"),
        page(link="https://GRAPH.microsoft.com:443/v1.0/users/x/events?c"),
        page("c"),
    )
    assert await read(graph) == ["a", "b", "c"]
    assert str(graph.answers.requests[1].url).endswith("?$skip=2&$filter=x%20eq%20'1'")
    assert str(graph.answers.requests[2].url).endswith("?$skiptoken=a%2Bb")
    for request in graph.answers.requests:
        assert request.headers["authorization"] == "Bearer app-0"
        assert 'IdType="ImmutableId"' in request.headers["prefer"]


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/v1.0/users/x/events",
        "https://graph.microsoft.com.elsewhere.example/v1.0",
        "https://graph.microsoft.com@elsewhere.example/v1.0",
        "https://somebody@graph.microsoft.com/v1.0",
        "https://graph.microsoft.com:8443/v1.0",
        "http://graph.microsoft.com/v1.0",
        "//elsewhere.example/v1.0",
        "/v1.0/users/x/events?$skip=1",
        "https://[",
        "https://graph.microsoft.com\\@elsewhere.example/",
        7,
        ["x"],
        {},
    ],
    ids=str,
)
async def test_a_link_to_another_host_is_not_followed(graph: Graph, link: object) -> None:
    graph.respond_with(page("a", link=link or {"x": 1}))
    with pytest.raises(ListingEndless):
        await read(graph)
    assert len(graph.answers.requests) == 1


async def test_a_page_that_repeats_the_one_before_is_trouble(graph: Graph) -> None:
    # Both answers of the sample have the same event, each under a new link.
    sample = graph_sample("observed-delta-page-repeats")
    graph.respond_with(
        httpx.Response(200, json=sample["response"]),
        httpx.Response(200, json=sample["next"]["response"]),
    )
    with pytest.raises(ListingEndless):
        await read(graph)
    assert len(graph.answers.requests) == 2


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": {}}, {"error": {}}], ids=str)
async def test_an_answer_without_a_page_is_not_an_empty_listing(
    graph: Graph, body: dict[str, Any]
) -> None:
    graph.respond_with(httpx.Response(200, json=body))
    with pytest.raises(ListingEndless):
        await read(graph)


async def test_a_link_that_repeats_is_trouble(graph: Graph) -> None:
    graph.respond_with(
        page("a", link=f"{PAGES}?1"), page("b", link=f"{PAGES}?2"), page("c", link=f"{PAGES}?1")
    )
    with pytest.raises(ListingEndless):
        await read(graph)
    assert len(graph.answers.requests) == 3


@pytest.mark.parametrize("count", [0, 1])
async def test_a_listing_has_at_most_so_many_pages(graph: Graph, count: int) -> None:
    def pages() -> Iterator[httpx.Response]:
        for number in range(1000):
            yield page(*[f"n{number}"] * count, link=f"{PAGES}?{number}")

    following = pages()
    graph.respond_by(lambda _: next(following))
    with pytest.raises(ListingEndless):
        await read(graph)
    assert len(graph.answers.requests) == MAX_PAGES == 200


async def test_what_comes_before_the_trouble_is_yielded(graph: Graph) -> None:
    graph.respond_with(page("a", link="https://elsewhere.example"))
    session = graph.client.app(TenantId(TENANT))
    request = RequestInformation(Method.GET, "{+baseurl}/users/x/events", {})
    items = list_items(session, request)
    assert (await anext(items))["id"] == "a"
    with pytest.raises(ListingEndless):
        await anext(items)


def test_no_other_module_follows_links() -> None:
    adapters = Path("shared/adapters/graph")
    follow = {path.name for path in adapters.glob("*.py") if "nextLink" in path.read_text()}
    assert follow == {"listings.py"}
    # getSchedule answers in one piece.
    read_pages = {path.name for path in adapters.glob("*.py") if '"value"' in path.read_text()}
    assert read_pages == {"listings.py", "schedules.py", "responses.py"}
