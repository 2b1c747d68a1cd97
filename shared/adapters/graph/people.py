"""Looks up the users of a tenant, and probes whether Graph reaches their mailboxes."""

from collections.abc import AsyncIterator
from typing import Final

from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph.generated.users.item.calendar.calendar_request_builder import CalendarRequestBuilder
from msgraph.generated.users.item.user_item_request_builder import UserItemRequestBuilder
from msgraph.generated.users.users_request_builder import UsersRequestBuilder

from shared.adapters.graph.client import GraphClient, GraphSession
from shared.adapters.graph.listings import list_items
from shared.adapters.graph.responses import GraphCallFailed
from shared.errors import CalendarRefused, CalendarUnavailable, ConsentMissing
from shared.ids import Mailbox, ObjectId, TenantId
from shared.organizations.model import ActingUser
from shared.pairings.ports import Person

_NO_SUCH_USER: Final = "request_resourcenotfound"
"""The code by which the directory says that there is no such user; no other 404 says so."""
SELECT: Final = ["id", "mail", "userPrincipalName", "displayName"]
"""The properties that `Person` needs, all covered by the permission `User.ReadBasic.All`."""


class GraphDirectory:
    """The `Directory` port on Microsoft Graph, with app-only tokens.

    Every method may raise CalendarThrottled, CalendarUnavailable, CalendarRefused, ConsentMissing.
    """

    def __init__(self, client: GraphClient) -> None:
        self._client = client

    async def get(self, mailbox: Mailbox) -> Person | None:
        """Return the user with the mailbox's object id; None if the tenant has no such user."""
        return await self._get(self._client.app(mailbox.tenant_id, mailbox.object_id))

    async def find(self, tenant_id: TenantId, address: str) -> Person | None:
        """Return the user of *address*, or None.

        An alias is found only if the tenant has granted `User.Read.All`.

        Source: https://learn.microsoft.com/graph/permissions-reference
        """
        quoted = address.replace("'", "''")
        graph = self._client.app(tenant_id)
        either = f"mail eq '{quoted}' or userPrincipalName eq '{quoted}'"
        by_mail: Person | None = None
        async for user in self._list(graph, either):
            # One person's mail address may be another's user principal name, which comes first.
            if user.user_name == address.lower():
                return user
            by_mail = by_mail or user
        if by_mail:
            return by_mail
        try:
            async for user in self._list(graph, f"proxyAddresses/any(p:p eq 'smtp:{quoted}')"):
                return user
        except (ConsentMissing, CalendarRefused):
            pass  # the app may not read aliases in this tenant
        return None

    async def probe_mailbox(self, mailbox: Mailbox) -> None:
        """Read the id of the mailbox's calendar, and nothing else, with an app-only token.

        Raises:
            MailboxUnusable: the mailbox is on-premises, has no license or does not exist; Graph
                does not distinguish these.
            ConsentMissing: the app may not read it, or it is outside the app's scope in Exchange.

        Source: https://learn.microsoft.com/exchange/permissions-exo/application-rbac
        """
        await self._probe(self._client.app(mailbox.tenant_id, mailbox.object_id))

    async def probe_own_mailbox(self, acting: ActingUser) -> None:
        """Probe the acting mailbox as *acting*. Raises also SignInAgain, NotAuthenticated."""
        await self._probe(self._client.acting(acting))

    @staticmethod
    async def _list(graph: GraphSession, condition: str) -> AsyncIterator[Person]:
        wanted = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
            filter=condition, select=SELECT
        )
        builder = UsersRequestBuilder(graph.adapter, graph.path())
        request = builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))
        async for user in list_items(graph, request):
            yield _person(user)

    async def _get(self, graph: GraphSession) -> Person | None:
        wanted = UserItemRequestBuilder.UserItemRequestBuilderGetQueryParameters(select=SELECT)
        builder = UserItemRequestBuilder(graph.adapter, graph.path())
        request = builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))
        try:
            return _person((await graph.send(request, repeatable=True)).json())
        except GraphCallFailed as failed:
            if failed.refusal.code.lower() == _NO_SUCH_USER:
                return None
            raise graph.error(failed.refusal) from None

    @staticmethod
    async def _probe(graph: GraphSession) -> None:
        wanted = CalendarRequestBuilder.CalendarRequestBuilderGetQueryParameters(select=["id"])
        builder = CalendarRequestBuilder(graph.adapter, graph.path())
        request = builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))
        await graph.call(request, repeatable=True)


def _person(payload: object) -> Person:
    """Parse a user. Raises CalendarUnavailable: it has no id."""
    if not isinstance(payload, dict) or not isinstance(payload.get("id"), str):
        raise CalendarUnavailable("Graph's answer about a user cannot be read.")
    user_name = _lower(payload, "userPrincipalName")
    return Person(
        object_id=ObjectId(_lower(payload, "id")),
        address=_lower(payload, "mail") or user_name,
        name=str(payload.get("displayName") or ""),
        user_name=user_name,
    )


def _lower(payload: dict[str, object], name: str) -> str:
    return str(payload.get(name) or "").lower()
