"""The ports of subscriptions: the store, Graph, and the client states."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from shared.ids import Mailbox, SubscriptionId, TenantId
from shared.subscriptions.model import Subscription


class SubscriptionStore(Protocol):
    """The `subscription` row of each mailbox. Every method may raise StoreUnavailable."""

    async def get(self, mailbox: Mailbox) -> Subscription | None:
        """Return the mailbox's row, or None."""
        ...

    async def save(self, subscription: Subscription) -> Subscription:
        """Insert (empty version) or replace the row. Raises StaleRow on an ETag conflict."""
        ...

    async def delete(self, mailbox: Mailbox) -> None:
        """Remove the row; an absent one is no error."""
        ...

    def of_tenant(self, tenant_id: TenantId) -> AsyncIterator[list[Subscription]]:
        """Yield the rows of all mailboxes of a tenant in pages; reads no rows of other tenants."""
        ...


class GraphSubscriptions(Protocol):
    """Subscriptions at Graph, with the app's own identity.

    Every method may raise CalendarThrottled, CalendarUnavailable, CalendarRefused, ConsentMissing,
    MailboxUnusable.
    """

    async def create(
        self, mailbox: Mailbox, client_state: str, expires_at: datetime
    ) -> tuple[SubscriptionId, datetime]:
        """Subscribe to the mailbox's events, in place of an existing subscription to our URL.

        Return the id and the expiry that Graph granted.
        """
        ...

    async def renew(
        self, tenant_id: TenantId, ids: Sequence[SubscriptionId], expires_at: datetime
    ) -> list[datetime | Exception]:
        """Renew up to 20 in one request; return for each its new expiry or its error.

        EventGone: Graph no longer has the subscription.
        """
        ...

    async def delete(self, tenant_id: TenantId, subscription_id: SubscriptionId) -> None:
        """Delete the subscription; an absent one is no error."""
        ...


class ClientStateSigner(Protocol):
    """Signs and verifies the client state that notifications echo: `v1.{object id}.{nonce}.{mac}`.

    Source: https://learn.microsoft.com/graph/api/resources/subscription
    """

    async def create(self, mailbox: Mailbox, nonce: str) -> str:
        """Return the client state of *mailbox*: at most 128 characters."""
        ...

    async def verify(self, tenant_id: str, client_state: str) -> Mailbox | None:
        """Return the mailbox of *client_state*; None if neither current nor previous key signed it.

        Compares in constant time.
        """
        ...
