"""What Graph says has happened, as little of it as is needed."""

from dataclasses import dataclass

from shared.ids import EventId, Mailbox, SubscriptionId


@dataclass(frozen=True, slots=True)
class ChangedEvent:
    """An event that Graph says changed: push is only a hint, so this is all."""

    event_id: EventId
    etag: str | None
    """The event's etag after the change, where the notification has it."""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class MailboxChanges:
    """What one delivery says about one mailbox. Proven by its client state."""

    mailbox: Mailbox
    subscription_id: SubscriptionId
    events: tuple[ChangedEvent, ...] = ()
    lifecycle: tuple[str, ...] = ()
    """`missed`, `subscriptionRemoved`, `reauthorizationRequired`."""
