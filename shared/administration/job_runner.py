"""Dispatches a queued job to its use-case."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.administration.look_ports import LookPorts
from shared.administration.mailbox_looks import look_at_mailboxes
from shared.calendar_sync.meeting_links import check_meeting_link
from shared.calendar_sync.reconciliation import reconcile_batch
from shared.calendar_sync.sync import sync_series
from shared.calendar_sync.unreadable import OF_MAILBOX
from shared.changes.delivery import DeliveryPorts, deliver
from shared.clock import Clock
from shared.errors import CalendarRefused, CalendarUnavailable
from shared.ids import SeriesId
from shared.jobs import DueKind, DueStore, Job, JobKind, JobQueue, due_items, postpone
from shared.logs import log_event
from shared.organizations.access import is_suspended
from shared.organizations.model import Organization
from shared.sessions.model import Cause
from shared.sessions.ports import SessionPorts
from shared.sessions.recovering import recover
from shared.sessions.retention import purge_batch
from shared.subscriptions.maintenance import (
    SubscriptionPorts,
    ensure_subscription,
    renew_batch,
    renew_if_stale,
)

_RETRIED_WHEN_SUSPENDED: Final = {
    JobKind.VERIFY,
    JobKind.SETTLE,
    JobKind.SERIES,
    JobKind.SUBSCRIBE,
    JobKind.LOOK,
}
"""Jobs that are queued again, unless a due item brings them back."""
_OFFLINE_KINDS: Final = {JobKind.PURGE, JobKind.DELIVER}
"""Jobs that call neither Graph nor Entra."""
_DUE_KIND_OF: Final = {
    JobKind.RENEW: DueKind.RENEWAL,
    JobKind.RECONCILE: DueKind.RECONCILIATION,
    JobKind.LOOK: DueKind.LOOK,
    JobKind.PURGE: DueKind.PURGE,
}
_RESUME_AFTER: Final = timedelta(hours=1)
_SERIES_WAIT: Final = timedelta(seconds=30)
"""The wait after the first attempt at a series; each later one is twice as long."""
_SERIES_ATTEMPTS: Final = 7
"""The attempts at a series, over about an hour, before a failure counts as one."""


async def run_job(
    job: Job,
    organization: Organization,
    *,
    ports: SessionPorts,
    subscription_ports: SubscriptionPorts,
    look_ports: LookPorts,
    delivery_ports: DeliveryPorts | None = None,
) -> None:
    """Run *job*. A suspended organization's job runs only if it needs no call to Graph.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: the caller queues the job again.
    """
    if is_suspended(organization) and job.kind not in _OFFLINE_KINDS:
        await _stop(job, organization, jobs=ports.jobs)
        return
    match job.kind:
        case JobKind.VERIFY | JobKind.SETTLE | JobKind.SERIES:
            await _recover(job, organization, ports)
        case JobKind.FOLLOW_SERIES:
            await _sync_series_job(job, organization, ports)
        case JobKind.LINK:
            await check_meeting_link(job, organization, ports=ports)
        case JobKind.SUBSCRIBE:
            await ensure_subscription(job.mailboxes[0], organization, ports=subscription_ports)
        case JobKind.RENEW:
            await _renew(job, organization, subscription_ports)
        case JobKind.RECONCILE:
            for mailbox in sorted(await reconcile_batch(job, organization, ports=ports)):
                await renew_if_stale(mailbox, organization, ports=subscription_ports)
        case JobKind.LOOK:
            await look_at_mailboxes(job, organization, ports=look_ports)
        case JobKind.PURGE:
            await purge_batch(
                job, organization, sessions=ports.sessions, due=ports.due, clock=ports.clock
            )
        case JobKind.DELIVER:
            await _deliver(job, organization, delivery_ports, jobs=ports.jobs)


async def _stop(job: Job, organization: Organization, *, jobs: JobQueue) -> None:
    """Put off *job* while its organization is suspended.

    Renewals and reconciliations come due again by themselves. The jobs of `_RETRIED_WHEN_SUSPENDED`
    are queued again, unless the organization is being removed.
    """
    is_retried = job.kind in _RETRIED_WHEN_SUSPENDED and not job.due_ats
    if is_retried and not organization.is_closing:
        await jobs.put(replace(job, attempt=job.attempt + 1), delay=_RESUME_AFTER)
    log_event("job.stopped", job=job.kind, organization_id=organization.id)


async def _recover(job: Job, organization: Organization, ports: SessionPorts) -> None:
    """Recover a booking or a change; if Outlook refuses to show it, later again.

    The outcome is unknown until then, and nothing else would find it out.
    """
    try:
        await recover(job, organization, ports=ports)
    except (CalendarRefused, *OF_MAILBOX) as refused:
        await ports.jobs.put(replace(job, attempt=job.attempt + 1), delay=_RESUME_AFTER)
        log_event("job.put_back", job=job.kind, reason=type(refused).__name__)
        organizer, key = (job.mailboxes[-1],), (job.session_ids[0],)
        await ports.jobs.put(Job(JobKind.LOOK, organization.id, organizer, key))
    if job.kind is JobKind.SERIES:
        await _sync_series_job(job, organization, ports)


async def _renew(
    job: Job, organization: Organization, subscription_ports: SubscriptionPorts
) -> None:
    counts = await renew_batch(job, organization, ports=subscription_ports)
    log_event(
        "renewal.ran",
        due=len(job.mailboxes),
        renewed=counts.renewed,
        recreated=counts.recreated,
        removed=counts.removed,
        failed=counts.failed,
    )


async def _deliver(
    job: Job, organization: Organization, delivery_ports: DeliveryPorts | None, *, jobs: JobQueue
) -> None:
    if delivery_ports is None or organization.is_closing:
        log_event("job.dropped", job=job.kind)
    elif (again := await deliver(organization, ports=delivery_ports)) is not None:
        await jobs.put(replace(job, attempt=job.attempt + 1), delay=again)


async def _sync_series_job(job: Job, organization: Organization, ports: SessionPorts) -> None:
    """Sync a series; if Graph does not answer, later again.

    A series takes several calls, any of which may fail, so the five attempts of a message are few.
    """
    series = await ports.sessions.get_series(job.mailboxes[0], SeriesId(job.session_ids[0]))
    if series is not None and series.event_id is not None:
        try:
            await sync_series(series, organization, Cause.RECONCILIATION, ports=ports)
        except CalendarUnavailable:
            if job.attempt >= _SERIES_ATTEMPTS:
                raise
            wait = _SERIES_WAIT * 2**job.attempt
            await ports.jobs.put(replace(job, attempt=job.attempt + 1), delay=wait)
            log_event("job.put_back", job=job.kind, reason="CalendarUnavailable")


async def discard_job(job: Job, *, due: DueStore) -> None:
    """Drop *job* and remove its due items, because its organization no longer exists."""
    if job.kind in _DUE_KIND_OF:
        await due.remove(due_items(_DUE_KIND_OF[job.kind], job))
    log_event("job.dropped", job=job.kind, reason="organization is gone")


async def requeue_job(
    job: Job, wait: timedelta, *, jobs: JobQueue, due: DueStore, clock: Clock
) -> None:
    """Run *job* again after *wait*.

    A job made of due items is postponed by moving those items, not by a message: the next timer
    tick would make a second job of the items, and two workers on one job would queue one each.
    """
    if job.kind in _DUE_KIND_OF and job.due_ats:
        items = due_items(_DUE_KIND_OF[job.kind], job)
        await due.put(postpone(items, clock.now() + wait))
        await due.remove(items)
    else:
        await jobs.put(replace(job, attempt=job.attempt + 1), delay=wait)
