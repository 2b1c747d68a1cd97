"""Webhook intake: verifies client states, groups notifications by mailbox, enqueues them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared.ids import Mailbox, SubscriptionId
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.notifications.ports import NotificationQueue
from shared.notifications.rate_limiting import NotificationLimiter
from shared.subscriptions.model import Subscription, nonce_of
from shared.subscriptions.ports import ClientStateSigner, SubscriptionStore

MAX_UNPROVEN: Final = 50
"""Notifications without a proof after which the rest of a delivery is dropped unseen.

Graph sends back the client state that it was given. So a delivery with so many others is not
Graph's, and checking a signature costs more than sending one.
"""


@dataclass(frozen=True, slots=True)
class RawNotification:
    """One notification as it was received, not verified yet."""

    tenant_ids: tuple[str, ...]
    """The tenants that it names; the client state proves at most one of them."""
    client_state: str
    subscription_id: SubscriptionId
    event: ChangedEvent | None = None
    lifecycle: str | None = None


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """The counts of one delivery."""

    accepted: int
    messages: int
    put_off: int = 0
    """The accepted ones of mailboxes over their limit, which are read as a whole a minute later."""


async def accept_notifications(
    notices: Iterable[RawNotification | None],
    received_at: str,
    *,
    states: ClientStateSigner,
    subscriptions: SubscriptionStore,
    queue: NotificationQueue,
    limiter: NotificationLimiter,
) -> IntakeResult:
    """Queue the *notices* with a valid client state, grouped by mailbox; drop the others.

    *notices*: None for a malformed one. They are taken one by one, up to `MAX_UNPROVEN`.

    A mailbox over the limit of *limiter* is queued once, to be reconciled as a whole when the
    minute is over. That costs one read per session, however many other events changed.

    Raises:
        StoreUnavailable: the webhook must not acknowledge the delivery.
    """
    grouped = await _by_mailbox(notices, states, subscriptions)
    changes = [_mailbox_changes(*source, group) for source, group in grouped.items()]
    now, later = _split_by_limit(changes, limiter)
    messages = await queue.put(now, received_at) if now else 0
    messages += await _postpone(later, received_at, queue, limiter)
    accepted = sum(len(group) for group in grouped.values())
    put_off = sum(len(change.events) for change in later)
    return IntakeResult(accepted, messages, put_off)


async def _by_mailbox(
    notices: Iterable[RawNotification | None],
    states: ClientStateSigner,
    subscriptions: SubscriptionStore,
) -> dict[tuple[Mailbox, SubscriptionId], list[RawNotification]]:
    """Return the *notices* that are proven, by mailbox and subscription."""
    grouped: dict[tuple[Mailbox, SubscriptionId], list[RawNotification]] = {}
    proofs = _Proofs(states, subscriptions)
    unproven = 0
    for notice in notices:
        mailbox = None if notice is None else await proofs.owner(notice)
        if notice is not None and mailbox is not None:
            grouped.setdefault((mailbox, notice.subscription_id), []).append(notice)
            continue
        unproven += 1
        if unproven >= MAX_UNPROVEN:
            break
    return grouped


class _Proofs:
    """The proofs of one delivery. A client state belongs to one subscription, and is checked once.

    Graph names a subscription only after it was given the client state, so no signature can cover
    its id. Our row has both.
    """

    def __init__(self, states: ClientStateSigner, subscriptions: SubscriptionStore) -> None:
        self._states = states
        self._subscriptions = subscriptions
        self._owners: dict[tuple[tuple[str, ...], str], tuple[Mailbox | None, SubscriptionId]] = {}
        self._rows: dict[Mailbox, Subscription | None] = {}

    async def owner(self, notice: RawNotification) -> Mailbox | None:
        """Return the mailbox that *notice* is about, None if it does not prove one."""
        proof = (notice.tenant_ids, notice.client_state)
        if proof not in self._owners:
            found = await _owner(notice, self._states)
            self._owners[proof] = (found, notice.subscription_id)
        mailbox, subscription_id = self._owners[proof]
        if mailbox is None or notice.subscription_id != subscription_id:
            return None
        if notice.lifecycle and not await self._is_of_subscription(notice, mailbox):
            return None
        return mailbox

    async def _is_of_subscription(self, notice: RawNotification, mailbox: Mailbox) -> bool:
        """Return whether a lifecycle notification has its own subscription's client state.

        It ends or renews the subscription that it names, and is rare. A change is a hint to read an
        event, and costs no read of a row.
        """
        if mailbox not in self._rows:
            self._rows[mailbox] = await self._subscriptions.get(mailbox)
        row = self._rows[mailbox]
        if row is None or row.id is None:
            return True
        is_its_id = row.id.lower() == notice.subscription_id.lower()
        return is_its_id == (nonce_of(notice.client_state) == row.nonce)


def _split_by_limit(
    changes: Sequence[MailboxChanges], limiter: NotificationLimiter
) -> tuple[list[MailboxChanges], list[MailboxChanges]]:
    """Return (changes to queue now, changes over the limit of their mailbox)."""
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
    """Queue each mailbox to be read as a whole when the minute is over; return the messages."""
    new = [change for change in changes if not limiter.is_deferred(change.mailbox)]
    if not new:
        return 0  # the message that is queued already is handled after these changes as well
    whole = [replace(change, events=(), lifecycle=("missed",)) for change in new]
    messages = await queue.put(whole, received_at, delay=limiter.time_to_reset())
    for change in new:
        limiter.defer(change.mailbox)
    return messages


async def _owner(notice: RawNotification, states: ClientStateSigner) -> Mailbox | None:
    """Return the mailbox that the client state proves, in one of the tenants it came with."""
    for tenant_id in notice.tenant_ids:
        if mailbox := await states.verify(tenant_id, notice.client_state):
            return mailbox
    return None


def _mailbox_changes(
    mailbox: Mailbox, subscription_id: SubscriptionId, notices: Sequence[RawNotification]
) -> MailboxChanges:
    """Combine the *notices* about one mailbox: each event once."""
    events: dict[str, ChangedEvent] = {}
    for notice in notices:
        if notice.event is not None:
            known = events.get(notice.event.event_id)
            events[notice.event.event_id] = _coalesce(known, notice.event)
    return MailboxChanges(
        mailbox,
        subscription_id,
        tuple(events.values()),
        tuple(dict.fromkeys(n.lifecycle for n in notices if n.lifecycle)),
    )


def _coalesce(known: ChangedEvent | None, new: ChangedEvent) -> ChangedEvent:
    """Combine two notices about one event.

    Graph does not keep the order, so it is unknown which of two etags is the later one. The result
    has no etag, so the worker reads the event.
    """
    if known is None or known == new:
        return new
    return ChangedEvent(new.event_id, None, deleted=known.deleted or new.deleted)
