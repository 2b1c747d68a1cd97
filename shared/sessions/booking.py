"""Booking a session: one event in Outlook, one row here, whatever dies in between.

The order of effects is the protocol (docs/architecture.md): verify message, holds of the others,
hold and row of the organizer, event in Outlook, row confirmed, holds confirmed. The session's id is
derived from the idempotency key, so a retry finds what was left at any step and goes on from there.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from shared.availability.finding import Occasion, read_schedules, rules_for
from shared.availability.model import SlotRules
from shared.availability.ports import Schedules
from shared.availability.working_hours import zone_of
from shared.changes.model import Change, ChangeKind
from shared.changes.ports import ChangeStore
from shared.clock import Clock
from shared.due import DueStore
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    ConsentMissing,
    Invalid,
    KeyReused,
    MailboxUnusable,
    NotFound,
    SchedulingError,
    SignInAgain,
    SlotTaken,
    SlotUnknown,
    StaleRow,
    StoreUnavailable,
)
from shared.ids import Mailbox, PairingId, SeriesId, SessionId
from shared.logs import log_event
from shared.organizations.model import OnlineMeetingChoice, Organization, Participation
from shared.pairings.model import Pairing
from shared.sessions import lifecycle, reservations
from shared.sessions.creating import create_event
from shared.sessions.lifecycle import Action
from shared.sessions.model import (
    HOLD_FOR,
    LINK_AFTER,
    VERIFY_AFTER,
    Attendee,
    Cause,
    EventDraft,
    Hold,
    OnlineMeeting,
    OnlineMeetingState,
    SeenEvent,
    Session,
    SessionState,
)
from shared.sessions.online_meeting import may_yet_come, online_meeting_of
from shared.sessions.ports import Calendar, Job, JobKind, Jobs, SessionStore
from shared.sessions.recurrence import Repeat
from shared.sessions.rhythm import next_reconciliation, purge_item
from shared.sessions.series import OnConflict
from shared.timespan import TimeSpan
from shared.together import together

_NAMESPACE: Final = uuid.UUID("5b0f8f2e-4d0e-4d3c-9a39-7d1f6f0c2a11")
_LOOK_BACK, _LOOK_AHEAD = timedelta(days=3), timedelta(days=7)
"""How far around the wanted start alternatives are looked for."""
_ALTERNATIVES = 5
_TRIES: Final = 5
"""How often a request looks what the same request, sent at the same time, has come to."""
_ANOTHER_TAKES: Final = timedelta(seconds=3)
"""How long one that is under way is waited for. It is safe not to: only the answer is better."""
_LOOK_EVERY: Final = timedelta(seconds=0.2)


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """What somebody wants to book."""

    key: str
    """The Idempotency-Key."""
    fingerprint: str
    """Hash of the request as it came."""
    start: datetime
    duration: timedelta
    time_zone: str
    title: str | None = None
    agenda: str = ""
    location: str | None = None
    online_meeting: OnlineMeetingChoice | None = None
    """None: as the organization has it."""
    accept_unknown: bool = False
    """Book although somebody's availability is unknown."""
    at_least: int | None = None
    """Book when the caller and so many in all are free, instead of everybody required."""
    repeat: Repeat | None = None
    """Makes a series of it: `book_series`."""
    on_conflict: OnConflict = OnConflict.REFUSE
    """What becomes of dates of a series that are not free."""

    @property
    def span(self) -> TimeSpan:
        """Return the time it takes."""
        return TimeSpan.lasting(self.start, self.duration)


@dataclass(frozen=True, slots=True)
class Books:
    """The ports that everything about sessions needs, together."""

    schedules: Schedules
    calendar: Calendar
    sessions: SessionStore
    jobs: Jobs
    changes: ChangeStore
    due: DueStore
    clock: Clock
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits for so many seconds."""


def session_id_for(participation: Participation, pairing_id: PairingId, key: str) -> SessionId:
    """Return the id that this caller's *key* stands for: the same for every retry."""
    name = (
        f"{participation.organization.id}\n{pairing_id}\n{participation.mailbox.object_id}\n{key}"
    )
    return SessionId(str(uuid.uuid5(_NAMESPACE, name)))


async def book(
    participation: Participation, pairing: Pairing, request: BookingRequest, *, books: Books
) -> Session:
    """Book a session with the caller as organizer, or find that it was booked already.

    Raises:
        KeyReused: the key belongs to another request.
        SlotTaken, SlotUnknown: with alternatives; nothing is left behind.
        Invalid: the time breaks a rule of the organization.
        CalendarUnavailable, CalendarThrottled, StoreUnavailable: the same request with the same key
            goes on from here; if nobody repeats it, the verify job finishes or undoes it.
    """
    organizer = participation.mailbox
    session_id = session_id_for(participation, pairing.id, request.key)
    for _ in range(_TRIES):
        session = await left_behind(organizer, session_id, books)
        if session is not None:
            if session.fingerprint != request.fingerprint:
                raise KeyReused("This Idempotency-Key was used for another request.")
            if session.state is not SessionState.REQUESTED:
                return session
            if not await is_left_alone(session, partial(_is_unchanged, session, books), books):
                continue
        else:
            await _ensure_no_series(organizer, session_id, books)
        try:
            if session is None:
                session = await _reserve(participation, pairing, request, session_id, books)
            else:
                session = await hold_again(session, books)
            return await _create(participation, pairing, request, session, books)
        except (SlotTaken, SlotUnknown):
            # Perhaps taken by the same request, sent twice at once: then its answer is ours.
            if await left_behind(organizer, session_id, books) is None:
                raise
        except StaleRow:
            continue  # the same request, elsewhere, is ahead of us, or has just given up
        except (CalendarThrottled, CalendarUnavailable):
            await step_back(session, books)
            raise
    raise StoreUnavailable("The same request is being handled elsewhere.")


async def _is_unchanged(session: Session, books: Books) -> bool:
    known = await left_behind(session.organizer, session.id, books)
    return known is not None and known.version == session.version


async def is_left_alone(
    held: Session, is_unchanged: Callable[[], Awaitable[bool]], books: Books
) -> bool:
    """Wait a moment for whoever is booking it; tell whether nobody got any further.

    *held* says since when they are at it.
    """
    began_at = (held.held_until or held.created_at) - HOLD_FOR
    # Counted as well: the clock of the instance that began may be ahead of ours.
    for _ in range(_ANOTHER_TAKES // _LOOK_EVERY):
        if books.clock.now() >= began_at + _ANOTHER_TAKES:
            break
        await books.pause(_LOOK_EVERY.total_seconds())
        if not await is_unchanged():
            return False
    return True


async def step_back(session: Session | None, books: Books) -> None:
    """Let whoever repeats the request know at once that nobody is at it any more."""
    if session is None or not session.version:
        return
    until = books.clock.now() + HOLD_FOR - _ANOTHER_TAKES
    with suppress(SchedulingError):
        await reservations.save(books.sessions, replace(session, held_until=until))


async def _ensure_no_series(organizer: Mailbox, key: SessionId, books: Books) -> None:
    if await books.sessions.get_series(organizer, SeriesId(key)):
        raise KeyReused("This Idempotency-Key was used for another request.")


async def verify(job: Job, organization: Organization, *, books: Books) -> None:
    """Finish or undo what died: run some minutes after every booking, and safe at any time."""
    organizer, session_id = job.mailboxes[-1], job.session_ids[0]
    session = await left_behind(organizer, session_id, books)
    if session is None:
        await release(job.mailboxes, session_id, books)
    elif session.state is not SessionState.REQUESTED:
        await announce(session, organization, books=books)
    elif (seen := await books.calendar.find(organizer, session_id)) is not None:
        await confirm(session, seen, organization, books=books)
        log_event("booking.finished", session_id=session_id)
    else:
        await release(session.holders, session_id, books)
        log_event("booking.undone", session_id=session_id)


async def confirm(
    session: Session, seen: SeenEvent, organization: Organization, *, books: Books
) -> Session:
    """Record that Outlook has the event. Whoever comes second changes nothing."""
    wanted, attendees = session.online_meeting, session.attendees
    while session.state is SessionState.REQUESTED:
        now = books.clock.now()
        confirmed = replace(
            session,
            state=lifecycle.after(session.state, Action.CONFIRM),
            event_id=seen.event_id,
            ical_uid=seen.ical_uid,
            event_etag=seen.etag,
            event_modified_at=seen.modified_at,
            attendees=attendees,
            online_meeting=online_meeting_of(wanted, seen),
            changed_at=session.later(now),
            held_until=None,
        )
        try:
            session = await reservations.save(books.sessions, confirmed)
        except StaleRow:
            session = await _reread(session, books)
            continue
        # After the row: a change tells of what can be read. Lost only if this process dies here.
        await books.changes.append([scheduled(session, now)])
        log_event("session.booked", session_id=session.id, state=session.state)
        await await_link([session], books=books)
    await announce(session, organization, books=books)
    return session


async def await_link(sessions: Sequence[Session], *, books: Books) -> None:
    """Have somebody look for the links that Outlook promised, and not only hope for a push.

    Also where it made no online meeting of one that it offers: that was seen to come right.
    """
    for session in sessions:
        if may_yet_come(session.online_meeting):
            job = Job(JobKind.LINK, session.organization_id, (session.organizer,), (session.id,))
            await books.jobs.put(job, delay=LINK_AFTER[0])


async def announce(session: Session, organization: Organization, *, books: Books) -> None:
    """Bring everything that follows from *session*'s row in line with it. Idempotent."""
    now = books.clock.now()
    due = [purge_item(session, organization.settings)]
    if again := next_reconciliation(session, organization.settings.background, now):
        due.append(again)
    async with asyncio.TaskGroup() as tasks:
        for mailbox in session.holders[:-1]:
            tasks.create_task(reservations.sync_mailbox(books.sessions, mailbox, session))
        tasks.create_task(books.due.put(due))
        tasks.create_task(
            books.jobs.put(Job(JobKind.SUBSCRIBE, session.organization_id, (session.organizer,)))
        )


async def _reread(session: Session, books: Books) -> Session:
    """Return the row as it is now, or held anew if the same request, lost elsewhere, removed it."""
    try:
        return await books.sessions.get(session.organizer, session.id)
    except NotFound:
        return await hold_all(session, books)


async def left_behind(mailbox: Mailbox, session_id: SessionId, books: Books) -> Session | None:
    """Return what an earlier attempt left of the session, if anything."""
    try:
        return await books.sessions.get(mailbox, session_id)
    except NotFound:
        return None


async def _reserve(
    participation: Participation,
    pairing: Pairing,
    request: BookingRequest,
    session_id: SessionId,
    books: Books,
) -> Session:
    """Check that the time is free and hold it for everybody."""
    now = books.clock.now()
    rules = rules_for(
        participation.organization.settings,
        duration=request.duration,
        now=now,
        zone=zone_of(request.time_zone),
    )
    ensure_bookable(request.span, rules)
    ensure_enough(pairing, request.at_least)
    window = around(request.span, rules)
    occasion = await see_occasion(participation, pairing, window, books=books)
    unknown, busy = await judge(
        occasion,
        request.span,
        rules,
        session_id,
        accept_unknown=request.accept_unknown,
        at_least=request.at_least,
        books=books,
    )
    session = requested(participation, pairing, request, session_id, unknown, now, busy)
    await books.jobs.put(
        Job(JobKind.VERIFY, session.organization_id, session.holders, (session.id,)),
        delay=VERIFY_AFTER,
    )
    try:
        return await hold_all(session, books, at_least=request.at_least)
    except SlotTaken as lost:
        alternatives = await alternatives_to(
            occasion,
            session.span.start,
            session.id,
            rules,
            books=books,
            include_unknown=request.accept_unknown,
            at_least=request.at_least,
        )
        raise SlotTaken(str(lost), alternatives=alternatives) from lost


async def hold_all(session: Session, books: Books, *, at_least: int | None = None) -> Session:
    """Hold the span of everybody, and store the session with the organizer's.

    Who can be done without, because they are optional or *at_least* so many others are free, is
    invited though somebody else holds their time. Always in the same order of mailboxes, whoever
    organizes: two who book each other at the same instant meet at the same mailbox first, and one
    of them wins.
    """
    ours: list[Mailbox] = []
    until = books.clock.now() + HOLD_FOR
    try:
        return await _hold_all(replace(session, held_until=until), ours, books, at_least)
    except SlotTaken:
        # Not what was there before: the same request, sent twice at once, may rely on it.
        for mailbox in ours:
            await reservations.release(books.sessions, mailbox, session.id, only_expiring_at=until)
        raise


async def _hold_all(
    session: Session, ours: list[Mailbox], books: Books, at_least: int | None
) -> Session:
    """Hold what is to be held; *ours* tells how far it got."""
    now, opened = books.clock.now(), session
    hold = Hold(session.id, session.span, session.held_until)
    for mailbox in sorted(session.holders):
        if mailbox == session.organizer:
            opened = await reservations.create(books.sessions, opened, now)
            ours.append(mailbox)
        elif session.holds_time_of(mailbox):
            try:
                if not await reservations.place_hold(
                    books.sessions, mailbox, hold, session.organizer, now
                ):
                    ours.append(mailbox)
            except SlotTaken:
                if at_least is None and is_required(session, mailbox):
                    raise
                opened = opened.without_time_of(mailbox)
    known = {a.address for a in opened.attendees if a.is_free} - {*opened.unknown_for}
    if at_least is not None and 1 + len(known) < at_least:
        raise SlotTaken("Too few of you are free then.")
    if opened.attendees != session.attendees:
        # Whoever finishes this booking from its row must not take their time either.
        opened = await reservations.save(books.sessions, opened)
    return opened


def is_required(session: Session, mailbox: Mailbox) -> bool:
    """Tell whether the attendee of *mailbox* is one who must be free."""
    return any(a.required for a in session.attendees if a.object_id == mailbox.object_id)


async def hold_again(session: Session, books: Books) -> Session:
    """Make sure that a retry holds the time: the first attempt may not have got so far.

    Raises SlotTaken if its holds had run out, and somebody else was faster.
    """
    now = books.clock.now()
    hold = Hold(session.id, session.span, now + HOLD_FOR)
    for mailbox in sorted(session.holders):
        if mailbox == session.organizer:
            await reservations.hold_new_time(books.sessions, mailbox, session, hold, now)
        elif session.holds_time_of(mailbox) and is_required(session, mailbox):
            await reservations.place_hold(books.sessions, mailbox, hold, session.organizer, now)
    try:
        return await reservations.save(
            books.sessions, replace(session, held_until=hold.counts_until)
        )
    except StaleRow:
        return await books.sessions.get(session.organizer, session.id)


async def _create(
    participation: Participation,
    pairing: Pairing,
    request: BookingRequest,
    session: Session,
    books: Books,
) -> Session:
    try:
        draft = draft_of(pairing, request, session)
        seen, meeting = await create_event(
            participation.acting, draft, session.online_meeting, calendar=books.calendar
        )
    except (CalendarRefused, ConsentMissing, MailboxUnusable, SignInAgain):
        # A definite no: nothing was created, so nothing stays held.
        await release(session.holders, session.id, books)
        raise
    session = replace(session, online_meeting=meeting)
    try:
        return await confirm(session, seen, participation.organization, books=books)
    except SlotTaken:
        # The row was lost, and the time with it: the event must not outlive them.
        await books.calendar.cancel(participation.acting, seen.event_id, "")
        await release(session.holders, session.id, books)
        raise


def draft_of(pairing: Pairing, request: BookingRequest, session: Session) -> EventDraft:
    """Return what Outlook is asked for."""
    return EventDraft(
        session_id=session.id,
        title=request.title or pairing.default_title,
        agenda=request.agenda,
        location=request.location,
        span=session.span,
        time_zone=session.time_zone,
        attendees=session.attendees,
        online_meeting=session.online_meeting.wanted,
    )


async def release(holders: Sequence[Mailbox], session_id: SessionId, books: Books) -> None:
    """Free the span everywhere, the organizer's row last: while it is there somebody can look."""
    for mailbox in holders:
        await reservations.release(books.sessions, mailbox, session_id)


async def alternatives_to(
    occasion: Occasion,
    start: datetime,
    session_id: SessionId,
    rules: SlotRules,
    *,
    books: Books,
    include_unknown: bool = False,
    at_least: int | None = None,
) -> list[TimeSpan]:
    """Return the slots next to *start* that nobody holds, out of the answer already at hand."""
    return occasion.nearest(
        start,
        rules,
        held=await _held_by_others(occasion, session_id, books),
        count=_ALTERNATIVES,
        include_unknown=include_unknown,
        at_least=at_least,
    )


async def judge(
    occasion: Occasion,
    span: TimeSpan,
    rules: SlotRules,
    session_id: SessionId,
    *,
    accept_unknown: bool,
    at_least: int | None = None,
    books: Books,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return for whom it is unknown whether *span* is free, and who is not but can be done without.

    Raises:
        SlotTaken, SlotUnknown: what is offered instead was held by nobody either.
    """
    try:
        free = occasion.free_at(span, rules)
        if at_least is None:
            unknown = occasion.judge(span, rules, accept_unknown=accept_unknown)
        else:
            unknown = judge_many(occasion, free, at_least)
    except SlotTaken as taken:
        found = await alternatives_to(
            occasion,
            span.start,
            session_id,
            rules,
            books=books,
            include_unknown=accept_unknown,
            at_least=at_least,
        )
        raise SlotTaken(str(taken), alternatives=found) from taken
    except SlotUnknown as error:
        found = await alternatives_to(occasion, span.start, session_id, rules, books=books)
        raise SlotUnknown(str(error), unknown=error.unknown, alternatives=found) from error
    known = [schedule.address for schedule in occasion.schedules if schedule.address not in unknown]
    return unknown, tuple(address for address in known if address not in free)


def judge_many(occasion: Occasion, free: Sequence[str], at_least: int) -> tuple[str, ...]:
    """Return whose time is not known, if the caller and enough others are free, or SlotTaken."""
    if not occasion.organizer.issubset(free):
        raise SlotTaken("You are not free then.")
    if len(free) < at_least:
        raise SlotTaken(f"Only {len(free)} of you are free then.")
    return tuple(person.address for person in occasion.unknown())


async def _held_by_others(
    occasion: Occasion, session_id: SessionId, books: Books
) -> dict[str, list[TimeSpan]]:
    now = books.clock.now()
    people = list(occasion.mailboxes.items())
    holds = await together(books.sessions.holds(m, occasion.window, now) for _, m in people)
    return {
        address: [hold.span for hold in found if hold.session_id != session_id]
        for (address, _), found in zip(people, holds, strict=True)
    }


async def see_occasion(
    participation: Participation,
    pairing: Pairing,
    window: TimeSpan,
    *,
    books: Books,
    freed: Session | None = None,
) -> Occasion:
    """Read everybody's schedule once. *freed*: a session that is to be moved, so not in the way."""
    occasion = await read_schedules(participation, pairing, window, schedules=books.schedules)
    return occasion.without(freed.span) if freed else occasion


def ensure_bookable(span: TimeSpan, rules: SlotRules) -> None:
    """Raise Invalid if *span* breaks a rule that has nothing to do with anybody's calendar."""
    if span.start < rules.earliest_start:
        raise Invalid("body.start", "The session would start too soon, or has started already.")
    if span.start > rules.latest_start:
        raise Invalid("body.start", "The session would start beyond the horizon.")


def ensure_enough(pairing: Pairing, at_least: int | None) -> None:
    """Raise Invalid if there are not so many in *pairing*."""
    if at_least is not None and at_least > len(pairing.participants):
        raise Invalid(
            "body.at_least", f"The pairing has only {len(pairing.participants)} participants."
        )


def around(span: TimeSpan, rules: SlotRules) -> TimeSpan:
    """Return the window in which alternatives to *span* are looked for."""
    start = max(span.start - _LOOK_BACK, min(span.start, rules.earliest_start))
    return TimeSpan(start, span.end + _LOOK_AHEAD)


def requested(
    participation: Participation,
    pairing: Pairing,
    request: BookingRequest,
    session_id: SessionId,
    unknown: Sequence[str],
    now: datetime,
    busy: Sequence[str] = (),
) -> Session:
    """Return the session before anything is held. *unknown*: whose time is; *busy*: who is."""
    organization, organizer = participation.organization, participation.mailbox
    wanted = request.online_meeting or organization.settings.online_meeting
    return Session(
        id=session_id,
        organization_id=organization.id,
        pairing_id=pairing.id,
        organizer=organizer,
        state=SessionState.REQUESTED,
        span=request.span,
        time_zone=request.time_zone,
        attendees=tuple(
            Attendee(p.address, p.object_id, required=p.required, is_free=p.address not in busy)
            for p in pairing.participants
            if p.object_id != organizer.object_id
        ),
        created_at=now,
        changed_at=now,
        online_meeting=OnlineMeeting(wanted, _expected(wanted)),
        fingerprint=request.fingerprint,
        unknown_for=tuple(unknown),
    )


def _expected(wanted: OnlineMeetingChoice) -> OnlineMeetingState:
    return (
        OnlineMeetingState.NONE
        if wanted is OnlineMeetingChoice.NONE
        else OnlineMeetingState.PENDING
    )


def scheduled(session: Session, now: datetime) -> Change:
    """Return the change that tells of a new session."""
    return Change(
        session.organization_id,
        now,
        ChangeKind.SCHEDULED,
        Cause.API,
        session.pairing_id,
        session.id,
    )
