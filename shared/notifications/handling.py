"""Handles notifications in the queue worker: reads the changed events, follows lifecycle events."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

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

_MAILBOXES_AT_ONCE: Final = 4


@dataclass(slots=True)
class Unhandled:
    """The changes of one mailbox that are not handled yet, and the reason."""

    events: list[ChangedEvent] = field(default_factory=list)
    lifecycle: tuple[str, ...] = ()
    throttled: CalendarThrottled | None = None
    """The throttling error with the longest wait; None: Graph did not throttle."""
    failures: list[Exception] = field(default_factory=list)

    def wait(self, throttled: CalendarThrottled, *events: ChangedEvent) -> None:
        """Leave *events* for later; keep the longest wait that Graph asked for."""
        self.events += events
        if self.throttled is None or _seconds(throttled) > _seconds(self.throttled):
            self.throttled = throttled


@dataclass(frozen=True, slots=True)
class DeferredChanges:
    """Changes to handle again after *retry_after_seconds*; None: Graph named no wait."""

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
    """Handle one message: a foreign event costs one row read, an event of ours one Graph call.

    Idempotent, also for two workers at the same time. No mailbox blocks another one: the changes
    that Graph throttles are returned by mailbox, and the first failure is raised only after every
    mailbox was handled.

    Raises:
        CalendarUnavailable, StoreUnavailable: the host delivers the whole message again.
    """
    tenants = dict.fromkeys(change.mailbox.tenant_id for change in changes)
    known = {tenant: await organizations.of_tenant(tenant) for tenant in tenants}
    followed = [
        (change, organization)
        for change in changes
        if (organization := known[change.mailbox.tenant_id]) and not is_suspended(organization)
    ]
    unhandled = await gather_limited(
        (
            _handle_mailbox(
                change, organization, received_at, ports, subscription_ports, limiter, push_seen
            )
            for change, organization in followed
        ),
        at_once=_MAILBOXES_AT_ONCE,
    )
    for left in unhandled:
        if left.failures:
            raise left.failures[0]
    return _deferred([change for change, _ in followed], unhandled)


def _deferred(
    changes: Sequence[MailboxChanges], unhandled: Sequence[Unhandled]
) -> list[DeferredChanges]:
    """Return the throttled changes by mailbox, with the wait that Graph asked for."""
    return [
        DeferredChanges(
            replace(change, events=tuple(left.events), lifecycle=left.lifecycle),
            left.throttled.retry_after_seconds,
        )
        for change, left in zip(changes, unhandled, strict=True)
        if left.throttled
    ]


async def _handle_mailbox(
    change: MailboxChanges,
    organization: Organization,
    received_at: datetime,
    ports: SessionPorts,
    subscription_ports: SubscriptionPorts,
    limiter: MailboxLimiter,
    push_seen: PushSeenThrottle,
) -> Unhandled:
    """Handle one mailbox. Collects its errors instead of raising, so that the others go on."""
    left, states = Unhandled(), Counter[str]()
    # The limiter lets only a few events of one mailbox through, so more tasks would only wait.
    await gather_limited(
        _sync_one(change.mailbox, event, organization, ports, limiter, left, states)
        for event in change.events
    )
    for state, count in states.items():
        log_event("notification.handled", state=state, count=count)
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


async def _sync_one(
    mailbox: Mailbox,
    event: ChangedEvent,
    organization: Organization,
    ports: SessionPorts,
    limiter: MailboxLimiter,
    left: Unhandled,
    states: Counter[str],
) -> None:
    """Read the event into its session; count it in *states* as `ours`, `foreign` or `gone`."""
    async with limiter.slot(mailbox, event.event_id):
        if left.throttled:
            left.events.append(event)  # Graph would throttle this read as well
            return
        etag = None if event.deleted else event.etag
        try:
            ours = await sync_event(mailbox, event.event_id, etag, organization, ports=ports)
        except (ConsentMissing, MailboxUnusable, NotFound) as gone:
            reason = type(gone).__name__
            log_event("notification.dropped", object_id=mailbox.object_id, reason=reason)
            states["gone"] += 1
        except CalendarThrottled as throttled:
            left.wait(throttled, event)
        except Exception as error:  # noqa: BLE001 - see `_handle_mailbox`
            left.failures.append(error)
        else:
            states["ours" if ours else "foreign"] += 1


async def _lifecycle(
    change: MailboxChanges, organization: Organization, subscription_ports: SubscriptionPorts
) -> None:
    for event in change.lifecycle:
        log_event("lifecycle.seen", action=event, subscription_id=change.subscription_id)
        known = await subscription_ports.subscriptions.get(change.mailbox)
        # Otherwise the notification is about a subscription that was replaced since.
        is_present = known is not None and known.id in {change.subscription_id, None}
        kind = event.lower()
        if kind == "subscriptionremoved":
            if known is not None and is_present:
                # `known.id is None`: an earlier delivery of this message crashed after it cleared
                # the id and before it created the new subscription.
                cleared = replace(known, id=None, expires_at=None)
                await subscription_ports.subscriptions.save(cleared)
                await ensure_subscription(change.mailbox, organization, ports=subscription_ports)
            continue
        if kind == "reauthorizationrequired" and known is not None and is_present:
            await renew_one(known, organization, ports=subscription_ports)
        # `missed`: Graph lost notifications. Until a reauthorization it delivers none, and keeps
        # none. An event that is new to this app may mean the same.
        await enqueue_mailbox_reconciliation(change.mailbox, organization, ports=subscription_ports)


async def _record_push_seen(
    change: MailboxChanges, received_at: datetime, subscription_ports: SubscriptionPorts
) -> None:
    """Record that push works for this mailbox, at most once a minute over all workers."""
    known = await subscription_ports.subscriptions.get(change.mailbox)
    if known is None or (
        known.last_push_at and (received_at - known.last_push_at).total_seconds() < 60
    ):
        return
    try:
        await subscription_ports.subscriptions.save(replace(known, last_push_at=received_at))
    except StaleRow:
        return  # ETag conflict: another worker recorded this push, or changed the subscription


def _seconds(throttled: CalendarThrottled) -> float:
    return throttled.retry_after_seconds or 0.0
