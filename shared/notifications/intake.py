"""What the webhook does with a delivery: believe what proves itself, group it, pass it on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.ids import Mailbox, SubscriptionId
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.notifications.ports import Outbox
from shared.notifications.rate_limiting import Budget
from shared.subscriptions.ports import ClientStates


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification as it came, nothing of it believed yet."""

    tenant_id: str
    client_state: str
    subscription_id: SubscriptionId
    event: ChangedEvent | None = None
    lifecycle: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a delivery."""

    accepted: int
    dropped: int
    messages: int
    put_off: int = 0
    """Of those accepted: whose mailbox is read whole a minute later, as it says too much."""


async def take_in(
    notices: Sequence[Notice],
    received_at: str,
    *,
    states: ClientStates,
    outbox: Outbox,
    budget: Budget,
) -> Taken:
    """Queue what of *notices* proves itself by its client state, grouped by mailbox; drop the rest.

    A mailbox beyond its *budget* is queued once, to be read whole when the minute is over: then it
    costs as much as it has sessions, however many other meetings it goes on about.

    Raises:
        StoreUnavailable: nothing may be acknowledged.
    """
    grouped: dict[tuple[Mailbox, SubscriptionId], list[Notice]] = {}
    owners: dict[tuple[str, str], Mailbox | None] = {}
    for notice in notices:
        proof = (notice.tenant_id, notice.client_state)
        if proof not in owners:
            owners[proof] = await states.verify(*proof)
        if (mailbox := owners[proof]) is not None:
            grouped.setdefault((mailbox, notice.subscription_id), []).append(notice)
    changes = [_changes(*whose, said) for whose, said in grouped.items()]
    now, later = _shared_out(changes, budget)
    messages = await outbox.put(now, received_at) if now else 0
    messages += await _put_off(later, received_at, outbox, budget)
    accepted = sum(len(said) for said in grouped.values())
    put_off = sum(len(change.events) for change in later)
    return Taken(accepted, len(notices) - accepted, messages, put_off)


def _shared_out(
    changes: Sequence[MailboxChanges], budget: Budget
) -> tuple[list[MailboxChanges], list[MailboxChanges]]:
    """Return what is queued as it is, and what is beyond the budget of its mailbox."""
    now: list[MailboxChanges] = []
    later: list[MailboxChanges] = []
    for change in changes:
        if not change.events or budget.admits(change.mailbox, len(change.events)):
            now.append(change)
            continue
        later.append(replace(change, lifecycle=()))
        if change.lifecycle:
            now.append(replace(change, events=()))
    return now, later


async def _put_off(
    changes: Sequence[MailboxChanges], received_at: str, outbox: Outbox, budget: Budget
) -> int:
    """Have each mailbox read whole when the minute is over; return how many messages that took."""
    new = [change for change in changes if not budget.is_put_off(change.mailbox)]
    if not new:
        return 0  # what is queued already is seen after the minute, so after this too
    whole = [replace(change, events=(), lifecycle=("missed",)) for change in new]
    messages = await outbox.put(whole, received_at, delay=budget.rest())
    for change in new:
        budget.put_off(change.mailbox)
    return messages


def _changes(
    mailbox: Mailbox, subscription_id: SubscriptionId, said: Sequence[Notice]
) -> MailboxChanges:
    """Return what *said* comes to: each event once, as the last notice has it."""
    events: dict[str, ChangedEvent] = {}
    for notice in said:
        if notice.event is not None:
            known = events.get(notice.event.event_id)
            events[notice.event.event_id] = _stronger(known, notice.event)
    return MailboxChanges(
        mailbox,
        subscription_id,
        tuple(events.values()),
        tuple(dict.fromkeys(n.lifecycle for n in said if n.lifecycle)),
    )


def _stronger(known: ChangedEvent | None, new: ChangedEvent) -> ChangedEvent:
    """Join two notices about one event.

    Order is not kept by Graph, so of two etags neither is known to be the later: without one the
    event is read.
    """
    if known is None or known == new:
        return new
    return ChangedEvent(new.event_id, None, deleted=known.deleted or new.deleted)
