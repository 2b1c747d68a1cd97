"""What following mailboxes needs from outside."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from shared.ids import Mailbox, SubscriptionId, TenantId
from shared.subscriptions.model import Subscription


class SubscriptionStore(Protocol):
    """The `subscription` row of each mailbox. Every method may raise StoreUnavailable."""

    async def get(self, mailbox: Mailbox) -> Subscription | None:
        """Return the mailbox's row, if there is one."""
        ...

    async def save(self, subscription: Subscription) -> Subscription:
        """Insert (empty version) or replace it; StaleRow if somebody else was first."""
        ...

    async def delete(self, mailbox: Mailbox) -> None:
        """Remove it; absent is no error."""
        ...

    def of_tenant(self, tenant_id: TenantId) -> AsyncIterator[list[Subscription]]:
        """Yield the rows of all mailboxes of a tenant, in pages; reads no other tenant's."""
        ...


class GraphSubscriptions(Protocol):
    """Subscriptions at Graph, by the app's own identity.

    Every method may raise CalendarThrottled, CalendarUnavailable, CalendarRefused, ConsentMissing,
    MailboxUnusable.
    """

    async def create(
        self, mailbox: Mailbox, client_state: str, expires_at: datetime
    ) -> tuple[SubscriptionId, datetime]:
        """Subscribe to the mailbox's events; one that exists already at our URL is replaced.

        Return its id and the expiry that Graph granted.
        """
        ...

    async def renew(
        self, tenant_id: TenantId, ids: Sequence[SubscriptionId], expires_at: datetime
    ) -> list[datetime | Exception]:
        """Renew up to 20 in one request: each its new expiry or its error (EventGone: no more)."""
        ...

    async def delete(self, tenant_id: TenantId, subscription_id: SubscriptionId) -> None:
        """End it; absent is no error."""
        ...


class ClientStateSigner(Protocol):
    """Makes and checks the secret that a notification must echo: `v1.{object id}.{nonce}.{mac}`."""

    async def create(self, mailbox: Mailbox, nonce: str) -> str:
        """Return the client state of *mailbox*: at most 128 characters."""
        ...

    async def verify(self, tenant_id: str, client_state: str) -> Mailbox | None:
        """Return whose it is, or None if not ours. Constant time; current and previous key."""
        ...
