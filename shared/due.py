"""What must happen later, written under the time it is due, so that a timer reads just that."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.ids import Mailbox, OrganizationId


class DueKind(StrEnum):
    """Why something comes due."""

    RENEWAL = "renewal"
    """A subscription reaches half of its life; *key* is empty."""
    RECONCILIATION = "reconciliation"
    """A session is to be read again; *key* is the session id."""
    PURGE = "purge"
    """An ended session's retention is over; *key* is the session id."""


@dataclass(frozen=True, slots=True, order=True)
class DueItem:
    """One thing to do at *due_at*. A hint: who does it looks whether it is still wanted."""

    due_at: datetime
    kind: DueKind
    organization_id: OrganizationId
    mailbox: Mailbox
    key: str = ""


class DueStore(Protocol):
    """The work that comes due. Writing the same item twice is one item."""

    async def put(self, items: Iterable[DueItem]) -> None:
        """Write *items*.

        Raises:
            StoreUnavailable
        """
        ...

    def due(self, kind: DueKind, now: datetime, *, page: int = 100) -> AsyncIterator[list[DueItem]]:
        """Yield what of *kind* is due at *now*, earliest first, in pages; reads nothing else."""
        ...

    async def done(self, items: Iterable[DueItem]) -> None:
        """Remove *items*; absent ones are no error."""
        ...

    async def oldest(self, kind: DueKind) -> DueItem | None:
        """Return the earliest item of *kind*, due or not, for health figures."""
        ...
