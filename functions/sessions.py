"""HTTP: book, list and show sessions."""

import hashlib

import azure.functions as func

from functions._bodies import BookingBody, SessionBody, SessionList, SessionsQuery
from functions._edge import (
    Operation,
    authorize,
    etag_of,
    http_endpoint,
    idempotency_key,
    parse_body,
    parse_query,
    path_parameter,
    reply,
)
from shared.ids import ObjectId, PairingId, SessionId
from shared.pairings.membership import own_pairing
from shared.sessions.booking import book
from shared.sessions.listing import list_sessions
from shared.sessions.model import Session
from shared.wiring import wiring

bp = func.Blueprint()


@bp.route("pairings/{pairing_id}/sessions", methods=["POST"])
@http_endpoint(
    Operation(
        "Book a session",
        "participant",
        body=BookingBody,
        reply=SessionBody,
        status=201,
        idempotent=True,
        problems=(400, 403, 409, 413, 415, 422, 502, 503),
    )
)
async def book_session(req: func.HttpRequest) -> func.HttpResponse:
    """Book a slot: an Outlook meeting of the caller's own, with the others invited."""
    participation = await authorize(req)
    key, body = idempotency_key(req), parse_body(req, BookingBody)
    pairing = await own_pairing(
        participation,
        PairingId(path_parameter(req, "pairing_id")),
        pairings=wiring().pairings,
    )
    fingerprint = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    session = await book(
        participation, pairing, body.to_request(key, fingerprint), books=wiring().books
    )
    return _shown(session, participation.mailbox.object_id, status=201)


@bp.route("sessions", methods=["GET"])
@http_endpoint(
    Operation("My sessions", "participant", query=SessionsQuery, reply=SessionList, problems=(422,))
)
async def list_my_sessions(req: func.HttpRequest) -> func.HttpResponse:
    """List the caller's sessions by start, as organizer and as attendee."""
    participation, query = await authorize(req), parse_query(req, SessionsQuery)
    sessions, cursor = await list_sessions(
        participation.mailbox,
        since=query.from_,
        until=query.to,
        state=query.state,
        after=query.cursor,
        limit=query.limit,
        sessions=wiring().sessions,
    )
    me = participation.mailbox.object_id
    return reply(
        SessionList(items=[SessionBody.of(s, me) for s in sessions], next=cursor),
        etag=etag_of(cursor or "", *(s.version for s in sessions)),
        req=req,
    )


@bp.route("sessions/{session_id}", methods=["GET"])
@http_endpoint(Operation("One of my sessions", "participant", reply=SessionBody, cached=True))
async def show_my_session(req: func.HttpRequest) -> func.HttpResponse:
    """Show a session the caller organizes or is invited to."""
    participation = await authorize(req)
    session = await wiring().sessions.get(
        participation.mailbox, SessionId(path_parameter(req, "session_id"))
    )
    return _shown(session, participation.mailbox.object_id, req=req)


def _shown(
    session: Session,
    me: ObjectId,
    *,
    status: int = 200,
    req: func.HttpRequest | None = None,
) -> func.HttpResponse:
    headers = {"location": f"/api/sessions/{session.id}"} if status == 201 else None
    return reply(
        SessionBody.of(session, me),
        status=status,
        etag=etag_of(session.version),
        headers=headers,
        req=req,
    )
