"""HTTP: the caller, and the caller's pairings."""

import azure.functions as func

from functions._http import (
    Operation,
    authorize,
    etag_of,
    http_endpoint,
    json_response,
    parse_query,
    path_id,
)
from functions.schemas.base import PageQuery
from functions.schemas.pairings import MeBody, PairingBody, PairingList, me_body
from shared.ids import PairingId
from shared.organizations.access import ensure_usable
from shared.organizations.diagnosis import diagnose_participant
from shared.pairings.membership import get_own_pairing
from shared.wiring import wiring

bp = func.Blueprint()


@bp.route("me", methods=["GET"])
@http_endpoint(
    Operation(
        "Who I am, and whether my mailbox is usable", "participant", reply=MeBody, problems=(429,)
    )
)
async def show_me(req: func.HttpRequest) -> func.HttpResponse:
    """Return the caller, and the findings about their mailbox."""
    caller = await authorize(req)
    # Everybody of the tenant may ask, and each answer takes live calls to Graph.
    await wiring().limiter.admit_read(caller, of_organization=False)
    findings = await diagnose_participant(caller, probes=wiring().probes)
    return json_response(me_body(caller, findings))


@bp.route("pairings", methods=["GET"])
@http_endpoint(
    Operation("My pairings", "participant", query=PageQuery, reply=PairingList, problems=(422,))
)
async def list_my_pairings(req: func.HttpRequest) -> func.HttpResponse:
    """List the caller's pairings, by id."""
    caller, query = await authorize(req), parse_query(req, PageQuery)
    ensure_usable(caller.organization)
    pairings, cursor = await wiring().pairings.list_by_mailbox(
        caller.organization.id,
        caller.mailbox,
        after=query.cursor,
        limit=query.limit,
    )
    me = caller.mailbox.object_id
    return json_response(PairingList(items=[PairingBody.of(p, me) for p in pairings], next=cursor))


@bp.route("pairings/{pairing_id}", methods=["GET"])
@http_endpoint(
    Operation("One of my pairings", "participant", reply=PairingBody, supports_conditional_get=True)
)
async def show_my_pairing(req: func.HttpRequest) -> func.HttpResponse:
    """Return one of the caller's pairings."""
    caller = await authorize(req)
    pairing_id = PairingId(path_id(req, "pairing_id"))
    pairing = await get_own_pairing(caller, pairing_id, pairings=wiring().pairings)
    return json_response(
        PairingBody.of(pairing, caller.mailbox.object_id),
        etag=etag_of(pairing.version),
        req=req,
    )
