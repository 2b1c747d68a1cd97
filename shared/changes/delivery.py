"""Delivers the change feed to the platform's webhook: in order, at least once.

A lease on the organization's delivery row allows one delivery at a time; the row also has the
cursor after the last delivered change. A refused batch is retried unchanged under the same id, with
growing backoff, for as long as the feed keeps its changes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from shared.changes.model import Change, ChangeKind
from shared.changes.ports import (
    ChangeStore,
    Delivery,
    DeliveryRefused,
    DeliveryStore,
    WebhookClient,
)
from shared.clock import Clock, rfc3339
from shared.errors import StaleRow
from shared.logs import log_event
from shared.organizations.model import Organization

BATCH: Final = 100
"""Changes in one message."""
_BATCHES: Final = 20
"""Messages in one run; the rest is left for the next run."""
LEASE: Final = timedelta(seconds=30)
_RETRY_SOON: Final = timedelta(seconds=1)
BACKOFF: Final = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
)
"""The wait after each consecutive failure; the last one repeats."""


@dataclass(frozen=True, slots=True)
class DeliveryPorts:
    """The ports of webhook delivery."""

    changes: ChangeStore
    deliveries: DeliveryStore
    receiver: WebhookClient
    clock: Clock


async def deliver(organization: Organization, *, ports: DeliveryPorts) -> timedelta | None:
    """Deliver the organization's pending changes to the platform's webhook.

    Returns the delay before the next run: if changes are left, if the platform refused them, or if
    another worker holds the lease. None: all changes are delivered, or a retry is queued already.

    Raises:
        StoreUnavailable: a retry is safe.
    """
    known = await ports.deliveries.get(organization.id)
    now = ports.clock.now()
    if known.lease_until is not None and known.lease_until > now:
        return known.lease_until - now + _RETRY_SOON
    if known.retry_at is not None and known.retry_at > now + _RETRY_SOON:
        return None  # the run that failed has queued the next attempt
    try:
        return await _deliver(organization, known, ports)
    except StaleRow:
        return LEASE  # ETag conflict: another worker took the lease


async def _deliver(
    organization: Organization, known: Delivery, ports: DeliveryPorts
) -> timedelta | None:
    clock, deliveries = ports.clock, ports.deliveries
    for _ in range(_BATCHES):
        held = replace(known, lease_until=clock.now() + LEASE)
        known = await deliveries.save(organization.id, held)
        # A refused batch is sent again with the same changes, because its id is the same.
        found, cursor = await ports.changes.after(
            organization.id, known.cursor, known.refused or BATCH
        )
        if not found or cursor is None:
            await deliveries.save(organization.id, replace(known, lease_until=None, retry_at=None))
            return None
        payload = message(organization, found, cursor, clock.now())
        try:
            await ports.receiver.send(_id(organization, known.cursor, cursor), payload)
        except DeliveryRefused as refused:
            return await _postpone(organization, known, len(found), refused, ports)
        last = found[-1]
        log_event(
            "webhook.delivered",
            organization_id=organization.id,
            count=len(found),
            lag_ms=max(0, round((clock.now() - last.at).total_seconds() * 1000)),
        )
        known = replace(
            known,
            cursor=cursor,
            delivered_at=clock.now(),
            failures=0,
            failing_since=None,
            retry_at=None,
            refused=0,
        )
    await deliveries.save(organization.id, replace(known, lease_until=None))
    return _RETRY_SOON


async def _postpone(
    organization: Organization,
    known: Delivery,
    count: int,
    refused: DeliveryRefused,
    ports: DeliveryPorts,
) -> timedelta:
    now = ports.clock.now()
    wait = BACKOFF[min(known.failures, len(BACKOFF) - 1)]
    log_event(
        "webhook.not_delivered",
        organization_id=organization.id,
        reason=str(refused),
        attempt=known.failures + 1,
        retry_after_ms=wait // timedelta(milliseconds=1),
    )
    failed = replace(
        known,
        lease_until=None,
        failures=known.failures + 1,
        failing_since=known.failing_since or now,
        retry_at=now + wait,
        refused=count,
    )
    await ports.deliveries.save(organization.id, failed)
    return wait


_FOR_OWNERS: Final = frozenset(
    {ChangeKind.TROUBLE, ChangeKind.SETTING_REQUESTED, ChangeKind.SETTING_APPROVED}
)


def message(
    organization: Organization, changes: Sequence[Change], cursor: str, now: datetime
) -> Mapping[str, Any]:
    """Return the message to the webhook: JSON values with ids and states only.

    If a change is one for the organization's owner, the message also has their address.
    """
    data: dict[str, Any] = {
        "organization_id": organization.id,
        "changes": [change.as_values() for change in changes],
        "cursor": cursor,
    }
    if any(change.kind in _FOR_OWNERS for change in changes):
        data["owner_address"] = organization.settings.owner_address
    return {"type": "changes", "timestamp": rfc3339(now), "data": data}


def _id(organization: Organization, after: str | None, until: str) -> str:
    named = f"{organization.id}\n{after}\n{until}".encode()
    return f"msg_{hashlib.sha256(named).hexdigest()[:32]}"
