"""Re-reading upcoming sessions by the clock: what push missed is found here. And purging."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from shared.calendar_sync.conflicts import update_conflicts
from shared.calendar_sync.sync import (
    apply_event,
    find_session,
    sync_attendee_mailboxes,
    sync_session,
)
from shared.changes.model import Change, ChangeKind
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    EventGone,
    MailboxUnusable,
    StaleRow,
)
from shared.ids import Mailbox, SeriesId
from shared.jobs import (
    DueItem,
    DueKind,
    Job,
    JobKind,
    batch_due_items,
    due_items,
    job_for_batch,
    postpone,
)
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions import reservations
from shared.sessions.model import Cause, SeenEvent, Session, SessionState
from shared.sessions.ports import Books
from shared.sessions.recovering import recover
from shared.sessions.rhythm import next_reconciliation, purge_item

if TYPE_CHECKING:
    from shared.ids import EventId

_UNREADABLE_AGAIN: Final = timedelta(hours=6)
_WAIT_SECONDS: Final = 30.0
"""How long a session waits where Graph asks to wait without saying how long."""
_PAGE: Final = 2_000
_SPACING: Final = timedelta(milliseconds=500)
"""Between two batches: 120 requests a minute to Graph are this work's own budget, so that it never
crowds users out."""
_BATCHES_PER_TICK: Final = 600
"""What a tick of five minutes has room for at that pace: 12,000 sessions."""


async def enqueue_reconciliations(*, books: Books) -> int:
    """Queue the sessions whose time has come, in batches of one organization; return how many."""
    return await _enqueue(DueKind.RECONCILIATION, JobKind.RECONCILE, books)


async def enqueue_purges(*, books: Books) -> int:
    """Queue the sessions whose retention is over; return how many."""
    return await _enqueue(DueKind.PURGE, JobKind.PURGE, books)


async def reconcile_batch(
    job: Job, organization: Organization, *, books: Books
) -> frozenset[Mailbox]:
    """Read up to 20 sessions again in one request; return whose had changed, push unheard.

    Those that Graph does not let us read, or cannot show, come due again when it may.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: worth trying again later.
    """
    sessions = [
        session
        for mailbox, session_id in zip(job.mailboxes, job.session_ids, strict=True)
        if (session := await find_session(mailbox, session_id, books=books)) is not None
    ]
    changed, failures, wait_seconds = list[Mailbox](), list[Exception](), 0.0
    late: list[Session] = []
    readable = _readable(sessions)
    for session, seen in zip(readable, await _read(readable, books), strict=True):
        if isinstance(seen, CalendarThrottled | CalendarUnavailable):
            late.append(session)
            wait_seconds = max(wait_seconds, seen.retry_after_seconds or _WAIT_SECONDS)
        elif isinstance(seen, MailboxUnusable | CalendarRefused):
            await _mark_unreadable(session, seen, books)
        elif isinstance(seen, Exception) and not isinstance(seen, EventGone):
            failures.append(seen)
        else:
            event = None if isinstance(seen, EventGone) else seen
            if await _reconcile_one(session, event, organization, books):
                changed.append(session.organizer)
    for session in sessions:
        if session.state is SessionState.CANCELLED:
            await sync_attendee_mailboxes(session, books=books)
            await update_conflicts(session, Cause.RECONCILIATION, books=books)
        if session.state is SessionState.REQUESTED:
            await recover(
                Job(JobKind.VERIFY, session.organization_id, session.holders, (session.id,)),
                organization,
                books=books,
            )
    await _postpone(late, wait_seconds, books)
    log_event("reconciliation.ran", count=len(readable), failed=len(failures), renewed=len(changed))
    if failures:
        raise failures[0]
    await books.due.remove(due_items(DueKind.RECONCILIATION, job))
    return frozenset(changed)


async def _reconcile_one(
    session: Session, seen: SeenEvent | None, organization: Organization, books: Books
) -> bool:
    """Bring *session* up to what was *seen*, say when it is read next; tell whether it changed."""
    try:
        now_known = await apply_event(
            session, seen, organization, Cause.RECONCILIATION, books=books
        )
    except StaleRow:
        now_known = await sync_session(session, organization, Cause.RECONCILIATION, books=books)
    is_changed = now_known.changed_at != session.changed_at
    if now_known.unreadable_since is not None:
        with suppress(StaleRow):  # somebody else has just read it, too
            now_known = await reservations.save(
                books.sessions, replace(now_known, unreadable_since=None)
            )
    # A worker may have died after the row and before the others' holds, or before what overlaps.
    await sync_attendee_mailboxes(now_known, books=books)
    await update_conflicts(now_known, Cause.RECONCILIATION, books=books)
    await _schedule_next(now_known, organization, books)
    return is_changed


async def _postpone(late: Sequence[Session], seconds: float, books: Books) -> None:
    """Let sessions come due again when Graph allows it.

    Not as a message: of two workers on one job each would put one, and the next tick a third.
    """
    if late:
        until = books.clock.now() + timedelta(seconds=seconds)
        await books.due.put(postpone((_due_item(session, until) for session in late), until))
        log_event("reconciliation.put_off", count=len(late), retry_after_ms=round(seconds * 1000))


def _due_item(session: Session, due_at: datetime) -> DueItem:
    return DueItem(
        due_at, DueKind.RECONCILIATION, session.organization_id, session.organizer, session.id
    )


async def _mark_unreadable(session: Session, refused: Exception, books: Books) -> None:
    """Say once that a session cannot be read, and look again later: trying harder helps nobody."""
    now = books.clock.now()
    if session.unreadable_since is None:
        trouble = Change(
            session.organization_id,
            now,
            ChangeKind.TROUBLE,
            Cause.RECONCILIATION,
            session.pairing_id,
            session.id,
            detail="mailbox_unusable" if isinstance(refused, MailboxUnusable) else "refused",
        )
        await books.changes.append([trouble])
        with suppress(StaleRow):  # somebody else has just read or written it
            await reservations.save(books.sessions, replace(session, unreadable_since=now))
    if session.span.end > now:
        await books.due.put([_due_item(session, now + _UNREADABLE_AGAIN)])


async def purge_batch(job: Job, organization: Organization, *, books: Books) -> int:
    """Remove ended sessions with everything that hangs on them; return how many rows."""
    removed = 0
    for mailbox, session_id in zip(job.mailboxes, job.session_ids, strict=True):
        session = await find_session(mailbox, session_id, books=books)
        if session is None:
            # A series' own row comes due under its id, with the last of its sessions.
            removed += await reservations.remove_series(
                books.sessions, mailbox, SeriesId(session_id)
            )
            continue
        purge = purge_item(session, organization.settings)
        if purge.due_at <= books.clock.now():
            removed += await reservations.purge(books.sessions, session)
        else:
            # Moved meanwhile, by a worker who may have died before it said so.
            await books.due.put([purge])
    await books.due.remove(due_items(DueKind.PURGE, job))
    log_event("purge.ran", count=len(job.session_ids), purged=removed)
    return removed


def _readable(sessions: list[Session]) -> list[Session]:
    return [s for s in sessions if s.event_id is not None and s.state is SessionState.SCHEDULED]


async def _read(sessions: list[Session], books: Books) -> list[SeenEvent | Exception]:
    wanted: list[tuple[Mailbox, EventId]] = [
        (s.organizer, s.event_id) for s in sessions if s.event_id is not None
    ]
    try:
        return await books.calendar.read_many(wanted) if wanted else []
    except (CalendarThrottled, CalendarUnavailable) as passing:
        return [passing for _ in wanted]


async def _schedule_next(session: Session, organization: Organization, books: Books) -> None:
    now = books.clock.now()
    if again := next_reconciliation(session, organization.settings.sync_mode, now):
        await books.due.put([again])


async def _enqueue(due: DueKind, job: JobKind, books: Books) -> int:
    count = number = 0
    async for page in books.due.due(due, books.clock.now(), page=_PAGE):
        for batch in batch_due_items(page):
            if number == _BATCHES_PER_TICK:
                return count  # the rest is still due at the next tick: no stampede
            await books.jobs.put(job_for_batch(job, batch), delay=number * _SPACING)
            count += len(batch)
            number += 1
    return count
