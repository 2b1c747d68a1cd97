"""Subscriptions: the webhook of each mailbox, and its expiry.

Source: https://learn.microsoft.com/graph/api/resources/subscription
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from local.clock import CloudClock
from local.graph.errors import GraphError, Json, bad_request
from local.graph.times import parse_instant, wall_text

LONGEST_CLIENT_STATE: Final = 128
PER_MAILBOX: Final = 1000
SHORTEST: Final = timedelta(minutes=45)
_CHANGE_TYPES: Final = {"created", "updated", "deleted"}
_RESOURCE: Final = re.compile(
    r"/?(?:(?P<me>me)|users(?:/(?P<user>[^/?()]+)|\('(?P<quoted>[^']+)'\)))/(?:calendar/)?events/?",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Subscription:
    """Graph's promise to notify."""

    id: str
    tenant_id: str
    app_id: str
    creator_id: str
    is_app_only: bool
    mailbox_id: str
    resource: str
    change_type: str
    notification_url: str
    lifecycle_url: str | None
    client_state: str | None
    expires_at: datetime
    immutable_ids: bool
    tls_version: str = "v1_2"
    is_paused: bool = False
    """Waits for a PATCH or reauthorize; notifications are kept for 4 hours meanwhile."""
    missed_is_due: bool = False
    """A ``missed`` notification is already queued."""

    def wants(self, change: str) -> bool:
        """Whether it covers this type of change."""
        return change in {kind.strip().lower() for kind in self.change_type.split(",")}

    def as_json(self, *, with_client_state: bool = True) -> Json:
        """Write it as Graph does."""
        return {
            "id": self.id,
            "resource": self.resource,
            "applicationId": self.app_id,
            "changeType": self.change_type,
            "clientState": self.client_state if with_client_state else None,
            "notificationUrl": self.notification_url,
            "notificationQueryOptions": None,
            "lifecycleNotificationUrl": self.lifecycle_url,
            "expirationDateTime": f"{wall_text(self.expires_at.replace(tzinfo=None))}Z",
            "creatorId": self.creator_id,
            "includeResourceData": None,
            "latestSupportedTlsVersion": self.tls_version,
            "encryptionCertificate": None,
            "encryptionCertificateId": None,
            "notificationUrlAppId": None,
        }


@dataclass(slots=True)
class Subscriptions:
    """The live subscriptions. An expired one is gone for every caller."""

    clock: CloudClock
    _by_id: dict[str, Subscription] = field(default_factory=dict)
    _of_mailbox: dict[str, dict[str, None]] = field(default_factory=dict)
    """Ids per mailbox, in order."""

    def add(self, subscription: Subscription) -> None:
        """Add a subscription."""
        self._by_id[subscription.id] = subscription
        self._of_mailbox.setdefault(subscription.mailbox_id, {})[subscription.id] = None

    def find(self, identifier: str) -> Subscription | None:
        """Return a live subscription."""
        found = self._by_id.get(identifier)
        return found if found and found.expires_at > self.clock.now() else None

    def expired(self, identifier: str) -> Subscription | None:
        """Return an expired subscription that is still stored."""
        found = self._by_id.get(identifier)
        return found if found and found.expires_at <= self.clock.now() else None

    def remove(self, subscription: Subscription) -> None:
        """Remove it."""
        self._by_id.pop(subscription.id, None)
        self._of_mailbox.get(subscription.mailbox_id, {}).pop(subscription.id, None)

    def about(self, mailbox_id: str) -> list[Subscription]:
        """Return those of one mailbox, oldest first."""
        known = [self.find(one) for one in self._of_mailbox.get(mailbox_id, ())]
        return [one for one in known if one]

    def all(self) -> Iterator[Subscription]:
        """Yield all live subscriptions, oldest first."""
        now = self.clock.now()
        return (one for one in list(self._by_id.values()) if one.expires_at > now)


def new_subscription_id() -> str:
    """Return a fresh id."""
    return str(uuid.uuid4())


def resource_owner(resource: object) -> str | None:
    """Return the user in *resource*: an id or address, None for ``me``.

    Raises:
        GraphError: 400 for anything but events of a mailbox.
    """
    match = _RESOURCE.fullmatch(resource) if isinstance(resource, str) else None
    if not match:
        raise _invalid(f"Resource '{resource}' is malformed, or not simulated here.")
    return None if match["me"] else match["user"] or match["quoted"]


def checked_change_type(value: object) -> str:
    """Return the comma list of change types. GraphError 400 for others, or none."""
    kinds = [kind.strip() for kind in str(value or "").split(",") if kind.strip()]
    if not kinds or any(kind.lower() not in _CHANGE_TYPES for kind in kinds):
        raise _invalid("changeType must be a list of created, updated, deleted.")
    return ",".join(kinds)


def checked_expiry(value: object, now: datetime, longest_minutes: int) -> datetime:
    """Return the expiry, raised to the shortest life where needed.

    Raises:
        GraphError: 400 for the past, 400 ``ExtensionError`` for too far ahead.
    """
    if not isinstance(value, str):
        raise _invalid("expirationDateTime is required.")
    expires_at = parse_instant(value, "expirationDateTime")
    if expires_at <= now:
        raise _invalid("Subscription expiration must be in the future.")
    if expires_at > now + timedelta(minutes=longest_minutes):
        raise GraphError(
            400,
            "ExtensionError",
            f"Subscription expiration can only be {longest_minutes} minutes in the future.",
        )
    return max(expires_at, now + SHORTEST)


def checked_url(value: object, name: str, *, http_too: bool) -> str:
    """Return a webhook's address. GraphError 400 unless it is https."""
    schemes = ("https://", "http://") if http_too else ("https://",)
    if not isinstance(value, str) or not value.lower().startswith(schemes):
        raise _invalid(f"{name} must be an https address.")
    return value


def checked_client_state(value: object) -> str | None:
    """Return the clientState. GraphError 400 if it is too long."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > LONGEST_CLIENT_STATE:
        raise _invalid(f"clientState has at most {LONGEST_CLIENT_STATE} characters.")
    return value


def extension_error(status: int, reason: str, said: str) -> GraphError:
    """Return Outlook's refusal behind the subscription service; only its message has the reason."""
    return GraphError(
        status,
        "ExtensionError",
        f"Operation: Create; Exception: [Status Code: {said}; Reason: {reason}]",
    )


def _invalid(message: str) -> GraphError:
    return bad_request(message, code="InvalidRequest")
