"""Probes the app's permissions in a tenant: one harmless live call per capability."""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation

from shared.adapters.app_credentials import AppCredentials
from shared.adapters.graph.client import GraphClient, GraphSession
from shared.adapters.graph.probe_results import (
    failed_result,
    is_event_missing,
    parse_account,
    schedule_result,
    subscribe_refused_result,
)
from shared.adapters.graph.responses import GraphCallFailed, GraphResponse
from shared.errors import SchedulingError
from shared.ids import Mailbox, TenantId
from shared.logs import log_event
from shared.organizations.model import ActingUser
from shared.organizations.ports import AppRegistration, Capability, ProbeResult

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken

NO_EVENT: Final = "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0AAAAAAAAAAAAAAAAAAAAAAAA="
"""A well-formed id of an event that does not exist: Graph checks the permission first."""
SUBSCRIPTION_LIFE: Final = timedelta(minutes=45)
"""The shortest lifetime that Graph grants; a probe's subscription is deleted at once.

Source: https://learn.microsoft.com/graph/api/resources/subscription
"""
SUBSCRIBE_SECONDS: Final = 25.0
"""Longest wait for a subscription: Graph validates our webhook before it answers.

Source: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
"""

_NOT_ASSIGNED: Final = 501051
_BASIC: Final = "id,mail,userPrincipalName"
_FULL: Final = "id,userType,accountEnabled,onPremisesSyncEnabled,assignedPlans"
"""Properties that `User.ReadBasic.All` does not cover; read where the tenant granted more."""


class GraphProbes:
    """The `Probes` port."""

    def __init__(
        self, client: GraphClient, credentials: AppCredentials, app: AppRegistration
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._app = app

    @property
    def app(self) -> AppRegistration:
        """Return the app registration's names and ids, for the texts of remedies."""
        return self._app

    async def token(self, tenant_id: TenantId, *, fresh: bool = False) -> ProbeResult:
        """Get an app-only token; *fresh*: a new one, not a cached one.

        The result is not ok if the token belongs to another tenant.
        """
        identity = self._credentials.app(tenant_id)
        if fresh:
            await identity.forget()
        try:
            token = await identity.get_token(f"{self._app.graph_url}/.default")
        except SchedulingError as error:
            return failed_result(Capability.TOKEN, error, as_user=False)
        if (named := _tenant_in(token)) not in {None, tenant_id}:
            log_event("probe.foreign_token", tenant_id=tenant_id)
            return ProbeResult(Capability.TOKEN, ok=False, status=200, code=f"tid {named}")
        return ProbeResult(Capability.TOKEN, ok=True, status=200)

    async def assignment(self, tenant_id: TenantId) -> ProbeResult:
        """Ask for a token of the app's own API: not ok if Entra demands that people be assigned.

        The app is never assigned itself, so Entra refuses it (AADSTS501051) where *Assignment
        required?* is on. Any other refusal says nothing about it.
        Source: https://learn.microsoft.com/entra/identity-platform/howto-restrict-your-app-to-a-set-of-users
        """
        identity = self._credentials.app(tenant_id)
        try:
            await identity.get_token(f"{self._app.client_id}/.default")
        except SchedulingError as error:
            refused = failed_result(Capability.WRITE_AS_USER, error, as_user=False)
            if refused.aadsts == _NOT_ASSIGNED:
                return replace(refused, ok=False)
            return replace(refused, ok=None)
        return ProbeResult(Capability.WRITE_AS_USER, ok=True, status=200)

    async def profiles(self, tenant_id: TenantId, mailbox: Mailbox | None) -> ProbeResult:
        """Look up one user of the tenant, or *mailbox*'s owner with all the app may read."""
        graph = self._client.app(tenant_id, mailbox.object_id if mailbox else "")
        if mailbox is None:
            return await _tried(
                Capability.PROFILES,
                lambda: graph.send(_request(graph, Method.GET, f"/users?$top=1&$select={_BASIC}")),
            )
        user = f"/users/{quote(mailbox.object_id)}"
        try:
            payload = await self._get_json(graph, f"{user}?$select={_BASIC}")
        except (GraphCallFailed, SchedulingError) as error:
            return failed_result(Capability.PROFILES, error, as_user=False)
        more = await self._get_json_or_empty(graph, f"{user}?$select={_FULL}")
        purpose = await self._get_json_or_empty(
            graph, f"{user}/mailboxSettings?$select=userPurpose"
        )
        account = parse_account(payload, more, purpose)
        return ProbeResult(Capability.PROFILES, ok=True, status=200, account=account)

    async def schedule(self, acting: ActingUser) -> ProbeResult:
        """Read the acting mailbox's own free/busy, one hour of it."""
        graph = self._client.acting(acting)
        as_user = acting.assertion is not None
        mailbox = acting.mailbox
        try:
            app = self._client.app(mailbox.tenant_id)
            payload = await self._get_json(
                app, f"/users/{quote(mailbox.object_id)}?$select={_BASIC}"
            )
            address = str(payload.get("mail") or payload.get("userPrincipalName") or "")
            answer = await graph.send(
                _schedule_request(graph, _root(acting), address), repeatable=True
            )
            return schedule_result(answer, as_user=as_user)
        except (GraphCallFailed, SchedulingError) as error:
            return failed_result(Capability.SCHEDULE, error, as_user=as_user)

    async def read_events(self, acting: ActingUser) -> ProbeResult:
        """Read the id of one event."""
        graph = self._client.acting(acting)
        request = _request(graph, Method.GET, f"{_root(acting)}/events?$top=1&$select=id")
        return await _tried(
            Capability.READ_EVENTS,
            lambda: graph.send(request, repeatable=True),
            as_user=acting.assertion is not None,
        )

    async def write(self, acting: ActingUser) -> ProbeResult:
        """Patch an event that does not exist.

        Graph checks the permission before it looks for the event. A refusal because of the event
        therefore proves the permission.
        """
        as_user = acting.assertion is not None
        capability = Capability.WRITE_AS_USER if as_user else Capability.WRITE_AS_APP
        graph = self._client.acting(acting)
        request = _request(
            graph, Method.PATCH, f"{_root(acting)}/events/{NO_EVENT}", {"showAs": "busy"}
        )
        try:
            await graph.send(request, repeatable=True)
        except GraphCallFailed as failed:
            if is_event_missing(failed.refusal):
                return ProbeResult(
                    capability, ok=True, status=failed.refusal.status, as_user=as_user
                )
            return failed_result(capability, failed, as_user=as_user)
        except SchedulingError as error:
            return failed_result(capability, error, as_user=as_user)
        return ProbeResult(capability, ok=True, status=200, as_user=as_user)

    async def subscribe(self, mailbox: Mailbox) -> ProbeResult:
        """Subscribe to the mailbox, with the real handshake; delete the subscription at once."""
        graph = self._client.app(mailbox.tenant_id)
        expires_at = datetime.now(UTC) + SUBSCRIPTION_LIFE
        wanted = {
            # Real subscriptions ask for other changes: Graph may refuse a second equal one.
            "changeType": "deleted",
            "notificationUrl": f"{self._app.public_url}/api/graph/notifications",
            "resource": f"/users/{mailbox.object_id}/events",
            "expirationDateTime": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            # The webhook drops notifications with a client state that it did not sign.
            "clientState": "probe",
        }
        try:
            answer = await graph.send(
                _request(graph, Method.POST, "/subscriptions", wanted),
                call_seconds=SUBSCRIBE_SECONDS,
                budget_seconds=SUBSCRIBE_SECONDS,
            )
            created = answer.json()
        except GraphCallFailed as failed:
            # 409: an equal subscription exists, which proves that Graph grants one.
            if failed.refusal.status == 409:
                return ProbeResult(Capability.SUBSCRIBE, ok=True, status=409)
            return subscribe_refused_result(failed)
        except SchedulingError as error:
            return failed_result(Capability.SUBSCRIBE, error, as_user=False)
        await self._unsubscribe(graph, str(created.get("id")))
        return ProbeResult(Capability.SUBSCRIBE, ok=True, status=answer.status)

    @staticmethod
    async def _unsubscribe(graph: GraphSession, subscription_id: str) -> None:
        request = _request(graph, Method.DELETE, f"/subscriptions/{quote(subscription_id)}")
        try:
            await graph.send(request, repeatable=True)
        except (GraphCallFailed, SchedulingError):
            # The subscription expires within the hour.
            log_event("probe.subscription_left", subscription_id=subscription_id)

    @staticmethod
    async def _get_json(graph: GraphSession, path: str) -> Mapping[str, Any]:
        return (await graph.send(_request(graph, Method.GET, path), repeatable=True)).json()

    async def _get_json_or_empty(self, graph: GraphSession, path: str) -> Mapping[str, Any]:
        """Return the JSON at *path*, or an empty object if the call fails or is denied."""
        try:
            return await self._get_json(graph, path)
        except (GraphCallFailed, SchedulingError):
            return {}


async def _tried(
    capability: Capability, call: Callable[[], Awaitable[GraphResponse]], *, as_user: bool = False
) -> ProbeResult:
    try:
        answer = await call()
    except (GraphCallFailed, SchedulingError) as error:
        return failed_result(capability, error, as_user=as_user)
    return ProbeResult(capability, ok=True, status=answer.status, as_user=as_user)


def _tenant_in(token: "AccessToken") -> str | None:
    """Return the token's `tid`; None if it cannot be read, as Graph's tokens need not be JWTs.

    No decision rests on this alone: the token came from the tenant's own endpoint.
    """
    parts = token.token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, binascii.Error, ValueError):
        return None
    named = claims.get("tid") if isinstance(claims, dict) else None
    return named.lower() if isinstance(named, str) else None


def _root(acting: ActingUser) -> str:
    return "/me" if acting.assertion is not None else f"/users/{quote(acting.mailbox.object_id)}"


def _request(
    graph: GraphSession, method: Method, path: str, body: Mapping[str, Any] | None = None
) -> RequestInformation:
    request = RequestInformation()
    request.http_method = method
    # Not as a template, whose expansion would escape the commas of $select.
    request.url = f"{graph.adapter.base_url}{path}"
    request.headers.try_add("Accept", "application/json")
    if body is not None:
        request.set_stream_content(json.dumps(body).encode(), "application/json")
    return request


def _schedule_request(graph: GraphSession, root: str, address: str) -> RequestInformation:
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    end = start + timedelta(hours=1)
    return _request(
        graph,
        Method.POST,
        f"{root}/calendar/getSchedule",
        {
            "schedules": [address],
            "startTime": {"dateTime": start.strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"},
            "endTime": {"dateTime": end.strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"},
            "availabilityViewInterval": 60,
        },
    )
