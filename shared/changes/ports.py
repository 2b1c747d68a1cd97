"""What the change feed needs from outside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

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

    async def delete(
        self, organization_id: OrganizationId, *, before: datetime | None = None
    ) -> int:
        """Remove the oldest changes, as far as they are before *before*, or all; return how many.

        Cursors go on working, unless all are removed: that is for an organization that is gone.
        """
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the platform has heard of an organization."""

    cursor: str | None = None
    """After the last change it took; None: it has taken none."""
    delivered_at: datetime | None = None
    lease_until: datetime | None = None
    """While somebody delivers; longer ago, they died."""
    failures: int = 0
    """In a row."""
    failing_since: datetime | None = None
    retry_at: datetime | None = None
    refused: int = 0
    """How many changes the message had that was refused: it is sent again as it was."""
    version: str = ""
    """The stored row's; empty before it is stored."""


class DeliveryStore(Protocol):
    """How far each organization's feed was told. Every method may raise StoreUnavailable."""

    async def get(self, organization_id: OrganizationId) -> Delivery:
        """Return it; a fresh one if nothing was ever delivered."""
        ...

    async def save(self, organization_id: OrganizationId, delivery: Delivery) -> Delivery:
        """Store it under its version. Raises StaleRow if somebody else was first."""
        ...


class DeliveryRefused(Exception):
    """The platform did not take a message; a word for why. No caller ever hears of it."""


class WebhookClient(Protocol):
    """The platform's endpoint."""

    async def send(self, message_id: str, message: Mapping[str, Any]) -> None:
        """Send *message*, the same id meaning the same message. Raises DeliveryRefused."""
        ...
