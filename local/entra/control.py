"""The control API of the simulated Entra: for tests and people, in place of Entra's portals."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from local.entra.directory import Flow
from local.entra.errors import EntraError
from local.entra.simulator import EntraSimulator
from local.entra.tokens import Forgery

Handler = Callable[[web.Request], Awaitable[web.Response]]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TenantChange(_Body):
    """A change of a tenant; an absent field stays as it is."""

    exists: bool | None = None
    enabled: bool | None = None
    assignment_required: bool | None = None
    users_may_consent: bool | None = None
    delegated: set[str] | None = None
    application: set[str] | None = None
    spread_seconds: float | None = None
    demanded_claims: str | None = None


class GrantRequest(_Body):
    """The permissions an admin consents to; if absent, all that the registration lists."""

    delegated: set[str] | None = None
    application: set[str] | None = None
    spread_seconds: float = 0


class ErrorInjection(_Body):
    """A refusal to answer with."""

    code: int
    flow: Flow | None = None
    tenant_id: str | None = None
    times: int | None = 1
    claims: str | None = None
    suberror: str | None = None


class TokenRequest(_Body):
    """A token to make: for a person, or for the platform."""

    person: str | None = None
    forgery: Forgery = Forgery.NONE
    claims: dict[str, Any] = {}


class ConditionsRequest(_Body):
    """The conditions of the token endpoint."""

    is_down: bool | None = None
    delay_seconds: float | None = None
    issues_v1_tokens: bool | None = None
    emits_directory_roles: bool | None = None


class Control:
    """Routes under ``/_control``. Bodies are JSON; answers show the state after the change."""

    def __init__(self, entra: EntraSimulator) -> None:
        self._entra = entra

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes to *router*."""
        router.add_get("/_control", self._show)
        router.add_patch("/_control", _checked(self._set))
        router.add_patch("/_control/tenants/{tenant}", _checked(self._change))
        router.add_post("/_control/tenants/{tenant}/grant", _checked(self._grant))
        router.add_post("/_control/tenants/{tenant}/withdraw", _checked(self._withdraw))
        router.add_post("/_control/errors", _checked(self._fail))
        router.add_delete("/_control/errors", self._heal)
        router.add_post("/_control/keys/roll", self._roll)
        router.add_post("/_control/keys/withdraw", self._withdraw_key)
        router.add_post("/_control/tokens", _checked(self._token))

    async def _show(self, _: web.Request) -> web.Response:
        world, directory = self._entra.world, self._entra.directory
        tenants = {
            tenant_id: {"name": tenant.name, "domain": tenant.domain}
            | _plain(asdict(directory.app(tenant_id)))
            for tenant_id, tenant in world.tenants.items()
        }
        registration = self._entra.registration
        return web.json_response(
            {
                "client_id": world.client_id,
                "tenants": tenants,
                "errors": [_plain(asdict(each)) for each in directory.forced],
                "signing_key": self._entra.keys.current.key_id,
                "is_down": self._entra.is_down,
                "delay_seconds": self._entra.delay.total_seconds(),
                "issues_v1_tokens": registration.issues_v1_tokens,
                "emits_directory_roles": registration.emits_directory_roles,
                "certificates": len(registration.certificates),
                "secrets": len(registration.secrets),
            }
        )

    async def _set(self, request: web.Request) -> web.Response:
        asked = ConditionsRequest.model_validate_json(await request.read())
        if asked.is_down is not None:
            self._entra.is_down = asked.is_down
        if asked.delay_seconds is not None:
            self._entra.delay = timedelta(seconds=asked.delay_seconds)
        if asked.issues_v1_tokens is not None:
            self._entra.registration.issues_v1_tokens = asked.issues_v1_tokens
        if asked.emits_directory_roles is not None:
            self._entra.registration.emits_directory_roles = asked.emits_directory_roles
        return await self._show(request)

    async def _change(self, request: web.Request) -> web.Response:
        change = TenantChange.model_validate_json(await request.read())
        app = self._entra.app_in(self._tenant_id(request))
        for name in change.model_fields_set - {"spread_seconds"}:
            setattr(app, name, getattr(change, name))
        if change.spread_seconds is not None:
            app.spread = timedelta(seconds=change.spread_seconds)
        return await self._show(request)

    async def _grant(self, request: web.Request) -> web.Response:
        asked = GrantRequest.model_validate_json(await request.read() or b"{}")
        tenant_id = self._tenant_id(request)
        self._entra.grant(tenant_id, delegated=asked.delegated, application=asked.application)
        self._entra.app_in(tenant_id).spread = timedelta(seconds=asked.spread_seconds)
        return await self._show(request)

    async def _withdraw(self, request: web.Request) -> web.Response:
        self._entra.withdraw(self._tenant_id(request))
        return await self._show(request)

    async def _fail(self, request: web.Request) -> web.Response:
        asked = ErrorInjection.model_validate_json(await request.read())
        self._entra.inject_error(asked.code, **asked.model_dump(exclude={"code"}))
        return await self._show(request)

    async def _heal(self, request: web.Request) -> web.Response:
        self._entra.clear_errors()
        return await self._show(request)

    async def _roll(self, request: web.Request) -> web.Response:
        self._entra.roll_keys()
        return await self._show(request)

    async def _withdraw_key(self, request: web.Request) -> web.Response:
        self._entra.withdraw_key()
        return await self._show(request)

    async def _token(self, request: web.Request) -> web.Response:
        asked = TokenRequest.model_validate_json(await request.read())
        if asked.person is None:
            return web.json_response({"access_token": self._entra.platform_token()})
        try:
            person = self._entra.world.person(asked.person)
        except KeyError:
            nobody = EntraError(50034, detail=asked.person, tenant="organizations")
            return web.json_response(_refusal(nobody), status=404)
        if asked.forgery is Forgery.NONE:  # made without asking Entra
            try:
                self._entra.directory.ensure_signs_in(person)
            except EntraError as error:
                return web.json_response(_refusal(error), status=403)
        token = self._entra.token_for(person, forgery=asked.forgery, claims=asked.claims)
        return web.json_response({"access_token": token})

    def _tenant_id(self, request: web.Request) -> str:
        """Return the id of the tenant in the path, which may be named by id, domain or name."""
        named = request.match_info["tenant"]
        for tenant in self._entra.world.tenants.values():
            if named.casefold() in {
                tenant.tenant_id,
                tenant.domain.casefold(),
                tenant.name.casefold(),
            }:
                return tenant.tenant_id
        raise KeyError(named)


def _refusal(error: EntraError) -> dict[str, Any]:
    return {"error": error.kind.error, "error_codes": [error.code], "error_description": error.text}


def _checked(handler: Handler) -> Handler:
    """Answer 400 to invalid bodies, 404 to unknown names."""

    async def checked(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except ValidationError as error:
            problems = [
                {"at": ".".join(map(str, each["loc"])), "problem": each["msg"]}
                for each in error.errors()
            ]
            return web.json_response({"errors": problems}, status=400)
        except KeyError as error:
            return web.json_response({"errors": [f"nobody is called {error}"]}, status=404)

    return checked


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return *value* in types that JSON has."""
    match value:
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case set() | frozenset():
            return sorted(value)
        case timedelta():
            return value.total_seconds()
        case None | bool() | int() | float() | str():
            return value
        case _:
            return value.isoformat()
