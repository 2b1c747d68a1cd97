"""HTTP: Graph's webhook (validate, enqueue, 202). Queue: handle one message."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import azure.functions as func

from functions._background import background
from shared.logs import log_event, log_warning
from shared.tracing import traced

bp = func.Blueprint()

_ACCEPT_SECONDS: Final = 10.0
"""How long a delivery is worked on. Graph waits for three seconds, at a retry for ten.

Source: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
"""
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

    async with background("follow_outlook", parent=trace_of(msg.get_body())):
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
    from functions._deliveries import is_too_long, items_of, raw_notifications
    from shared.errors import Misconfigured, StoreUnavailable
    from shared.notifications.intake import accept_notifications
    from shared.wiring import wiring

    started, body = time.perf_counter(), req.get_body()
    if is_too_long(body):
        # Any client can post here, and parsing a large body blocks all other requests.
        log_event("webhook.too_large", count=len(body))
        return func.HttpResponse(status_code=413)
    items = items_of(body)
    try:
        adapters = wiring()
        async with asyncio.timeout(_ACCEPT_SECONDS):
            taken = await accept_notifications(
                raw_notifications(items or []),
                datetime.now(UTC).isoformat(),
                states=adapters.client_states,
                subscriptions=adapters.subscriptions,
                queue=adapters.notification_queue,
                limiter=adapters.notification_limiter,
            )
    except (StoreUnavailable, Misconfigured, TimeoutError):
        log_warning("webhook.refused", count=len(items or []))
        return func.HttpResponse(status_code=503, headers={"retry-after": "10"})
    log_event(
        "webhook.acknowledged",
        accepted=taken.accepted,
        dropped=1 if items is None else len(items) - taken.accepted,
        put_off=taken.put_off,
        messages=taken.messages,
        duration_ms=round((time.perf_counter() - started) * 1000),
    )
    return func.HttpResponse(status_code=202)
