"""Reconciliation: reads upcoming sessions periodically, to find changes that push missed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from shared.calendar_sync.conflicts import update_conflicts
from shared.calendar_sync.sync import apply_found, sync_attendee_mailboxes, sync_session
from shared.calendar_sync.unreadable import UNREADABLE, due_item, mark_unreadable
from shared.clock import Clock
from shared.errors import (
    CalendarThrottled,
    CalendarUnavailable,
    EventGone,
    StaleRow,
)
from shared.ids import Mailbox, SessionId
from shared.jobs import (
    DueKind,
    DueStore,
    Job,
    JobKind,
    JobQueue,
    due_items,
    enqueue_due_items,
    postpone,
)
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.holding import find_session
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.ports import Calendar, SessionPorts, SessionStore
from shared.sessions.reconciliation_schedule import next_reconciliation
from shared.sessions.recovering import recover

if TYPE_CHECKING:
    from shared.ids import EventId

_WAIT_SECONDS: Final = 30.0
"""The delay of a session if Graph throttles without a Retry-After."""


async def enqueue_reconciliations(*, jobs: JobQueue, due: DueStore, clock: Clock) -> int:
    """Enqueue the due sessions, in batches of one organization; return how many sessions."""
    return await enqueue_due_items(
        DueKind.RECONCILIATION, JobKind.RECONCILE, jobs=jobs, due=due, clock=clock
    )


async def reconcile_batch(
    job: Job, organization: Organization, *, ports: SessionPorts
) -> frozenset[Mailbox]:
    """Read up to 20 sessions in one batch; return the organizers of those that had changed.

    A session that Graph throttles, or cannot serve, becomes due again after Graph's delay. One
    batch has at most 20 requests.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: transient; a retry may succeed.
        other errors of Graph: after all sessions were handled.

    Source: https://learn.microsoft.com/graph/json-batching
    """
    sessions = await _load(job, sessions=ports.sessions)
    changed, failures, wait_seconds = list[Mailbox](), list[Exception](), 0.0
    late: list[Session] = []
    readable = _readable(sessions)
    results = await _read(readable, calendar=ports.calendar)
    for session, result in zip(readable, results, strict=True):
        if isinstance(result, UNREADABLE):
            await mark_unreadable(session, result, Cause.RECONCILIATION, ports=ports)
        elif isinstance(result, CalendarThrottled | CalendarUnavailable):
            late.append(session)
            wait_seconds = max(wait_seconds, result.retry_after_seconds or _WAIT_SECONDS)
        elif isinstance(result, Exception) and not isinstance(result, EventGone):
            failures.append(result)
        else:
            event = None if isinstance(result, EventGone) else result
            if await _reconcile_one(session, event, organization, ports):
                changed.append(session.organizer)
    for session in (each for each in sessions if each.may_return):
        try:
            synced = await sync_session(session, organization, Cause.RECONCILIATION, ports=ports)
        except (CalendarThrottled, CalendarUnavailable):
            synced = session  # it has another look in time
        if synced.state is SessionState.SCHEDULED:
            changed.append(session.organizer)
        await _schedule_next(synced, organization, due=ports.due, clock=ports.clock)
    for session in sessions:
        await _finish_interrupted(session, organization, ports)
    await _list_again(sessions, organization, ports)
    await _postpone(late, wait_seconds, due=ports.due, clock=ports.clock)
    log_event("reconciliation.ran", count=len(readable), failed=len(failures), renewed=len(changed))
    if failures:
        raise failures[0]
    await ports.due.remove(due_items(DueKind.RECONCILIATION, job))
    return frozenset(changed)


async def _load(job: Job, *, sessions: SessionStore) -> list[Session]:
    """Return the stored sessions of *job*; a purged one is left out."""
    return [
        session
        for mailbox, session_id in zip(job.mailboxes, job.session_ids, strict=True)
        if (session := await find_session(mailbox, session_id, sessions=sessions)) is not None
    ]


async def _reconcile_one(
    session: Session, event: CalendarEvent | None, organization: Organization, ports: SessionPorts
) -> bool:
    """Merge *event* (None: it is gone), schedule the next read; return whether it changed."""
    # Moving an event to Deleted Items gives it a new version: one that is known needs no search.
    confirm = event is not None and event.etag != session.event_etag
    try:
        synced = await apply_found(
            session, event, organization, Cause.RECONCILIATION, ports=ports, confirm=confirm
        )
    except StaleRow:
        synced = await sync_session(session, organization, Cause.RECONCILIATION, ports=ports)
    except UNREADABLE as refused:
        await mark_unreadable(session, refused, Cause.RECONCILIATION, ports=ports)
        return False
    is_changed = synced.changed_at != session.changed_at
    await _sync_holds_and_conflicts(synced, ports)
    await _schedule_next(synced, organization, due=ports.due, clock=ports.clock)
    return is_changed


async def _sync_holds_and_conflicts(session: Session, ports: SessionPorts) -> None:
    """Redo these two steps: a worker may have crashed after it saved the row and before them."""
    await sync_attendee_mailboxes(session, sessions=ports.sessions)
    await update_conflicts(
        session, Cause.RECONCILIATION, sessions=ports.sessions, clock=ports.clock
    )


async def _finish_interrupted(
    session: Session, organization: Organization, ports: SessionPorts
) -> None:
    """Finish what a crashed worker may have left of a cancellation or of a booking."""
    if session.state is SessionState.CANCELLED:
        await _sync_holds_and_conflicts(session, ports)
    if session.state is SessionState.REQUESTED:
        await recover(
            Job(JobKind.VERIFY, session.organization_id, session.mailboxes, (session.id,)),
            organization,
            ports=ports,
        )


async def _list_again(
    sessions: Sequence[Session], organization: Organization, ports: SessionPorts
) -> None:
    """Have the series read of which a date's event is not known yet: it could not be listed."""
    unlisted = [
        s for s in sessions if s.series_id and not s.event_id and s.state is SessionState.SCHEDULED
    ]
    for organizer, series_id in dict.fromkeys((s.organizer, s.series_id) for s in unlisted):
        key = SessionId(series_id or "")
        await ports.jobs.put(Job(JobKind.FOLLOW_SERIES, organization.id, (organizer,), (key,)))
    for session in unlisted:
        await _schedule_next(session, organization, due=ports.due, clock=ports.clock)


async def _postpone(
    late: Sequence[Session], seconds: float, *, due: DueStore, clock: Clock
) -> None:
    """Store due items for *late* sessions, for when Graph accepts requests again.

    A due item is idempotent. A delayed message would not be: two workers on the same job, and the
    next tick, would enqueue one each.
    """
    if late:
        until = clock.now() + timedelta(seconds=seconds)
        await due.put(postpone((due_item(session, until) for session in late), until))
        log_event("reconciliation.put_off", count=len(late), retry_after_ms=round(seconds * 1000))


def _readable(sessions: list[Session]) -> list[Session]:
    return [s for s in sessions if s.event_id is not None and s.state is SessionState.SCHEDULED]


async def _read(sessions: list[Session], *, calendar: Calendar) -> list[CalendarEvent | Exception]:
    wanted: list[tuple[Mailbox, EventId]] = [
        (s.organizer, s.event_id) for s in sessions if s.event_id is not None
    ]
    try:
        return await calendar.read_many(wanted) if wanted else []
    except (CalendarThrottled, CalendarUnavailable) as passing:
        return [passing for _ in wanted]


async def _schedule_next(
    session: Session, organization: Organization, *, due: DueStore, clock: Clock
) -> None:
    now = clock.now()
    if again := next_reconciliation(session, organization.settings.sync_mode, now):
        await due.put([again])
