"""Moving and cancelling more than one date of a series, and finding out what became of it.

What is over stays as it was. Where everything that Outlook has of the series is meant, the series
itself is changed; else each date by itself, in batches, so that nobody's answer to another date is
lost. A row for each session says how far it got.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from shared.availability.finding import rules_for
from shared.availability.masks import whole_cells
from shared.availability.model import SlotRules
from shared.availability.working_hours import zone_of
from shared.errors import (
    Conflict,
    EventGone,
    Invalid,
    NotFound,
    SlotTaken,
    StaleRow,
)
from shared.ids import EventId, SeriesId, SessionId
from shared.logs import log_event
from shared.organizations.model import Organization, Participation
from shared.pairings.model import Pairing
from shared.sessions import reservations
from shared.sessions.booking import Books, ensure_bookable, ensure_enough
from shared.sessions.changing import (
    REFUSALS,
    Reschedule,
    cancel,
    ensure_can_last,
    ensure_organizer,
    has_died,
    hold_both,
    let_go,
    raise_refusal,
    record_cancelled,
    record_moved,
    reschedule,
)
from shared.sessions.model import (
    HOLD_FOR,
    VERIFY_AFTER,
    Cause,
    SeenEvent,
    Session,
    SessionState,
)
from shared.sessions.occurrences import instances_of, sessions_of
from shared.sessions.ports import Job, JobKind
from shared.sessions.recurrence import Frequency, shifted
from shared.sessions.series import Outcome, Planned, Scope, Series, matched
from shared.sessions.series_booking import (
    Look,
    announce_all,
    finish_or_undo,
    judged,
    look_around,
    outrun,
    refusal,
    series_job,
)
from shared.timespan import TimeSpan
from shared.together import together


async def cancel_scope(
    participation: Participation, session: Session, comment: str, scope: Scope, *, books: Books
) -> list[Session]:
    """Cancel *session*, or it and others of its series; return those meant. Twice is fine.

    Raises:
        Invalid: it belongs to no series, and more than it is meant.
        What `cancel` raises.
    """
    if scope is Scope.ONE:
        return [await cancel(participation, session, comment, books=books)]
    ensure_organizer(participation, session)
    series = await _series_of(session, books)
    known = await sessions_of(series, sessions=books.sessions)
    meant = _meant(known, session, scope, books)
    if not meant:
        return [s for s in known if _is_within(s, session, scope)]
    await books.jobs.put(series_job(JobKind.SERIES, series), delay=VERIFY_AFTER)
    if _is_everything(series, known, meant):
        await _cancel_series(participation, series, comment, books)
        errors: dict[SessionId, Exception] = {}
    else:
        errors = await _cancel_each(participation, series, meant, comment, books)
    cancelled = await together(
        record_cancelled(s, participation.organization, Cause.API, books=books, announces=False)
        for s in meant
        if s.id not in errors
    )
    await announce_all(cancelled, participation.organization, books=books)
    log_event("series.cancelled", session_id=series.id, count=len(cancelled))
    _raise_first(errors)
    return cancelled


async def reschedule_scope(
    participation: Participation,
    pairing: Pairing,
    session: Session,
    wanted: Reschedule,
    scope: Scope,
    *,
    books: Books,
) -> list[Session]:
    """Move *session*, or it and others of its series by as many days and to the same hour.

    Raises:
        Invalid: it belongs to no series, or would pass its neighbours.
        SlotTaken: with the dates that are not free; everything stays as it was.
        What `reschedule` raises.
    """
    if scope is Scope.ONE:
        return [await reschedule(participation, pairing, session, wanted, books=books)]
    ensure_organizer(participation, session)
    series = await _series_of(session, books)
    known = await sessions_of(series, sessions=books.sessions)
    if any(s.pending_span for s in known):
        # Asked for before, and nobody heard what became of it: Outlook says. Or still under way.
        await settle_series(
            series_job(JobKind.SERIES, series), participation.organization, books=books
        )
        series = await _series_of(session, books)
        known = await sessions_of(series, sessions=books.sessions)
    meant = _meant(known, session, scope, books)
    if session.id not in {s.id for s in meant}:
        raise Conflict("The session is over, or cancelled.")
    spans = _targets(series, session, meant, wanted)
    if all(spans[s.occurrence] == s.span for s in meant):
        return list(meant)
    _ensure_in_order(known, meant, spans)
    ensure_enough(pairing, wanted.at_least)
    own, rules = frozenset(s.id for s in meant), _rules(participation, wanted, books)
    targets = [whole_cells(spans[s.occurrence]) for s in meant]
    for each in targets:
        ensure_bookable(each, rules)
    looks = await look_around(participation, pairing, targets, books=books, own=own, freed=meant)
    dates = _free_dates(meant, targets, looks, rules, wanted)
    until = books.clock.now() + HOLD_FOR
    await books.jobs.put(series_job(JobKind.SERIES, series), delay=VERIFY_AFTER)
    moving = [_towards(s, spans[s.occurrence], dates[s.occurrence], until) for s in meant]
    try:
        moving = await together(hold_both(m, books, at_least=wanted.at_least) for m in moving)
    except StaleRow:
        await _let_all_go(moving, books)
        raise
    except SlotTaken as lost:
        await _let_all_go(moving, books)
        raise await outrun(
            targets,
            looks,
            rules,
            own,
            accept_unknown=wanted.accept_unknown,
            at_least=wanted.at_least,
            books=books,
        ) from lost
    return await _move_in_outlook(participation, series, known, moving, wanted, books)


async def moved_before(
    participation: Participation,
    session: Session,
    wanted: Reschedule,
    scope: Scope,
    *,
    books: Books,
) -> list[Session] | None:
    """Return those meant if they are where *wanted* has them, for who asks again; else None.

    Of a series others than the named one may still be on their way there: that is to be finished.

    Raises:
        NotAllowed: the caller is not the organizer.
        Invalid, Conflict: it belongs to no series, or that is being booked.
    """
    ensure_organizer(participation, session)
    if session.state is not SessionState.SCHEDULED or session.span != wanted.span:
        return None
    if scope is Scope.ONE:
        return None if session.pending_span else [session]
    series = await _series_of(session, books)
    known = await sessions_of(series, sessions=books.sessions)
    meant = _meant(known, session, scope, books)
    spans = _targets(series, session, meant, wanted)
    is_asked_again = all((s.pending_span or s.span) == spans[s.occurrence] for s in meant)
    return meant if is_asked_again else None


async def settle_series(job: Job, organization: Organization, *, books: Books) -> None:
    """Finish or undo what died of a series: Outlook says which. Safe at any time."""
    series = await books.sessions.get_series(job.mailboxes[0], SeriesId(job.session_ids[0]))
    if series is None:
        return
    if series.state is SessionState.REQUESTED:
        await finish_or_undo(series, organization, books=books)
        return
    known = await sessions_of(series, sessions=books.sessions)
    instances = await instances_of(series, calendar=books.calendar)
    found = matched(series.planned, known, instances)
    now = books.clock.now()
    settled = await together(
        _settled(s, found.get(s.occurrence), organization, books)
        for s in known
        if s.span.end > now or s.pending_span
    )
    await announce_all(settled, organization, books=books)
    moved = {s.occurrence: s for s in settled if s.state is SessionState.SCHEDULED}
    await _replan(series, moved, instances, books)


async def _settled(
    session: Session, seen: SeenEvent | None, organization: Organization, books: Books
) -> Session:
    """Return *session* as Outlook has it, as far as its own change of it goes."""
    if session.state is not SessionState.SCHEDULED:
        return session
    if seen is None:
        return await record_cancelled(
            session, organization, Cause.RECONCILIATION, books=books, announces=False
        )
    if session.pending_span is None:
        return session
    if seen.span == session.pending_span:
        return await record_moved(
            session, seen, session.time_zone, organization, books, announces=False
        )
    if has_died(session, books):
        await let_go(session, books)
    return await books.sessions.get(session.organizer, session.id)


async def _replan(
    series: Series,
    sessions: Mapping[int, Session],
    instances: Sequence[SeenEvent],
    books: Books,
) -> None:
    """Have the series' row say when its dates are by the pattern, should they have moved."""
    originals = {seen.event_id: seen.original_start for seen in instances}

    def replanned(planned: Planned) -> Planned:
        session = sessions.get(planned.number)
        start = originals.get(session.event_id) if session and session.event_id else None
        if session is None or start is None or start == planned.span.start:
            return planned
        return replace(planned, span=TimeSpan.lasting(start, session.span.duration))

    planned = tuple(map(replanned, series.planned))
    if planned != series.planned:
        await reservations.put_series(books.sessions, replace(series, planned=planned))


async def _series_of(session: Session, books: Books) -> Series:
    if session.series_id is None:
        raise Invalid("body.scope", "The session belongs to no series.")
    series = await books.sessions.get_series(session.organizer, session.series_id)
    if series is None:
        raise NotFound("There is no such series.")
    if series.state is SessionState.REQUESTED:
        raise Conflict("The series is still being booked.")
    return series


def _is_within(session: Session, named: Session, scope: Scope) -> bool:
    return scope is Scope.ALL or session.occurrence >= named.occurrence


def _meant(known: Sequence[Session], named: Session, scope: Scope, books: Books) -> list[Session]:
    """Return those of a series that a change is about: scheduled, not over, within *scope*."""
    now = books.clock.now()
    return [
        s
        for s in known
        if s.state is SessionState.SCHEDULED and s.span.end > now and _is_within(s, named, scope)
    ]


def _is_everything(series: Series, known: Sequence[Session], meant: Sequence[Session]) -> bool:
    """Tell whether *meant* are all that Outlook has of the series."""
    alive = [s for s in known if s.state is not SessionState.CANCELLED]
    return series.event_id is not None and len(alive) == len(meant)


async def _cancel_series(
    participation: Participation, series: Series, comment: str, books: Books
) -> None:
    if series.event_id is None:
        return
    try:
        await books.calendar.cancel(participation.acting, series.event_id, comment)
    except EventGone:
        log_event("session.gone", session_id=series.id)  # cancelled in Outlook meanwhile


async def _cancel_each(
    participation: Participation,
    series: Series,
    meant: Sequence[Session],
    comment: str,
    books: Books,
) -> dict[SessionId, Exception]:
    """Cancel each of *meant*; return what went wrong with which. What is gone is cancelled."""
    events = await _events(series, meant, books)
    there = [s for s in meant if s.occurrence in events]
    answers = await books.calendar.cancel_many(
        participation.acting, [events[s.occurrence] for s in there], comment
    )
    return {
        session.id: answer
        for session, answer in zip(there, answers, strict=True)
        if answer is not None and not isinstance(answer, EventGone)
    }


async def _events(series: Series, meant: Sequence[Session], books: Books) -> dict[int, EventId]:
    """Return the ids of the events that show *meant*; one request more if some are not known."""
    known = {s.occurrence: s.event_id for s in meant if s.event_id}
    if len(known) == len(meant):
        return known
    instances = await instances_of(series, calendar=books.calendar)
    found = matched(series.planned, meant, instances)
    return {number: seen.event_id for number, seen in found.items()} | known


def _targets(
    series: Series, named: Session, meant: Sequence[Session], wanted: Reschedule
) -> dict[int, TimeSpan]:
    """Return where each goes: from its date by the pattern by as many days as the named one."""
    zone = zone_of(wanted.time_zone)
    by_pattern = {p.number: p.span for p in series.planned}
    moved_from = by_pattern[named.occurrence].start
    spans = {
        s.occurrence: shifted(by_pattern[s.occurrence], moved_from, wanted.span, zone)
        for s in meant
    }
    # The named one goes to the very instant that was said, also in an hour that comes twice.
    return spans | {named.occurrence: wanted.span}


def _ensure_in_order(
    known: Sequence[Session], meant: Sequence[Session], spans: Mapping[int, TimeSpan]
) -> None:
    """Raise Invalid if one would pass another one, as it is now or as it will be."""
    first = meant[0].occurrence
    before = [s.span for s in known if s.occurrence < first and _is_alive(s)]
    row = [*before[-1:], *(spans[s.occurrence] for s in meant)]
    passes_new = any(one.end > other.start for one, other in pairwise(row))
    # One after the other is moved: on the way none may meet the old time of the next one.
    passes_old = any(
        spans[s.occurrence].end > t.span.start or s.span.end > spans[t.occurrence].start
        for s, t in pairwise(meant)
    )
    if passes_new or passes_old:
        raise Invalid(
            "body.start",
            "Sessions of a series are moved by less than the time to the next one.",
        )


def _is_alive(session: Session) -> bool:
    return session.state is not SessionState.CANCELLED


def _towards(session: Session, span: TimeSpan, date: Planned, until: datetime) -> Session:
    """Return *session* on its way to *span*, with who of its people is free then."""
    return replace(
        session.towards(span, until),
        unknown_for=date.unknown_for,
        attendees=tuple(
            replace(a, is_free_then=a.address not in date.busy) for a in session.attendees
        ),
    )


def _rules(participation: Participation, wanted: Reschedule, books: Books) -> SlotRules:
    """Return what each new date must fulfil. Raises Invalid: no session lasts so long."""
    ensure_can_last(wanted.span)
    return rules_for(
        participation.organization.settings,
        duration=whole_cells(wanted.span).duration,
        now=books.clock.now(),
        zone=zone_of(wanted.time_zone),
    )


def _free_dates(
    meant: Sequence[Session],
    targets: Sequence[TimeSpan],
    looks: Sequence[Look],
    rules: SlotRules,
    wanted: Reschedule,
) -> dict[int, Planned]:
    """Return who is free when *meant* are moved to *targets*, by number.

    Raises SlotTaken with the dates that are not free, SlotUnknown.
    """
    judgement = judged(
        targets,
        looks,
        rules,
        accept_unknown=wanted.accept_unknown,
        at_least=wanted.at_least,
    )
    dates = [
        replace(p, number=session.occurrence) for p, session in zip(judgement, meant, strict=True)
    ]
    if conflicts := [date for date in dates if date.outcome is not Outcome.BOOKED]:
        raise refusal(conflicts, len(meant))
    return {date.number: date for date in dates}


async def _let_all_go(moving: Sequence[Session], books: Books) -> None:
    await together(let_go(each, books) for each in moving)


async def _move_in_outlook(
    participation: Participation,
    series: Series,
    known: Sequence[Session],
    moving: Sequence[Session],
    wanted: Reschedule,
    books: Books,
) -> list[Session]:
    if _keeps_pattern(series, known, moving):
        return await _move_series(participation, series, moving, wanted, books)
    return await _move_each(participation, series, moving, wanted, books)


def _keeps_pattern(series: Series, known: Sequence[Session], moving: Sequence[Session]) -> bool:
    """Tell whether moving the series itself does just what is wanted.

    It does if every date there ever was is meant, for dates that were taken out would come back;
    and if the new dates make the same pattern, as those of a month do only on the same days.
    """
    is_whole = len(moving) == len(series.in_outlook) and _is_everything(series, known, moving)
    by_number = {p.number: p for p in series.planned}
    zone = zone_of(moving[0].time_zone)

    def days(session: Session) -> timedelta:
        to = session.pending_span or session.span
        since = by_number[session.occurrence].span.start.astimezone(zone).date()
        return to.start.astimezone(zone).date() - since

    return is_whole and (
        series.frequency is not Frequency.MONTHLY or not any(days(s) for s in moving)
    )


async def _move_series(
    participation: Participation,
    series: Series,
    moving: Sequence[Session],
    wanted: Reschedule,
    books: Books,
) -> list[Session]:
    if series.event_id is None:
        raise Conflict("The series is still being booked.")
    spans = {s.occurrence: s.pending_span or s.span for s in moving}
    planned = [
        replace(p, span=spans[p.number], outcome=Outcome.BOOKED, moved_to=None)
        if p.number in spans
        else p
        for p in series.planned
    ]
    moved = replace(series, planned=tuple(planned), time_zone=wanted.time_zone)
    first = next(p for p in planned if p.number == moving[0].occurrence)
    try:
        await books.calendar.reschedule_series(
            participation.acting,
            series.event_id,
            first.span,
            wanted.time_zone,
            moved.pattern(first, len(moving)),
        )
    except REFUSALS as refused:
        await _let_all_go(moving, books)
        raise_refusal(refused)
    # Dates that moved have other ids.
    instances = await instances_of(moved, calendar=books.calendar)
    found = matched(moved.planned, [], instances)
    organization = participation.organization
    recorded = await together(
        record_moved(s, found[s.occurrence], wanted.time_zone, organization, books, announces=False)
        for s in moving
        if s.occurrence in found
    )
    await reservations.put_series(books.sessions, moved)
    await announce_all(recorded, organization, books=books)
    log_event("series.rescheduled", session_id=series.id, count=len(recorded))
    return recorded


async def _move_each(
    participation: Participation,
    series: Series,
    moving: Sequence[Session],
    wanted: Reschedule,
    books: Books,
) -> list[Session]:
    """Move each of *moving* by itself: what is refused is let go, what nobody knows stays pending.

    Raises the first error, of those that a repetition may mend before those that are definite.
    """
    try:
        events = await _events(series, moving, books)
        there = [s for s in moving if s.occurrence in events]
        answers = await books.calendar.reschedule_many(
            participation.acting,
            [(events[s.occurrence], s.pending_span or s.span) for s in there],
            wanted.time_zone,
        )
    except REFUSALS as refused:
        await _let_all_go(moving, books)
        raise_refusal(refused)
    seen = dict(zip([s.id for s in there], answers, strict=True))
    organization = participation.organization

    async def one(session: Session) -> Session:
        answer = seen.get(session.id)
        if isinstance(answer, SeenEvent):
            return await record_moved(
                session, answer, wanted.time_zone, organization, books, announces=False
            )
        if answer is None or isinstance(answer, EventGone):
            return await record_cancelled(
                session, organization, Cause.API, books=books, announces=False
            )
        if isinstance(answer, REFUSALS):
            await let_go(session, books)
        return session  # else nobody knows; the settling job will

    recorded = await together(map(one, moving))
    errors = {k: v for k, v in seen.items() if isinstance(v, Exception)}
    recorded = [s for s in recorded if isinstance(errors.get(s.id), EventGone | None)]
    await announce_all(recorded, organization, books=books)
    log_event("series.rescheduled", session_id=series.id, count=len(recorded))
    _raise_first(errors)
    return recorded


def _raise_first(errors: Mapping[SessionId, Exception]) -> None:
    """Raise the first error, of those after which a repetition finds out before definite ones.

    What is gone is no error.
    """
    real = [e for e in errors.values() if not isinstance(e, EventGone)]
    for error in sorted(real, key=lambda e: isinstance(e, REFUSALS)):
        raise_refusal(error)
