"""Keeps one subscription per organizer alive while the organizer has an upcoming session."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import (
    CalendarRefused,
    ConsentMissing,
    EventGone,
    MailboxUnusable,
    SchedulingError,
    StaleRow,
)
from shared.ids import Mailbox
from shared.jobs import (
    BATCH,
    DueItem,
    DueKind,
    DueStore,
    Job,
    JobKind,
    JobQueue,
    batch_due_items,
    due_items,
    job_for_batch,
)
from shared.logs import log_event
from shared.organizations.model import Organization, SyncMode
from shared.sessions.model import Session, SessionState
from shared.sessions.ports import SessionStore
from shared.subscriptions.model import SUBSCRIPTION_LIFETIME, Subscription, SubscriptionState
from shared.subscriptions.ports import ClientStateSigner, GraphSubscriptions, SubscriptionStore
from shared.subscriptions.renewal import is_alive, plan_renewals, renewal_due_at

_RETRY_INTERVAL: Final = timedelta(hours=6)
"""How long to wait before the next attempt to subscribe to a mailbox that Graph refused."""
_MIN_RENEWAL_AGE: Final = timedelta(hours=1)
"""The age a renewal must have before a change that push missed leads to another one."""
_PAGE: Final = 100
_DENIED: Final = (ConsentMissing, MailboxUnusable)
"""Errors that say nothing about a subscription: it may be there and work."""


@dataclass(frozen=True, slots=True)
class SubscriptionPorts:
    """The ports of the use-cases about subscriptions."""

    graph: GraphSubscriptions
    subscriptions: SubscriptionStore
    states: ClientStateSigner
    sessions: SessionStore
    due: DueStore
    jobs: JobQueue
    clock: Clock


@dataclass(slots=True)
class RenewalCounts:
    """The outcomes of a batch of renewals."""

    renewed: int = 0
    recreated: int = 0
    removed: int = 0
    failed: int = 0


async def ensure_subscription(
    mailbox: Mailbox, organization: Organization, *, ports: SubscriptionPorts
) -> None:
    """Create a subscription for *mailbox* if it organizes an upcoming session and has none.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: a later retry may succeed.
    """
    if organization.settings.sync_mode is SyncMode.POLL:
        return
    known = await ports.subscriptions.get(mailbox)
    if known and is_alive(known, ports.clock.now()):
        return
    if await upcoming_sessions(mailbox, ports):
        await _create(mailbox, organization, known, ports)


async def enqueue_renewals(*, ports: SubscriptionPorts) -> int:
    """Queue the due renewals in batches of one tenant; return the number of subscriptions.

    The due items stay until the batch is done, so a batch that is lost comes due again.
    """
    count = 0
    async for page in ports.due.due(DueKind.RENEWAL, ports.clock.now(), page=_PAGE * BATCH):
        for batch in batch_due_items(page):
            await ports.jobs.put(job_for_batch(JobKind.RENEW, batch))
            count += len(batch)
    return count


async def renew_batch(
    job: Job, organization: Organization, *, ports: SubscriptionPorts
) -> RenewalCounts:
    """Renew, recreate or remove the subscriptions of up to 20 mailboxes of one tenant.

    A subscription that Graph does not let the app renew or delete is kept, and tried again after
    some hours: such an answer can be stale.
    """
    now = ports.clock.now()
    found = await gather_limited(ports.subscriptions.get(mailbox) for mailbox in job.mailboxes)
    rows = [row for row in found if row is not None]
    # Polling organizations keep no subscription: every row of theirs is removed.
    pushes = organization.settings.sync_mode is SyncMode.PUSH
    upcoming = await gather_limited(upcoming_sessions(row.mailbox, ports) for row in rows if pushes)
    needed = {
        row.mailbox: bool(sessions)
        for row, sessions in zip(rows, upcoming if pushes else [[]] * len(rows), strict=True)
    }
    plan = plan_renewals(rows, needed, now)
    done = RenewalCounts()
    await _renew(plan.renew, organization, ports, done)
    for subscription in plan.recreate:
        await _create(subscription.mailbox, organization, subscription, ports)
        done.recreated += 1
    for subscription in plan.remove:
        try:
            await delete_subscription(subscription, ports=ports)
        except _DENIED as refused:
            await _keep(subscription, refused, ports)
        else:
            done.removed += 1
    await ports.due.put(_due_item(row, _next_renewal(row, ports)) for row in plan.keep)
    if not done.failed:
        await ports.due.remove(due_items(DueKind.RENEWAL, job))
    return done


async def renew_one(
    subscription: Subscription, organization: Organization, *, ports: SubscriptionPorts
) -> None:
    """Renew one subscription, which also reauthorizes it; recreate it if Graph no longer has it."""
    if subscription.id is not None:
        await _renew((subscription,), organization, ports, RenewalCounts())


async def renew_if_stale(
    mailbox: Mailbox, organization: Organization, *, ports: SubscriptionPorts
) -> None:
    """Renew the subscription of *mailbox* after push missed a change.

    If Graph lost the subscription without a notification, the renewal fails and recreates it, days
    before it would have come due. Push may only be late, so at most one renewal an hour is made.
    """
    known, now = await ports.subscriptions.get(mailbox), ports.clock.now()
    if known is None or known.renewed_at is None or not is_alive(known, now):
        return
    if now - known.renewed_at >= _MIN_RENEWAL_AGE:
        await renew_one(known, organization, ports=ports)


async def delete_subscription(subscription: Subscription, *, ports: SubscriptionPorts) -> None:
    """Delete *subscription* at Graph, then its row."""
    if subscription.id is not None:
        await ports.graph.delete(subscription.mailbox.tenant_id, subscription.id)
    await ports.subscriptions.delete(subscription.mailbox)


async def enqueue_mailbox_reconciliation(
    mailbox: Mailbox, organization: Organization, *, ports: SubscriptionPorts
) -> None:
    """Queue a reconciliation of every upcoming session that *mailbox* organizes."""
    sessions = await upcoming_sessions(mailbox, ports, all_of_them=True)
    for start in range(0, len(sessions), BATCH):
        batch = sessions[start : start + BATCH]
        await ports.jobs.put(
            Job(
                JobKind.RECONCILE,
                organization.id,
                (mailbox,) * len(batch),
                tuple(session.id for session in batch),
            )
        )


async def _renew(
    subscriptions: Sequence[Subscription],
    organization: Organization,
    ports: SubscriptionPorts,
    done: RenewalCounts,
) -> None:
    if not subscriptions:
        return
    now = ports.clock.now()
    tenant_id = subscriptions[0].mailbox.tenant_id
    ids = [s.id for s in subscriptions if s.id is not None]
    outcomes: Sequence[datetime | Exception]
    try:
        outcomes = await ports.graph.renew(tenant_id, ids, now + SUBSCRIPTION_LIFETIME)
    except _DENIED as refused:  # of the whole batch
        outcomes = [refused] * len(ids)
    renewed = [
        replace(subscription, expires_at=outcome, renewed_at=now)
        for subscription, outcome in zip(subscriptions, outcomes, strict=True)
        if isinstance(outcome, datetime)
    ]
    await gather_limited(_save_renewal(subscription, ports) for subscription in renewed)
    done.renewed += len(renewed)
    for subscription, outcome in zip(subscriptions, outcomes, strict=True):
        if isinstance(outcome, datetime):
            continue
        if isinstance(outcome, EventGone | CalendarRefused):
            await _create(subscription.mailbox, organization, subscription, ports)
            done.recreated += 1
        elif isinstance(outcome, _DENIED):
            await _keep(subscription, outcome, ports)
        else:
            log_event(
                "subscription.failed",
                subscription_id=subscription.id or "",
                reason=type(outcome).__name__,
            )
            done.failed += 1


async def _keep(
    subscription: Subscription, refused: SchedulingError, ports: SubscriptionPorts
) -> None:
    """Schedule the next attempt to renew or delete *subscription*, which Graph *refused*."""
    log_event(
        "subscription.refused",
        object_id=subscription.mailbox.object_id,
        code=type(refused).__name__,
    )
    due_at = ports.clock.now() + _RETRY_INTERVAL
    await ports.due.put([_due_item(subscription, due_at)])


async def _create(
    mailbox: Mailbox,
    organization: Organization,
    known: Subscription | None,
    ports: SubscriptionPorts,
) -> None:
    now = ports.clock.now()
    nonce = secrets.token_urlsafe(12)
    row = _polling_row(mailbox, organization, known, nonce)
    try:
        client_state = await ports.states.create(mailbox, nonce)
        subscription_id, expires_at = await ports.graph.create(
            mailbox, client_state, now + SUBSCRIPTION_LIFETIME
        )
    except (CalendarRefused, ConsentMissing, MailboxUnusable) as refused:
        code = getattr(refused, "code", "") or type(refused).__name__
        log_event("subscription.refused", object_id=mailbox.object_id, code=code)
        await _save_and_schedule(replace(row, failure=code), ports)
        return
    try:
        await _save_and_schedule(
            replace(
                row,
                state=SubscriptionState.ACTIVE,
                id=subscription_id,
                expires_at=expires_at,
                renewed_at=now,
            ),
            ports,
        )
    except StaleRow:
        # ETag conflict: another worker created a subscription first, and that one stays.
        await ports.graph.delete(mailbox.tenant_id, subscription_id)
        return
    log_event("subscription.created", subscription_id=subscription_id)
    # Graph never reports the changes that were made before the subscription existed.
    await enqueue_mailbox_reconciliation(mailbox, organization, ports=ports)


def _polling_row(
    mailbox: Mailbox, organization: Organization, known: Subscription | None, nonce: str
) -> Subscription:
    """Return the row of a mailbox without a subscription, in place of *known*."""
    return Subscription(
        organization.id,
        mailbox,
        SubscriptionState.POLLING,
        nonce,
        version=known.version if known else "",
        last_push_at=known.last_push_at if known else None,
    )


async def _save_renewal(renewed: Subscription, ports: SubscriptionPorts) -> None:
    """Save the new expiry. After an ETag conflict the row is read again and the save repeated.

    The conflict comes from a worker that recorded a push or renewed the same subscription.
    """
    row: Subscription | None = renewed
    while row is not None and row.id == renewed.id:
        row = replace(row, expires_at=renewed.expires_at, renewed_at=renewed.renewed_at)
        try:
            await _save_and_schedule(row, ports)
        except StaleRow:
            row = await ports.subscriptions.get(renewed.mailbox)
        else:
            return


async def _save_and_schedule(subscription: Subscription, ports: SubscriptionPorts) -> None:
    await ports.subscriptions.save(subscription)
    await ports.due.put([_due_item(subscription, _next_renewal(subscription, ports))])


def _next_renewal(subscription: Subscription, ports: SubscriptionPorts) -> datetime:
    return renewal_due_at(subscription) or ports.clock.now() + _RETRY_INTERVAL


def _due_item(subscription: Subscription, due_at: datetime) -> DueItem:
    return DueItem(due_at, DueKind.RENEWAL, subscription.organization_id, subscription.mailbox)


async def upcoming_sessions(
    mailbox: Mailbox, ports: SubscriptionPorts, *, all_of_them: bool = False
) -> list[Session]:
    """Return upcoming sessions that *mailbox* organizes: those of the first page with any, or all.

    *all_of_them*: False stops at the first page that has one.
    """
    found: list[Session] = []
    cursor: str | None = None
    since = ports.clock.now() - timedelta(days=1)
    while True:
        page, cursor = await ports.sessions.list_by_mailbox(
            mailbox, since=since, until=None, after=cursor, limit=_PAGE
        )
        found += [s for s in page if _is_upcoming(s, mailbox, ports.clock.now())]
        if cursor is None or (found and not all_of_them):
            return found


def _is_upcoming(session: Session, mailbox: Mailbox, now: datetime) -> bool:
    return (
        session.organizer == mailbox
        and session.state is SessionState.SCHEDULED
        and session.span.end > now
    )
