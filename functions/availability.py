"""HTTP: availability of a pairing."""

from typing import Final

import azure.functions as func

from functions._http import Operation, authorize, http_endpoint, json_response, parse_query, path_id
from functions.schemas.availability import AvailabilityBody, AvailabilityQuery, availability_body
from shared.ids import PairingId
from shared.pairings.membership import get_own_pairing
from shared.sessions.bookable_slots import offer_slots
from shared.wiring import wiring

_EXPLAINED: Final = 5
"""The reads that an explained answer counts as: some fifty times larger, and slower to make."""

bp = func.Blueprint()


@bp.route("pairings/{pairing_id}/availability", methods=["GET"])
@http_endpoint(
    Operation(
        "When this pairing can meet",
        "participant",
        query=AvailabilityQuery,
        reply=AvailabilityBody,
        problems=(409, 422, 429, 502, 503),
    )
)
async def show_availability(req: func.HttpRequest) -> func.HttpResponse:
    """Return the slots of a pairing; unknown availability is not free."""
    caller, query = await authorize(req), parse_query(req, AvailabilityQuery)
    pairing = await get_own_pairing(
        caller,
        PairingId(path_id(req, "pairing_id")),
        pairings=wiring().pairings,
    )
    await wiring().limiter.admit_read(caller, _EXPLAINED if query.explain else 1)
    found = await offer_slots(
        caller,
        pairing,
        query.to_request(),
        schedules=wiring().schedules,
        sessions=wiring().sessions,
        clock=wiring().clock,
    )
    return json_response(availability_body(found, query.time_zone))
