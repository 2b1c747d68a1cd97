"""What the webhook does with a delivery: believe what proves itself, group it, pass it on."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.ids import Mailbox, SubscriptionId
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.notifications.ports import Outbox
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


async def take_in(
    notices: Sequence[Notice], received_at: str, *, states: ClientStates, outbox: Outbox
) -> Taken:
    """Queue what of *notices* proves itself by its client state, grouped by mailbox; drop the rest.

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
    messages = await outbox.put(changes, received_at) if changes else 0
    accepted = sum(len(said) for said in grouped.values())
    return Taken(accepted, len(notices) - accepted, messages)


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
