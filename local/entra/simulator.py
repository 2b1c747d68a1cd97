"""The simulated Entra: discovery, keys, tokens, sign-in and consent for every tenant of a world."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from local.entra.client_authentication import ClientAuthentication
from local.entra.directory import ANY_TENANT, AppInTenant, Directory, Flow, ForcedError
from local.entra.errors import EntraError
from local.entra.keys import KeyRing, SigningKey
from local.entra.managed_identity import IdentityEndpoint, ManagedIdentity
from local.entra.pages import Pages
from local.entra.registration import Registration
from local.entra.token_endpoint import TokenEndpoint
from local.entra.tokens import Forgery, TokenMint
from local.world import Person, World

GRAPH_ROOTS: Final = frozenset(
    {
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
    }
)
CHALLENGE: Final = '{"access_token":{"acrs":{"essential":true,"value":"cp1"}}}'
"""The claims that conditional access may demand.
Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge
"""
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}


class EntraSimulator:
    """Entra for the tenants of *world*; at first only the home tenant has the app."""

    def __init__(
        self,
        world: World,
        *,
        root_url: str,
        graph_urls: Iterable[str] = (),
        registration: Registration | None = None,
        platform_secret: str = "platform-secret",
    ) -> None:
        """*root_url*: Entra's own address. *graph_urls*: roots of Graph beside Microsoft's own."""
        self.world = world
        self.root_url = root_url.rstrip("/")
        self.registration = registration or Registration(world.client_id)
        self.keys = KeyRing()
        self.directory = Directory(world, self.registration)
        self.mint = TokenMint(world, self.registration, self.keys, self.root_url)
        self.is_down = False
        self.delay = timedelta()
        """The token endpoint's delay, in real time."""
        self.requests: list[tuple[str, str]] = []
        """Flow and tenant of every request for a token, in order."""
        platform = {world.platform_client_id: platform_secret}
        authentication = ClientAuthentication(self.registration, platform, self.mint, world.clock)
        graph = set(GRAPH_ROOTS) | {url.rstrip("/") for url in graph_urls}
        self.tokens = TokenEndpoint(self.directory, self.mint, authentication, graph)

    # --- for other components of this process

    def public_keys(self) -> Mapping[str, RSAPublicKey]:
        """Return the current signing keys, by key id."""
        return self.keys.public_keys()

    def roll_keys(self) -> SigningKey:
        """Sign with a new key from now on, and stop publishing the oldest."""
        return self.keys.roll()

    def withdraw_key(self) -> SigningKey:
        """Withdraw the signing key, as after a theft: all that it signed is refused at once."""
        return self.keys.withdraw()

    def identity_endpoint(self, identity: ManagedIdentity) -> IdentityEndpoint:
        """Return the managed identity endpoint of an app that runs as *identity*."""
        return IdentityEndpoint(identity, self.mint)

    # --- changes of tenants by people and tests

    def app_in(self, tenant_id: str) -> AppInTenant:
        """Return the enterprise app of a tenant; a test may change it."""
        return self.directory.app(tenant_id)

    def grant(
        self,
        tenant_id: str,
        *,
        delegated: Iterable[str] | None = None,
        application: Iterable[str] | None = None,
    ) -> None:
        """Consent for a tenant: to all that the registration lists, or to the named permissions."""
        self.directory.grant(tenant_id, delegated=delegated, application=application)

    def withdraw(self, tenant_id: str) -> None:
        """Remove the app from a tenant."""
        self.directory.withdraw(tenant_id)

    def inject_error(
        self,
        code: int,
        *,
        flow: Flow | None = None,
        tenant_id: str | None = None,
        times: int | None = 1,
        claims: str | None = None,
        suberror: str | None = None,
    ) -> None:
        """Answer the next *times* requests with AADSTS *code* (None: until `clear_errors`)."""
        forced = ForcedError(code, flow, tenant_id, times, claims, suberror)
        self.directory.forced.append(forced)

    def clear_errors(self) -> None:
        """Clear every injected error."""
        self.directory.forced.clear()

    def demand_claims(self, tenant_id: str, claims: str = CHALLENGE) -> None:
        """Let on-behalf-of fail in a tenant until the user has signed in with *claims*."""
        self.directory.app(tenant_id).demanded_claims = claims

    def token_for(
        self, person: Person, *, forgery: Forgery = Forgery.NONE, claims: Mapping[str, Any] = {}
    ) -> str:
        """Return a token for the app's API, valid or forged."""
        if forgery is not Forgery.NONE:
            return self.mint.forged(forgery, person)
        return self.mint.for_our_api(person, claims=claims)

    def platform_token(self) -> str:
        """Return a token of the platform's backend for the app's API."""
        return self.mint.for_platform()

    # --- over HTTP

    def app(self) -> web.Application:
        """Return the application with Entra's paths."""
        app = web.Application(middlewares=[_cors])
        pages = Pages(self.directory, self.tokens.sessions)
        get, post = app.router.add_get, app.router.add_post
        get("/common/discovery/instance", self._instance)
        get("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration)
        get("/{tenant}/discovery/v2.0/keys", self._keys)
        post("/{tenant}/oauth2/v2.0/token", self._token)
        for path in ("/{tenant}/v2.0/adminconsent", "/{tenant}/adminconsent"):
            get(path, pages.admin_consent)
            post(path, pages.admin_consent)
        get("/{tenant}/oauth2/v2.0/authorize", pages.authorize)
        post("/{tenant}/oauth2/v2.0/authorize", pages.authorize)
        get("/{tenant}/oauth2/v2.0/logout", pages.logout)
        app.router.add_route("OPTIONS", "/{anything:.*}", _preflight)
        return app

    async def _configuration(self, request: web.Request) -> web.Response:
        named = request.match_info["tenant"]
        try:
            tenant = None if named in ANY_TENANT else self.directory.tenant(named)
        except EntraError as error:
            return self._refusal(error, None)
        root = f"{self.root_url}/{tenant.tenant_id if tenant else named}"
        issuer = tenant.tenant_id if tenant else "{tenantid}"
        return web.json_response(
            {
                "token_endpoint": f"{root}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "jwks_uri": f"{root}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "code id_token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": f"{self.root_url}/{issuer}/v2.0",
                "request_uri_parameter_supported": False,
                "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
                "end_session_endpoint": f"{root}/oauth2/v2.0/logout",
                "http_logout_supported": True,
                "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "name", "tid"],
                "tenant_region_scope": None,
                "cloud_instance_name": urlsplit(self.root_url).netloc,
            }
        )

    async def _keys(self, request: web.Request) -> web.Response:
        named = request.match_info["tenant"]
        try:
            tenant = None if named in ANY_TENANT else self.directory.tenant(named)
        except EntraError as error:
            return self._refusal(error, None)
        if self.is_down:
            return self._refusal(EntraError(90033), None)
        key_set = self.keys.key_set(self.root_url, tenant.tenant_id if tenant else None)
        return web.json_response(key_set, headers={"Cache-Control": "max-age=86400, private"})

    async def _token(self, request: web.Request) -> web.Response:
        correlation_id = request.headers.get("client-request-id")
        form = {
            name: value for name, value in (await request.post()).items() if isinstance(value, str)
        }
        tenant = request.match_info["tenant"]
        self.requests.append((str(form.get("grant_type", "")), tenant))
        if self.delay:
            await asyncio.sleep(self.delay.total_seconds())
        if self.is_down:
            return self._refusal(EntraError(90033), correlation_id)
        try:
            body = self.tokens.answer(tenant, form, f"{self.root_url}{request.path}")
        except EntraError as error:
            return self._refusal(error, correlation_id)
        headers = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}
        return web.json_response(body, headers=headers)

    async def _instance(self, request: web.Request) -> web.Response:
        host = urlsplit(self.root_url).netloc
        tenant = urlsplit(request.query.get("authorization_endpoint", "")).path.split("/")[1:2]
        name = tenant[0] if tenant else "common"
        return web.json_response(
            {
                "tenant_discovery_endpoint": (
                    f"{self.root_url}/{name}/v2.0/.well-known/openid-configuration"
                ),
                "api-version": "1.1",
                "metadata": [
                    {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
                ],
            }
        )

    def _refusal(self, error: EntraError, correlation_id: str | None) -> web.Response:
        body = error.body(self.world.clock.now(), correlation_id, self.root_url)
        return web.Response(
            text=json.dumps(body), status=error.kind.status, content_type="application/json"
        )


@web.middleware
async def _cors(request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
    """Allow the frontend's browser to read metadata and tokens across origins, like Entra."""
    response: web.StreamResponse = await handler(request)
    if "Origin" in request.headers:
        response.headers.update(_CORS)
    return response


async def _preflight(_: web.Request) -> web.Response:
    return web.Response(status=204)
