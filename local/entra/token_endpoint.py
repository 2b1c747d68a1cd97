"""The token endpoint: ``POST /{tenant}/oauth2/v2.0/token``.

Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow
Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from local.entra.client_authentication import ClientAuthentication
from local.entra.directory import ANY_TENANT, Directory, Flow
from local.entra.errors import EntraError
from local.entra.registration import OPEN_ID, USER_SCOPE
from local.entra.tokens import TokenMint, client_info
from local.world import Person, Tenant

ON_BEHALF_OF: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CODE_LIFE: Final = timedelta(minutes=10)
REFRESH_LIFE: Final = timedelta(hours=24)
"""The lifetime of a single-page app's refresh token."""
_DEFAULT: Final = "/.default"
Form = Mapping[str, str]


@dataclass(slots=True)
class AuthorizationCode:
    """The code of a sign-in, which the browser redeems."""

    person: Person
    client_id: str
    redirect_uri: str
    scope: str
    challenge: str | None
    nonce: str | None
    met_claims: Mapping[str, Any]
    expires_at: datetime
    redeemed: bool = False


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A browser's session, which it may prolong."""

    person: Person
    scope: str
    met_claims: Mapping[str, Any]
    expires_at: datetime


@dataclass(slots=True)
class Sessions:
    """The codes and refresh tokens that are still valid."""

    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestedScopes:
    """The meaning of a `scope` parameter."""

    resource: str
    """`api` for the app's own API, or the root of Graph as the request named it."""
    names: frozenset[str]
    """Scopes without the resource; empty for `.default`."""


class TokenEndpoint:
    """Answers requests for tokens."""

    def __init__(
        self,
        directory: Directory,
        mint: TokenMint,
        authentication: ClientAuthentication,
        graph_urls: set[str],
    ) -> None:
        self._directory = directory
        self._registration = directory.registration
        self._world = directory.world
        self._mint = mint
        self._authentication = authentication
        self._graph_urls = graph_urls
        self.sessions = Sessions()

    def answer(self, tenant_name: str, form: Form, token_url: str) -> dict[str, Any]:
        """Return the body of a 200. EntraError if Entra refuses the request."""
        for needed in ("client_id", "grant_type"):
            if not form.get(needed):
                raise EntraError(900144, detail=needed)
        match form["grant_type"]:
            case "client_credentials":
                return self._client_credentials(tenant_name, form, token_url)
            case "authorization_code":
                return self._authorization_code(tenant_name, form, token_url)
            case "refresh_token":
                return self._refresh(form)
            case grant if grant == ON_BEHALF_OF:
                return self._on_behalf_of(tenant_name, form, token_url)
            case _:
                raise EntraError(70003)

    # --- the app by itself

    def _client_credentials(self, tenant_name: str, form: Form, token_url: str) -> dict[str, Any]:
        if tenant_name in {"common", "organizations", "consumers"}:
            raise EntraError(50059)
        tenant = self._directory.tenant(tenant_name)
        self._directory.raise_forced(Flow.APP, tenant.tenant_id)
        client_id = form["client_id"].lower()
        if client_id == self._world.platform_client_id:
            return self._platform(tenant, form, token_url)
        self._ensure_known(client_id, tenant)
        app = self._directory.ensure_usable(tenant)
        self._authentication.check(client_id, form, token_url)
        resource = self._default_resource(form, tenant)
        if resource == "api":
            if app.assignment_required:
                raise EntraError(501051, app=client_id)
            token = self._mint.for_graph_as_app(tenant.tenant_id, client_id, [])
        else:
            spread = app.has_spread(self._world.clock.now())
            roles = app.application if spread else set()
            token = self._mint.for_graph_as_app(tenant.tenant_id, resource, roles)
        return self._bearer(token)

    def _platform(self, tenant: Tenant, form: Form, token_url: str) -> dict[str, Any]:
        client_id = form["client_id"].lower()
        if tenant.tenant_id != self._world.home_tenant_id:
            raise EntraError(700016, app=client_id, tenant=tenant.name)
        self._authentication.check(client_id, form, token_url)
        resource = self._default_resource(form, tenant)
        if resource != "api":
            raise EntraError(650057)
        return self._bearer(self._mint.for_platform())

    def _default_resource(self, form: Form, tenant: Tenant) -> str:
        scope = form.get("scope", "")
        if not scope:
            raise EntraError(900144, detail="scope")
        # Microsoft's Go SDK asks for the scopes of OpenID besides, which mean nothing here.
        if not all(part.endswith(_DEFAULT) for part in scope.split() if part not in OPEN_ID):
            raise EntraError(1002012, detail=scope)
        asked = self._requested_scopes(scope, tenant)
        return asked.resource

    # --- the app for a user

    def _on_behalf_of(self, tenant_name: str, form: Form, token_url: str) -> dict[str, Any]:
        if not form.get("assertion"):
            raise EntraError(900144, detail="assertion")
        if form.get("requested_token_use") != "on_behalf_of":
            raise EntraError(900144, detail="requested_token_use")
        client_id = form["client_id"].lower()
        claims = self._mint.read_own(form["assertion"])
        named = str(claims.get("tid")) if tenant_name in {"common", "organizations"} else None
        tenant = self._directory.tenant(named or tenant_name)
        self._directory.raise_forced(Flow.ON_BEHALF_OF, tenant.tenant_id)
        self._ensure_known(client_id, tenant)
        app = self._directory.ensure_usable(tenant)
        self._authentication.check(client_id, form, token_url)
        person = self._asserted(claims, tenant)
        self._directory.ensure_assigned(tenant, person)
        if app.demanded_claims and not _meets(claims, app.demanded_claims):
            raise EntraError(50076, claims=app.demanded_claims, resource=self._graph_name())
        asked = self._requested_scopes(form.get("scope", ""), tenant)
        if asked.resource == "api":
            body = self._bearer(self._mint.for_our_api(person), scope=form["scope"])
        else:
            body = self._delegated(tenant, person, asked, form["scope"])
        if "openid" in form["scope"].split():
            body["id_token"] = self._mint.id_token(person, None)
        return body

    def _asserted(self, claims: Mapping[str, Any], tenant: Tenant) -> Person:
        """Return the user of a valid assertion. EntraError for any other one."""
        own = {self._registration.client_id, self._registration.app_id_uri}
        if claims.get("aud") not in own:
            raise EntraError(500131)
        if self._mint.has_expired(claims):
            raise EntraError(500133)
        if "scp" not in claims:
            raise EntraError(7000114, app=self._registration.client_id)
        if claims.get("tid") != tenant.tenant_id:
            raise EntraError(50020, tenant=tenant.name, app=self._registration.client_id)
        return self._directory.user(tenant, str(claims.get("oid")))

    def _delegated(
        self, tenant: Tenant, person: Person, asked: RequestedScopes, scope: str
    ) -> dict[str, Any]:
        """Return the answer for Graph. Its scopes are the granted ones, and the asked as asked."""
        app = self._directory.app(tenant.tenant_id)
        granted = app.delegated if app.has_spread(self._world.clock.now()) else set()
        if not granted or not asked.names <= granted:
            raise EntraError(65001, app=self._registration.client_id, tenant=tenant.name)
        token = self._mint.for_graph_as_user(person, asked.resource, granted)
        named = dict.fromkeys(f"{asked.resource}/{name}" for name in sorted(granted))
        body = self._bearer(token, scope=" ".join(named | dict.fromkeys(scope.split())))
        if "offline_access" in scope.split():
            body["refresh_token"] = secrets.token_urlsafe(48)
        return body

    # --- a person who signed in

    def _authorization_code(self, tenant_name: str, form: Form, token_url: str) -> dict[str, Any]:
        code = self.sessions.codes.get(form.get("code", ""))
        if code is None or code.client_id != form["client_id"].lower():
            raise EntraError(70008)
        self._directory.raise_forced(Flow.CODE, code.person.tenant_id)
        if code.redeemed:
            raise EntraError(54005)
        if self._world.clock.now() >= code.expires_at:
            raise EntraError(70008)
        if form.get("redirect_uri") != code.redirect_uri:
            raise EntraError(50011, detail=form.get("redirect_uri", ""), app=code.client_id)
        is_web = code.redirect_uri in self._registration.web_redirect_uris
        if is_web:
            self._authentication.check(code.client_id, form, token_url)
        self._ensure_at_home(code.person, tenant_name)
        code.redeemed = True  # also with a wrong verifier, which could otherwise be guessed
        _check_verifier(code.challenge, form.get("code_verifier"))
        scope = form.get("scope") or code.scope
        if is_web and OPEN_ID.issuperset(scope.split()):
            return self._for_web_app(code, scope)
        return self._for_browser(code.person, scope, code.met_claims, code.nonce)

    def _ensure_at_home(self, person: Person, tenant_name: str) -> None:
        if tenant_name not in ANY_TENANT:
            tenant = self._directory.tenant(tenant_name)
            if tenant.tenant_id != person.tenant_id:
                raise EntraError(50020, tenant=tenant.name, app=self._registration.client_id)

    def _for_web_app(self, code: AuthorizationCode, scope: str) -> dict[str, Any]:
        """Return the answer to a sign-in alone: it needs no permission of Graph."""
        token = self._mint.for_graph_as_user(code.person, self._graph_name(), scope.split())
        id_token = {"id_token": self._mint.id_token(code.person, code.nonce)}
        return self._bearer(token, scope=scope) | (id_token if "openid" in scope.split() else {})

    def _refresh(self, form: Form) -> dict[str, Any]:
        kept = self.sessions.refresh_tokens.get(form.get("refresh_token", ""))
        if kept is None or self._world.clock.now() >= kept.expires_at:
            raise EntraError(70008)
        self._directory.raise_forced(Flow.REFRESH, kept.person.tenant_id)
        return self._for_browser(
            kept.person, form.get("scope") or kept.scope, kept.met_claims, None, kept
        )

    def _for_browser(
        self,
        person: Person,
        scope: str,
        met_claims: Mapping[str, Any],
        nonce: str | None,
        kept: RefreshToken | None = None,
    ) -> dict[str, Any]:
        tenant = self._directory.tenant(person.tenant_id)
        self._directory.ensure_usable(tenant)
        self._directory.ensure_assigned(tenant, person)
        asked = self._requested_scopes(scope, tenant)
        if asked.resource == "api":
            token = self._mint.for_our_api(person, claims=met_claims)
            granted = f"{self._registration.app_id_uri}/{USER_SCOPE}"
            body = self._bearer(token, scope=f"{granted} openid profile")
        else:
            body = self._delegated(tenant, person, asked, scope)
        expires_at = kept.expires_at if kept else self._world.clock.now() + REFRESH_LIFE
        refresh = secrets.token_urlsafe(48)
        self.sessions.refresh_tokens[refresh] = RefreshToken(person, scope, met_claims, expires_at)
        left = int((expires_at - self._world.clock.now()).total_seconds())
        return body | {
            "refresh_token": refresh,
            "refresh_token_expires_in": left,
            "id_token": self._mint.id_token(person, nonce),
            "client_info": client_info(person),
        }

    # --- parts

    def _ensure_known(self, client_id: str, tenant: Tenant) -> None:
        if client_id != self._registration.client_id:
            raise EntraError(700016, app=client_id, tenant=tenant.name)

    def _requested_scopes(self, scope: str, tenant: Tenant) -> RequestedScopes:
        """Return the one resource of *scope*, and its scopes. EntraError if it has no such."""
        names: set[str] = set()
        resources: set[str] = set()
        for part in scope.split():
            if part in OPEN_ID:
                continue
            resource, slash, name = part.rpartition("/")
            if not slash:
                # Scopes without a resource are Graph's.
                resource, name = self._graph_name(), part
            resources.add(self._resource(resource, tenant))
            if name != _DEFAULT.strip("/"):
                names.add(name)
        if len(resources) > 1:
            raise EntraError(70011, detail=f"The scope {scope} names more than one resource.")
        resource = resources.pop() if resources else self._graph_name()
        if resource == "api" and names - {USER_SCOPE}:
            raise EntraError(70011, detail=f"The scope {scope} is not valid.")
        return RequestedScopes(resource, frozenset(names))

    def _resource(self, named: str, tenant: Tenant) -> str:
        if named.lower() in {self._registration.app_id_uri, self._registration.client_id}:
            return "api"
        if named in self._graph_urls:
            return named
        raise EntraError(500011, resource=named, tenant=tenant.name)

    def _graph_name(self) -> str:
        return "https://graph.microsoft.com"

    def _bearer(self, token: str, scope: str | None = None) -> dict[str, Any]:
        seconds = int(self._mint.life.total_seconds())
        body: dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": token,
        }
        return body | ({"scope": scope} if scope else {})


def _check_verifier(challenge: str | None, verifier: str | None) -> None:
    if challenge is None:
        return
    digest = hashlib.sha256((verifier or "").encode()).digest()
    if base64.urlsafe_b64encode(digest).decode().rstrip("=") != challenge:
        raise EntraError(501481)


def _meets(claims: Mapping[str, Any], demanded: str) -> bool:
    """Return whether a token with *claims* satisfies the challenge of the earlier refusal."""
    wanted = json.loads(demanded).get("access_token", {})
    return all(
        str(rule.get("value")) in str(claims.get(name, ""))
        for name, rule in wanted.items()
        if isinstance(rule, dict)
    )
