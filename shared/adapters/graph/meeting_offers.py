"""Reads which online meetings a calendar allows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph.generated.users.item.calendar.calendar_request_builder import CalendarRequestBuilder

from shared.adapters.graph.client import GraphClient
from shared.errors import CalendarUnavailable
from shared.organizations.model import ActingUser, OnlineMeetingChoice

if TYPE_CHECKING:
    from shared.ids import Mailbox

OFFER_KEPT_SECONDS: Final = 3600.0
"""How long the online meetings that a calendar allows are cached."""

_OFFERS_KEPT: Final = 10_000

_OFFERED: Final = {
    "teamsforbusiness": OnlineMeetingChoice.TEAMS,
    "skypeforbusiness": OnlineMeetingChoice.SKYPE,
    "skypeforconsumer": OnlineMeetingChoice.SKYPE,
}


class MeetingOffers:
    """The online meetings that calendars allow, cached an hour each."""

    def __init__(self, client: GraphClient, *, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._offers: dict[Mailbox, tuple[float, frozenset[OnlineMeetingChoice]]] = {}

    async def of(self, acting: ActingUser) -> frozenset[OnlineMeetingChoice]:
        """Return the online meetings that the acting mailbox's calendar allows."""
        cached = self._offers.get(acting.mailbox)
        if cached and self._monotonic() - cached[0] < OFFER_KEPT_SECONDS:
            return cached[1]
        graph = self._client.acting(acting)
        builder = CalendarRequestBuilder(graph.adapter, graph.path())
        wanted = CalendarRequestBuilder.CalendarRequestBuilderGetQueryParameters(
            select=["allowedOnlineMeetingProviders", "defaultOnlineMeetingProvider"]
        )
        request = builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))
        payload = (await graph.call(request, repeatable=True)).json()
        listed = payload.get("allowedOnlineMeetingProviders")
        if not isinstance(listed, list):
            raise CalendarUnavailable("Graph does not tell the calendar's online meetings.")
        allowed = (str(provider).lower() for provider in listed)
        offer = frozenset(_OFFERED[name] for name in allowed if name in _OFFERED)
        if len(self._offers) >= _OFFERS_KEPT:
            self._offers.clear()
        self._offers[acting.mailbox] = (self._monotonic(), offer)
        return offer
