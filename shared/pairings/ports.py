"""The ports of pairings: the directory and the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.ids import Mailbox, ObjectId, OrganizationId, PairingId, TenantId
from shared.pairings.model import Pairing


@dataclass(frozen=True, slots=True)
class Person:
    """A user of a tenant's directory. *name* is only shown, never stored."""

    object_id: ObjectId
    address: str
    """SMTP address, lower case; the user principal name where there is no mail address."""
    name: str
    user_name: str = ""
    """The user principal name, lower case."""

    @property
    def addresses(self) -> frozenset[str]:
        """Return the addresses under which the person may be shown."""
        return frozenset({self.address, self.user_name} - {""})


class Directory(Protocol):
    """The tenant's directory, as far as the permission `User.ReadBasic.All` allows.

    Every method may raise CalendarThrottled, CalendarUnavailable, CalendarRefused, ConsentMissing.
    """

    async def get(self, mailbox: Mailbox) -> Person | None:
        """Return the user of *mailbox*; None if the tenant has no such user."""
        ...

    async def find(self, tenant_id: TenantId, address: str) -> Person | None:
        """Return the user of *address*: their mail address, user principal name, or alias.

        None: not found. An alias is found only where the tenant lets the app read aliases.
        """
        ...


class PairingStore(Protocol):
    """The store of pairings. Every method may raise StoreUnavailable."""

    async def get(self, organization_id: OrganizationId, pairing_id: PairingId) -> Pairing:
        """Return the pairing, or raise NotFound."""
        ...

    async def put(self, pairing: Pairing) -> Pairing:
        """Insert or replace the pairing and the index rows of its participants.

        With a *version*, only if it is the stored one, else StaleRow. Former participants lose
        their index row.
        """
        ...

    async def list_by_mailbox(
        self, organization_id: OrganizationId, mailbox: Mailbox, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        """Return a page of *mailbox*'s pairings by id and the cursor of the next one, or None."""
        ...

    async def list_by_organization(
        self, organization_id: OrganizationId, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        """Return a page of the organization's pairings by id and the next cursor, or None."""
        ...

    async def delete(self, organization_id: OrganizationId, pairing_id: PairingId) -> None:
        """Remove the pairing and its index rows; an absent pairing is no error."""
        ...
