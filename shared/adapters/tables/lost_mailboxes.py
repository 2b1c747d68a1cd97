"""Stores the lost mailboxes, each as a row in the mailbox's partition."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Row, Tables
from shared.adapters.tables.keys import MAILBOXES
from shared.adapters.tables.values import instant, moment, present
from shared.ids import Mailbox, OrganizationId, TenantId
from shared.organizations.lost_mailboxes import LostMailbox, Told

_PAGE: Final = 1_000


class TableLostMailboxes:
    """Implements `LostMailboxStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, mailbox: Mailbox) -> LostMailbox | None:
        """Return the row of *mailbox*, or None."""
        row = await self._tables.get(MAILBOXES, keys.lost_mailbox(mailbox))
        return _lost(row, mailbox) if row else None

    async def save(self, lost: LostMailbox) -> LostMailbox:
        """Insert it (empty version) or replace its version. Raises StaleRow on a conflict."""
        values = present(
            {
                "organization_id": lost.organization_id,
                "lost_since": instant(lost.lost_since),
                "issue": lost.issue,
                "told": lost.told.value,
            }
        )
        change = Put(keys.lost_mailbox(lost.mailbox), values, lost.version or None)
        return replace(lost, version=await self._tables.put(MAILBOXES, change))

    async def delete(self, mailbox: Mailbox) -> None:
        """Remove the row of *mailbox*. Idempotent."""
        await self._tables.remove(MAILBOXES, keys.lost_mailbox(mailbox))

    async def of_tenant(self, tenant_id: TenantId) -> AsyncIterator[list[LostMailbox]]:
        """Yield the rows of all mailboxes of a tenant, in pages."""
        pages = self._tables.pages(
            MAILBOXES,
            "PartitionKey gt @first and PartitionKey lt @last and RowKey eq 'lost'",
            keys.mailboxes(tenant_id)._asdict(),
            size=_PAGE,
        )
        async for rows in pages:
            yield [_lost(row, keys.parse_mailbox(row.key)) for row in rows]


def _lost(row: Row, mailbox: Mailbox) -> LostMailbox:
    values = row.values
    return LostMailbox(
        organization_id=OrganizationId(values["organization_id"]),
        mailbox=mailbox,
        lost_since=moment(values["lost_since"]),
        issue=values["issue"],
        told=Told(values["told"]),
        version=row.etag,
    )
