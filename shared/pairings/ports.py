"""What pairings need from outside."""

from collections.abc import Sequence
from typing import Protocol

from shared.ids import Mailbox, OrganizationId, PairingId
from shared.pairings.model import Pairing


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

    async def of_mailbox(
        self, organization_id: OrganizationId, mailbox: Mailbox, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        """Return a page of *mailbox*'s pairings by id, and the cursor of the next or None."""
        ...

    async def of_organization(
        self, organization_id: OrganizationId, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        """Return a page of the organization's pairings by id; the cursor of the next or None."""
        ...

    async def delete(self, organization_id: OrganizationId, pairing_id: PairingId) -> None:
        """Remove it and its index rows; absent is no error."""
        ...
