"""What a tenant has in the mailbox table: found and removed when its organization leaves.

A tenant belongs to one organization, and its id begins the key of every mailbox's partition: one
range of partitions holds all of it, also what no pairing names any more.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Final

from shared.adapters.tables import keys
from shared.adapters.tables.client import Remove, Tables, gather_limited, transactions
from shared.adapters.tables.keys import MAILBOXES, Rows
from shared.errors import StaleRow
from shared.ids import Mailbox, TenantId

_PAGE: Final = 1_000


class TableTenantRows:
    """Implements `TenantRows` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def mailboxes(self, tenant_id: TenantId) -> AsyncIterator[Mailbox]:
        """Yield each mailbox of the tenant that has rows, once."""
        last: Mailbox | None = None
        pages = self._tables.pages(
            MAILBOXES,
            "PartitionKey gt @first and PartitionKey lt @last",
            keys.mailboxes(tenant_id)._asdict(),
            size=_PAGE,
            select=["schema"],
        )
        async for rows in pages:
            for row in rows:
                mailbox = keys.parse_mailbox(row.key)
                if mailbox != last:
                    yield mailbox
                last = mailbox

    async def delete_rows(self, mailbox: Mailbox) -> Mapping[str, int]:
        """Remove every row of *mailbox*; return how many of each kind."""
        removed: Counter[str] = Counter()
        everything = Rows(keys.mailbox(mailbox), "", "~")
        while found := await self._tables.between(MAILBOXES, everything, _PAGE, select=["schema"]):
            cut = transactions(Remove(row.key) for row in found)
            try:
                await gather_limited(self._tables.transact(MAILBOXES, part) for part in cut)
            except StaleRow:
                continue  # somebody else removed one of them: look again
            removed.update(row.key.row.partition(";")[0] for row in found)
        return removed
