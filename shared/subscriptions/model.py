"""A subscription: Graph notifies our webhook about the events of one mailbox until it expires."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.ids import Mailbox, OrganizationId, SubscriptionId

SUBSCRIPTION_LIFETIME = timedelta(minutes=10_000)
"""The requested life: the live service refuses more than 10,070 minutes.

Documented are 10,080 minutes. Source: https://learn.microsoft.com/graph/api/resources/subscription
"""
RENEWAL_INTERVAL = SUBSCRIPTION_LIFETIME / 2


class SubscriptionState(StrEnum):
    """How a mailbox is followed."""

    ACTIVE = "active"
    POLLING = "polling"
    """Graph refuses a subscription: reconciliation alone finds the changes."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The state of the one subscription of a mailbox."""

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
    """Graph's error code, if it refused the subscription."""
    version: str = ""


def nonce_of(client_state: str) -> str:
    """Return the nonce in a client state of ours, ``v1.{object id}.{nonce}.{mac}``."""
    return client_state.split(".")[2]
