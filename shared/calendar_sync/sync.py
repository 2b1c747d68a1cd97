"""Syncing sessions with their events in Outlook, after a notification or by reconciliation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from shared.calendar_sync.applying import apply_event
from shared.calendar_sync.merge import merge
from shared.calendar_sync.unreadable import (
    UNREADABLE,
    mark_refused,
    report_unreadable,
)
from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import EventGone, EventUnreadable, SplitUnclear, StaleRow
from shared.ids import EventId, Mailbox
from shared.organizations.model import Organization
from shared.sessions.calendar_events import CalendarEvent, UnreadableEvent
from shared.sessions.missing import (
    Absence,
    enqueue_looks,
    find_missing,
    is_cancelled_for_attendees,
)
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.occurrences import (
    find_occurrence,
    list_instances,
    load_sessions,
    search_event,
)
from shared.sessions.ports import Calendar, SessionPorts, SessionStore
from shared.sessions.series import Occurrence, Series, match_occurrences
from shared.sessions.series_splits import find_split, follow_split

_ATTEMPTS: Final = 5
"""The number of attempts of a sync that meets ETag conflicts."""


async def sync_event(
    mailbox: Mailbox,
    event_id: EventId,
    etag: str | None,
    organization: Organization,
    *,
    ports: SessionPorts,
) -> Session | Series | None:
    """Sync the session of *event_id*; return None, without a call to Graph, for a foreign event.

    For the master of a series all dates are synced, from one request.

    *etag* is the notification's; None if the notification has no reliable one.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: transient; a retry may succeed.
    """
    session = await ports.sessions.find_by_event(mailbox, event_id)
    if isinstance(session, Series):
        confirm = etag is None
        await sync_series(session, organization, Cause.OUTLOOK, ports=ports, confirm=confirm)
        return session
    if session is None or not session.may_have_event:
        return None
    if etag is not None and etag == session.event_etag and not session.may_return:
        return session  # the notification of the app's own write, or a duplicate
    # Without an etag the notification says `deleted`: the event left its calendar.
    confirm = etag is None
    return await sync_session(session, organization, Cause.OUTLOOK, ports=ports, confirm=confirm)


async def sync_session(
    session: Session,
    organization: Organization,
    cause: Cause,
    *,
    ports: SessionPorts,
    confirm: bool = False,
) -> Session:
    """Read *session*'s event and merge it; start again after an ETag conflict.

    *confirm*: as of `apply_found`.

    The row is always read before the event, so that a version of the event is never older than the
    row it is merged into. A session of a lost mailbox is not read.
    """
    for _ in range(_ATTEMPTS):
        if session.is_mailbox_lost and session.state is SessionState.SCHEDULED:
            return session
        try:
            if session.may_return:
                return await _look_again(session, organization, cause, ports=ports)
            event = await _read(session, calendar=ports.calendar)
            return await apply_found(
                session, event, organization, cause, ports=ports, confirm=confirm
            )
        except UNREADABLE as refused:
            return await mark_refused([session], refused, cause, ports=ports)
        except StaleRow:
            # Another worker wrote the row: this event may be older than the row now, so read again.
            session = await ports.sessions.get(session.organizer, session.id)
    raise StaleRow("Too many requests change this session at the same time.")


async def _look_again(
    session: Session, organization: Organization, cause: Cause, *, ports: SessionPorts
) -> Session:
    """Schedule a session again whose event was missing, if its calendar shows it again.

    Searched for, because a read by id may answer from Deleted Items. Raises StaleRow, and the
    errors of `find_missing`.
    """
    event = await search_event(session, calendar=ports.calendar, sessions=ports.sessions)
    if event is None or not await _is_back(session, event, calendar=ports.calendar):
        return session
    return await apply_event(session, event, organization, cause, ports=ports)


async def _is_back(session: Session, event: CalendarEvent, *, calendar: Calendar) -> bool:
    """Return whether the missing *event* says again what is to become of *session*.

    Not if the attendees got a cancellation: a restored event is the organizer's alone then.
    """
    if event.is_cancelled:
        return True
    return not await is_cancelled_for_attendees(merge(session, event), calendar=calendar)


async def sync_series(
    series: Series,
    organization: Organization,
    cause: Cause,
    *,
    ports: SessionPorts,
    confirm: bool = False,
) -> None:
    """Sync every session of *series* from one read, and store the ids of their events.

    A past session without an event stays as it is: a series can lose its past dates in Outlook.

    *confirm*: as of `apply_found`, for the series itself.
    """
    # The rows are always read before the events.
    known = await load_sessions(series, sessions=ports.sessions)
    ahead = _ahead(known, clock=ports.clock)
    if any(session.is_mailbox_lost for session in ahead):
        return
    try:
        instances = await list_instances(series, calendar=ports.calendar)
        if confirm or any(session.missing_since for session in known):
            instances = await _confirmed(series, instances, calendar=ports.calendar)
        split = await find_split(series, known, instances, ports=ports)
        if split and split.is_clear:
            series = await follow_split(series, split, ports=ports)
            instances = await list_instances(series, calendar=ports.calendar)
    except EventUnreadable as unreadable:
        await _sync_by_ids(ahead, unreadable, organization, cause, ports=ports)
        return
    except UNREADABLE as refused:
        if ahead:
            await mark_refused(ahead, refused, cause, ports=ports)
        return
    if split and not split.is_clear:
        await mark_refused(split.torn, SplitUnclear(), cause, ports=ports)
        known = [session for session in known if session not in split.torn]
    found = match_occurrences(series, known, instances)
    await _enqueue_looks(known, found, ports=ports)
    if ahead and not instances and await _is_series_suspected(ahead, cause, ports=ports):
        return
    await gather_limited(
        _sync_date(
            session,
            found.get(session.occurrence),
            organization,
            cause,
            ports=ports,
            is_series_gone=not instances,
        )
        for session in known
    )


async def _enqueue_looks(
    known: Sequence[Session], found: Mapping[int, Occurrence], *, ports: SessionPorts
) -> None:
    """Enqueue the next looks, one for all dates of *known*, if one is missing for the first time.

    They read the whole series: one for each of its dates would read each date for every other one.
    """
    ahead = _ahead(known, clock=ports.clock)
    # Of a series without any date the first one ahead stands for all: it alone notes the look.
    asked = [s for s in ahead if s.occurrence not in found and s.event_id] if found else ahead[:1]
    new = [session for session in asked if session.missing_since is None]
    if new:
        await enqueue_looks(new[0], jobs=ports.jobs)


async def _confirmed(
    series: Series, instances: Sequence[Occurrence], *, calendar: Calendar
) -> list[Occurrence]:
    """Return the *instances* of the masters that the calendar lists.

    An immutable id may be good for a series in Deleted Items too.
    """
    listed = {
        master_id
        for master_id in series.master_ids
        if await calendar.is_listed(series.organizer, master_id)
    }
    return [each for each in instances if each.series_master_id in listed]


async def _sync_date(
    session: Session,
    event: Occurrence | None,
    organization: Organization,
    cause: Cause,
    *,
    ports: SessionPorts,
    is_series_gone: bool,
) -> None:
    """Sync one date of a series with its *event*, None if Outlook does not list it."""
    is_over = not isinstance(event, CalendarEvent) and _is_over(session, clock=ports.clock)
    if session.may_return and isinstance(event, CalendarEvent):
        if not await _is_back(session, event, calendar=ports.calendar):
            return
    elif session.state is not SessionState.SCHEDULED or is_over:
        return
    if session.event_id is None:
        # Of a series that is gone, no date has to be known by its event's id.
        if event is None and not is_series_gone:
            return  # neither a known id nor an event: the recovery job decides
        session = replace(session, event_id=event.event_id if event else None)
    try:
        if isinstance(event, UnreadableEvent):
            raise EventUnreadable("The date of the series cannot be read.")
        if event is None and not is_series_gone:
            absent = await find_missing(session, ports=ports, series_is_read=True)
            if absent is Absence.SUSPECTED:
                return
            event = absent if isinstance(absent, CalendarEvent) else None
        await apply_event(session, event, organization, cause, ports=ports)
    except StaleRow:
        fresh = await ports.sessions.get(session.organizer, session.id)
        await sync_session(fresh, organization, cause, ports=ports)
    except UNREADABLE as refused:
        await mark_refused([session], refused, cause, ports=ports)


async def _sync_by_ids(
    ahead: Sequence[Session],
    unreadable: EventUnreadable,
    organization: Organization,
    cause: Cause,
    *,
    ports: SessionPorts,
) -> None:
    """Sync each session *ahead* of a series by its own event, if the dates cannot be listed.

    A session whose event's id is not known yet is reported; reconciliation lists again.
    """

    async def one(session: Session) -> None:
        if session.event_id is None:
            await report_unreadable(session, unreadable, cause, ports=ports)
        else:
            await sync_session(session, organization, cause, ports=ports)

    await gather_limited(map(one, ahead))


async def apply_found(
    session: Session,
    event: CalendarEvent | None,
    organization: Organization,
    cause: Cause,
    *,
    ports: SessionPorts,
    confirm: bool = False,
) -> Session:
    """Merge *event* as it was read; None: it was not found by its id, so it is looked for.

    *confirm*: look for an event that was found by its id as well, because an immutable id may be
    good for one in Deleted Items too. (To settle it: delete an event and read it by that id.) So is
    an event that was missing before.

    Nothing changes while its absence is only suspected. Raises StaleRow, and the errors of
    `find_missing`.
    """
    if event is None and (session.event_id is None or session.state is not SessionState.SCHEDULED):
        return session
    if event is None:
        event = await _locate(session, calendar=ports.calendar, sessions=ports.sessions)
    confirm = confirm or session.missing_since is not None
    if event is not None and confirm and not event.is_cancelled:
        event = await search_event(session, calendar=ports.calendar, sessions=ports.sessions)
    if event is None:
        found = await find_missing(session, ports=ports)
        if found is Absence.SUSPECTED:
            return session
        event = found if isinstance(found, CalendarEvent) else None
    return await apply_event(session, event, organization, cause, ports=ports)


async def _locate(
    session: Session, *, calendar: Calendar, sessions: SessionStore
) -> CalendarEvent | None:
    """Return the occurrence of a series under its new id, if it has one.

    An occurrence gets a new id when the whole series is moved.
    """
    if session.series_id is None:
        return None
    return await find_occurrence(session, calendar=calendar, sessions=sessions)


async def _is_series_suspected(
    ahead: Sequence[Session], cause: Cause, *, ports: SessionPorts
) -> bool:
    """Return whether a series of which Graph shows no date may still be there."""
    try:
        found = await find_missing(ahead[0], ports=ports, series_is_read=True)
    except UNREADABLE as refused:
        await mark_refused(ahead, refused, cause, ports=ports)
        return True
    return found is not Absence.GONE


async def _read(session: Session, *, calendar: Calendar) -> CalendarEvent | None:
    if session.event_id is None:
        return None
    try:
        return await calendar.read(session.organizer, session.event_id)
    except EventGone:
        return None


def _ahead(sessions: Sequence[Session], *, clock: Clock) -> list[Session]:
    """Return the scheduled ones of *sessions* that are not over."""
    scheduled = (session for session in sessions if session.state is SessionState.SCHEDULED)
    return [session for session in scheduled if not _is_over(session, clock=clock)]


def _is_over(session: Session, *, clock: Clock) -> bool:
    return session.span.end <= clock.now()
