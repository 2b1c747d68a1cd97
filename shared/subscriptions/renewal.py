"""Decides which subscriptions to renew, recreate or remove. Pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.ids import Mailbox
from shared.subscriptions.model import RENEWAL_INTERVAL, Subscription, SubscriptionState


@dataclass(frozen=True, slots=True)
class RenewalPlan:
    """The subscriptions by action, each once."""

    renew: tuple[Subscription, ...]
    """Half of their life is over."""
    recreate: tuple[Subscription, ...]
    """Expired, or refused so far: the next attempt may succeed."""
    remove: tuple[Subscription, ...]
    """No longer needed: their organizer has no upcoming session."""
    keep: tuple[Subscription, ...]
    """Not due yet: the due item came early, as after a restore."""


def plan_renewals(
    subscriptions: Iterable[Subscription], needed: Mapping[Mailbox, bool], now: datetime
) -> RenewalPlan:
    """Plan the actions at *now*. *needed*: whether a mailbox organizes an upcoming session."""
    unique = {s.mailbox: s for s in subscriptions}.values()
    wanted = [s for s in unique if needed.get(s.mailbox, False)]
    return RenewalPlan(
        renew=tuple(s for s in wanted if is_alive(s, now) and _is_due(s, now)),
        recreate=tuple(s for s in wanted if not is_alive(s, now)),
        remove=tuple(s for s in unique if not needed.get(s.mailbox, False)),
        keep=tuple(s for s in wanted if is_alive(s, now) and not _is_due(s, now)),
    )


def renewal_due_at(subscription: Subscription) -> datetime | None:
    """Return when *subscription* reaches half of its life; None while polling."""
    if subscription.expires_at is None:
        return None
    return subscription.expires_at - RENEWAL_INTERVAL


def is_alive(subscription: Subscription, now: datetime) -> bool:
    """Return whether *subscription* is active and unexpired at *now*."""
    return (
        subscription.state is SubscriptionState.ACTIVE
        and subscription.expires_at is not None
        and subscription.expires_at > now
    )


def _is_due(subscription: Subscription, now: datetime) -> bool:
    due_at = renewal_due_at(subscription)
    return due_at is not None and due_at <= now
