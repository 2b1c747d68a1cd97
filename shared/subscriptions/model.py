"""A subscription: Graph's promise to call us about one mailbox."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.ids import Mailbox, OrganizationId, SubscriptionId

SUBSCRIPTION_LIFETIME = timedelta(minutes=10_000)
"""What is asked for: the live service refuses more than 10,070 minutes."""
RENEWAL_INTERVAL = SUBSCRIPTION_LIFETIME / 2


class SubscriptionState(StrEnum):
    """How a mailbox is followed."""

    ACTIVE = "active"
    POLLING = "polling"
    """No subscription can be had: reconciliation alone finds what happens."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What we know of the one subscription of a mailbox."""

    organization_id: OrganizationId
    mailbox: Mailbox
    state: SubscriptionState
    nonce: str
    """Random, part of the client state that notifications must echo."""
    id: SubscriptionId | None = None
    """None while polling."""
    expires_at: datetime | None = None
    renewed_at: datetime | None = None
    last_push_at: datetime | None = None
    failure: str = ""
    """Graph's code for why there is none."""
    version: str = ""
