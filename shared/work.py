"""Which use-case does which job."""

from shared.attendees.reconciliation import purge_batch, reconcile_batch
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions.booking import Books, verify
from shared.sessions.changing import settle_change
from shared.sessions.ports import Job, JobKind
from shared.subscriptions.upkeep import Following, ensure_subscription, renew_batch


async def do(job: Job, organization: Organization, *, books: Books, following: Following) -> None:
    """Do *job*.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: it is to come back.
    """
    match job.kind:
        case JobKind.VERIFY:
            await verify(job, organization, books=books)
        case JobKind.SETTLE:
            await settle_change(job, organization, books=books)
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
            await reconcile_batch(job, organization, books=books)
        case JobKind.PURGE:
            await purge_batch(job, organization, books=books)
        case JobKind.DELIVER:
            log_event("job.dropped", job=job.kind)
