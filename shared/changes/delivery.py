"""Telling the platform what happened, in order, at least once: the change feed as webhooks.

One delivery per organization at a time, by a lease on the row that knows how far the platform has
heard. What it did not take comes again, the same batch under the same id, at growing distances and
for as long as the feed keeps it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from shared.changes.model import Change, ChangeKind
from shared.changes.ports import (
    ChangeStore,
    Delivery,
    DeliveryRefused,
    DeliveryStore,
    WebhookClient,
)
from shared.clock import Clock
from shared.errors import StaleRow
from shared.logs import log_event
from shared.organizations.model import Organization

BATCH: Final = 100
"""Changes in one message."""
_BATCHES: Final = 20
"""Messages in one run; what is more waits for the next."""
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
"""How long to wait after each failure in a row; the last one from then on."""


@dataclass(frozen=True, slots=True)
class DeliveryPorts:
    """The ports that telling the platform needs."""

    changes: ChangeStore
    deliveries: DeliveryStore
    receiver: WebhookClient
    clock: Clock


async def deliver(organization: Organization, *, ports: DeliveryPorts) -> timedelta | None:
    """Tell the platform what it has not heard of *organization*.

    Returns after what time to look again: because there is more, because the platform did not take
    it, or because somebody else is at it. None: all is told, or somebody will come anyhow.

    Raises:
        StoreUnavailable: the same again is safe.
    """
    known = await ports.deliveries.get(organization.id)
    now = ports.clock.now()
    if known.lease_until is not None and known.lease_until > now:
        return known.lease_until - now + _RETRY_SOON
    if known.retry_at is not None and known.retry_at > now + _RETRY_SOON:
        return None  # whoever failed has queued the next attempt
    try:
        return await _deliver(organization, known, ports)
    except StaleRow:
        return LEASE  # somebody else was faster


async def _deliver(
    organization: Organization, known: Delivery, ports: DeliveryPorts
) -> timedelta | None:
    clock, deliveries = ports.clock, ports.deliveries
    for _ in range(_BATCHES):
        held = replace(known, lease_until=clock.now() + LEASE)
        known = await deliveries.save(organization.id, held)
        # A batch that was refused comes again as it was: its id says so.
        found, cursor = await ports.changes.after(
            organization.id, known.cursor, known.refused or BATCH
        )
        if not found or cursor is None:
            await deliveries.save(organization.id, replace(known, lease_until=None, retry_at=None))
            return None
        said = message(organization, found, cursor, clock.now())
        try:
            await ports.receiver.send(_id(organization, known.cursor, cursor), said)
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


def message(
    organization: Organization, changes: Sequence[Change], cursor: str, now: datetime
) -> Mapping[str, Any]:
    """Return what the platform is told: JSON values, ids and states only.

    Where there is trouble, also whom the organization named for it.
    """
    data: dict[str, Any] = {
        "organization_id": organization.id,
        "changes": [{"at": _instant(change.at), **change.as_values()} for change in changes],
        "cursor": cursor,
    }
    if any(change.kind is ChangeKind.TROUBLE for change in changes):
        data["owner_address"] = organization.settings.owner_address
    return {"type": "changes", "timestamp": _instant(now), "data": data}


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _id(organization: Organization, after: str | None, until: str) -> str:
    named = f"{organization.id}\n{after}\n{until}".encode()
    return f"msg_{hashlib.sha256(named).hexdigest()[:32]}"
