"""What the queue worker does with what Graph said."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from shared.calendar_sync.sync import sync_event
from shared.concurrency import gather_limited
from shared.errors import (
    CalendarThrottled,
    ConsentMissing,
    MailboxUnusable,
    NotFound,
    StaleRow,
)
from shared.ids import Mailbox
from shared.logs import log_event
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.notifications.rate_limiting import MailboxLimiter, PushSeenThrottle
from shared.organizations.access import is_suspended
from shared.organizations.model import Organization
from shared.organizations.ports import OrganizationStore
from shared.sessions.ports import SessionPorts
from shared.subscriptions.maintenance import (
    SubscriptionPorts,
    enqueue_mailbox_reconciliation,
    ensure_subscription,
    renew_one,
)

if TYPE_CHECKING:
    from shared.sessions.model import Session
    from shared.sessions.series import Series

_MAILBOXES_AT_ONCE: Final = 4


@dataclass(slots=True)
class Unhandled:
    """What of one mailbox's changes is not handled yet, and why."""

    events: list[ChangedEvent] = field(default_factory=list)
    lifecycle: tuple[str, ...] = ()
    throttled: CalendarThrottled | None = None
    """Why they must wait."""
    failures: list[Exception] = field(default_factory=list)

    def wait(self, throttled: CalendarThrottled, *events: ChangedEvent) -> None:
        """Leave *events* for as long as asked: the longest of all that was asked."""
        self.events += events
        if self.throttled is None or _seconds(throttled) > _seconds(self.throttled):
            self.throttled = throttled


@dataclass(frozen=True, slots=True)
class DeferredChanges:
    """What must be looked at again, and in how many seconds; None: Graph did not say."""

    changes: MailboxChanges
    retry_after_seconds: float | None


async def handle_notifications(
    changes: Sequence[MailboxChanges],
    received_at: datetime,
    *,
    ports: SessionPorts,
    subscription_ports: SubscriptionPorts,
    organizations: OrganizationStore,
    limiter: MailboxLimiter,
    push_seen: PushSeenThrottle,
) -> list[DeferredChanges]:
    """Handle one message: foreign events cost a row read, ours one Graph call each.

    Safe to run twice, also at the same time. No mailbox keeps another one waiting: what Graph
    wants to be asked later about is returned, by mailbox, and what fails is told when all the rest
    is done.

    Raises:
        CalendarUnavailable, StoreUnavailable: the message is to come back whole.
    """
    tenants = dict.fromkeys(change.mailbox.tenant_id for change in changes)
    known = {tenant: await organizations.of_tenant(tenant) for tenant in tenants}
    followed = [
        (change, organization)
        for change in changes
        if (organization := known[change.mailbox.tenant_id]) and not is_suspended(organization)
    ]
    lefts = await gather_limited(
        (
            _handle(
                change, organization, received_at, ports, subscription_ports, limiter, push_seen
            )
            for change, organization in followed
        ),
        at_once=_MAILBOXES_AT_ONCE,
    )
    for left in lefts:
        if left.failures:
            raise left.failures[0]
    return [
        DeferredChanges(
            replace(change, events=tuple(left.events), lifecycle=left.lifecycle),
            left.throttled.retry_after_seconds,
        )
        for (change, _), left in zip(followed, lefts, strict=True)
        if left.throttled
    ]


async def _handle(
    change: MailboxChanges,
    organization: Organization,
    received_at: datetime,
    ports: SessionPorts,
    subscription_ports: SubscriptionPorts,
    limiter: MailboxLimiter,
    push_seen: PushSeenThrottle,
) -> Unhandled:
    """Do what can be done about one mailbox; never raises, as others are waiting."""
    left = Unhandled()
    await _sync_mailbox(change, organization, ports, limiter, left)
    try:
        await _lifecycle(change, organization, subscription_ports)
        if change.events and push_seen.allow(change.mailbox, received_at):
            await _record_push_seen(change, received_at, subscription_ports)
    except CalendarThrottled as throttled:
        left.lifecycle = change.lifecycle
        left.wait(throttled)
    except Exception as error:  # noqa: BLE001 - raised by `handle_notifications`, after the others' turn
        left.failures.append(error)
    return left


async def _sync_mailbox(
    change: MailboxChanges,
    organization: Organization,
    ports: SessionPorts,
    limiter: MailboxLimiter,
    left: Unhandled,
) -> None:
    states: Counter[str] = Counter()

    async def one(event: ChangedEvent) -> None:
        async with limiter.slot(change.mailbox, event.event_id):
            if left.throttled:
                left.events.append(event)  # asked now, it would be refused as well
                return
            try:
                states[await _sync_one(change.mailbox, event, organization, ports)] += 1
            except CalendarThrottled as throttled:
                left.wait(throttled, event)
            except Exception as error:  # noqa: BLE001 - see `_handle`
                left.failures.append(error)

    # Of one mailbox few have their turn at a time: this many need not even wait for it.
    await gather_limited(map(one, change.events))
    for state, count in states.items():
        log_event("notification.handled", state=state, count=count)


async def _sync_one(
    mailbox: Mailbox, event: ChangedEvent, organization: Organization, ports: SessionPorts
) -> str:
    """Return whose the event turned out to be: `ours`, `foreign`, or `gone`."""
    try:
        ours: Session | Series | None = await sync_event(
            mailbox,
            event.event_id,
            None if event.deleted else event.etag,
            organization,
            ports=ports,
        )
    except (ConsentMissing, MailboxUnusable, NotFound) as gone:
        log_event("notification.dropped", object_id=mailbox.object_id, reason=type(gone).__name__)
        return "gone"
    return "ours" if ours else "foreign"


async def _lifecycle(
    change: MailboxChanges, organization: Organization, subscription_ports: SubscriptionPorts
) -> None:
    for event in change.lifecycle:
        log_event("lifecycle.seen", action=event, subscription_id=change.subscription_id)
        known = await subscription_ports.subscriptions.get(change.mailbox)
        if event == "missed":
            await enqueue_mailbox_reconciliation(
                change.mailbox, organization, ports=subscription_ports
            )
        elif known is None or known.id not in {change.subscription_id, None}:
            continue  # about a subscription that was replaced meanwhile
        elif event == "subscriptionRemoved":
            # Without an id: a worker who had this message before died before it made a new one.
            await subscription_ports.subscriptions.save(replace(known, id=None, expires_at=None))
            await ensure_subscription(change.mailbox, organization, ports=subscription_ports)
        elif event == "reauthorizationRequired":
            await renew_one(known, organization, ports=subscription_ports)


async def _record_push_seen(
    change: MailboxChanges, received_at: datetime, subscription_ports: SubscriptionPorts
) -> None:
    """Remember once a minute at most, whoever handles it, that push works for this mailbox."""
    known = await subscription_ports.subscriptions.get(change.mailbox)
    if known is None or (
        known.last_push_at and (received_at - known.last_push_at).total_seconds() < 60
    ):
        return
    try:
        await subscription_ports.subscriptions.save(replace(known, last_push_at=received_at))
    except StaleRow:
        return  # somebody else noted it, or something that matters more


def _seconds(throttled: CalendarThrottled) -> float:
    return throttled.retry_after_seconds or 0.0
