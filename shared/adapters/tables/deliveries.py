"""Stores the delivery state of each organization, in the partition of its change feed."""

from dataclasses import replace
from datetime import datetime

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Tables
from shared.adapters.tables.keys import CHANGES
from shared.adapters.tables.values import instant, moment, present
from shared.changes.ports import Delivery
from shared.ids import OrganizationId


class TableDeliveries:
    """Implements `DeliveryStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, organization_id: OrganizationId) -> Delivery:
        """Return the organization's delivery state, or a new one."""
        row = await self._tables.get(CHANGES, keys.delivery(organization_id))
        if row is None:
            return Delivery()
        values = row.values
        return Delivery(
            cursor=values.get("cursor"),
            delivered_at=_moment(values.get("delivered_at")),
            lease_until=_moment(values.get("busy_until")),
            failures=int(values["failures"]),
            failing_since=_moment(values.get("failing_since")),
            retry_at=_moment(values.get("retry_at")),
            refused=int(values["refused"]),
            version=row.etag,
        )

    async def save(self, organization_id: OrganizationId, delivery: Delivery) -> Delivery:
        """Insert it (empty version) or replace its version. Raises StaleRow on a conflict."""
        values = present(
            {
                "cursor": delivery.cursor,
                "delivered_at": _text(delivery.delivered_at),
                "busy_until": _text(delivery.lease_until),
                "failures": delivery.failures,
                "failing_since": _text(delivery.failing_since),
                "retry_at": _text(delivery.retry_at),
                "refused": delivery.refused,
            }
        )
        change = Put(keys.delivery(organization_id), values, delivery.version or None)
        return replace(delivery, version=await self._tables.put(CHANGES, change))


def _text(at: datetime | None) -> str | None:
    return instant(at) if at else None


def _moment(text: str | None) -> datetime | None:
    return moment(text) if text else None
