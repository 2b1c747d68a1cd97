"""Creates, renews and deletes subscriptions to mailboxes' events, with app-only tokens."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from msgraph.generated.models.subscription import Subscription as SubscriptionModel
from msgraph.generated.subscriptions.item.subscription_item_request_builder import (
    SubscriptionItemRequestBuilder,
)
from msgraph.generated.subscriptions.subscriptions_request_builder import (
    SubscriptionsRequestBuilder,
)

from shared.adapters.graph.batch import send_batch
from shared.adapters.graph.client import GraphClient, GraphSession
from shared.adapters.graph.listings import list_items
from shared.adapters.graph.responses import GraphCallFailed, GraphResponse
from shared.adapters.graph.times import read_instant
from shared.errors import CalendarUnavailable, EventGone, ListingEndless
from shared.ids import Mailbox, SubscriptionId, TenantId

CHANGES: Final = "updated,deleted"
"""The change types of our subscriptions. ``created`` is left out: this app creates its events."""
CREATE_SECONDS: Final = 30.0
"""Timeout of a creation: Graph first validates both of our URLs, for up to ten seconds each.

Source: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
"""


class GraphSubscriptionService:
    """The `GraphSubscriptions` port on Microsoft Graph. Each method raises what the port's does."""

    def __init__(self, client: GraphClient, public_url: str) -> None:
        """*public_url*: the base URL at which Graph reaches this app, without a trailing slash."""
        self._client = client
        self._notifications = f"{public_url}/api/graph/notifications"
        self._lifecycle = f"{public_url}/api/graph/lifecycle"

    async def create(
        self, mailbox: Mailbox, client_state: str, expires_at: datetime
    ) -> tuple[SubscriptionId, datetime]:
        """Subscribe to the mailbox's events; return the id and the expiry that Graph granted.

        If Graph answers 409, because an equal subscription exists, those of this app's URL are
        deleted and a new one is created.

        Raises:
            CalendarRefused: also when Graph could not validate our URLs.

        Source: https://learn.microsoft.com/graph/api/subscription-post-subscriptions
        """
        graph = self._client.app(mailbox.tenant_id)
        try:
            return await self._create(graph, mailbox, client_state, expires_at)
        except GraphCallFailed as failed:
            # Only after a 409, as listing costs a request per hundred subscriptions of the tenant.
            if failed.refusal.status != 409 or not await self._remove_ours(graph, mailbox):
                raise graph.error(failed.refusal) from None
        try:
            return await self._create(graph, mailbox, client_state, expires_at)
        except GraphCallFailed as failed:
            raise graph.error(failed.refusal) from None

    async def renew(
        self, tenant_id: TenantId, ids: Sequence[SubscriptionId], expires_at: datetime
    ) -> list[datetime | Exception]:
        """Renew up to 20 subscriptions in one batch; return the new expiry or an error for each.

        One that notifies another host, because this app had another URL, is deleted: a PATCH cannot
        change its lifecycle URL. EventGone: that, or Graph no longer has it, or it is not ours.
        """
        if not ids:
            return []
        graph = self._client.app(tenant_id)
        requests = [
            _item(graph, id_).to_patch_request_information(
                SubscriptionModel(expiration_date_time=expires_at)
            )
            for id_ in ids
        ]
        try:
            outcomes = await send_batch(graph, requests)
        except GraphCallFailed as failed:
            raise graph.error(failed.refusal) from None
        return [
            await self._expiry_or_error(graph, id_, outcome)
            for id_, outcome in zip(ids, outcomes, strict=True)
        ]

    async def delete(self, tenant_id: TenantId, subscription_id: SubscriptionId) -> None:
        """Delete the subscription. Idempotent: an absent one is no error."""
        graph = self._client.app(tenant_id)
        try:
            await self._delete(graph, subscription_id)
        except GraphCallFailed as failed:
            raise graph.error(failed.refusal) from None

    async def _create(
        self, graph: GraphSession, mailbox: Mailbox, client_state: str, expires_at: datetime
    ) -> tuple[SubscriptionId, datetime]:
        wanted = SubscriptionModel(
            change_type=CHANGES,
            notification_url=self._notifications,
            lifecycle_notification_url=self._lifecycle,
            resource=_resource(mailbox),
            expiration_date_time=expires_at,
            client_state=client_state,
        )
        builder = SubscriptionsRequestBuilder(graph.adapter, graph.path())
        answer = await graph.send(
            builder.to_post_request_information(wanted),
            call_seconds=CREATE_SECONDS,
            budget_seconds=CREATE_SECONDS,
        )
        payload = answer.json()
        if not isinstance(payload.get("id"), str):
            raise CalendarUnavailable("Graph's answer about the subscription cannot be read.")
        return SubscriptionId(payload["id"]), _expiry(payload)

    async def _remove_ours(self, graph: GraphSession, mailbox: Mailbox) -> bool:
        """Delete the subscriptions to *mailbox* at this app's URL; return whether one existed."""
        request = SubscriptionsRequestBuilder(
            graph.adapter, graph.path()
        ).to_get_request_information()
        ours: list[SubscriptionId] = []
        # If the listing does not end, those that it has count. Without one the 409 stands.
        with suppress(ListingEndless):
            async for payload in list_items(graph, request):
                one = payload if isinstance(payload, dict) else {}
                resource = str(one.get("resource")).strip("/").lower()
                if (
                    isinstance(one.get("id"), str)
                    and resource == _resource(mailbox).strip("/").lower()
                    and one.get("notificationUrl") == self._notifications
                ):
                    ours.append(SubscriptionId(one["id"]))
        for subscription_id in dict.fromkeys(ours):
            await self.delete(mailbox.tenant_id, subscription_id)
        return bool(ours)

    async def _expiry_or_error(
        self,
        graph: GraphSession,
        id_: SubscriptionId,
        outcome: GraphResponse | GraphCallFailed | CalendarUnavailable,
    ) -> datetime | Exception:
        if isinstance(outcome, CalendarUnavailable):
            return outcome
        if isinstance(outcome, GraphCallFailed):
            # Unknown, expired or another app's: the caller has to create a new subscription.
            if outcome.refusal.status in {400, 404, 410}:
                return EventGone(
                    "The subscription is not there any more.",
                    code=outcome.refusal.code,
                    status=outcome.refusal.status,
                    request_id=outcome.refusal.request_id,
                )
            return graph.error(outcome.refusal)
        try:
            payload = outcome.json()
            if not self._notifies_another(payload):
                return _expiry(payload)
            await self._delete(graph, id_)
        except GraphCallFailed as failed:
            return graph.error(failed.refusal)
        except CalendarUnavailable as error:
            return error
        return EventGone("The subscription notified another host, and was deleted.")

    def _notifies_another(self, payload: Mapping[str, Any]) -> bool:
        """Return whether a subscription names another host. Graph may spell paths its own way."""
        urls = (payload.get("notificationUrl"), payload.get("lifecycleNotificationUrl"))
        return not {_host(url) for url in urls if url} <= {_host(self._notifications), None}

    @staticmethod
    async def _delete(graph: GraphSession, subscription_id: SubscriptionId) -> None:
        try:
            await graph.send(
                _item(graph, subscription_id).to_delete_request_information(), repeatable=True
            )
        except GraphCallFailed as failed:
            if failed.refusal.status not in {404, 410}:
                raise


def _item(graph: GraphSession, subscription_id: SubscriptionId) -> SubscriptionItemRequestBuilder:
    return SubscriptionItemRequestBuilder(graph.adapter, graph.path(subscription=subscription_id))


def _resource(mailbox: Mailbox) -> str:
    return f"/users/{mailbox.object_id}/events"


def _expiry(payload: Mapping[str, Any]) -> datetime:
    expires_at = read_instant(payload.get("expirationDateTime"))
    if expires_at is None:
        raise CalendarUnavailable("Graph did not say when the subscription expires.")
    return expires_at


def _host(url: object) -> str | None:
    """Return host and port of *url*; None if it has none that can be read."""
    try:
        return urlsplit(str(url)).netloc.lower() or None
    except ValueError:
        return None
