"""Tries out, live, what the app may do in a tenant: one harmless call per capability."""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from azure.core.exceptions import AzureError
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation

from shared.adapters.app_credentials import AppCredentials, refusal_of
from shared.adapters.graph.client import GraphCallFailed, GraphClient, GraphResponse, GraphSession
from shared.adapters.graph.errors import GraphErrorBody
from shared.errors import (
    CalendarError,
    CalendarUnavailable,
    ConsentMissing,
    Misconfigured,
    NotAuthenticated,
    SchedulingError,
    SignInAgain,
    StoreUnavailable,
)
from shared.ids import Mailbox, TenantId
from shared.logs import log_event
from shared.organizations.model import ActingUser
from shared.organizations.ports import Account, AppRegistration, Capability, ProbeHint, ProbeResult

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken

NO_EVENT: Final = "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0AAAAAAAAAAAAAAAAAAAAAAAA="
"""The id of an event that nobody has: writing to it is checked for permission first."""
SUBSCRIPTION_LIFE: Final = timedelta(minutes=45)
"""The shortest that Graph grants; a probe's subscription is removed at once."""
SUBSCRIBE_SECONDS: Final = 25.0
"""Graph shakes hands with our webhook before it answers."""

_BASIC: Final = "id,mail,userPrincipalName"
_FULL: Final = "id,userType,accountEnabled,onPremisesSyncEnabled,assignedPlans"
"""Beyond `User.ReadBasic.All`: read where the tenant happens to have granted more."""


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
        """Return the facts that remedies name."""
        return self._app

    async def token(self, tenant_id: TenantId, *, fresh: bool = False) -> ProbeResult:
        """Get a token of the app's own; *fresh*: not a kept one. Not ok if of another tenant."""
        identity = self._credentials.app(tenant_id)
        if fresh:
            await identity.forget()
        try:
            token = await identity.get_token(f"{self._app.graph_url}/.default")
        except SchedulingError as error:
            return _evidence(Capability.TOKEN, error, as_user=False)
        if (named := _tenant_in(token)) not in {None, tenant_id}:
            log_event("probe.foreign_token", tenant_id=tenant_id)
            return ProbeResult(Capability.TOKEN, ok=False, status=200, code=f"tid {named}")
        return ProbeResult(Capability.TOKEN, ok=True, status=200)

    async def profiles(self, tenant_id: TenantId, mailbox: Mailbox | None) -> ProbeResult:
        """Look somebody up, or *mailbox*'s owner, with all the directory tells of them."""
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
            return _evidence(Capability.PROFILES, error, as_user=False)
        more = await self._get_json_or_empty(graph, f"{user}?$select={_FULL}")
        purpose = await self._get_json_or_empty(
            graph, f"{user}/mailboxSettings?$select=userPurpose"
        )
        account = _account(payload, more, purpose)
        return ProbeResult(Capability.PROFILES, ok=True, status=200, account=account)

    async def schedule(self, acting: ActingUser) -> ProbeResult:
        """Read the acting mailbox's own free/busy."""
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
            return _of_schedule(answer, as_user=as_user)
        except (GraphCallFailed, SchedulingError) as error:
            return _evidence(Capability.SCHEDULE, error, as_user=as_user)

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
        """Change an event that does not exist: whoever may not write is told so before that."""
        as_user = acting.assertion is not None
        capability = Capability.WRITE_AS_USER if as_user else Capability.WRITE_AS_APP
        graph = self._client.acting(acting)
        request = _request(
            graph, Method.PATCH, f"{_root(acting)}/events/{NO_EVENT}", {"showAs": "busy"}
        )
        try:
            await graph.send(request, repeatable=True)
        except GraphCallFailed as failed:
            if _is_about_the_event(failed.refusal):
                return ProbeResult(
                    capability, ok=True, status=failed.refusal.status, as_user=as_user
                )
            return _evidence(capability, failed, as_user=as_user)
        except SchedulingError as error:
            return _evidence(capability, error, as_user=as_user)
        return ProbeResult(capability, ok=True, status=200, as_user=as_user)

    async def subscribe(self, mailbox: Mailbox) -> ProbeResult:
        """Subscribe to the mailbox for a moment, with the real handshake."""
        graph = self._client.app(mailbox.tenant_id)
        expires_at = datetime.now(UTC) + SUBSCRIPTION_LIFE
        wanted = {
            # Not what real subscriptions ask for: a second one of the same kind may be refused.
            "changeType": "deleted",
            "notificationUrl": f"{self._app.public_url}/api/graph/notifications",
            "resource": f"/users/{mailbox.object_id}/events",
            "expirationDateTime": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            # Of no mailbox: what it brings is dropped.
            "clientState": "probe",
        }
        try:
            answer = await graph.send(
                _request(graph, Method.POST, "/subscriptions", wanted),
                call_seconds=SUBSCRIBE_SECONDS,
                budget_seconds=SUBSCRIBE_SECONDS,
            )
        except GraphCallFailed as failed:
            # There is one already, so it can be had.
            if failed.refusal.status == 409:
                return ProbeResult(Capability.SUBSCRIBE, ok=True, status=409)
            return _of_subscribing(failed)
        except SchedulingError as error:
            return _evidence(Capability.SUBSCRIBE, error, as_user=False)
        await self._unsubscribe(graph, str(answer.json().get("id")))
        return ProbeResult(Capability.SUBSCRIBE, ok=True, status=answer.status)

    @staticmethod
    async def _unsubscribe(graph: GraphSession, subscription_id: str) -> None:
        request = _request(graph, Method.DELETE, f"/subscriptions/{quote(subscription_id)}")
        try:
            await graph.send(request, repeatable=True)
        except (GraphCallFailed, SchedulingError):
            # It ends by itself within the hour.
            log_event("probe.subscription_left", subscription_id=subscription_id)

    @staticmethod
    async def _get_json(graph: GraphSession, path: str) -> Mapping[str, Any]:
        return (await graph.send(_request(graph, Method.GET, path), repeatable=True)).json()

    async def _get_json_or_empty(self, graph: GraphSession, path: str) -> Mapping[str, Any]:
        """Return what *path* tells; nothing where the app may not know it."""
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
        return _evidence(capability, error, as_user=as_user)
    return ProbeResult(capability, ok=True, status=answer.status, as_user=as_user)


def _evidence(
    capability: Capability, error: GraphCallFailed | SchedulingError, *, as_user: bool
) -> ProbeResult:
    """Return what *error* shows. What only the user can mend is raised."""
    if isinstance(error, GraphCallFailed):
        return _of_refusal(capability, error.refusal, as_user=as_user)
    _raise_if_the_users(error, as_user=as_user)
    if isinstance(error.__cause__, AzureError):
        refusal = refusal_of(error.__cause__)
        if refusal.aadsts is not None or refusal.error in _TOKEN_ERRORS:
            return ProbeResult(
                capability,
                ok=None if isinstance(error, CalendarUnavailable) else False,
                status=refusal.status,
                code=refusal.error,
                aadsts=refusal.aadsts,
                request_id=refusal.trace_id,
                as_user=as_user,
            )
    if isinstance(error, CalendarError):
        return ProbeResult(
            capability,
            ok=None,
            status=error.status,
            code=error.code,
            request_id=error.request_id,
            as_user=as_user,
        )
    hint = ProbeHint.MISCONFIGURED if isinstance(error, Misconfigured) else None
    ok = None if isinstance(error, StoreUnavailable) else False
    aadsts = error.aadsts if isinstance(error, ConsentMissing) else None
    return ProbeResult(capability, ok=ok, aadsts=aadsts, hint=hint, as_user=as_user)


_TOKEN_ERRORS: Final = frozenset(
    {
        "invalid_grant",
        "invalid_client",
        "unauthorized_client",
        "interaction_required",
        "consent_required",
        "access_denied",
        "invalid_request",
        "invalid_resource",
        "invalid_scope",
    }
)


def _raise_if_the_users(error: SchedulingError, *, as_user: bool) -> None:
    if not as_user or not isinstance(error, NotAuthenticated):
        return
    # Without claims another sign-in may change nothing: it is told as a finding, not demanded.
    if not isinstance(error, SignInAgain) or error.claims:
        raise error


def _of_refusal(capability: Capability, refusal: GraphErrorBody, *, as_user: bool) -> ProbeResult:
    return ProbeResult(
        capability,
        ok=None if refusal.status == 429 or refusal.status >= 500 else False,
        status=refusal.status,
        code=refusal.code,
        request_id=refusal.request_id,
        as_user=as_user,
        # The only mark of an access policy is in the message.
        hint=ProbeHint.ACCESS_POLICY if "[RAOP]" in refusal.message else None,
    )


def _of_subscribing(failed: GraphCallFailed) -> ProbeResult:
    refusal = failed.refusal
    evidence = _of_refusal(Capability.SUBSCRIBE, refusal, as_user=False)
    if refusal.status == 404:
        return ProbeResult(
            Capability.SUBSCRIBE,
            ok=False,
            status=404,
            code=refusal.code,
            request_id=refusal.request_id,
            hint=ProbeHint.NO_MAILBOX,
        )
    if refusal.status == 400 and "validation" in refusal.message.lower():
        return ProbeResult(
            Capability.SUBSCRIBE,
            ok=False,
            status=400,
            code=refusal.code,
            request_id=refusal.request_id,
            hint=ProbeHint.HANDSHAKE,
        )
    return evidence


def _of_schedule(answer: GraphResponse, *, as_user: bool) -> ProbeResult:
    """Return what getSchedule's 200 shows, which may hold an error in place of the mailbox."""
    entries = answer.json().get("value") or [{}]
    error = entries[0].get("error") or {}
    return ProbeResult(
        Capability.SCHEDULE,
        ok=not error,
        status=answer.status,
        code=str(error.get("responseCode") or ""),
        as_user=as_user,
    )


def _is_about_the_event(refusal: GraphErrorBody) -> bool:
    """Tell whether Graph got as far as looking for the event."""
    return refusal.code.lower() in {"erroritemnotfound", "errorinvalididmalformed"}


def _account(
    payload: Mapping[str, Any], more: Mapping[str, Any], purpose: Mapping[str, Any]
) -> Account:
    name = str(payload.get("userPrincipalName") or "")
    plans = more.get("assignedPlans")
    used_for = purpose.get("userPurpose")
    return Account(
        address=str(payload.get("mail") or name).lower(),
        is_guest="#ext#" in name.lower() or more.get("userType") == "Guest",
        is_shared=str(used_for).lower() == "shared" if used_for else None,
        is_synced=bool(more["onPremisesSyncEnabled"]) if "onPremisesSyncEnabled" in more else None,
        has_exchange_plan=any(
            plan.get("service") == "exchange" and plan.get("capabilityStatus") == "Enabled"
            for plan in plans
        )
        if isinstance(plans, list)
        else None,
        is_enabled=more.get("accountEnabled"),
    )


def _tenant_in(token: "AccessToken") -> str | None:
    """Return the token's `tid`; None where it cannot be read, as Graph's tokens need not be JWTs.

    Nothing rests on this alone: the token came from the tenant's own endpoint.
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
    # Not as a template: that would take the commas out of $select.
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
