"""One mailbox's flood, and what the others have of the queue."""

from datetime import timedelta

import pytest

from shared.errors import StoreUnavailable
from shared.ids import EventId, Mailbox, SubscriptionId
from shared.notifications.intake import IntakeResult, RawNotification, accept_notifications
from shared.notifications.model import ChangedEvent
from shared.notifications.rate_limiting import MAX_EVENTS_PER_MINUTE, NotificationLimiter
from tests.builders import a_mailbox
from tests.fakes import (
    FakeClientStates,
    FakeClock,
    InMemoryNotificationQueue,
    InMemorySubscriptions,
)


class Webhook:
    """Takes in what it is sent."""

    def __init__(self) -> None:
        self.clock, self.outbox = FakeClock(), InMemoryNotificationQueue()
        self.budget = NotificationLimiter(self.clock)
        self._states = FakeClientStates()

    async def told(
        self, mailbox: Mailbox, first: int, count: int, *, lifecycle: str | None = None
    ) -> IntakeResult:
        """Take in one delivery about *count* events."""
        state = await self._states.create(mailbox, "nonce")
        about = ((mailbox.tenant_id,), state, SubscriptionId("s"))
        notices = [
            RawNotification(*about, event=ChangedEvent(EventId(f"e{number}"), "etag"))
            for number in range(first, first + count)
        ]
        if lifecycle:
            notices.append(RawNotification(*about, lifecycle=lifecycle))
        return await accept_notifications(
            notices,
            "now",
            states=self._states,
            subscriptions=InMemorySubscriptions(),
            queue=self.outbox,
            limiter=self.budget,
        )

    @property
    def events(self) -> int:
        """Return how many events were queued one by one."""
        return sum(len(change.events) for change, _ in self.outbox.put_changes)


async def flood(webhook: Webhook, mailbox: Mailbox, deliveries: int = 30) -> int:
    return sum([(await webhook.told(mailbox, 100 * n, 100)).put_off for n in range(deliveries)])


async def test_beyond_its_budget_a_mailbox_is_read_whole_once_a_minute_later() -> None:
    webhook, loud = Webhook(), a_mailbox()
    assert await flood(webhook, loud) == 3000 - MAX_EVENTS_PER_MINUTE
    assert webhook.events == MAX_EVENTS_PER_MINUTE
    *_, (last, _) = webhook.outbox.put_changes
    assert (last.mailbox, last.events, last.lifecycle) == (loud, (), ("missed",))
    assert sum(bool(change.lifecycle) for change, _ in webhook.outbox.put_changes) == 1
    # It is seen after everything that it stands for.
    assert webhook.outbox.delays[-1] > timedelta(minutes=1)


async def test_another_mailbox_notices_nothing() -> None:
    webhook, loud, quiet = Webhook(), a_mailbox(), a_mailbox()
    await flood(webhook, loud)
    assert await webhook.told(quiet, 0, 1) == IntakeResult(1, 1)
    change, _ = webhook.outbox.put_changes[-1]
    assert (change.mailbox, webhook.outbox.delays[-1]) == (quiet, timedelta())


async def test_the_next_minute_is_a_new_one() -> None:
    webhook, loud = Webhook(), a_mailbox()
    await flood(webhook, loud)
    webhook.clock.advance(timedelta(minutes=1))
    assert (await webhook.told(loud, 0, 100)).put_off == 0
    assert await flood(webhook, loud) > 0
    assert sum(bool(change.lifecycle) for change, _ in webhook.outbox.put_changes) == 2


async def test_a_lifecycle_notification_is_never_put_off() -> None:
    webhook, loud = Webhook(), a_mailbox()
    await flood(webhook, loud)
    webhook.outbox.put_changes.clear()
    await webhook.told(loud, 0, 1, lifecycle="subscriptionRemoved")
    ((change, _),) = webhook.outbox.put_changes
    assert (change.events, change.lifecycle) == ((), ("subscriptionRemoved",))


async def test_failed_queueing_defers_nothing() -> None:
    webhook, loud = Webhook(), a_mailbox()
    await webhook.told(loud, 0, MAX_EVENTS_PER_MINUTE)
    outbox, webhook.outbox = webhook.outbox, UnavailableQueue()
    with pytest.raises(StoreUnavailable):
        await webhook.told(loud, 0, 1)
    webhook.outbox = outbox
    assert (await webhook.told(loud, 0, 1)).messages == 1


class UnavailableQueue(InMemoryNotificationQueue):
    """A queue that cannot be reached."""

    async def put(self, *_: object, **__: object) -> int:
        raise StoreUnavailable("down")
