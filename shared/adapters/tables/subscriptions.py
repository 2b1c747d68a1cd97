"""Stores the subscription of each mailbox, as a row in the mailbox's partition."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Row, Tables
from shared.adapters.tables.keys import MAILBOXES
from shared.adapters.tables.values import instant, moment, present
from shared.ids import Mailbox, OrganizationId, SubscriptionId, TenantId
from shared.subscriptions.model import Subscription, SubscriptionState

_PAGE: Final = 1_000


class TableSubscriptions:
    """Implements `SubscriptionStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, mailbox: Mailbox) -> Subscription | None:
        """Return the subscription of *mailbox*, or None."""
        row = await self._tables.get(MAILBOXES, keys.subscription(mailbox))
        return _subscription(row, mailbox) if row else None

    async def save(self, subscription: Subscription) -> Subscription:
        """Insert it (empty version) or replace its version. Raises StaleRow on a conflict."""
        key = keys.subscription(subscription.mailbox)
        change = Put(key, _values(subscription), subscription.version or None)
        return replace(subscription, version=await self._tables.put(MAILBOXES, change))

    async def delete(self, mailbox: Mailbox) -> None:
        """Remove the subscription of *mailbox*. Idempotent."""
        await self._tables.remove(MAILBOXES, keys.subscription(mailbox))

    async def of_tenant(self, tenant_id: TenantId) -> AsyncIterator[list[Subscription]]:
        """Yield the subscriptions of all mailboxes of a tenant, in pages."""
        pages = self._tables.pages(
            MAILBOXES,
            "PartitionKey gt @first and PartitionKey lt @last and RowKey eq 'subscription'",
            keys.mailboxes(tenant_id)._asdict(),
            size=_PAGE,
        )
        async for rows in pages:
            yield [_subscription(row, keys.parse_mailbox(row.key)) for row in rows]


def _values(subscription: Subscription) -> dict[str, Any]:
    return present(
        {
            "organization_id": subscription.organization_id,
            "state": subscription.state.value,
            "nonce": subscription.nonce,
            "subscription_id": subscription.id,
            "expires_at": _instant(subscription.expires_at),
            "renewed_at": _instant(subscription.renewed_at),
            "last_push_at": _instant(subscription.last_push_at),
            "failure": subscription.failure,
        }
    )


def _subscription(row: Row, mailbox: Mailbox) -> Subscription:
    values = row.values
    subscription_id = values.get("subscription_id")
    return Subscription(
        organization_id=OrganizationId(values["organization_id"]),
        mailbox=mailbox,
        state=SubscriptionState(values["state"]),
        nonce=values["nonce"],
        id=SubscriptionId(subscription_id) if subscription_id else None,
        expires_at=_moment(values.get("expires_at")),
        renewed_at=_moment(values.get("renewed_at")),
        last_push_at=_moment(values.get("last_push_at")),
        failure=values["failure"],
        version=row.etag,
    )


def _instant(at: datetime | None) -> str | None:
    return instant(at) if at else None


def _moment(text: str | None) -> datetime | None:
    return moment(text) if text else None
