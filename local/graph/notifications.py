"""Delivery of change and lifecycle notifications: batched, duplicated, late, lost, retried.

Source: https://learn.microsoft.com/graph/change-notifications-lifecycle-events
"""

import base64
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Final, Literal
from urllib.parse import urlsplit

from local.clock import CloudClock
from local.graph.errors import Json
from local.graph.mailbox import CALENDAR, Event, Mailbox
from local.graph.scheduler import VirtualScheduler
from local.graph.subscriptions import Subscription, Subscriptions
from local.graph.switches import BehaviorFlags
from local.graph.times import wall_text
from local.graph.webhooks import DeliveryResult, Webhooks

LifecycleEvent = Literal["missed", "subscriptionRemoved", "reauthorizationRequired"]

_MEASURED_OVER: Final = timedelta(minutes=10)
_FEWEST_ANSWERS: Final = 10  # below that, a share means nothing
_SLOW_SHARE: Final = 0.10
_DEAD_SHARE: Final = 0.15
_KEPT_FOR: Final = timedelta(hours=4)
_SERVER_ZONE: Final = timezone(timedelta(hours=-8))
"""The zone in which lifecycle notifications write the expiry."""


@dataclass(slots=True)
class PendingNotification:
    """One notification for one subscription."""

    subscription: Subscription
    url: str
    item: Json
    made_at: datetime
    attempts: int = 0
    was_delayed: bool = False

    @property
    def is_lifecycle(self) -> bool:
        """Whether it is about the subscription itself."""
        return "lifecycleEvent" in self.item


@dataclass(slots=True)
class DeliveryCounts:
    """The outcomes of notifications so far."""

    changes: int = 0
    """Changes with a subscription, without copies."""
    posts: int = 0
    delivered: int = 0
    """Items in answered POSTs, copies included."""
    failed: int = 0
    """Items in POSTs that failed, each time."""
    dropped: int = 0
    """Items that will never be delivered."""


@dataclass(slots=True)
class Notifier:
    """Turns changes into notifications and delivers them."""

    clock: CloudClock
    scheduler: VirtualScheduler
    switches: BehaviorFlags
    subscriptions: Subscriptions
    webhooks: Webhooks
    rng: random.Random
    tally: DeliveryCounts = field(default_factory=DeliveryCounts)
    _due: dict[datetime, list[PendingNotification]] = field(default_factory=dict)
    _kept: dict[str, list[PendingNotification]] = field(default_factory=dict)
    _answers: dict[str, deque[tuple[datetime, float]]] = field(default_factory=dict)

    def on_change(self, mailbox: Mailbox, event: Event, change: str) -> None:
        """Notify those who subscribed to *mailbox*.

        Other calendars than the default are unseen, but for the `created` of an event that was
        moved there.
        """
        was_moved = change == "created" and event.moves > 0
        if (event.master or event).calendar != CALENDAR and not was_moved:
            return
        for subscription in self.subscriptions.about(mailbox.id):
            for named, kind in self._named(event, change):
                if subscription.wants(kind):
                    self._notify(subscription, named, kind)

    def lifecycle(self, subscription: Subscription, event: LifecycleEvent) -> None:
        """Send a lifecycle notification, if there is an address for it."""
        if subscription.lifecycle_url is None:
            return
        item = self._lifecycle_item(subscription, event)
        parcel = PendingNotification(
            subscription, subscription.lifecycle_url, item, self.clock.now()
        )
        self._put_off(parcel, self.switches.notification_delay_seconds)

    def require_reauthorization(self, subscription: Subscription) -> None:
        """Send ``reauthorizationRequired`` and hold deliveries until the app reauthorizes."""
        subscription.is_paused = True
        self.lifecycle(subscription, "reauthorizationRequired")

    def resume(self, subscription: Subscription) -> None:
        """Continue delivering, kept notifications first."""
        subscription.is_paused = False
        for parcel in self._kept.pop(subscription.id, []):
            if parcel.made_at + _KEPT_FOR > self.clock.now():
                self._put_off(parcel, 0)
            else:
                self._lose(parcel)

    def end(self, subscription: Subscription, *, tell: bool) -> None:
        """Remove a subscription, with or without a lifecycle notification."""
        self.subscriptions.remove(subscription)
        if tell:
            self.lifecycle(subscription, "subscriptionRemoved")

    def endpoint_state(self, url: str) -> Literal["good", "slow", "drop"]:
        """Return the treatment of the endpoint behind *url*.

        Source: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
        """
        answers = self._answers.get(_origin(url))
        if answers is None or not self.switches.endpoint_states:
            return "good"
        while answers and answers[0][0] < self.clock.now() - _MEASURED_OVER:
            answers.popleft()
        if len(answers) < _FEWEST_ANSWERS:
            return "good"
        # The client waits no longer than the limit of a retry. Reaching it counts as "over 10 s".
        dead_after = self.switches.retry_answer_seconds * 0.98
        if sum(seconds > dead_after for _, seconds in answers) > _DEAD_SHARE * len(answers):
            return "drop"
        slow_after = self.switches.answer_seconds
        if sum(seconds > slow_after for _, seconds in answers) > _SLOW_SHARE * len(answers):
            return "slow"
        return "good"

    def _named(self, event: Event, change: str) -> list[tuple[Event, str]]:
        if event.master is None:
            return [(event, change)]
        names = self.switches.series_notifications
        named = [] if names == "master" else [(event, change)]
        return named if names == "occurrence" else [*named, (event.master, "updated")]

    def _notify(self, subscription: Subscription, event: Event, change: str) -> None:
        self.tally.changes += 1
        parcel = PendingNotification(
            subscription,
            subscription.notification_url,
            self._item(subscription, event, change),
            self.clock.now(),
        )
        if self.rng.random() < self.switches.drop_share:
            self._lose(parcel)
            return
        for copy in range(1 + self.rng.randint(0, self.switches.duplicates)):
            again = parcel if copy == 0 else replace(parcel, item={**parcel.item})
            self._finish(again)
            self._put_off(again, self._delay())

    def _item(self, subscription: Subscription, event: Event, change: str) -> Json:
        identifier = event.id(immutable=subscription.immutable_ids)
        path = f"Users/{subscription.mailbox_id}/Events/{identifier}"
        return self._envelope(subscription) | {
            "changeType": change,
            "resource": path,
            "resourceData": {
                "@odata.type": "#Microsoft.Graph.Event",
                "@odata.id": path,
                "@odata.etag": event.etag,
                "id": identifier,
            },
        }

    def _lifecycle_item(self, subscription: Subscription, event: LifecycleEvent) -> Json:
        """Write a lifecycle notification as the live service does, or as the page prints it.

        Source: https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/3103
        """
        item = self._envelope(subscription) | {"lifecycleEvent": event}
        if self.switches.lifecycle_shape == "printed":
            return item
        expiry = subscription.expires_at.astimezone(_SERVER_ZONE).replace(tzinfo=None)
        return item | {
            "subscriptionExpirationDateTime": f"{wall_text(expiry)}-08:00",
            "organizationId": item.pop("tenantId"),
            "resource": f"Subscriptions/{subscription.id}",
            "resourceChangeType": None,
            "resourceData": {
                "@odata.type": "#microsoft.graph.subscription",
                "@odata.id": f"subscriptions/{subscription.id}",
                "id": subscription.id,
            },
            "encryptedContent": None,
        }

    def _envelope(self, subscription: Subscription) -> Json:
        expiry = wall_text(subscription.expires_at.replace(tzinfo=None))
        return {
            "subscriptionId": subscription.id,
            "subscriptionExpirationDateTime": f"{expiry}+00:00",
            "clientState": subscription.client_state,
            "tenantId": subscription.tenant_id,
        }

    def _finish(self, parcel: PendingNotification) -> None:
        if not self.switches.omit_notification_id:
            parcel.item["id"] = base64.b64encode(self.rng.randbytes(10)).decode()
        if self.rng.random() < self.switches.wrong_client_state_share:
            parcel.item["clientState"] = base64.b64encode(self.rng.randbytes(24)).decode()

    def _delay(self) -> float:
        late = self.rng.random() < self.switches.late_share
        spread = self.rng.random() * self.switches.notification_spread_seconds
        usual = self.switches.notification_delay_seconds + spread
        return usual + (self.switches.late_by_seconds if late else 0)

    def _put_off(self, parcel: PendingNotification, seconds: float) -> None:
        due_at = _next_window(
            self.clock.now() + timedelta(seconds=seconds),
            self.switches.notification_window_seconds,
        )
        if due_at not in self._due:
            self._due[due_at] = []
            self.scheduler.call_at(due_at, self._send_due)
        self._due[due_at].append(parcel)

    def _send_due(self) -> None:
        now = self.clock.now()
        parcels: list[PendingNotification] = []
        for due_at in sorted(self._due):
            if due_at <= now:
                parcels += self._due.pop(due_at)
        if self.switches.reorder:
            self.rng.shuffle(parcels)
        by_url: dict[str, list[PendingNotification]] = {}
        for parcel in parcels:
            if self._may_go(parcel):
                by_url.setdefault(parcel.url, []).append(parcel)
        for url, ready in by_url.items():
            for batch in _batches(ready, self.switches.notification_batch):
                self.scheduler.create_task(self._post(url, batch))

    def _may_go(self, parcel: PendingNotification) -> bool:
        subscription = parcel.subscription
        if parcel.is_lifecycle:
            return True
        if self.subscriptions.find(subscription.id) is None:
            self.tally.dropped += 1
            return False
        if subscription.is_paused:
            if self.switches.keep_while_paused:
                self._kept.setdefault(subscription.id, []).append(parcel)
            else:
                self.tally.dropped += 1
            return False
        state = self.endpoint_state(parcel.url)
        if state == "drop":
            self._lose(parcel)
            return False
        if state == "slow" and not parcel.was_delayed:
            parcel.was_delayed = True
            self._put_off(parcel, _MEASURED_OVER.total_seconds())
            return False
        return True

    async def _post(self, url: str, parcels: list[PendingNotification]) -> None:
        self.tally.posts += 1
        items = [parcel.item for parcel in parcels]
        limit = self.switches.retry_answer_seconds
        answer = await self.webhooks.deliver(url, items, limit)
        self._answers.setdefault(_origin(url), deque(maxlen=10_000)).append(
            (self.clock.now(), answer.seconds)
        )
        for parcel in parcels:
            self._after(parcel, answer)

    def _after(self, parcel: PendingNotification, answer: DeliveryResult) -> None:
        switches = self.switches
        limit = switches.retry_answer_seconds if parcel.attempts else switches.answer_seconds
        if parcel.is_lifecycle and parcel.item["lifecycleEvent"] == "missed":
            parcel.subscription.missed_is_due = False
        if answer.is_success and answer.seconds <= limit:
            self.tally.delivered += 1
            return
        self.tally.failed += 1
        parcel.attempts += 1
        pause = switches.retry_first_seconds * 2 ** (parcel.attempts - 1)
        ends_at = parcel.made_at + timedelta(seconds=switches.retry_for_seconds)
        if self.clock.now() + timedelta(seconds=pause) > ends_at:
            self._lose(parcel)
        else:
            self._put_off(parcel, pause)

    def _lose(self, parcel: PendingNotification) -> None:
        self.tally.dropped += 1
        subscription = parcel.subscription
        if parcel.is_lifecycle or not self.switches.tell_missed or subscription.missed_is_due:
            return
        if subscription.lifecycle_url:
            subscription.missed_is_due = True
            self.lifecycle(subscription, "missed")


def _next_window(at: datetime, window_seconds: float) -> datetime:
    if window_seconds <= 0:
        return at
    seconds = at.timestamp()
    return at + timedelta(seconds=-seconds % window_seconds)


def _batches(parcels: list[PendingNotification], size: int) -> Iterable[list[PendingNotification]]:
    # One POST may mix changes and lifecycle notifications, where both have the same address.
    for first in range(0, len(parcels), max(size, 1)):
        yield parcels[first : first + max(size, 1)]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
