"""Ids, each with its own type, so that the type checker finds one passed for another."""

from dataclasses import dataclass
from typing import NewType

OrganizationId = NewType("OrganizationId", str)
"""Chosen by us when the platform creates an organization."""
PairingId = NewType("PairingId", str)
"""Chosen by the platform: letters, digits, ``.``, ``_``, ``-``; at most 64."""
SessionId = NewType("SessionId", str)
"""A UUID, derived from the pairing, its caller and the idempotency key."""
SeriesId = NewType("SeriesId", str)
"""A UUID shared by the sessions of one recurring booking."""

TenantId = NewType("TenantId", str)
"""Entra directory, a lower-case GUID."""
ObjectId = NewType("ObjectId", str)
"""A user in a directory, a lower-case GUID."""
EventId = NewType("EventId", str)
"""Graph's immutable id of an event: case-sensitive, valid in one mailbox only.

Source: https://learn.microsoft.com/graph/outlook-immutable-id
"""
ICalUid = NewType("ICalUid", str)
"""An event's id that is the same in the organizer's and every attendee's calendar."""
SubscriptionId = NewType("SubscriptionId", str)


@dataclass(frozen=True, slots=True, order=True)
class Mailbox:
    """A participant's mailbox, addressed as in Graph and in our tables."""

    tenant_id: TenantId
    object_id: ObjectId
