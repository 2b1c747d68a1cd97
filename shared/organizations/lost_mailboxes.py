"""Lost mailboxes: those that the app cannot read, for a reason that a person has to mend."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.ids import Mailbox, OrganizationId, TenantId


class Told(StrEnum):
    """The entry in the change feed that has the trouble of a mailbox."""

    NOT_YET = ""
    MAILBOX = "mailbox"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class LostMailbox:
    """A mailbox that the app cannot read."""

    organization_id: OrganizationId
    mailbox: Mailbox
    lost_since: datetime
    issue: str
    """The value of the `Issue` that was told, or is to be told."""
    told: Told = Told.NOT_YET
    version: str = ""


class LostMailboxStore(Protocol):
    """The `lost` row of each lost mailbox. Every method may raise StoreUnavailable."""

    async def get(self, mailbox: Mailbox) -> LostMailbox | None:
        """Return the mailbox's row, or None."""
        ...

    async def save(self, lost: LostMailbox) -> LostMailbox:
        """Insert (empty version) or replace the row. Raises StaleRow on an ETag conflict."""
        ...

    async def delete(self, mailbox: Mailbox) -> None:
        """Remove the row; an absent one is no error."""
        ...

    def of_tenant(self, tenant_id: TenantId) -> AsyncIterator[list[LostMailbox]]:
        """Yield the rows of all mailboxes of a tenant in pages; reads no rows of other tenants."""
        ...
