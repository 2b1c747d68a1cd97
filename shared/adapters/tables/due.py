"""Stores due items, in partitions by kind and hour.

The timer reads the past hours and the past part of the current hour, and no future item.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any, Final

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Remove, Row, Tables, Write, transactions
from shared.adapters.tables.keys import DUE
from shared.adapters.tables.values import instant, moment, present
from shared.errors import StaleRow
from shared.ids import Mailbox, ObjectId, OrganizationId, TenantId
from shared.jobs import DueItem, DueKind

_PAGE: Final = 1_000


class TableDue:
    """Implements `DueStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def put(self, items: Iterable[DueItem]) -> None:
        """Write *items*. Idempotent: equal items have the same key."""
        by_key = {keys.due(item): item for item in items}
        changes = [Put(key, _values(item), force=True) for key, item in by_key.items()]
        for transaction in transactions(changes):
            await self._tables.transact(DUE, transaction)

    async def due(
        self, kind: DueKind, now: datetime, *, page: int = 100
    ) -> AsyncIterator[list[DueItem]]:
        """Yield the items of *kind* that are due at *now*, earliest first, in pages."""
        bounds = keys.due_until(kind, now)
        # Two queries, because one query over several partitions would scan all of the last one.
        for query in (
            "PartitionKey gt @first and PartitionKey lt @bucket",
            "PartitionKey eq @bucket and RowKey lt @before",
        ):
            async for rows in self._tables.pages(DUE, query, bounds._asdict(), size=page):
                yield [_item(kind, row) for row in rows]

    async def remove(self, items: Iterable[DueItem]) -> None:
        """Remove *items*. Idempotent: absent items are no error."""
        removals = [Remove(key) for key in dict.fromkeys(map(keys.due, items))]
        for transaction in transactions(removals):
            await self._remove(transaction)

    async def of_organization(
        self, organization_id: OrganizationId
    ) -> AsyncIterator[list[DueItem]]:
        """Yield all items of an organization, in pages.

        The service scans the whole table: items lie by time. Only offboarding does this.
        """
        query = "organization_id eq @organization"
        parameters = {"organization": organization_id}
        async for rows in self._tables.pages(DUE, query, parameters, size=_PAGE):
            yield [_item(keys.kind_of_due(row.key), row) for row in rows]

    async def oldest(self, kind: DueKind) -> DueItem | None:
        """Return the earliest item of *kind*, due or not."""
        rows = await self._tables.first(
            DUE,
            "PartitionKey gt @first and PartitionKey lt @last",
            keys.due_kind(kind)._asdict(),
            1,
        )
        return _item(kind, rows[0]) if rows else None

    async def _remove(self, removals: list[Write]) -> None:
        try:
            await self._tables.transact(DUE, removals)
        except StaleRow:
            # One absent row fails the whole transaction, so each row is removed by itself.
            for removal in removals:
                await self._tables.remove(DUE, removal.key)


def _values(item: DueItem) -> dict[str, Any]:
    return present(
        {
            "due_at": instant(item.due_at),
            "organization_id": item.organization_id,
            "tenant_id": item.mailbox.tenant_id,
            "object_id": item.mailbox.object_id,
            "key": item.key,
        }
    )


def _item(kind: DueKind, row: Row) -> DueItem:
    values = row.values
    return DueItem(
        due_at=moment(values["due_at"]),
        kind=kind,
        organization_id=OrganizationId(values["organization_id"]),
        mailbox=Mailbox(TenantId(values["tenant_id"]), ObjectId(values["object_id"])),
        key=values["key"],
    )
