"""Parses deliveries of Graph's webhook, to which clients without a token can post.

A body costs at most a few times as much as reading the longest one, for every content: it is
measured before it is parsed, and its notifications are read one by one, as long as they are wanted.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, TypeGuard

from shared.ids import EventId, SubscriptionId
from shared.notifications.intake import RawNotification
from shared.notifications.model import ChangedEvent

MAX_NOTIFICATIONS: Final = 1_000
"""The most notifications in one delivery.

Graph publishes no limit of its own; deliveries of a hundred are known. Longer ones are refused with
413: Graph sends them again, and reconciliation finds the changes that it gives up on.
"""
MAX_BODY_BYTES: Final = 1024 * MAX_NOTIFICATIONS
"""A notification of Outlook has less than 1 KiB."""
_MAX_DELIMITERS: Final = 20 * MAX_NOTIFICATIONS
"""Commas and opening brackets: a notification of Outlook has at most 18 members in 2 objects."""
_MAX_ID_LENGTH: Final = 1_024
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID: Final = re.compile(r"[!-~]+")
_EVENT: Final = re.compile(r"[ -~]{1,64}")


def is_too_long(body: bytes) -> bool:
    """Return whether *body* has more than any delivery of Graph, without parsing it.

    Each value but the first of a list or an object follows a comma, so that the delimiters bound
    the values. Those inside of texts count as well; ids and times have few.
    """
    if len(body) > MAX_BODY_BYTES:
        return True
    return sum(map(body.count, (b",", b"{", b"["))) > _MAX_DELIMITERS


def items_of(body: bytes) -> list[object] | None:
    """Return the unverified items of a delivery; None if it is none."""
    try:
        # No number of a notification is used, and converting long ones is costly.
        items = json.loads(body, parse_int=bool, parse_float=bool)["value"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return items if isinstance(items, list) else None


def raw_notifications(items: list[object]) -> Iterator[RawNotification | None]:
    """Yield the notification in each of *items*, None for a malformed one."""
    return map(_raw_notification, items)


def _raw_notification(item: object) -> RawNotification | None:
    if not isinstance(item, dict):
        return None
    tenant_ids, state = _tenants(item), item.get("clientState")
    lifecycle = item.get("lifecycleEvent")
    subscription_id = item.get("subscriptionId") or (lifecycle and _data(item).get("id"))
    if not (_is_id(state) and len(state) <= 128 and _is_id(subscription_id)):
        return None
    proof = (tenant_ids, state, SubscriptionId(subscription_id))
    # First of all: in a lifecycle notification `resourceData` is a subscription, never an event.
    if isinstance(lifecycle, str) and _EVENT.fullmatch(lifecycle):
        return RawNotification(*proof, lifecycle=lifecycle)
    event_id, etag = _event(item)
    if event_id is None:
        return None
    deleted = item.get("changeType") == "deleted"
    return RawNotification(*proof, event=ChangedEvent(EventId(event_id), etag, deleted=deleted))


def _tenants(item: dict[str, Any]) -> tuple[str, ...]:
    """Return the tenants that *item* names; its client state proves which one is meant.

    Graph documents `tenantId`, but writes `organizationId` in lifecycle notifications.
    Source: https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/3103
    """
    named = (item.get("tenantId"), item.get("organizationId"))
    known = (name.lower() for name in named if isinstance(name, str) and _GUID.fullmatch(name))
    return tuple(dict.fromkeys(known))


def _data(item: dict[str, Any]) -> dict[str, Any]:
    data = item.get("resourceData")
    return data if isinstance(data, dict) else {}


def _event(item: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the event's id and etag from `resourceData`, else the id from `resource`."""
    data = _data(item)
    if _is_id(data.get("id")):
        etag = data.get("@odata.etag")
        return data["id"], etag if _is_id(etag) else None
    resource = item.get("resource")
    if _is_id(resource) and "/events/" in resource.lower():
        return resource.rsplit("/", 1)[1] or None, None
    return None, None


def _is_id(value: object) -> TypeGuard[str]:
    """Return whether *value* is visible ASCII, as ids are, and no longer than a long one.

    A lone surrogate would break hashing, a line break would forge a log line.
    """
    return (
        isinstance(value, str) and len(value) <= _MAX_ID_LENGTH and _ID.fullmatch(value) is not None
    )
