"""Ids, each with a type of its own, so that one cannot be passed for another."""

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
"""Graph's immutable id of an event: case-sensitive, valid in one mailbox only."""
ICalUid = NewType("ICalUid", str)
"""The same in the organizer's and every attendee's calendar."""
SubscriptionId = NewType("SubscriptionId", str)


@dataclass(frozen=True, slots=True, order=True)
class Mailbox:
    """A participant's calendar, addressed as Graph and our tables do."""

    tenant_id: TenantId
    object_id: ObjectId
