"""Purging sessions whose retention is over."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.clock import Clock
from shared.ids import Mailbox, SeriesId
from shared.jobs import DueKind, DueStore, Job, JobKind, JobQueue, due_items, enqueue_due_items
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions import reservations
from shared.sessions.holding import find_session
from shared.sessions.model import Session
from shared.sessions.occurrences import load_sessions
from shared.sessions.ports import SessionStore
from shared.sessions.reconciliation_schedule import purge_due_item

_AGAIN: Final = timedelta(days=1)
"""The delay of the next look at a series of which a session is left, or more."""


async def enqueue_purges(*, jobs: JobQueue, due: DueStore, clock: Clock) -> int:
    """Enqueue the sessions whose retention is over; return how many."""
    return await enqueue_due_items(DueKind.PURGE, JobKind.PURGE, jobs=jobs, due=due, clock=clock)


async def purge_batch(
    job: Job, organization: Organization, *, sessions: SessionStore, due: DueStore, clock: Clock
) -> int:
    """Remove the sessions of *job* with all their rows; return how many rows."""
    removed = 0
    others: list[tuple[Mailbox, SeriesId]] = []
    for mailbox, session_id in zip(job.mailboxes, job.session_ids, strict=True):
        session = await find_session(mailbox, session_id, sessions=sessions)
        if session is None:
            others.append((mailbox, SeriesId(session_id)))
            continue
        purge = purge_due_item(session, organization.settings)
        if purge.due_at <= clock.now():
            removed += await reservations.purge(sessions, session)
        else:
            # Moved since; the worker that moved it may have crashed before it stored the due item.
            await due.put([purge])
    # After the sessions: a series comes due together with the session that is its last by number.
    for mailbox, series_id in others:
        left = await _sessions_left(mailbox, series_id, sessions=sessions)
        if left:
            purges = [purge_due_item(session, organization.settings) for session in left]
            again = max(clock.now() + _AGAIN, *(purge.due_at for purge in purges))
            await due.put([*purges, replace(purges[-1], key=series_id, due_at=again)])
        else:
            removed += await reservations.remove_series(sessions, mailbox, series_id)
    await due.remove(due_items(DueKind.PURGE, job))
    log_event("purge.ran", count=len(job.session_ids), purged=removed)
    return removed


async def _sessions_left(
    mailbox: Mailbox, series_id: SeriesId, *, sessions: SessionStore
) -> list[Session]:
    """Return the stored sessions of a series: one of them may have been moved to a later day."""
    series = await sessions.get_series(mailbox, series_id)
    return await load_sessions(series, sessions=sessions) if series else []
