"""HTTP: Graph's webhook (validate, enqueue, 202). Queue: handle one message."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import azure.functions as func

from shared.logs import log_event, log_warning
from shared.tracing import traced

if TYPE_CHECKING:
    from shared.notifications.intake import RawNotification

bp = func.Blueprint()

MAX_BODY_BYTES: Final = 1024 * 1024
"""Far more than the hundred notifications in one delivery of Graph."""
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SERVER_ERROR: Final = 500
_WAIT_SECONDS: Final = 30
"""The wait of a message that Graph throttles without naming a time."""


@bp.route("graph/notifications", methods=["POST"])
async def receive_notifications(req: func.HttpRequest) -> func.HttpResponse:
    """Accept change notifications, or answer the validation handshake.

    Source: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
    """
    return await _receive(req)


@bp.route("graph/lifecycle", methods=["POST"])
async def receive_lifecycle(req: func.HttpRequest) -> func.HttpResponse:
    """Accept lifecycle notifications, or answer the validation handshake.

    Source: https://learn.microsoft.com/graph/change-notifications-lifecycle-events
    """
    return await _receive(req)


@bp.queue_trigger(arg_name="msg", queue_name="notifications", connection="STORAGE")
async def follow_outlook(msg: func.QueueMessage) -> None:
    """Handle the notifications of one message."""
    from shared.adapters.queues import trace_of

    with traced("follow_outlook", parent=trace_of(msg.get_body())):
        await _handle(msg)


async def _handle(msg: func.QueueMessage) -> None:
    from shared.adapters.queues import parse_notifications
    from shared.errors import Invalid
    from shared.notifications.handling import handle_notifications
    from shared.wiring import wiring

    try:
        changes, received_at = parse_notifications(msg.get_body())
    except Invalid:
        log_warning("notification.unreadable", queue="notifications")
        return
    adapters = wiring()
    throttled = await handle_notifications(
        changes,
        datetime.fromisoformat(received_at),
        ports=adapters.session_ports,
        subscription_ports=adapters.subscription_ports,
        organizations=adapters.organizations,
        limiter=adapters.mailbox_limiter,
        push_seen=adapters.push_seen_throttle,
    )
    for deferred in throttled:
        # A new message with the wait that Graph asked for: the host's five quick attempts would
        # all be throttled, and the message would end in the poison queue.
        wait = timedelta(seconds=deferred.retry_after_seconds or _WAIT_SECONDS)
        await adapters.notification_queue.put([deferred.changes], received_at, delay=wait)
        log_event("notification.put_back", retry_after_ms=wait // timedelta(milliseconds=1))


async def _receive(req: func.HttpRequest) -> func.HttpResponse:
    token = req.params.get("validationToken")
    if token is not None:
        # The handshake of a new subscription needs no adapter, so none is imported.
        return func.HttpResponse(
            token,
            mimetype="text/plain",
            charset="utf-8",
            headers={"x-content-type-options": "nosniff"},
        )
    with traced("take_in_notifications") as span:
        response = await _accept(req)
        span.facts["status"] = response.status_code
        span.is_ok = response.status_code < _SERVER_ERROR
    return response


async def _accept(req: func.HttpRequest) -> func.HttpResponse:
    started, body = time.perf_counter(), req.get_body()
    if len(body) > MAX_BODY_BYTES:
        # Any client can post here, and parsing a large body blocks all other requests.
        log_event("webhook.too_large", count=len(body))
        return func.HttpResponse(status_code=413)
    notices, garbage = _raw_notifications(body)
    from shared.errors import StoreUnavailable
    from shared.notifications.intake import accept_notifications
    from shared.wiring import wiring

    adapters = wiring()
    try:
        taken = await accept_notifications(
            notices,
            datetime.now(UTC).isoformat(),
            states=adapters.client_states,
            queue=adapters.notification_queue,
            limiter=adapters.notification_limiter,
        )
    except StoreUnavailable:
        log_warning("webhook.refused", count=len(notices))
        return func.HttpResponse(status_code=503, headers={"retry-after": "10"})
    log_event(
        "webhook.acknowledged",
        accepted=taken.accepted,
        dropped=taken.dropped + garbage,
        put_off=taken.put_off,
        messages=taken.messages,
        duration_ms=round((time.perf_counter() - started) * 1000),
    )
    return func.HttpResponse(status_code=202)


def _raw_notifications(body: bytes) -> "tuple[list[RawNotification], int]":
    """Parse a delivery; return its notifications and the number of malformed items."""
    try:
        items = json.loads(body)["value"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return [], 1
    if not isinstance(items, list):
        return [], 1
    notices = [notice for item in items if (notice := _raw_notification(item)) is not None]
    return notices, len(items) - len(notices)


def _raw_notification(item: object) -> "RawNotification | None":
    from shared.ids import EventId, SubscriptionId
    from shared.notifications.intake import RawNotification
    from shared.notifications.model import ChangedEvent

    if not isinstance(item, dict):
        return None
    tenant_ids, state = _tenants(item), item.get("clientState")
    lifecycle = item.get("lifecycleEvent")
    subscription_id = item.get("subscriptionId") or (lifecycle and _data(item).get("id"))
    if not (_is_plain(state) and len(state) <= 128 and _is_plain(subscription_id)):
        return None
    proof = (tenant_ids, state, SubscriptionId(subscription_id))
    # First of all: in a lifecycle notification `resourceData` is a subscription, never an event.
    if _is_plain(lifecycle):
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
    if _is_plain(data.get("id")):
        etag = data.get("@odata.etag")
        return data["id"], etag if _is_plain(etag) else None
    resource = item.get("resource")
    if _is_plain(resource) and "/events/" in resource.lower():
        return resource.rsplit("/", 1)[1] or None, None
    return None, None


def _is_plain(value: object) -> TypeGuard[str]:
    """Return whether *value* is ASCII text, as ids are; a lone surrogate would break hashing."""
    return isinstance(value, str) and value != "" and value.isascii()
