"""Which use-case does which job."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.attendees.links import look_for_link
from shared.attendees.reconciliation import purge_batch, reconcile_batch
from shared.attendees.recording import follow_series
from shared.changes.delivery import Delivering, deliver
from shared.due import DueKind, DueStore
from shared.ids import SeriesId
from shared.logs import log_event
from shared.organizations.access import is_stopped
from shared.organizations.model import Organization
from shared.sessions.model import Cause
from shared.sessions.ports import Books, Job, JobKind
from shared.sessions.recovering import recover
from shared.sessions.work import due_items, put_off
from shared.subscriptions.upkeep import Following, ensure_subscription, look_after, renew_batch

_RESUMED: Final = {JobKind.VERIFY, JobKind.SETTLE, JobKind.SERIES, JobKind.SUBSCRIBE}
"""Jobs that nothing else brings back."""
_WITHOUT_GRAPH: Final = {JobKind.PURGE, JobKind.DELIVER}
_DUE: Final = {
    JobKind.RENEW: DueKind.RENEWAL,
    JobKind.RECONCILE: DueKind.RECONCILIATION,
    JobKind.PURGE: DueKind.PURGE,
}
_RESUME_AFTER: Final = timedelta(hours=1)


async def do(
    job: Job,
    organization: Organization,
    *,
    books: Books,
    following: Following,
    delivering: Delivering | None = None,
) -> None:
    """Do *job*. While an organization's approval is gone, only what needs no Graph is done.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: it is to come back.
    """
    if is_stopped(organization) and job.kind not in _WITHOUT_GRAPH:
        # Renewals and reconciliations come due again by themselves.
        if job.kind in _RESUMED and not organization.is_closing:
            await books.jobs.put(replace(job, attempt=job.attempt + 1), delay=_RESUME_AFTER)
        log_event("job.stopped", job=job.kind, organization_id=organization.id)
        return
    match job.kind:
        case JobKind.VERIFY | JobKind.SETTLE:
            await recover(job, organization, books=books)
        case JobKind.SERIES:
            await recover(job, organization, books=books)
            await _follow(job, organization, books)
        case JobKind.FOLLOW_SERIES:
            await _follow(job, organization, books)
        case JobKind.LINK:
            await look_for_link(job, organization, books=books)
        case JobKind.SUBSCRIBE:
            await ensure_subscription(job.mailboxes[0], organization, following=following)
        case JobKind.RENEW:
            done = await renew_batch(job, organization, following=following)
            log_event(
                "renewal.ran",
                due=len(job.mailboxes),
                renewed=done.renewed,
                recreated=done.recreated,
                removed=done.removed,
                failed=done.failed,
            )
        case JobKind.RECONCILE:
            for mailbox in sorted(await reconcile_batch(job, organization, books=books)):
                await look_after(mailbox, organization, following=following)
        case JobKind.PURGE:
            await purge_batch(job, organization, books=books)
        case JobKind.DELIVER:
            await _deliver(job, organization, books, delivering)


async def _deliver(
    job: Job, organization: Organization, books: Books, delivering: Delivering | None
) -> None:
    if delivering is None or organization.is_closing:
        log_event("job.dropped", job=job.kind)
    elif (again := await deliver(organization, delivering=delivering)) is not None:
        await books.jobs.put(replace(job, attempt=job.attempt + 1), delay=again)


async def _follow(job: Job, organization: Organization, books: Books) -> None:
    series = await books.sessions.get_series(job.mailboxes[0], SeriesId(job.session_ids[0]))
    if series is not None and series.event_id is not None:
        await follow_series(series, organization, Cause.RECONCILIATION, books=books)


async def drop(job: Job, *, due: DueStore) -> None:
    """Forget *job* and what reminds of it: its organization is gone."""
    if job.kind in _DUE:
        await due.done(due_items(_DUE[job.kind], job))
    log_event("job.dropped", job=job.kind, reason="organization is gone")


async def put_back(job: Job, wait: timedelta, *, books: Books) -> None:
    """Have *job* come back after *wait*.

    What was made of `Due` rows comes due later, instead of as a message: those rows would make
    one more at the next tick, and of two workers on one job each would put one.
    """
    if job.kind in _DUE and job.due_ats:
        items = due_items(_DUE[job.kind], job)
        await books.due.put(put_off(items, books.clock.now() + wait))
        await books.due.done(items)
    else:
        await books.jobs.put(replace(job, attempt=job.attempt + 1), delay=wait)
