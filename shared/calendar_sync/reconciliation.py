"""Reconciliation: reads upcoming sessions periodically, to find changes that push missed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from shared.calendar_sync.accounts import look_at_gone_accounts
from shared.calendar_sync.applying import sync_attendee_mailboxes
from shared.calendar_sync.conflicts import update_conflicts
from shared.calendar_sync.sync import apply_found, sync_session
from shared.calendar_sync.unreadable import (
    OF_MAILBOX,
    UNREADABLE,
    UNREADABLE_AGAIN,
    due_item,
    look_at_mailboxes,
    mark_unreadable,
)
from shared.clock import Clock
from shared.errors import (
    CalendarThrottled,
    CalendarUnavailable,
    EventGone,
    Misconfigured,
    SchedulingError,
    StaleRow,
    StoreUnavailable,
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


@dataclass(slots=True)
class _Outcome:
    """The sessions of a batch, by what became of them."""

    changed: list[Session] = field(default_factory=list)
    late: list[Session] = field(default_factory=list)
    """Graph throttles them, or cannot serve them now; or the app cannot sign in."""
    wait_seconds: float = 0.0
    refused: list[Session] = field(default_factory=list)
    """Their organizer's mailbox cannot be read."""
    failed: list[tuple[Session, Exception]] = field(default_factory=list)


async def reconcile_batch(
    job: Job, organization: Organization, *, ports: SessionPorts
) -> frozenset[Mailbox]:
    """Read up to 20 sessions in one batch; return the organizers of those that had changed.

    A session that Graph throttles, or cannot serve, becomes due again after Graph's delay, and so
    does one for which the app has no valid credential. One that fails otherwise gets a job of its
    own, so that the others are not read again. A session of a lost mailbox is not read. One batch
    has at most 20 requests.

    Raises:
        StoreUnavailable: a retry may succeed.
        other errors: the only session of *job* failed.

    Source: https://learn.microsoft.com/graph/json-batching
    """
    sessions = await _load(job, sessions=ports.sessions)
    lost = [s for s in sessions if s.is_mailbox_lost and s.state is SessionState.SCHEDULED]
    tried = [session for session in sessions if session not in lost]
    readable, done = [session for session in tried if _is_followed(session)], _Outcome()
    results = await _read(readable, calendar=ports.calendar)
    for session, result in zip(readable, results, strict=True):
        await _handle(session, result, organization, ports, done)
    for session in tried:
        if session not in readable:
            await _handle(session, None, organization, ports, done)
    await _list_again(tried, organization, ports)
    done.refused += await _put_off_lost(lost, due=ports.due, clock=ports.clock)
    await look_at_mailboxes(done.refused, jobs=ports.jobs)
    await look_at_gone_accounts(readable, organization, calendar=ports.calendar, jobs=ports.jobs)
    await _postpone(done.late, done.wait_seconds, due=ports.due, clock=ports.clock)
    log_event(
        "reconciliation.ran",
        count=len(readable),
        failed=len(done.failed),
        renewed=len(done.changed),
    )
    await _retry_failed(done.failed, organization, ports, alone=len(sessions) == 1)
    await ports.due.remove(due_items(DueKind.RECONCILIATION, job))
    if done.failed and len(sessions) == 1:
        raise done.failed[0][1]
    return frozenset(session.organizer for session in done.changed)


async def _handle(
    session: Session,
    result: CalendarEvent | Exception | None,
    organization: Organization,
    ports: SessionPorts,
    done: _Outcome,
) -> None:
    """Merge *result*, the session's event or the error of reading it; None: it was not read."""
    try:
        if result is None:
            if session.may_return:
                session = await _restore(session, organization, ports, done)
            await _finish_interrupted(session, organization, ports)
        else:
            await _reconcile_one(session, _event(result), organization, ports, done)
    except UNREADABLE as refused:
        marked = await mark_unreadable(session, refused, Cause.RECONCILIATION, ports=ports)
        if isinstance(refused, OF_MAILBOX):
            done.refused.append(marked)
    except (CalendarThrottled, CalendarUnavailable, Misconfigured) as passing:
        # A setting or credential of ours says nothing of the session, and is mended in its time.
        seconds = getattr(passing, "retry_after_seconds", None) or _WAIT_SECONDS
        done.late.append(session)
        done.wait_seconds = max(done.wait_seconds, seconds)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - raised by `reconcile_batch`, after the others' turn
        done.failed.append((session, error))


async def _restore(
    session: Session, organization: Organization, ports: SessionPorts, done: _Outcome
) -> Session:
    """Schedule a session again whose missing event is back; else look again in time."""
    synced = await sync_session(session, organization, Cause.RECONCILIATION, ports=ports)
    if synced.state is SessionState.SCHEDULED:
        done.changed.append(synced)
    await _schedule_next(synced, organization, due=ports.due, clock=ports.clock)
    return synced


def _event(result: CalendarEvent | Exception) -> CalendarEvent | None:
    """Return the event, or None if it is not found. Raises the other errors of reading it."""
    if isinstance(result, EventGone):
        return None
    if isinstance(result, Exception):
        raise result
    return result


async def _put_off_lost(
    lost: Sequence[Session], *, due: DueStore, clock: Clock
) -> Sequence[Session]:
    """Schedule the *lost* sessions, in case that the look at their mailbox does not find them."""
    again = clock.now() + UNREADABLE_AGAIN
    await due.put(due_item(session, again) for session in lost if session.span.end > clock.now())
    return lost


async def _retry_failed(
    failed: Sequence[tuple[Session, Exception]],
    organization: Organization,
    ports: SessionPorts,
    *,
    alone: bool,
) -> None:
    """Schedule the *failed* sessions at their next time, and enqueue each *alone* before that."""
    for session, _ in failed:
        await _schedule_next(session, organization, due=ports.due, clock=ports.clock)
        if not alone:
            organizer = (session.organizer,)
            await ports.jobs.put(Job(JobKind.RECONCILE, organization.id, organizer, (session.id,)))


async def _load(job: Job, *, sessions: SessionStore) -> list[Session]:
    """Return the stored sessions of *job*, each once.

    One that is purged, or that a mailbox has no part in, is left out.
    """
    found: dict[SessionId, Session] = {}
    for mailbox, session_id in zip(job.mailboxes, job.session_ids, strict=True):
        if session_id not in found:
            session = await find_session(mailbox, session_id, sessions=sessions)
            if session is not None:
                found[session_id] = session
    return [*found.values()]


async def _reconcile_one(
    session: Session,
    event: CalendarEvent | None,
    organization: Organization,
    ports: SessionPorts,
    done: _Outcome,
) -> None:
    """Merge *event* (None: it is not found), and schedule the next read."""
    # Moving an event to Deleted Items gives it a new version: one that is known needs no search.
    confirm = event is not None and event.etag != session.event_etag
    try:
        synced = await apply_found(
            session, event, organization, Cause.RECONCILIATION, ports=ports, confirm=confirm
        )
    except StaleRow:
        synced = await sync_session(
            session, organization, Cause.RECONCILIATION, ports=ports, confirm=confirm
        )
    if synced.changed_at != session.changed_at:
        done.changed.append(session)
    await _sync_holds_and_conflicts(synced, ports)
    await _schedule_next(synced, organization, due=ports.due, clock=ports.clock)


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
    """Have the series read of which a date's event is not known (yet), or was missing."""
    of_series = [session for session in sessions if session.series_id]
    unlisted = [s for s in of_series if not s.event_id and s.state is SessionState.SCHEDULED]
    missing = [session for session in of_series if session.may_return]
    for organizer, series_id in dict.fromkeys(
        (s.organizer, s.series_id) for s in unlisted + missing
    ):
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


def _is_followed(session: Session) -> bool:
    return session.event_id is not None and session.state is SessionState.SCHEDULED


async def _read(sessions: list[Session], *, calendar: Calendar) -> list[CalendarEvent | Exception]:
    wanted: list[tuple[Mailbox, EventId]] = [
        (s.organizer, s.event_id) for s in sessions if s.event_id is not None
    ]
    try:
        return await calendar.read_many(wanted) if wanted else []
    except SchedulingError as refused:  # of the whole batch
        return [refused for _ in wanted]


async def _schedule_next(
    session: Session, organization: Organization, *, due: DueStore, clock: Clock
) -> None:
    now = clock.now()
    if again := next_reconciliation(session, organization.settings.sync_mode, now):
        await due.put([again])
