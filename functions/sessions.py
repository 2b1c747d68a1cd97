"""HTTP: book, list and show sessions."""

import hashlib
from collections.abc import Sequence

import azure.functions as func

from functions._bodies import (
    AnswerBody,
    BookedBody,
    BookingBody,
    CancelBody,
    RescheduleBody,
    SessionBody,
    SessionList,
    SessionsQuery,
)
from functions._edge import (
    Operation,
    authorize,
    ensure_match,
    etag_of,
    http_endpoint,
    idempotency_key,
    parse_body,
    parse_query,
    path_id,
    path_parameter,
    reply,
)
from shared.errors import PreconditionFailed
from shared.ids import ObjectId, PairingId, SessionId
from shared.organizations.access import ensure_usable
from shared.organizations.model import Participation
from shared.pairings.membership import own_pairing
from shared.pairings.model import Pairing
from shared.sessions.booking import book
from shared.sessions.cancelling import cancel
from shared.sessions.listing import list_sessions
from shared.sessions.model import Session
from shared.sessions.rescheduling import (
    acceptable_versions,
    describe_state,
    find_already_moved,
    pairing_for_reschedule,
    reschedule,
)
from shared.sessions.responding import accept_proposal, respond
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
        idempotent=True,
        problems=(400, 403, 409, 413, 415, 422, 502, 503),
    )
)
async def book_session(req: func.HttpRequest) -> func.HttpResponse:
    """Book a slot, once or as a series: an Outlook meeting of the caller's own, others invited."""
    participation = await authorize(req)
    key, body = idempotency_key(req), parse_body(req, BookingBody)
    pairing = await own_pairing(
        participation,
        PairingId(path_id(req, "pairing_id")),
        pairings=wiring().pairings,
    )
    fingerprint = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    request, me = body.to_request(key, fingerprint), participation.mailbox.object_id
    booked = await book(participation, pairing, request, books=wiring().books)
    if booked.series is None:
        return _shown(booked.sessions[0], me, status=201)
    return _shown_many(booked.sessions[0], booked.sessions, me, series=booked.series, status=201)


@bp.route("sessions", methods=["GET"])
@http_endpoint(
    Operation(
        "My sessions",
        "participant",
        query=SessionsQuery,
        reply=SessionList,
        cached=True,
        problems=(422,),
    )
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
        participation.mailbox, SessionId(path_id(req, "session_id"))
    )
    return _shown(session, participation.mailbox.object_id, req=req)


@bp.route("sessions/{session_id}", methods=["PATCH"])
@http_endpoint(
    Operation(
        "Reschedule a session",
        "participant",
        body=RescheduleBody,
        reply=BookedBody,
        guarded=True,
        problems=(400, 409, 412, 413, 415, 422, 502),
    )
)
async def reschedule_session(req: func.HttpRequest) -> func.HttpResponse:
    """Move a session the caller organizes; its attendees' answers start from silence.

    The same again is the same answer, also under the ETag of before, as long as it stays there.
    """
    participation, body = await authorize(req), parse_body(req, RescheduleBody)
    session = await _own(req, participation)
    wanted, books = body.to_request(session), wiring().books
    try:
        ensure_match(req, *map(etag_of, acceptable_versions(session, wanted)))
    except PreconditionFailed as changed:
        # RFC 9110, 13.1.1: a change that was made already may be answered as made.
        moved = await find_already_moved(participation, session, wanted, body.scope, books=books)
        if moved is None:
            raise PreconditionFailed(f"{changed} It is {describe_state(session)}.") from changed
        if not any(each.pending_span for each in moved):
            return _shown_many(_named(session, moved), moved, participation.mailbox.object_id)
    pairing = await _pairing_of(session)
    moved = await reschedule(participation, pairing, session, wanted, body.scope, books=books)
    return _shown_many(_named(session, moved), moved, participation.mailbox.object_id)


@bp.route("sessions/{session_id}/cancel", methods=["POST"])
@http_endpoint(
    Operation(
        "Cancel a session",
        "participant",
        body=CancelBody,
        reply=BookedBody,
        problems=(400, 409, 413, 415, 422, 502),
    )
)
async def cancel_session(req: func.HttpRequest) -> func.HttpResponse:
    """Cancel a session the caller organizes; Outlook tells the attendees. Twice is fine."""
    participation, body = await authorize(req), parse_body(req, CancelBody)
    session = await _own(req, participation)
    cancelled = await cancel(participation, session, body.comment, body.scope, books=wiring().books)
    return _shown_many(_named(session, cancelled), cancelled, participation.mailbox.object_id)


@bp.route("sessions/{session_id}/response", methods=["POST"])
@http_endpoint(
    Operation(
        "Answer an invitation",
        "participant",
        body=AnswerBody,
        reply=SessionBody,
        status=202,
        problems=(400, 409, 413, 415, 422, 502),
    )
)
async def answer_session(req: func.HttpRequest) -> func.HttpResponse:
    """Answer in the caller's own mailbox; the session shows it once the organizer's copy does.

    Twice is fine.
    """
    participation, body = await authorize(req), parse_body(req, AnswerBody)
    session = await _own(req, participation)
    answered = await respond(participation, session, body.to_request(), books=wiring().books)
    return _shown(answered, participation.mailbox.object_id, status=202)


@bp.route("sessions/{session_id}/proposals/{attendee}/accept", methods=["POST"])
@http_endpoint(
    Operation(
        "Take a proposed time",
        "participant",
        reply=SessionBody,
        problems=(409, 422, 502),
    )
)
async def take_proposed_time(req: func.HttpRequest) -> func.HttpResponse:
    """Move a session the caller organizes to the time that an attendee proposed. Twice is fine."""
    participation = await authorize(req)
    session = await _own(req, participation)
    pairing = await _pairing_of(session)
    moved = await accept_proposal(
        participation, pairing, session, path_parameter(req, "attendee"), books=wiring().books
    )
    return _shown(moved, participation.mailbox.object_id)


async def _own(req: func.HttpRequest, participation: Participation) -> Session:
    """Return the session in the path, if it is the caller's."""
    ensure_usable(participation.organization)
    session_id = SessionId(path_id(req, "session_id"))
    return await wiring().sessions.get(participation.mailbox, session_id)


async def _pairing_of(session: Session) -> Pairing:
    """Return the pairing whose calendars are read to move *session*. Raises Conflict."""
    return await pairing_for_reschedule(session, pairings=wiring().pairings)


def _named(session: Session, changed: Sequence[Session]) -> Session:
    """Return *session* as it is after a change of it, or of others of its series."""
    return next((each for each in changed if each.id == session.id), session)


def _shown_many(
    session: Session,
    sessions: Sequence[Session],
    me: ObjectId,
    *,
    series: Series | None = None,
    status: int = 200,
) -> func.HttpResponse:
    headers = {"location": f"/api/sessions/{session.id}"} if status == 201 else None
    return reply(
        BookedBody.of_many(session, sessions, series, me),
        status=status,
        etag=etag_of(session.version),
        headers=headers,
    )


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
