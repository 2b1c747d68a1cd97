"""What the change feed needs from outside."""

from collections.abc import Iterable, Sequence
from datetime import datetime
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
        """Return up to *limit* changes after *cursor*, oldest first, and the cursor after them.

        Nothing new: the same cursor again. Whoever has seen a change has missed none before it.
        Raises Invalid for a cursor that was not given out here.
        """
        ...

    async def recent(self, organization_id: OrganizationId, limit: int) -> Sequence[Change]:
        """Return the last *limit* changes, oldest first."""
        ...

    async def forget(
        self, organization_id: OrganizationId, *, before: datetime | None = None
    ) -> int:
        """Remove the oldest changes, as far as they are before *before*, or all; return how many.

        Cursors go on working, unless all are removed: that is for an organization that is gone.
        """
        ...
