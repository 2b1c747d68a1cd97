"""Calls Graph with the SDK's adapter, authentication and middleware; reads answers as JSON.

The SDK's request builders and request models make the requests. Its response models are not used:
the first one parsed costs 700 ms and 34 MB, a getSchedule answer for 20 people 200 ms.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import httpx
from kiota_abstractions.native_response_handler import NativeResponseHandler
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from kiota_http.httpx_request_adapter import HttpxRequestAdapter
from kiota_http.kiota_client_factory import KiotaClientFactory
from kiota_http.middleware.options import (
    ResponseHandlerOption,
    RetryHandlerOption,
    UrlReplaceHandlerOption,
)
from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory
from kiota_serialization_json.json_serialization_writer_factory import (
    JsonSerializationWriterFactory,
)

from shared.adapters.app_credentials import AppCredentials, Identity
from shared.adapters.graph.errors import GraphErrorBody, graph_error, read_refusal
from shared.adapters.graph.responses import GraphCallFailed, GraphResponse
from shared.adapters.graph.retry import next_delay
from shared.adapters.http_pool import HttpPool
from shared.errors import (
    CalendarError,
    CalendarRefused,
    CalendarUnavailable,
    ConsentMissing,
    SignInAgain,
)
from shared.ids import TenantId
from shared.logs import log_event
from shared.organizations.model import ActingUser
from shared.settings import Settings
from shared.tracing import SpanKind, traced

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from kiota_abstractions.request_information import RequestInformation

ME: Final = "me-token-to-replace"
"""The signed-in user in the SDK's paths; the SDK's middleware replaces it by ``/me``."""
PREFER: Final = ('IdType="ImmutableId"', 'outlook.timezone="UTC"')
"""The Prefer header of every request: ids that survive a move of the event, and times in UTC.

Source: https://learn.microsoft.com/graph/outlook-immutable-id
"""

CALL_SECONDS: Final = 8.0
"""Timeout of one attempt."""
BUDGET_SECONDS: Final = 9.5
"""Timeout of a call, retries and pauses included: a user waits ten seconds at most."""

_REPEATABLE: Final = frozenset({502, 503, 504})


class GraphSession:
    """Sends requests to Graph as one identity: the app in a tenant, or a user."""

    def __init__(self, client: "GraphClient", identity: Identity, user: str) -> None:
        """*user*: the owner of the mailbox in paths, an object id or `ME`."""
        self.user = user
        self._client = client
        self._identity = identity
        self._cloud = client.cloud
        self.adapter = HttpxRequestAdapter(
            # Explicit scopes and bare host names: the SDK sends a request to a host that is not
            # listed without a token and without an error.
            AzureIdentityAuthenticationProvider(
                cast("AsyncTokenCredential", identity),
                scopes=[f"{self._cloud.graph_url}/.default"],
                allowed_hosts=[urlsplit(self._cloud.graph_url).hostname or ""],
            ),
            parse_node_factory=client.parse_nodes,
            serialization_writer_factory=client.writers,
            http_client=client.http,
        )
        self.adapter.base_url = f"{self._cloud.graph_url}/v1.0"

    def path(self, **more: str) -> dict[str, Any]:
        """Return new path parameters for a builder. A request keeps and changes its own."""
        return {"user%2Did": self.user} | {f"{name}%2Did": value for name, value in more.items()}

    async def send(
        self,
        request: "RequestInformation",
        *,
        repeatable: bool = False,
        call_seconds: float = CALL_SECONDS,
        budget_seconds: float = BUDGET_SECONDS,
    ) -> GraphResponse:
        """Send *request* and return Graph's answer.

        *repeatable*: the request is idempotent, so a retry may follow an unknown outcome.
        *call_seconds* bounds one attempt, *budget_seconds* the whole call.

        Raises:
            GraphCallFailed: Graph refused it.
            CalendarUnavailable: Graph did not answer in time.
            SchedulingError: the identity gets no token, as `Identity` has it.
        """
        try:
            return await self._send(request, repeatable, call_seconds, budget_seconds)
        except ConsentMissing:
            await self.on_denied()
            raise
        except GraphCallFailed as failed:
            if failed.refusal.status == 403:
                await self.on_denied()
            raise

    async def on_denied(self) -> None:
        """Have the tenant's consent re-checked, after Graph or Entra denied a call."""
        await self._client.on_denied(self._identity.tenant_id)

    def count_throttled(self, operation: str, refusals: Iterable[GraphErrorBody]) -> None:
        """Count the throttled ones (429) among the *refusals* of *operation*."""
        for refusal in refusals:
            if refusal.status == 429:
                self._client.throttled[self._identity.tenant_id] += 1
                log_event(
                    "graph.throttled",
                    tenant_id=self._identity.tenant_id,
                    operation=operation,
                    retry_after_ms=round(1000 * (refusal.retry_after_seconds or 0)),
                )

    async def _send(
        self,
        request: "RequestInformation",
        repeatable: bool,  # noqa: FBT001 - a keyword in `send`, the only caller
        call_seconds: float,
        budget_seconds: float,
    ) -> GraphResponse:
        self._add_headers(request)
        ends_at = time.monotonic() + budget_seconds
        attempt = 0
        while True:
            attempt += 1
            left = ends_at - time.monotonic()
            outcome = await self._try(request, min(call_seconds, left))
            if isinstance(outcome, GraphResponse):
                return outcome
            if (
                isinstance(outcome, GraphCallFailed)
                and _wants_new_token(outcome.refusal)
                and attempt == 1
            ):
                await self._identity.forget()
                request.headers.remove("Authorization")
                continue
            may_repeat = repeatable and _is_passing(outcome)
            pause = _pause(attempt, outcome, ends_at) if may_repeat else None
            if pause is None:
                raise outcome
            await asyncio.sleep(pause)

    async def call(
        self,
        request: "RequestInformation",
        *,
        repeatable: bool = False,
        call_seconds: float = CALL_SECONDS,
        budget_seconds: float = BUDGET_SECONDS,
    ) -> GraphResponse:
        """Send *request* as `send` does, and raise our error for any refusal (`error`)."""
        try:
            return await self.send(
                request,
                repeatable=repeatable,
                call_seconds=call_seconds,
                budget_seconds=budget_seconds,
            )
        except GraphCallFailed as failed:
            raise self.error(failed.refusal) from None

    def error(self, refusal: GraphErrorBody) -> Exception:
        """Return our error for *refusal*. For the app, which cannot sign in, no SignInAgain."""
        error = graph_error(refusal)
        if isinstance(error, SignInAgain) and not self._identity.is_user:
            return CalendarRefused(
                "Graph does not accept the app's own token.",
                code=refusal.code,
                status=refusal.status,
                request_id=refusal.request_id,
                remedy="Check that GRAPH_URL and LOGIN_URL are of one cloud, and the tenant's "
                "conditional access policies for workload identities.",
            )
        return error

    def _add_headers(self, request: "RequestInformation") -> None:
        headers = request.headers
        headers.add("Prefer", list(PREFER))
        headers.try_add("client-request-id", str(uuid.uuid4()))
        headers.try_add("return-client-request-id", "true")
        request.add_request_options([_NATIVE])

    async def _try(
        self, request: "RequestInformation", seconds: float
    ) -> "GraphResponse | Exception":
        """Send once. A failed attempt is returned; an error of our own (no token) is raised."""
        started_at = time.monotonic()
        with traced(_operation(request), SpanKind.CLIENT) as span:
            span.is_ok = False
            try:
                async with asyncio.timeout(seconds):
                    response = await self._client.respond(self.adapter, request)
            except TimeoutError:
                return _no_answer("Graph did not answer in time.")
            except httpx.TransportError as error:
                unavailable = _no_answer("The connection to Graph failed.")
                unavailable.__cause__ = error
                return unavailable
            span.facts["status"] = response.status_code
            span.is_ok = response.is_success
        if response.is_success:
            return GraphResponse(response.status_code, response.headers, response.content)
        refusal = read_refusal(response.status_code, response.headers, response.content)
        log_event(
            "graph.refused",
            status=refusal.status,
            code=refusal.code,
            request_id=refusal.request_id,
            duration_ms=round(1000 * (time.monotonic() - started_at)),
        )
        self.count_throttled(_operation(request), [refusal])
        return GraphCallFailed(refusal)


class GraphClient:
    """The process's client of Graph. Connects on the first request."""

    def __init__(
        self,
        settings: Settings,
        credentials: AppCredentials,
        http_pool: HttpPool,
        on_denied: Callable[[TenantId], Awaitable[None]] | None = None,
        throttled: Counter[TenantId] | None = None,
    ) -> None:
        """*on_denied* is called with the tenant of each denied call; *throttled* counts 429s."""
        self.cloud = settings.cloud
        self.throttled: Counter[TenantId] = throttled if throttled is not None else Counter()
        self._on_denied = on_denied
        self._credentials = credentials
        self._http_pool = http_pool

    async def on_denied(self, tenant_id: TenantId) -> None:
        """Call the observer of denied calls, if there is one."""
        if self._on_denied is not None:
            await self._on_denied(tenant_id)

    def acting(self, acting: ActingUser) -> GraphSession:
        """Return a session as *acting*: as the user who signed in, else as the app."""
        mailbox = acting.mailbox
        if acting.assertion is None:
            return self.app(mailbox.tenant_id, mailbox.object_id)
        identity = self._credentials.user(mailbox.tenant_id, mailbox.object_id, acting.assertion)
        return GraphSession(self, identity, ME)

    def app(self, tenant_id: TenantId, user: str = "") -> GraphSession:
        """Return a session as the app in *tenant_id*, with paths to *user*'s mailbox."""
        return GraphSession(self, self._credentials.app(tenant_id), user)

    async def respond(
        self, adapter: HttpxRequestAdapter, request: "RequestInformation"
    ) -> httpx.Response:
        """Send *request* and return the HTTP response of any status, not parsed."""
        # The native response instead of the SDK's bytes or ODataError: one place then reads all
        # of them, the errors inside a batch, a gateway's HTML and annotations in error bodies.
        send: Any = adapter.send_primitive_async
        return cast("httpx.Response", await send(request, "bytes", {}))

    @cached_property
    def http(self) -> httpx.AsyncClient:
        """The process's HTTP client with the SDK's middleware; the middleware does not retry."""
        client = httpx.AsyncClient(
            transport=self._http_pool.transport, timeout=httpx.Timeout(CALL_SECONDS, connect=4)
        )
        options: dict[str, Any] = {
            RetryHandlerOption.get_key(): RetryHandlerOption(max_retries=0),
            UrlReplaceHandlerOption.get_key(): UrlReplaceHandlerOption(
                enabled=True, replacement_pairs={f"/users/{ME}": "/me"}
            ),
        }
        return KiotaClientFactory.create_with_default_middleware(client, options)

    @cached_property
    def parse_nodes(self) -> JsonParseNodeFactory:
        """The JSON parser that the SDK's adapter demands."""
        return JsonParseNodeFactory()

    @cached_property
    def writers(self) -> JsonSerializationWriterFactory:
        """The JSON serializer of the SDK's request models."""
        return JsonSerializationWriterFactory()


_NATIVE: Final = ResponseHandlerOption(NativeResponseHandler())


def _operation(request: "RequestInformation") -> str:
    """Return method and URL template, without ids: ``GET /users/{user}/events/{event}``."""
    path = (request.url_template or "").partition("{?")[0].removeprefix("{+baseurl}")
    method = request.http_method.value if request.http_method else ""
    return f"{method} {path.replace('%2Did', '')}"


def _no_answer(message: str) -> CalendarUnavailable:
    return CalendarUnavailable(message, code="no_answer", status=0)


def _wants_new_token(refusal: GraphErrorBody) -> bool:
    # On a 401 with claims the SDK has already retried, with a new token for those claims.
    # Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge
    return refusal.status == 401 and refusal.claims is None


def _is_passing(outcome: Exception) -> bool:
    if isinstance(outcome, GraphCallFailed):
        return outcome.refusal.status in _REPEATABLE
    return isinstance(outcome, CalendarError) and outcome.status == 0


def _pause(attempt: int, outcome: Exception, ends_at: float) -> float | None:
    retry_after = (
        outcome.refusal.retry_after_seconds if isinstance(outcome, GraphCallFailed) else None
    )
    return next_delay(attempt, retry_after, left_seconds=ends_at - time.monotonic())
