"""What the change feed needs from outside."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from shared.changes.model import Change
from shared.ids import OrganizationId


class ChangeStore(Protocol):
    """The change feed of each organization. Every method may raise StoreUnavailable."""

    async def append(self, changes: Iterable[Change]) -> None:
        """Add *changes* at the end."""
        ...

    async def after(
        self, organization_id: OrganizationId, cursor: str | None, limit: int
    ) -> tuple[Sequence[Change], str | None]:
        """Return up to *limit* changes after *cursor*, oldest first, and the cursor after them."""
        ...
