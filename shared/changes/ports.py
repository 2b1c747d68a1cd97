"""The ports of the change feed: its store, the delivery state and the webhook."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shared.changes.model import Change
from shared.ids import OrganizationId


class ChangeStore(Protocol):
    """The change feed of each organization. Every method may raise StoreUnavailable."""

    async def append(self, changes: Iterable[Change]) -> None:
        """Append *changes* to their feeds, except those whose id is there already."""
        ...

    async def after(
        self, organization_id: OrganizationId, cursor: str | None, limit: int
    ) -> tuple[Sequence[Change], str | None]:
        """Return up to *limit* changes after *cursor*, oldest first, and the cursor after them.

        Without new changes the same cursor is returned. No change appears later before one that
        was returned already. Raises Invalid for a cursor that this store did not return.
        """
        ...

    async def recent(self, organization_id: OrganizationId, limit: int) -> Sequence[Change]:
        """Return the last *limit* changes, oldest first."""
        ...

    async def delete(
        self, organization_id: OrganizationId, *, before: datetime | None = None
    ) -> int:
        """Remove the changes before *before*, or all; return their number.

        Cursors stay valid unless all changes are removed, which only offboarding does.
        """
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """The state of an organization's delivery to the webhook."""

    cursor: str | None = None
    """The cursor after the last delivered change; None: no change was delivered."""
    delivered_at: datetime | None = None
    lease_until: datetime | None = None
    """The end of a worker's lease; in the past if the worker crashed."""
    failures: int = 0
    """Consecutive failures."""
    failing_since: datetime | None = None
    retry_at: datetime | None = None
    refused: int = 0
    """The number of changes in the refused message, which is sent again unchanged."""
    version: str = ""
    """The stored row's etag; empty before it is stored."""


class DeliveryStore(Protocol):
    """The store of delivery states. Every method may raise StoreUnavailable."""

    async def get(self, organization_id: OrganizationId) -> Delivery:
        """Return the organization's state; a new one if there is no row."""
        ...

    async def save(self, organization_id: OrganizationId, delivery: Delivery) -> Delivery:
        """Insert or replace the state. Raises StaleRow on an ETag conflict."""
        ...


class DeliveryRefused(Exception):
    """The platform refused a message; the text is the reason. Never part of an HTTP reply."""


class WebhookClient(Protocol):
    """The platform's endpoint."""

    async def send(self, message_id: str, message: Mapping[str, Any]) -> None:
        """Send *message*; a retry has the same *message_id*. Raises DeliveryRefused."""
        ...
