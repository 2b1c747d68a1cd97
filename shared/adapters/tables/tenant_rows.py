"""Lists and removes a tenant's rows in the mailbox table, for offboarding.

A tenant belongs to one organization, and its id is the start of each mailbox's partition key. One
range of partitions therefore has all of its rows, including those of mailboxes without a pairing.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Final

from shared.adapters.tables import keys
from shared.adapters.tables.client import Remove, Tables, transactions
from shared.adapters.tables.keys import MAILBOXES, Rows
from shared.concurrency import gather_limited
from shared.errors import StaleRow
from shared.ids import Mailbox, TenantId

_PAGE: Final = 1_000


class TableTenantRows:
    """Implements `TenantRows` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def mailboxes(self, tenant_id: TenantId) -> AsyncIterator[Mailbox]:
        """Yield each mailbox of the tenant that has rows, without duplicates."""
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
        """Remove all rows of *mailbox*; return how many of each kind."""
        removed: Counter[str] = Counter()
        everything = Rows(keys.mailbox(mailbox), "", "~")
        while found := await self._tables.between(MAILBOXES, everything, _PAGE, select=["schema"]):
            cut = transactions(Remove(row.key) for row in found)
            try:
                await gather_limited(self._tables.transact(MAILBOXES, part) for part in cut)
            except StaleRow:
                continue  # a concurrent removal took one of them: read again
            removed.update(row.key.row.partition(";")[0] for row in found)
        return removed
