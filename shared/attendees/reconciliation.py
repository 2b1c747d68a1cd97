"""Re-reading upcoming sessions by the clock: what push missed is found here. And purging."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from shared.attendees.recording import apply, record, session_of, settle_others
from shared.changes.model import Change, ChangeKind
from shared.due import DueItem, DueKind
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    EventGone,
    MailboxUnusable,
    StaleRow,
)
from shared.ids import SeriesId
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions.booking import Books, verify
from shared.sessions.model import Cause, SeenEvent, Session, SessionState
from shared.sessions.ports import Job, JobKind
from shared.sessions.rhythm import next_reconciliation
from shared.sessions.work import batches, due_items, job_of

if TYPE_CHECKING:
    from shared.ids import EventId, Mailbox

_UNREADABLE_AGAIN: Final = timedelta(hours=6)
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


async def reconcile_batch(job: Job, organization: Organization, *, books: Books) -> int:
    """Read up to 20 sessions again in one request; return how many had changed.

    Raises:
        CalendarThrottled: some of them must be read later; the others are done.
        CalendarUnavailable, StoreUnavailable: worth trying again later.
    """
    sessions = [
        session
        for mailbox, session_id in zip(job.mailboxes, job.session_ids, strict=True)
        if (session := await session_of(mailbox, session_id, books=books)) is not None
    ]
    changed, failures = 0, list[Exception]()
    readable = _readable(sessions)
    for session, seen in zip(readable, await _read(readable, books), strict=True):
        if isinstance(seen, Exception) and not isinstance(seen, EventGone):
            if isinstance(seen, MailboxUnusable | CalendarRefused):
                await _note_unreadable(session, seen, books)
            else:
                failures.append(seen)
            continue
        event = None if isinstance(seen, EventGone) else seen
        try:
            now_known = await apply(session, event, organization, Cause.RECONCILIATION, books=books)
        except StaleRow:
            now_known = await record(session, organization, Cause.RECONCILIATION, books=books)
        changed += now_known.changed_at != session.changed_at
        if now_known.unreadable_since is not None:
            with suppress(StaleRow):  # somebody else has just read it, too
                now_known = await books.sessions.save(replace(now_known, unreadable_since=None))
        # A worker may have died after the row and before the others' holds.
        await settle_others(now_known, books=books)
        await _next_time(now_known, organization, books)
    for session in sessions:
        if session.state is SessionState.CANCELLED:
            await settle_others(session, books=books)
        if session.state is SessionState.REQUESTED:
            await verify(
                Job(JobKind.VERIFY, session.organization_id, session.holders, (session.id,)),
                organization,
                books=books,
            )
    log_event("reconciliation.ran", count=len(readable), failed=len(failures), renewed=changed)
    if failures:
        raise next((f for f in failures if isinstance(f, CalendarThrottled)), failures[0])
    await books.due.done(due_items(DueKind.RECONCILIATION, job))
    return changed


async def _note_unreadable(session: Session, refused: Exception, books: Books) -> None:
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
            await books.sessions.save(replace(session, unreadable_since=now))
    if session.span.end > now:
        again = DueItem(
            now + _UNREADABLE_AGAIN,
            DueKind.RECONCILIATION,
            session.organization_id,
            session.organizer,
            session.id,
        )
        await books.due.put([again])


async def purge_batch(job: Job, organization: Organization, *, books: Books) -> int:
    """Remove ended sessions with everything that hangs on them; return how many rows."""
    removed = 0
    for mailbox, session_id in zip(job.mailboxes, job.session_ids, strict=True):
        session = await session_of(mailbox, session_id, books=books)
        if session is None:
            # A series' own row comes due under its id, with the last of its sessions.
            removed += await books.sessions.remove_series(mailbox, SeriesId(session_id))
            continue
        if session.span.end + organization.settings.retention <= books.clock.now():
            removed += await books.sessions.purge(session)
    await books.due.done(due_items(DueKind.PURGE, job))
    log_event("purge.ran", count=len(job.session_ids), purged=removed)
    return removed


def _readable(sessions: list[Session]) -> list[Session]:
    return [s for s in sessions if s.event_id is not None and s.state is SessionState.SCHEDULED]


async def _read(sessions: list[Session], books: Books) -> list[SeenEvent | Exception]:
    wanted: list[tuple[Mailbox, EventId]] = [
        (s.organizer, s.event_id) for s in sessions if s.event_id is not None
    ]
    return await books.calendar.read_many(wanted) if wanted else []


async def _next_time(session: Session, organization: Organization, books: Books) -> None:
    now = books.clock.now()
    if again := next_reconciliation(session, organization.settings.background, now):
        await books.due.put([again])


async def _enqueue(due: DueKind, job: JobKind, books: Books) -> int:
    count = number = 0
    async for page in books.due.due(due, books.clock.now(), page=_PAGE):
        for batch in batches(page):
            if number == _BATCHES_PER_TICK:
                return count  # the rest is still due at the next tick: no stampede
            await books.jobs.put(job_of(job, batch), delay=number * _SPACING)
            count += len(batch)
            number += 1
    return count
