"""What pairings need from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.ids import Mailbox, ObjectId, OrganizationId, PairingId, TenantId
from shared.pairings.model import Pairing


@dataclass(frozen=True, slots=True)
class Person:
    """A user of a tenant's directory. *name* is for showing at once; it is never stored."""

    object_id: ObjectId
    address: str
    """SMTP address, lower case; the user principal name where there is no mail address."""
    name: str


class Directory(Protocol):
    """The tenant's directory, as `User.ReadBasic.All` shows it.

    Every method may raise CalendarThrottled, CalendarUnavailable, CalendarRefused, ConsentMissing.
    """

    async def get(self, mailbox: Mailbox) -> Person | None:
        """Return whose object id it is; None if the tenant has no such user."""
        ...

    async def find(self, tenant_id: TenantId, address: str) -> Person | None:
        """Return who has *address* as mail address or user principal name; None: nobody."""
        ...


class PairingStore(Protocol):
    """Where pairings are kept. Every method may raise StoreUnavailable."""

    async def get(self, organization_id: OrganizationId, pairing_id: PairingId) -> Pairing:
        """Return the pairing, or raise NotFound."""
        ...

    async def put(self, pairing: Pairing) -> Pairing:
        """Store it, new or in place of what was there, and the index rows of its people.

        With a *version*, only if that is still the stored one, else StaleRow. People who are no
        longer in it lose their index row.
        """
        ...

    async def list_by_mailbox(
        self, organization_id: OrganizationId, mailbox: Mailbox, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        """Return a page of *mailbox*'s pairings by id, and the cursor of the next or None."""
        ...

    async def list_by_organization(
        self, organization_id: OrganizationId, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        """Return a page of the organization's pairings by id; the cursor of the next or None."""
        ...

    async def delete(self, organization_id: OrganizationId, pairing_id: PairingId) -> None:
        """Remove it and its index rows; absent is no error."""
        ...
