"""Purging sessions whose retention is over."""

from shared.clock import Clock
from shared.ids import SeriesId
from shared.jobs import DueKind, DueStore, Job, JobKind, JobQueue, due_items, enqueue_due_items
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions import reservations
from shared.sessions.holding import find_session
from shared.sessions.ports import SessionStore
from shared.sessions.reconciliation_schedule import purge_due_item


async def enqueue_purges(*, jobs: JobQueue, due: DueStore, clock: Clock) -> int:
    """Enqueue the sessions whose retention is over; return how many."""
    return await enqueue_due_items(DueKind.PURGE, JobKind.PURGE, jobs=jobs, due=due, clock=clock)


async def purge_batch(
    job: Job, organization: Organization, *, sessions: SessionStore, due: DueStore, clock: Clock
) -> int:
    """Remove the sessions of *job* with all their rows; return how many rows."""
    removed = 0
    for mailbox, session_id in zip(job.mailboxes, job.session_ids, strict=True):
        session = await find_session(mailbox, session_id, sessions=sessions)
        if session is None:
            # The id may be a series': its own row comes due together with its last session.
            removed += await reservations.remove_series(sessions, mailbox, SeriesId(session_id))
            continue
        purge = purge_due_item(session, organization.settings)
        if purge.due_at <= clock.now():
            removed += await reservations.purge(sessions, session)
        else:
            # Moved since; the worker that moved it may have crashed before it stored the due item.
            await due.put([purge])
    await due.remove(due_items(DueKind.PURGE, job))
    log_event("purge.ran", count=len(job.session_ids), purged=removed)
    return removed
