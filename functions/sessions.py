"""HTTP: book, list, show, reschedule, cancel and answer sessions."""

import hashlib
from collections.abc import Sequence

import azure.functions as func

from functions._http import (
    Operation,
    authorize,
    ensure_match,
    etag_of,
    http_endpoint,
    idempotency_key,
    json_response,
    parse_body,
    parse_query,
    path_id,
    path_parameter,
)
from functions.schemas.session_requests import (
    AnswerBody,
    BookingBody,
    CancelBody,
    RescheduleBody,
)
from functions.schemas.sessions import BookedBody, SessionBody, SessionList, SessionsQuery
from shared.errors import PreconditionFailed
from shared.ids import ObjectId, PairingId, SessionId
from shared.organizations.access import ensure_usable
from shared.organizations.model import Caller
from shared.pairings.membership import get_own_pairing
from shared.pairings.model import Pairing
from shared.sessions.booking import book
from shared.sessions.listing import list_sessions
from shared.sessions.model import Session
from shared.sessions.series import Series
from shared.wiring import wiring

bp = func.Blueprint()


@bp.route("pairings/{pairing_id}/sessions", methods=["POST"])
@http_endpoint(
    Operation(
        "Book a session",
        "participant",
        body=BookingBody,
        reply=BookedBody,
        status=201,
        requires_idempotency_key=True,
        problems=(400, 403, 409, 411, 413, 415, 422, 429, 502, 503),
    )
)
async def book_session(req: func.HttpRequest) -> func.HttpResponse:
    """Book a slot or a series as an Outlook meeting, with the caller as organizer."""
    caller = await authorize(req)
    key, body = idempotency_key(req), parse_body(req, BookingBody)
    pairing = await get_own_pairing(
        caller,
        PairingId(path_id(req, "pairing_id")),
        pairings=wiring().pairings,
    )
    fingerprint = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    request, me = body.to_request(key, fingerprint), caller.mailbox.object_id
    booked = await book(caller, pairing, request, ports=wiring().session_ports)
    if booked.series is None:
        return _session_response(booked.sessions[0], me, status=201)
    return _sessions_response(
        booked.sessions[0], booked.sessions, me, series=booked.series, status=201
    )


@bp.route("sessions", methods=["GET"])
@http_endpoint(
    Operation(
        "My sessions",
        "participant",
        query=SessionsQuery,
        reply=SessionList,
        supports_conditional_get=True,
        problems=(422,),
    )
)
async def list_my_sessions(req: func.HttpRequest) -> func.HttpResponse:
    """List the sessions that the caller organizes or attends, by start."""
    caller, query = await authorize(req), parse_query(req, SessionsQuery)
    sessions, cursor = await list_sessions(
        caller.mailbox,
        since=query.from_,
        until=query.to,
        state=query.state,
        after=query.cursor,
        limit=query.limit,
        sessions=wiring().sessions,
    )
    me = caller.mailbox.object_id
    return json_response(
        SessionList(items=[SessionBody.of(s, me) for s in sessions], next=cursor),
        etag=etag_of(cursor or "", *(f"{s.id} {s.revision}" for s in sessions)),
        req=req,
    )


@bp.route("sessions/{session_id}", methods=["GET"])
@http_endpoint(
    Operation("One of my sessions", "participant", reply=SessionBody, supports_conditional_get=True)
)
async def show_my_session(req: func.HttpRequest) -> func.HttpResponse:
    """Return a session that the caller organizes or is invited to."""
    caller = await authorize(req)
    session = await wiring().sessions.get(caller.mailbox, SessionId(path_id(req, "session_id")))
    return _session_response(session, caller.mailbox.object_id, req=req)


@bp.route("sessions/{session_id}", methods=["PATCH"])
@http_endpoint(
    Operation(
        "Reschedule a session",
        "participant",
        body=RescheduleBody,
        reply=BookedBody,
        requires_if_match=True,
        problems=(400, 409, 411, 412, 413, 415, 422, 429, 502),
    )
)
async def reschedule_session(req: func.HttpRequest) -> func.HttpResponse:
    """Reschedule a session that the caller organizes; this resets its attendees' responses.

    Idempotent: a retry gets the same reply, also with the ETag from before the change, as long as
    the session stays at the new time.
    """
    # Imported here, as in the routes below: a cold start loads what books, and no other change.
    from shared.sessions.rescheduling import (
        acceptable_revisions,
        describe_state,
        find_already_moved,
        reschedule,
    )

    caller, body = await authorize(req), parse_body(req, RescheduleBody)
    session = await _own_session(req, caller)
    request, session_ports = body.to_request(session), wiring().session_ports
    try:
        ensure_match(req, *map(etag_of, acceptable_revisions(session, request)))
    except PreconditionFailed as changed:
        # A server may answer a retry of a change that already succeeded with success.
        # Source: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1
        moved = await find_already_moved(
            caller,
            session,
            request,
            body.scope,
            sessions=session_ports.sessions,
            clock=session_ports.clock,
        )
        if moved is None:
            raise PreconditionFailed(f"{changed} It is {describe_state(session)}.") from changed
        if not any(each.pending_span for each in moved):
            return _sessions_response(
                _changed_session(session, moved), moved, caller.mailbox.object_id
            )
    pairing = await _pairing_of(session)
    moved = await reschedule(caller, pairing, session, request, body.scope, ports=session_ports)
    return _sessions_response(_changed_session(session, moved), moved, caller.mailbox.object_id)


@bp.route("sessions/{session_id}/cancel", methods=["POST"])
@http_endpoint(
    Operation(
        "Cancel a session",
        "participant",
        body=CancelBody,
        reply=BookedBody,
        problems=(400, 409, 411, 413, 415, 422, 502),
    )
)
async def cancel_session(req: func.HttpRequest) -> func.HttpResponse:
    """Cancel a session that the caller organizes; Outlook notifies the attendees. Idempotent."""
    from shared.sessions.cancelling import cancel

    caller, body = await authorize(req), parse_body(req, CancelBody)
    session = await _own_session(req, caller)
    cancelled = await cancel(
        caller, session, body.comment, body.scope, ports=wiring().session_ports
    )
    return _sessions_response(
        _changed_session(session, cancelled), cancelled, caller.mailbox.object_id
    )


@bp.route("sessions/{session_id}/response", methods=["POST"])
@http_endpoint(
    Operation(
        "Answer an invitation",
        "participant",
        body=AnswerBody,
        reply=BookedBody,
        status=202,
        problems=(400, 409, 411, 413, 415, 422, 429, 502),
    )
)
async def answer_session(req: func.HttpRequest) -> func.HttpResponse:
    """Answer in the caller's own mailbox. Idempotent.

    The session shows the answer as soon as the organizer's copy of the event has it; never, if
    `response_requested` is false.
    """
    from shared.sessions.responding import respond

    caller, body = await authorize(req), parse_body(req, AnswerBody)
    session = await _own_session(req, caller)
    answered = await respond(
        caller, session, body.to_request(), body.scope, ports=wiring().session_ports
    )
    return _sessions_response(
        _changed_session(session, answered), answered, caller.mailbox.object_id, status=202
    )


@bp.route("sessions/{session_id}/proposals/{attendee}/accept", methods=["POST"])
@http_endpoint(
    Operation(
        "Accept a proposed time",
        "participant",
        reply=SessionBody,
        problems=(409, 422, 429, 502),
    )
)
async def take_proposed_time(req: func.HttpRequest) -> func.HttpResponse:
    """Reschedule a session that the caller organizes to an attendee's proposed time. Idempotent."""
    from shared.sessions.responding import accept_proposal

    caller = await authorize(req)
    session = await _own_session(req, caller)
    pairing = await _pairing_of(session)
    moved = await accept_proposal(
        caller,
        pairing,
        session,
        path_parameter(req, "attendee"),
        ports=wiring().session_ports,
    )
    return _session_response(moved, caller.mailbox.object_id)


async def _own_session(req: func.HttpRequest, caller: Caller) -> Session:
    """Return the session in the path. Raises NotFound unless the caller organizes or attends it."""
    ensure_usable(caller.organization)
    session_id = SessionId(path_id(req, "session_id"))
    return await wiring().sessions.get(caller.mailbox, session_id)


async def _pairing_of(session: Session) -> Pairing:
    """Return the pairing whose schedules are read to reschedule *session*. Raises Conflict."""
    from shared.sessions.rescheduling import pairing_for_reschedule

    return await pairing_for_reschedule(session, pairings=wiring().pairings)


def _changed_session(session: Session, changed: Sequence[Session]) -> Session:
    """Return *session* as it is after the change: from *changed*, or unchanged."""
    return next((each for each in changed if each.id == session.id), session)


def _sessions_response(
    session: Session,
    sessions: Sequence[Session],
    me: ObjectId,
    *,
    series: Series | None = None,
    status: int = 200,
) -> func.HttpResponse:
    headers = {"location": f"/api/sessions/{session.id}"} if status == 201 else None
    return json_response(
        BookedBody.of_many(session, sessions, series, me),
        status=status,
        etag=etag_of(session.revision),
        headers=headers,
    )


def _session_response(
    session: Session,
    me: ObjectId,
    *,
    status: int = 200,
    req: func.HttpRequest | None = None,
) -> func.HttpResponse:
    headers = {"location": f"/api/sessions/{session.id}"} if status == 201 else None
    return json_response(
        SessionBody.of(session, me),
        status=status,
        etag=etag_of(session.revision),
        headers=headers,
        req=req,
    )
