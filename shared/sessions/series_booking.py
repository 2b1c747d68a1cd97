"""Booking a series: one event in Outlook that recurs, a session for each date.

The protocol is that of one session (`shared.sessions.booking`), with a row more: what was planned
for each date is stored before anything is held, so whoever comes back to look knows what to look
for. Dates that are left out or booked elsewhere are made exceptions of the event after it is
created. If that breaks off and nobody repeats the request, Outlook is right: those sessions exist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from shared.availability.finding import Occasion, rules_for
from shared.availability.model import MAX_WINDOW, SlotRules
from shared.availability.working_hours import zone_of
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    ConsentMissing,
    EventGone,
    Invalid,
    KeyReused,
    MailboxUnusable,
    NotFound,
    SignInAgain,
    SlotTaken,
    StaleRow,
    StoreUnavailable,
)
from shared.ids import SeriesId, SessionId
from shared.logs import log_event, log_trouble
from shared.organizations.model import Organization, Participation
from shared.pairings.model import Pairing
from shared.sessions import reservations
from shared.sessions.booking import (
    BookingRequest,
    Books,
    await_link,
    draft_of,
    ensure_bookable,
    ensure_enough,
    hold_again,
    hold_all,
    is_left_alone,
    judge_many,
    left_behind,
    release,
    requested,
    scheduled,
    see_occasion,
    session_id_for,
    step_back,
)
from shared.sessions.creating import create_event
from shared.sessions.model import VERIFY_AFTER, SeenEvent, Session, SessionState
from shared.sessions.occurrences import instances_of, sessions_of
from shared.sessions.online_meeting import online_meeting_of
from shared.sessions.ports import Job, JobKind
from shared.sessions.recurrence import Repeat, spans_of, windows_over
from shared.sessions.rhythm import next_reconciliation, purge_item
from shared.sessions.series import (
    OnConflict,
    Outcome,
    Planned,
    Series,
    matched,
    occurrence_id,
)
from shared.timespan import TimeSpan
from shared.together import together

_TRIES: Final = 3
"""How often a plan is made anew, because others took dates while they were being held."""
_ALTERNATIVES: Final = 5
_LOOKED_AT: Final = 40
"""Among so many of the nearest slots one is looked for that stays between its neighbours."""
_AT_ONCE: Final = 3
"""Outlook answers four requests at once about one mailbox."""


@dataclass(frozen=True, slots=True)
class BookedSeries:
    """What became of a wish for a series."""

    series: Series
    sessions: tuple[Session, ...]
    """Those that are booked, by date."""


@dataclass(frozen=True, slots=True)
class Look:
    """Everybody's time in one window, read once, and what sessions hold of it."""

    occasion: Occasion
    held: dict[str, list[TimeSpan]]


async def book_series(
    participation: Participation, pairing: Pairing, request: BookingRequest, *, books: Books
) -> BookedSeries:
    """Book a series with the caller as organizer, or find that it was booked already.

    Raises:
        SlotTaken: dates are not free (*conflicts* lists them with alternatives), and the request
            does not want them skipped or moved, or nothing is left.
        What `book` raises.
    """
    organizer = participation.mailbox
    series_id = SeriesId(session_id_for(participation, pairing.id, request.key))
    for _ in range(_TRIES):
        series = await books.sessions.get_series(organizer, series_id)
        is_ours = series is None
        if series is None:
            if await left_behind(organizer, SessionId(series_id), books):
                raise KeyReused("This Idempotency-Key was used for another request.")
            series, is_ours = await _reserve(participation, pairing, request, series_id, books)
        if series.fingerprint != request.fingerprint:
            raise KeyReused("This Idempotency-Key was used for another request.")
        if series.state is SessionState.SCHEDULED:
            found = await sessions_of(series, sessions=books.sessions)
            return BookedSeries(series, tuple(found))
        if not is_ours and not await _is_left_alone(series, books):
            continue
        sessions = await _hold(participation, pairing, request, series, books)
        return await _create(participation, pairing, request, series, sessions, books)
    raise StoreUnavailable("The same request is being handled elsewhere.")


async def _is_left_alone(series: Series, books: Books) -> bool:
    """Wait a moment for whoever is booking it; tell whether nobody got any further.

    The first session's hold says since when they are at it.
    """
    first = await left_behind(series.organizer, next(iter(series.session_ids.values())), books)
    if first is None or first.state is not SessionState.REQUESTED:
        return True

    async def is_unchanged() -> bool:
        known = await books.sessions.get_series(series.organizer, series.id)
        held = await left_behind(first.organizer, first.id, books)
        if known is None or held is None:
            return False
        return (known.version, held.version) == (series.version, first.version)

    return await is_left_alone(first, is_unchanged, books)


async def finish_or_undo(series: Series, organization: Organization, *, books: Books) -> None:
    """Finish a series that Outlook has, undo one that it has not; change nothing there.

    Dates that ought not to be there, because nobody got to take them out, are sessions all the
    same: whoever organizes them sees and can cancel them.
    """
    master = await books.calendar.find(series.organizer, SessionId(series.id))
    if master is None:
        await undo(series, books)
        log_event("series.undone", session_id=series.id)
        return
    series = replace(series, event_id=master.event_id)
    known = await sessions_of(series, sessions=books.sessions)
    if not known:
        # They are held before the event is created: somebody is at it right now.
        log_trouble("series.finished", session_id=series.id, count=0)
        return
    found = matched(series.planned, known, await instances_of(series, calendar=books.calendar))
    rows = {session.occurrence: session for session in known}
    for number in found.keys() - rows.keys():
        rows[number] = await _opened_like(known[0], number, found[number], books)
    for number in rows.keys() - found.keys():
        await _let_go(rows.pop(number), books)
    planned = tuple(_as_found(p, found.get(p.number)) for p in series.planned)
    await _record(replace(series, planned=planned), rows, master, found, organization, books)
    log_event("series.finished", session_id=series.id, count=len(rows))


async def undo(series: Series, books: Books) -> None:
    """Free all that a series holds, its own row last: while it is there somebody can look."""
    await together(
        release(series.holders, session_id, books) for session_id in series.session_ids.values()
    )
    await reservations.remove_series(books.sessions, series.organizer, series.id)


async def look_around(
    participation: Participation,
    pairing: Pairing,
    spans: Sequence[TimeSpan],
    *,
    books: Books,
    own: frozenset[SessionId] = frozenset(),
    freed: Sequence[Session] = (),
) -> list[Look]:
    """Read everybody's time around *spans* in as few calls as it takes, by start.

    *own* sessions hold nothing against themselves; *freed* ones are to be moved.
    """
    settings = participation.organization.settings
    longest = MAX_WINDOW - settings.buffer_before - settings.buffer_after

    async def one(window: TimeSpan) -> Occasion:
        occasion = await see_occasion(participation, pairing, window, books=books)
        for session in freed:
            occasion = occasion.without(session.span)
        return occasion

    windows = windows_over(spans, longest - timedelta(minutes=10))
    occasions = await together(map(one, windows), at_once=_AT_ONCE)
    return [Look(each, await _held(each, own, books)) for each in occasions]


def judged(
    spans: Sequence[TimeSpan],
    looks: Sequence[Look],
    rules: SlotRules,
    *,
    accept_unknown: bool,
    at_least: int | None = None,
) -> list[Planned]:
    """Return which of *spans* are free for everybody required, the others with alternatives.

    *at_least*: for the caller and so many in all instead. Raises SlotUnknown.
    """
    planned: list[Planned] = []
    for number, span in enumerate(spans):
        look = _look_at(span, looks)
        try:
            if at_least is None:
                look.occasion.judge(span, rules, accept_unknown=accept_unknown, held=look.held)
            else:
                free = look.occasion.free_at(span, rules, held=look.held)
                judge_many(look.occasion, free, at_least)
            planned.append(with_people(Planned(number, span), looks, rules))
        except SlotTaken:
            others = _apart(
                look, spans, span, rules, accept_unknown=accept_unknown, at_least=at_least
            )
            planned.append(Planned(number, span, Outcome.SKIPPED, None, others))
    return planned


def with_people(planned: Planned, looks: Sequence[Look], rules: SlotRules) -> Planned:
    """Return *planned* with who is not free when it is booked, and of whom that is unknown."""
    if planned.booked is None:
        return planned
    look = _look_at(planned.booked, looks)
    busy, unknown = look.occasion.others_at(planned.booked, rules, held=look.held)
    return replace(planned, busy=busy, unknown_for=unknown)


def refusal(conflicts: Sequence[Planned], of: int) -> SlotTaken:
    """Return the error that lists *conflicts*, of *of* dates."""
    return SlotTaken(
        f"{len(conflicts)} of {of} dates are not free.",
        alternatives=conflicts[0].alternatives[:_ALTERNATIVES] if conflicts else (),
        conflicts=[replace(c, alternatives=c.alternatives[:_ALTERNATIVES]) for c in conflicts],
    )


async def announce_all(
    sessions: Sequence[Session], organization: Organization, *, books: Books
) -> None:
    """Bring everything that follows from the rows of *sessions* in line with them. Idempotent."""
    if not sessions:
        return
    now = books.clock.now()
    due = [purge_item(session, organization.settings) for session in sessions]
    background = organization.settings.background
    due += [d for s in sessions if (d := next_reconciliation(s, background, now))]
    last = max(sessions, key=lambda session: session.span.end)
    if last.series_id:
        # The series' own row goes with the last of its sessions.
        due.append(replace(purge_item(last, organization.settings), key=last.series_id))
    await together(
        reservations.sync_mailbox(books.sessions, mailbox, session)
        for session in sessions
        for mailbox in session.holders[:-1]
    )
    await books.due.put(due)
    await books.jobs.put(Job(JobKind.SUBSCRIBE, last.organization_id, (last.organizer,)))


def series_job(kind: JobKind, series: Series) -> Job:
    """Return the job about *series*."""
    return Job(kind, series.organization_id, (series.organizer,), (SessionId(series.id),))


async def _reserve(
    participation: Participation,
    pairing: Pairing,
    request: BookingRequest,
    series_id: SeriesId,
    books: Books,
) -> tuple[Series, bool]:
    """Check every date and hold what is to be booked; tell whether that was done here."""
    repeat = request.repeat
    if repeat is None:
        raise ValueError("no series was asked for")
    zone, now = zone_of(request.time_zone), books.clock.now()
    settings = participation.organization.settings
    rules = rules_for(settings, duration=request.duration, now=now, zone=zone)
    ensure_bookable(request.span, rules)
    ensure_enough(pairing, request.at_least)
    spans = spans_of(request.start, request.duration, zone, repeat)
    _ensure_within_horizon(spans, rules, repeat)
    own = frozenset(occurrence_id(series_id, number) for number in range(len(spans)))
    looks: list[Look] = []
    for _ in range(_TRIES):
        looks = await look_around(participation, pairing, spans, books=books, own=own)
        dates = judged(
            spans,
            looks,
            rules,
            accept_unknown=request.accept_unknown,
            at_least=request.at_least,
        )
        planned = tuple(with_people(each, looks, rules) for each in plan(dates, request))
        series = replace(
            _new(participation, pairing, request, repeat, series_id),
            planned=planned,
        )
        await books.jobs.put(series_job(JobKind.SERIES, series), delay=VERIFY_AFTER)
        try:
            series = await reservations.put_series(books.sessions, series)
        except StaleRow:
            # The same request, sent twice at once: its plan is ours.
            known = await books.sessions.get_series(series.organizer, series.id)
            if known is None:
                continue
            return known, False
        try:
            await _hold(participation, pairing, request, series, books)
        except SlotTaken:
            await undo(series, books)
            continue
        return series, True
    raise await outrun(
        spans,
        looks,
        rules,
        own,
        accept_unknown=request.accept_unknown,
        at_least=request.at_least,
        books=books,
    )


async def outrun(
    spans: Sequence[TimeSpan],
    looks: Sequence[Look],
    rules: SlotRules,
    own: frozenset[SessionId],
    *,
    accept_unknown: bool,
    at_least: int | None,
    books: Books,
) -> SlotTaken:
    """Return the error for who found *spans* free and could not hold them.

    It lists the dates that are held by now; where whoever held them has given up, it offers other
    times next to the first date all the same.
    """
    again = [Look(each.occasion, await _held(each.occasion, own, books)) for each in looks]
    dates = judged(spans, again, rules, accept_unknown=accept_unknown, at_least=at_least)
    if conflicts := [date for date in dates if date.outcome is not Outcome.BOOKED]:
        return refusal(conflicts, len(spans))
    others = _apart(
        _look_at(spans[0], again),
        spans,
        spans[0],
        rules,
        accept_unknown=accept_unknown,
        at_least=at_least,
    )
    return SlotTaken(
        "Others are booking these dates at this very moment.", alternatives=others[:_ALTERNATIVES]
    )


def _apart(
    look: Look,
    spans: Sequence[TimeSpan],
    span: TimeSpan,
    rules: SlotRules,
    *,
    accept_unknown: bool,
    at_least: int | None,
) -> tuple[TimeSpan, ...]:
    """Return the slots nearest to *span* that overlap none of *spans*."""
    others = look.occasion.nearest(
        span.start,
        rules,
        held=look.held,
        count=_LOOKED_AT,
        include_unknown=accept_unknown,
        at_least=at_least,
    )
    return tuple(o for o in others if not any(o.overlaps(s) for s in spans))


def plan(judged: Sequence[Planned], request: BookingRequest) -> tuple[Planned, ...]:
    """Return what is to become of each date, or raise SlotTaken as the request wants it."""
    planned = list(judged)
    conflicts = [p for p in planned if p.outcome is not Outcome.BOOKED]
    if conflicts and request.on_conflict is OnConflict.REFUSE:
        raise refusal(conflicts, len(planned))
    if request.on_conflict is OnConflict.ALTERNATIVES:
        for conflict in conflicts:
            planned[conflict.number] = _moved(planned, conflict, request)
    if not any(p.booked for p in planned):
        raise refusal(conflicts, len(planned))
    return tuple(replace(p, alternatives=p.alternatives[:_ALTERNATIVES]) for p in planned)


def _moved(planned: Sequence[Planned], conflict: Planned, request: BookingRequest) -> Planned:
    """Return *conflict* at the nearest alternative on a day between its neighbours'.

    Outlook lets no occurrence pass another one, nor share its day.
    """
    zone = zone_of(request.time_zone)

    def day(span: TimeSpan) -> int:
        return span.start.astimezone(zone).toordinal()

    before = planned[conflict.number - 1] if conflict.number else None
    after = planned[conflict.number + 1] if conflict.number + 1 < len(planned) else None
    for other in conflict.alternatives:
        is_later = before is None or day(before.booked or before.span) < day(other)
        is_earlier = after is None or day(other) < day(after.span)
        if is_later and is_earlier:
            return replace(conflict, outcome=Outcome.MOVED, moved_to=other)
    return conflict


def _ensure_within_horizon(spans: Sequence[TimeSpan], rules: SlotRules, repeat: Repeat) -> None:
    inside = sum(span.start <= rules.latest_start for span in spans)
    if inside < len(spans):
        raise Invalid(
            "body.repeat.count" if repeat.count else "body.repeat.until",
            f"Only {inside} of these {len(spans)} dates are within the horizon.",
        )


def _look_at(span: TimeSpan, looks: Sequence[Look]) -> Look:
    return next(look for look in looks if look.occasion.window.covers(span))


async def _held(
    occasion: Occasion, own: frozenset[SessionId], books: Books
) -> dict[str, list[TimeSpan]]:
    now = books.clock.now()
    people = list(occasion.mailboxes.items())
    holds = await together(books.sessions.holds(m, occasion.window, now) for _, m in people)
    return {
        address: [hold.span for hold in found if hold.session_id not in own]
        for (address, _), found in zip(people, holds, strict=True)
    }


def _new(
    participation: Participation,
    pairing: Pairing,
    request: BookingRequest,
    repeat: Repeat,
    series_id: SeriesId,
) -> Series:
    return Series(
        id=series_id,
        organization_id=participation.organization.id,
        pairing_id=pairing.id,
        organizer=participation.mailbox,
        others=tuple(
            m
            for p in pairing.participants
            if (m := pairing.mailbox(p)) and m != participation.mailbox
        ),
        state=SessionState.REQUESTED,
        fingerprint=request.fingerprint,
        time_zone=request.time_zone,
        frequency=repeat.frequency,
        monthly_by=repeat.monthly_by,
        planned=(),
    )


async def _hold(
    participation: Participation,
    pairing: Pairing,
    request: BookingRequest,
    series: Series,
    books: Books,
) -> dict[int, Session]:
    """Hold every date that is to be booked; what is held already stays. Raises SlotTaken.

    The first date by itself: of two who want the same dates one loses here, and holds nothing else.
    """
    now = books.clock.now()

    async def one(planned: Planned) -> Session:
        if planned.booked is None:
            raise ValueError("a skipped date is not held")
        session = replace(
            requested(
                participation,
                pairing,
                request,
                series.session_ids[planned.number],
                planned.unknown_for,
                now,
                planned.busy,
            ),
            span=planned.booked,
            series_id=series.id,
            occurrence=planned.number,
        )
        known = await left_behind(session.organizer, session.id, books)
        if known is None:
            try:
                return await hold_all(session, books, at_least=request.at_least)
            except StaleRow:
                known = await books.sessions.get(session.organizer, session.id)
        return await hold_again(known, books) if known.state is SessionState.REQUESTED else known

    first, *others = [p for p in series.planned if p.booked]
    held = [await one(first), *await together(map(one, others))]
    return {session.occurrence: session for session in held}


async def _create(
    participation: Participation,
    pairing: Pairing,
    request: BookingRequest,
    series: Series,
    sessions: dict[int, Session],
    books: Books,
) -> BookedSeries:
    inside = series.in_outlook
    try:
        some = next(iter(sessions.values()))
        draft = replace(
            draft_of(pairing, request, some),
            session_id=SessionId(series.id),
            span=inside[0].span,
            pattern=series.pattern(inside[0], len(inside)),
        )
        master, meeting = await create_event(
            participation.acting, draft, some.online_meeting, calendar=books.calendar
        )
    except (CalendarRefused, ConsentMissing, MailboxUnusable, SignInAgain):
        await undo(series, books)
        raise
    except (CalendarThrottled, CalendarUnavailable):
        await step_back(some, books)
        raise
    sessions = {
        number: replace(session, online_meeting=meeting) for number, session in sessions.items()
    }
    series = replace(series, event_id=master.event_id)
    found = await _make_exceptions(participation, series, books)
    return await _record(series, sessions, master, found, participation.organization, books)


async def _make_exceptions(
    participation: Participation, series: Series, books: Books
) -> dict[int, SeenEvent]:
    """Take out what is skipped, move what is moved; return what is known of the occurrences."""
    if all(p.outcome is Outcome.BOOKED for p in series.in_outlook):
        return {}
    instances = await instances_of(series, calendar=books.calendar)
    found = dict(matched(series.planned, [], instances))
    skipped = [
        found.pop(p.number).event_id
        for p in series.planned
        if p.booked is None and p.number in found
    ]
    if skipped:
        _raise_first(await books.calendar.cancel_many(participation.acting, skipped, ""))
    moved = [
        (p.number, p.moved_to)
        for p in series.planned
        if p.moved_to and p.number in found and found[p.number].span != p.moved_to
    ]
    if moved:
        events = [(found[number].event_id, span) for number, span in moved]
        answers = await books.calendar.reschedule_many(
            participation.acting, events, series.time_zone
        )
        _raise_first(answers)
        found |= {
            n: seen
            for (n, _), seen in zip(moved, answers, strict=True)
            if isinstance(seen, SeenEvent)
        }
    return found


def _raise_first(answers: Sequence[object]) -> None:
    """Raise the first error among *answers*; what is gone already is no error."""
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, EventGone):
            raise answer


async def _record(
    series: Series,
    sessions: dict[int, Session],
    master: SeenEvent,
    found: Mapping[int, SeenEvent],
    organization: Organization,
    books: Books,
) -> BookedSeries:
    """Record that Outlook has the series; its row comes last, for it ends the search."""
    now = books.clock.now()
    confirmed = await together(
        _confirmed(session, master, found.get(number), books)
        for number, session in sorted(sessions.items())
    )
    news = [s for s in confirmed if sessions[s.occurrence].state is SessionState.REQUESTED]
    await books.changes.append([scheduled(session, now) for session in news])
    await await_link(news[:1], books=books)  # all of them have the same
    await announce_all(confirmed, organization, books=books)
    series = await _put(replace(series, state=SessionState.SCHEDULED), books)
    await books.jobs.put(series_job(JobKind.FOLLOW_SERIES, series))
    log_event("series.booked", session_id=series.id, count=len(confirmed))
    return BookedSeries(series, tuple(confirmed))


async def _put(series: Series, books: Books) -> Series:
    while True:
        try:
            return await reservations.put_series(books.sessions, series)
        except StaleRow:
            # The same request, sent twice, or the job that looks: both record the same.
            known = await books.sessions.get_series(series.organizer, series.id)
            if known is not None and known.state is SessionState.SCHEDULED:
                return known
            series = replace(series, version=known.version if known else "")


async def _confirmed(
    session: Session, master: SeenEvent, seen: SeenEvent | None, books: Books
) -> Session:
    """Record that Outlook has it. Whoever comes second changes nothing."""
    while session.state is SessionState.REQUESTED:
        confirmed = replace(
            session,
            state=SessionState.SCHEDULED,
            span=seen.span if seen else session.span,
            event_id=seen.event_id if seen else None,
            ical_uid=seen.ical_uid if seen else None,
            online_meeting=online_meeting_of(session.online_meeting, master),
            changed_at=session.later(books.clock.now()),
            held_until=None,
        )
        try:
            return await reservations.save(books.sessions, confirmed)
        except StaleRow:
            try:
                session = await books.sessions.get(session.organizer, session.id)
            except NotFound:
                session = await reservations.create(
                    books.sessions, session, books.clock.now(), ignore_holds=True
                )
    return session


async def _opened_like(sibling: Session, number: int, seen: SeenEvent, books: Books) -> Session:
    """Store a session for an occurrence that was to be left out and is in Outlook."""
    now = books.clock.now()
    if sibling.series_id is None:
        raise ValueError("no occurrence of a series")
    session = replace(
        sibling,
        id=occurrence_id(sibling.series_id, number),
        occurrence=number,
        state=SessionState.REQUESTED,
        span=seen.span,
        event_id=None,
        # Who is free was asked of other dates.
        attendees=tuple(replace(a, is_free=True) for a in sibling.attendees),
        held_until=now,
        version="",
    )
    try:
        return await reservations.create(books.sessions, session, now, ignore_holds=True)
    except StaleRow:
        return await books.sessions.get(session.organizer, session.id)


async def _let_go(session: Session, books: Books) -> None:
    if session.state is SessionState.REQUESTED:
        await release(session.holders, session.id, books)


def _as_found(planned: Planned, seen: SeenEvent | None) -> Planned:
    """Return what was planned as it came to be."""
    if seen is None:
        return replace(planned, outcome=Outcome.SKIPPED, moved_to=None)
    if planned.outcome is Outcome.BOOKED or seen.span == planned.moved_to:
        return planned
    return replace(planned, outcome=Outcome.KEPT, moved_to=None)
