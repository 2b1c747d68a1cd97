"""What the webhook does with a delivery: believe what proves itself, group it, pass it on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.ids import Mailbox, SubscriptionId
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.notifications.ports import NotificationQueue
from shared.notifications.rate_limiting import NotificationLimiter
from shared.subscriptions.ports import ClientStateSigner


@dataclass(frozen=True, slots=True)
class RawNotification:
    """One notification as it came, nothing of it believed yet."""

    tenant_id: str
    client_state: str
    subscription_id: SubscriptionId
    event: ChangedEvent | None = None
    lifecycle: str | None = None


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What became of a delivery."""

    accepted: int
    dropped: int
    messages: int
    put_off: int = 0
    """Of those accepted: whose mailbox is read whole a minute later, as it says too much."""


async def accept_notifications(
    notices: Sequence[RawNotification],
    received_at: str,
    *,
    states: ClientStateSigner,
    queue: NotificationQueue,
    limiter: NotificationLimiter,
) -> IntakeResult:
    """Queue what of *notices* proves itself by its client state, grouped by mailbox; drop the rest.

    A mailbox beyond its *limiter* is queued once, to be read whole when the minute is over: then it
    costs as much as it has sessions, however many other meetings it goes on about.

    Raises:
        StoreUnavailable: nothing may be acknowledged.
    """
    grouped: dict[tuple[Mailbox, SubscriptionId], list[RawNotification]] = {}
    owners: dict[tuple[str, str], Mailbox | None] = {}
    for notice in notices:
        proof = (notice.tenant_id, notice.client_state)
        if proof not in owners:
            owners[proof] = await states.verify(*proof)
        if (mailbox := owners[proof]) is not None:
            grouped.setdefault((mailbox, notice.subscription_id), []).append(notice)
    changes = [_mailbox_changes(*whose, said) for whose, said in grouped.items()]
    now, later = _split_by_limit(changes, limiter)
    messages = await queue.put(now, received_at) if now else 0
    messages += await _postpone(later, received_at, queue, limiter)
    accepted = sum(len(said) for said in grouped.values())
    put_off = sum(len(change.events) for change in later)
    return IntakeResult(accepted, len(notices) - accepted, messages, put_off)


def _split_by_limit(
    changes: Sequence[MailboxChanges], limiter: NotificationLimiter
) -> tuple[list[MailboxChanges], list[MailboxChanges]]:
    """Return what is queued as it is, and what is beyond the budget of its mailbox."""
    now: list[MailboxChanges] = []
    later: list[MailboxChanges] = []
    for change in changes:
        if not change.events or limiter.try_acquire(change.mailbox, len(change.events)):
            now.append(change)
            continue
        later.append(replace(change, lifecycle=()))
        if change.lifecycle:
            now.append(replace(change, events=()))
    return now, later


async def _postpone(
    changes: Sequence[MailboxChanges],
    received_at: str,
    queue: NotificationQueue,
    limiter: NotificationLimiter,
) -> int:
    """Have each mailbox read whole when the minute is over; return how many messages that took."""
    new = [change for change in changes if not limiter.is_deferred(change.mailbox)]
    if not new:
        return 0  # what is queued already is seen after the minute, so after this too
    whole = [replace(change, events=(), lifecycle=("missed",)) for change in new]
    messages = await queue.put(whole, received_at, delay=limiter.time_to_reset())
    for change in new:
        limiter.defer(change.mailbox)
    return messages


def _mailbox_changes(
    mailbox: Mailbox, subscription_id: SubscriptionId, said: Sequence[RawNotification]
) -> MailboxChanges:
    """Return what *said* comes to: each event once, as the last notice has it."""
    events: dict[str, ChangedEvent] = {}
    for notice in said:
        if notice.event is not None:
            known = events.get(notice.event.event_id)
            events[notice.event.event_id] = _coalesce(known, notice.event)
    return MailboxChanges(
        mailbox,
        subscription_id,
        tuple(events.values()),
        tuple(dict.fromkeys(n.lifecycle for n in said if n.lifecycle)),
    )


def _coalesce(known: ChangedEvent | None, new: ChangedEvent) -> ChangedEvent:
    """Join two notices about one event.

    Order is not kept by Graph, so of two etags neither is known to be the later: without one the
    event is read.
    """
    if known is None or known == new:
        return new
    return ChangedEvent(new.event_id, None, deleted=known.deleted or new.deleted)
