"""Listings that do not end as they should: a switch turns a reply with a page into such a one.

Source: https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/3082
"""

from typing import Final

from local.graph.backend import link_to
from local.graph.http import GraphReply, GraphRequest
from local.graph.switches import ListingEnd

_TOKEN: Final = "again-"
_AWAY: Final = "https://graph.elsewhere.example/v1.0/events"


def take_page_number(call: GraphRequest) -> int:
    """Return the number of the page that *call* asks for by a link of this module; else 0.

    The link's token is removed from the query, which no handler knows.
    """
    token = call.query.get("$skiptoken", "")
    if not token.startswith(_TOKEN):
        return 0
    del call.query["$skiptoken"]
    return int(token.removeprefix(_TOKEN))


def with_end(call: GraphRequest, reply: GraphReply, number: int, end: ListingEnd) -> GraphReply:
    """Return *reply*, page *number* of a listing, with another *end*; what is no page stays."""
    body = reply.body
    if end == "ends" or call.method != "GET" or not isinstance(body, dict):
        return reply
    if not isinstance(body.get("value"), list):
        return reply
    if end == "leads away":
        body["@odata.nextLink"] = _AWAY
    elif end == "empty first":
        if number == 0:
            body["value"] = []
            body["@odata.nextLink"] = _link(call, 1)
    else:
        if end == "never" and number:
            body["value"] = []
        body["@odata.nextLink"] = _link(call, 1 if end == "leads back" else number + 1)
    return reply


def _link(call: GraphRequest, number: int) -> str:
    return link_to(call, {"$skiptoken": f"{_TOKEN}{number}"})
