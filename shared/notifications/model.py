"""Change notifications of Graph, reduced to what the worker needs."""

from dataclasses import dataclass

from shared.ids import EventId, Mailbox, SubscriptionId


@dataclass(frozen=True, slots=True)
class ChangedEvent:
    """An event that changed. A notification is only a hint; the worker reads the event."""

    event_id: EventId
    etag: str | None
    """The event's etag after the change, where the notification has it."""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class MailboxChanges:
    """The notifications of one delivery about one mailbox, verified by their client state."""

    mailbox: Mailbox
    subscription_id: SubscriptionId
    events: tuple[ChangedEvent, ...] = ()
    lifecycle: tuple[str, ...] = ()
    """`missed`, `subscriptionRemoved`, `reauthorizationRequired`.

    Source: https://learn.microsoft.com/graph/change-notifications-lifecycle-events
    """
