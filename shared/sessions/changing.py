"""Moving and cancelling a session, answering an invitation, taking up a proposed time.

The same protocol as booking: settling message, new holds, Outlook, rows. Until Outlook has the new
times the session holds both, the old ones for good and the new ones until the hold runs out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, NoReturn

from shared.availability.finding import rules_for
from shared.availability.masks import whole_cells
from shared.availability.model import MAX_DURATION, MIN_DURATION
from shared.availability.working_hours import zone_of
from shared.changes.model import Change, ChangeKind
from shared.errors import (
    CalendarRefused,
    Conflict,
    ConsentMissing,
    EventGone,
    Invalid,
    MailboxUnusable,
    NotAllowed,
    NotFound,
    SignInAgain,
    SlotTaken,
    StaleRow,
)
from shared.ids import ObjectId, SessionId
from shared.logs import log_event
from shared.organizations.model import Organization, Participation
from shared.pairings.model import Pairing
from shared.pairings.ports import PairingStore
from shared.sessions import lifecycle, reservations
from shared.sessions.booking import (
    Books,
    alternatives_to,
    announce,
    around,
    ensure_bookable,
    ensure_enough,
    is_required,
    judge,
    see_occasion,
)
from shared.sessions.lifecycle import Action
from shared.sessions.model import (
    HOLD_FOR,
    VERIFY_AFTER,
    AttendeeResponse,
    Cause,
    Hold,
    ResponseState,
    SeenEvent,
    Session,
    SessionState,
)
from shared.sessions.occurrences import with_event
from shared.sessions.ports import Job, JobKind
from shared.timespan import TimeSpan

CROSSING: Final = "ErrorOccurrenceCrossingBoundary"
"""What Graph says where an occurrence would meet its neighbour."""
REFUSALS: Final = (CalendarRefused, ConsentMissing, MailboxUnusable, SignInAgain)
"""A definite no: Outlook has done nothing of it. After any other error nobody knows."""
_MINUTE: Final = timedelta(minutes=1)
_TRIES: Final = 3
"""How often a request goes on from what the same request, sent at the same time, has come to."""
_TAKES: Final = timedelta(minutes=1)
"""Longer than a request goes on, shorter than it takes until somebody looks what became of it."""
_ANSWER_TAKES = timedelta(seconds=20)
"""About how long an answer is on its way to the organizer's copy."""


@dataclass(frozen=True, slots=True)
class Reschedule:
    """New times for a session."""

    span: TimeSpan
    time_zone: str
    accept_unknown: bool = False
    at_least: int | None = None
    """Move it when the organizer and so many in all are free, instead of everybody required."""
    proposed_by: str | None = None
    """The address of the attendee whose proposal it is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an attendee answers."""

    state: ResponseState
    comment: str = ""
    proposed: TimeSpan | None = None


async def reschedule(
    participation: Participation,
    pairing: Pairing,
    session: Session,
    wanted: Reschedule,
    *,
    books: Books,
) -> Session:
    """Move *session* to *wanted*; its attendees' answers start from silence.

    Where it is already it stays, so the same again is the same answer.

    Raises:
        NotAllowed: the caller is not the organizer.
        SlotTaken, SlotUnknown: with alternatives; the old time stays held.
        Invalid, Conflict, StaleRow
        CalendarUnavailable, CalendarThrottled: perhaps moved; the settling job finds out.
    """
    for _ in range(_TRIES):
        try:
            return await _reschedule(participation, pairing, session, wanted, books)
        except StaleRow:
            session = await books.sessions.get(session.organizer, session.id)
            # Else the same request, sent twice at once, is ahead of us: its answer is ours.
            if wanted.span not in {session.span, session.pending_span}:
                raise
    raise StaleRow("The session is being changed by too many at once.")


async def _reschedule(
    participation: Participation,
    pairing: Pairing,
    session: Session,
    wanted: Reschedule,
    books: Books,
) -> Session:
    ensure_organizer(participation, session)
    lifecycle.after(session.state, Action.RESCHEDULE)
    now = books.clock.now()
    if session.span.end <= now:
        raise Conflict("The session is over.")
    if wanted.span == session.span:
        return session
    if not session.attendees:
        raise Conflict(
            "Nobody is invited to this session any more.",
            remedy="Invite somebody to the meeting in Outlook, or cancel it and book anew.",
        )
    session = _taking(session, wanted)
    if wanted.span == session.pending_span and session.event_id is not None:
        # Asked for before, and nobody heard what became of it: Outlook may have done it.
        seen = await books.calendar.read(session.organizer, session.event_id)
        if seen.span == wanted.span:
            return await record_moved(
                session, seen, wanted.time_zone, participation.organization, books
            )
    ensure_can_last(wanted.span)
    asked = whole_cells(wanted.span)
    rules = rules_for(
        participation.organization.settings,
        duration=asked.duration,
        now=now,
        zone=zone_of(wanted.time_zone),
    )
    ensure_bookable(wanted.span, rules)
    ensure_enough(pairing, wanted.at_least)
    session = await with_event(session, calendar=books.calendar, sessions=books.sessions)
    if session.event_id is None:
        raise _not_there(session)
    occasion = await see_occasion(
        participation, pairing, around(asked, rules), books=books, freed=session
    )
    unknown, busy = await judge(
        occasion,
        asked,
        rules,
        session.id,
        accept_unknown=wanted.accept_unknown,
        at_least=wanted.at_least,
        books=books,
    )
    moving = replace(
        session.towards(wanted.span, now + HOLD_FOR),
        unknown_for=tuple(unknown),
        attendees=tuple(replace(a, is_free_then=a.address not in busy) for a in session.attendees),
    )
    await _queue_settling(session, books)
    try:
        moving = await hold_both(moving, books, at_least=wanted.at_least)
    except SlotTaken as lost:
        found = await alternatives_to(
            occasion,
            wanted.span.start,
            session.id,
            rules,
            books=books,
            include_unknown=wanted.accept_unknown,
            at_least=wanted.at_least,
        )
        raise SlotTaken(str(lost), alternatives=found) from lost
    return await _move_in_outlook(participation, moving, wanted, books)


async def cancel(
    participation: Participation, session: Session, comment: str, *, books: Books
) -> Session:
    """Cancel *session*; Outlook tells the attendees, with *comment*. Twice is fine."""
    ensure_organizer(participation, session)
    state = lifecycle.after(session.state, Action.CANCEL)
    if state is session.state:
        return session
    session = await with_event(session, calendar=books.calendar, sessions=books.sessions)
    await _queue_settling(session, books)
    try:
        if session.event_id is not None:  # else Outlook does not show that date of its series
            await books.calendar.cancel(participation.acting, session.event_id, comment)
    except EventGone:
        log_event("session.gone", session_id=session.id)  # cancelled in Outlook meanwhile
    return await record_cancelled(session, participation.organization, Cause.API, books=books)


async def respond(
    participation: Participation, session: Session, answer: Answer, *, books: Books
) -> Session:
    """Answer in the attendee's own mailbox. The answer shows once the organizer's copy has it.

    Twice is fine, though who declines has no invitation any more: the organizer's copy tells.
    """
    me = participation.mailbox.object_id
    if session.organizer == participation.mailbox:
        raise NotAllowed(
            "The organizer has nothing to answer.", remedy="Reschedule or cancel the session."
        )
    if all(a.object_id != me for a in session.attendees):
        raise NotFound("There is no such session.")
    lifecycle.after(session.state, Action.RESPOND)
    session = await with_event(session, calendar=books.calendar, sessions=books.sessions)
    if answer.proposed is not None and answer.state is ResponseState.ACCEPTED:
        raise Invalid("body.proposed", "Another time goes with tentative or declined only.")
    try:
        await books.calendar.respond(
            participation.acting, session, answer.state, answer.comment, answer.proposed
        )
    except EventGone as gone:
        if await _has_answered(session, me, answer, books):
            return session
        raise Conflict(
            "The invitation is not in your calendar.",
            remedy="It may still be on its way: try again in a minute. If you removed it, ask the"
            " organizer to invite you again.",
        ) from gone
    # Push will tell; where there is none, or it is lost, somebody looks.
    await books.jobs.put(
        Job(JobKind.RECONCILE, session.organization_id, (session.organizer,), (session.id,)),
        delay=_ANSWER_TAKES,
    )
    log_event("session.answered", session_id=session.id, state=answer.state)
    return session


async def _has_answered(session: Session, me: ObjectId, answer: Answer, books: Books) -> bool:
    """Tell whether the organizer's copy has just that answer: it was given before, unheard."""
    if session.event_id is None:
        return False
    try:
        seen = await books.calendar.read(session.organizer, session.event_id)
    except EventGone:
        return False
    address = next(a.address for a in session.attendees if a.object_id == me)
    return any(
        (a.response.state, a.response.proposed) == (answer.state, answer.proposed)
        for a in seen.attendees
        if a.address == address
    )


async def accept_proposal(
    participation: Participation, pairing: Pairing, session: Session, attendee: str, *, books: Books
) -> Session:
    """Move *session* to the time that *attendee* (object id or address) proposed.

    Twice is fine: as long as the session is where their proposal put it, it is the answer.
    """
    ensure_organizer(participation, session)
    lifecycle.after(session.state, Action.RESCHEDULE)
    proposer = next(
        (a for a in session.attendees if attendee.lower() in {a.object_id, a.address}), None
    )
    if proposer is None:
        raise NotFound("There is no such attendee.")
    if proposer.response.proposed is None:
        if proposer.taken == session.span:
            return session
        raise Conflict(f"This attendee proposes no other time. The session is {told(session)}.")
    wanted = Reschedule(
        proposer.response.proposed,
        session.time_zone,
        accept_unknown=True,
        proposed_by=proposer.address,
    )
    try:
        return await reschedule(participation, pairing, session, wanted, books=books)
    except Invalid as refused:
        # Nothing is wrong with the request: in Outlook people propose any time.
        raise Conflict(
            f"The proposed time cannot be taken. {refused}",
            remedy="Move the session to another time, or ask for another proposal.",
        ) from refused


async def settle_change(job: Job, organization: Organization, *, books: Books) -> None:
    """Finish or undo a reschedule or cancellation that died: Outlook says which.

    A reschedule that began just now is not undone: another job will look what became of it.
    """
    try:
        session = await books.sessions.get(job.mailboxes[-1], job.session_ids[0])
    except NotFound:
        return
    if session.event_id is None:
        return
    if session.state is SessionState.CANCELLED:
        await announce(session, organization, books=books)
        return
    try:
        seen = await books.calendar.read(session.organizer, session.event_id)
    except EventGone:
        await record_cancelled(session, organization, Cause.RECONCILIATION, books=books)
        return
    if session.pending_span is None:
        await announce(session, organization, books=books)
    elif seen.span == session.pending_span:
        await record_moved(session, seen, session.time_zone, organization, books)
    elif has_died(session, books):
        await let_go(session, books)


async def record_cancelled(
    session: Session,
    organization: Organization,
    cause: Cause,
    *,
    books: Books,
    announces: bool = True,
) -> Session:
    """Record that the session is cancelled, whoever else writes its row at the same time.

    *announces*: else the caller sees to what follows from the row.
    """
    while True:
        state = lifecycle.after(session.state, Action.CANCEL)
        if state is session.state:
            return session
        beside = session.conflicts_with
        cancelled = replace(
            session.without_pending(done=False),
            state=state,
            conflicts_with=(),
            changed_at=session.later(books.clock.now()),
        )
        try:
            session = await reservations.save(books.sessions, cancelled)
        except StaleRow:
            session = await books.sessions.get(session.organizer, session.id)
            continue
        await books.changes.append([_change(session, ChangeKind.CANCELLED, cause, books)])
        await _look_again_at(beside, session, books)
        log_event("session.cancelled", session_id=session.id, cause=cause)
        if announces:
            await announce(session, organization, books=books)
        return session


def versions_to_move(session: Session, wanted: Reschedule) -> tuple[str, ...]:
    """Return the versions that whoever asks for *wanted* may have seen.

    The present one; where just that is half done, also the one of which it was asked before.
    """
    if session.pending_of is None or session.pending_span != wanted.span:
        return (session.version,)
    return session.version, session.pending_of


def told(session: Session) -> str:
    """Return in words what *session* is now, for whoever expected something else."""
    start = f"{session.span.start:%Y-%m-%dT%H:%M:%SZ}"
    if session.state is SessionState.SCHEDULED:
        return f"scheduled for {start}"
    return f"{session.state}; it was to start at {start}"


def _taking(session: Session, wanted: Reschedule) -> Session:
    """Return *session* knowing whose proposal *wanted* is."""
    return replace(
        session,
        attendees=tuple(
            replace(a, taken=wanted.span) if a.address == wanted.proposed_by else a
            for a in session.attendees
        ),
    )


def ensure_can_last(span: TimeSpan) -> None:
    """Raise Invalid if no session is as short or as long as *span*: in Outlook meetings may be."""
    if span.duration < MIN_DURATION or whole_cells(span).duration > MAX_DURATION:
        raise Invalid(
            "body.duration_minutes",
            f"A session lasts {MIN_DURATION // _MINUTE} to {MAX_DURATION // _MINUTE} minutes.",
        )


async def pairing_that_meets(session: Session, *, pairings: PairingStore) -> Pairing:
    """Return the pairing whose calendars are read to move *session*. Raises Conflict: it is gone.

    Sessions outlive their pairing: they can still be answered and cancelled.
    """
    try:
        return await pairings.get(session.organization_id, session.pairing_id)
    except NotFound:
        raise Conflict(
            "The pairing was ended, so its sessions cannot be moved.", remedy="Cancel the session."
        ) from None


def _not_there(session: Session) -> Conflict:
    if session.series_id is None:
        return Conflict("The session is still being booked.")
    return Conflict(
        "Outlook does not show this date of the series.",
        remedy="Read the session again in a minute: it may have been cancelled in Outlook.",
    )


def ensure_organizer(participation: Participation, session: Session) -> None:
    """Raise NotAllowed for an attendee, with what they can do instead."""
    if session.organizer != participation.mailbox:
        raise NotAllowed(
            "Only the organizer can change this session.",
            remedy="Answer it, or propose another time with your answer:"
            f" POST /api/sessions/{session.id}/response",
        )


async def _queue_settling(session: Session, books: Books) -> None:
    await books.jobs.put(
        Job(JobKind.SETTLE, session.organization_id, session.holders, (session.id,)),
        delay=VERIFY_AFTER,
    )


async def hold_both(moving: Session, books: Books, *, at_least: int | None = None) -> Session:
    """Hold the new time besides the old one, everybody's in the order that booking has too.

    Who can be done without stays invited though somebody else holds their time. Whoever loses
    takes back what was held here, and nothing that another attempt holds.

    Raises SlotTaken; StaleRow: it changed since it was read.
    """
    try:
        return await _hold_both(moving, books, at_least)
    except (SlotTaken, StaleRow):
        await let_go(moving, books)
        raise


async def _hold_both(moving: Session, books: Books, at_least: int | None) -> Session:
    hold, now = _new_hold(moving), books.clock.now()
    for mailbox in sorted(m for m in moving.holders if moving.holds_pending_time_of(m)):
        try:
            await reservations.hold_new_time(books.sessions, mailbox, moving, hold, now)
        except SlotTaken:
            is_needed = at_least is None and is_required(moving, mailbox)
            if is_needed or mailbox == moving.organizer:
                raise
            moving = moving.without_pending_time_of(mailbox)
    free = {a.address for a in moving.attendees if a.is_free_then} - {*moving.unknown_for}
    if at_least is not None and 1 + len(free) < at_least:
        raise SlotTaken("Too few of you are free then.")
    return await reservations.save(books.sessions, moving)


def _new_hold(moving: Session) -> Hold:
    if moving.pending_span is None:
        raise ValueError("nothing to hold")
    return Hold(moving.id, moving.pending_span, moving.held_until)


def has_died(moving: Session, books: Books) -> bool:
    """Tell whether the reschedule that is under way began so long ago that nobody is at it."""
    began_at = (moving.held_until or moving.changed_at + HOLD_FOR) - HOLD_FOR
    return books.clock.now() >= began_at + _TAKES


async def let_go(moving: Session, books: Books) -> None:
    """Free the new time of *moving*, which came to nothing; the old one stays held.

    So does what another attempt holds: it may be the one that Outlook has heard.
    """
    hold = _new_hold(moving)
    known = await books.sessions.get(moving.organizer, moving.id)
    is_ours = known.version == moving.version or known.held_until == moving.held_until
    if known.pending_span == moving.pending_span and not is_ours:
        return  # another attempt at the same goes on from here
    for mailbox in moving.holders:
        await reservations.remove_hold(books.sessions, mailbox, hold)
    if known.pending_span != moving.pending_span:
        return
    try:
        await reservations.save(books.sessions, known.without_pending(done=False))
    except StaleRow:
        log_event("session.changed_meanwhile", session_id=moving.id)


async def _move_in_outlook(
    participation: Participation, moving: Session, wanted: Reschedule, books: Books
) -> Session:
    if moving.event_id is None:
        raise _not_there(moving)
    try:
        seen = await books.calendar.reschedule(
            participation.acting, moving.event_id, wanted.span, wanted.time_zone
        )
    except EventGone as gone:
        await record_cancelled(moving, participation.organization, Cause.API, books=books)
        raise Conflict("The meeting was cancelled in Outlook meanwhile.") from gone
    except REFUSALS as refused:
        await let_go(moving, books)
        raise_refusal(refused)
    return await record_moved(moving, seen, wanted.time_zone, participation.organization, books)


def raise_refusal(refused: Exception) -> NoReturn:
    """Raise *refused*, as a Conflict with a remedy where the caller can choose another time."""
    if getattr(refused, "code", "") == CROSSING:
        raise Conflict(
            "A date of a series cannot pass its neighbours, nor share their day.",
            remedy="Choose a time between them, or move this and the following sessions.",
        ) from refused
    raise refused


async def record_moved(
    session: Session,
    seen: SeenEvent,
    time_zone: str,
    organization: Organization,
    books: Books,
    *,
    announces: bool = True,
) -> Session:
    """Record the new times; a row that changed meanwhile is read again.

    *announces*: else the caller sees to what follows from the row.
    """
    while session.pending_span == seen.span:
        beside = session.conflicts_with
        after = session.without_pending(done=True)
        moved = replace(
            after,
            span=seen.span,
            time_zone=time_zone,
            scheduling=session.scheduling + 1,
            attendees=tuple(
                replace(a, response=AttendeeResponse(reset=True)) for a in after.attendees
            ),
            event_id=seen.event_id,
            ical_uid=seen.ical_uid,
            event_etag=seen.etag,
            event_modified_at=seen.modified_at,
            conflicts_with=(),
            changed_at=session.later(books.clock.now()),
        )
        try:
            session = await reservations.save(books.sessions, moved)
        except StaleRow:
            session = await books.sessions.get(session.organizer, session.id)
            continue
        await books.changes.append([_change(session, ChangeKind.RESCHEDULED, Cause.API, books)])
        await _look_again_at(beside, session, books)
        log_event("session.rescheduled", session_id=session.id)
    if announces:
        await announce(session, organization, books=books)
    return session


async def _look_again_at(beside: Sequence[SessionId], session: Session, books: Books) -> None:
    """Have the sessions that *session* overlapped before be read, so that they say so no more.

    Should this be lost, they are read by the clock all the same.
    """
    if beside:
        job = Job(
            JobKind.RECONCILE,
            session.organization_id,
            (session.organizer,) * len(beside),
            tuple(beside),
        )
        await books.jobs.put(job)


def _change(session: Session, kind: ChangeKind, cause: Cause, books: Books) -> Change:
    return Change(
        session.organization_id,
        books.clock.now(),
        kind,
        cause,
        session.pairing_id,
        session.id,
    )
