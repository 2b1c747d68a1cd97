"""The simulated Key Vault: the REST API of secrets, with its authentication challenge.

Source: https://learn.microsoft.com/rest/api/keyvault/secrets and
https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from local.clock import CloudClock
from local.keyvault.vault import RECOVERABLE_DAYS, SecretVersion, Vault

RESOURCE: Final = "https://vault.azure.net"
PAGE: Final = 25
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class ServiceConditions:
    """The vault's condition. All of it can change while the vault runs."""

    is_down: bool = False
    """503 to everything."""
    delay: timedelta = timedelta()
    """Before every answer, in real time."""
    throttled: int = 0
    """The number of next requests that get 429."""
    retry_after_seconds: int = 1
    forbids: bool = False
    """403: the role assignment is missing."""


@dataclass(eq=False)
class VaultError(Exception):
    """A refusal in Key Vault's own words."""

    status: int
    code: str
    message: str
    inner: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """Return the refusal in the API's form."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.inner:
            error["innererror"] = {"code": self.inner}
        return web.json_response({"error": error}, status=self.status, headers=self.headers)


class _Attributes(BaseModel):
    model_config = ConfigDict(extra="ignore")
    enabled: bool | None = None
    nbf: int | None = None
    exp: int | None = None


class _SetSecret(BaseModel):
    model_config = ConfigDict(extra="ignore")
    value: str
    contentType: str | None = None  # noqa: N815 - the API's own name
    attributes: _Attributes = _Attributes()
    tags: dict[str, str] = {}


class _ChangeSecret(BaseModel):
    model_config = ConfigDict(extra="ignore")
    contentType: str | None = None  # noqa: N815 - the API's own name
    attributes: _Attributes = _Attributes()
    tags: dict[str, str] | None = None


class KeyVaultSimulator:
    """One vault. *readers* (object ids) may read it, with tokens of *tenant_id*."""

    def __init__(
        self,
        clock: CloudClock,
        *,
        root_url: str,
        login_url: str,
        tenant_id: str,
        token_keys: Callable[[], Mapping[str, RSAPublicKey]],
        readers: set[str],
    ) -> None:
        self.vault = Vault(clock)
        self.conditions = ServiceConditions()
        self.readers = readers
        self.reads: list[str] = []
        """Names of secrets whose value was read, in order."""
        self._root_url = root_url.rstrip("/")
        self._login_url = login_url.rstrip("/")
        self._tenant_id = tenant_id
        self._token_keys = token_keys

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._guard])
        router = app.router
        router.add_get("/secrets", self._list)
        router.add_get("/secrets/{name}/versions", self._versions)
        router.add_put("/secrets/{name}", self._set)
        router.add_delete("/secrets/{name}", self._delete)
        # The SDK requests the current version with an empty last segment.
        router.add_get("/secrets/{name}{slash:/?}", self._get)
        router.add_get("/secrets/{name}/{version}", self._get)
        router.add_patch("/secrets/{name}/{version}", self._change)
        router.add_get("/deletedsecrets/{name}", self._get_deleted)
        router.add_delete("/deletedsecrets/{name}", self._purge)
        router.add_post("/deletedsecrets/{name}/recover", self._recover)
        router.add_get("/_control", self._show_control)
        router.add_patch("/_control", self._set_control)
        return app

    # --- access

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Apply conditions and access control first; translate refusals."""
        if request.path.startswith("/_control"):
            return await handler(request)
        try:
            await self._pass_weather()
            self._authenticate(request)
            _check_version(request)
            return await handler(request)
        except ValidationError as error:
            return VaultError(400, "BadParameter", str(error.errors()[0]["msg"])).response()
        except VaultError as error:
            return error.response()

    async def _pass_weather(self) -> None:
        conditions = self.conditions
        if conditions.delay:
            await asyncio.sleep(conditions.delay.total_seconds())
        if conditions.is_down:
            raise VaultError(503, "ServiceUnavailable", "The service is unavailable.")
        if conditions.throttled > 0:
            conditions.throttled -= 1
            headers = {"Retry-After": str(conditions.retry_after_seconds)}
            raise VaultError(429, "Throttled", "Request was throttled.", headers=headers)

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self._challenge("AKV10000: Request is missing a Bearer or PoP token.")
        try:
            key = self._token_keys()[str(jwt.get_unverified_header(token).get("kid"))]
            claims = jwt.decode(token, key, algorithms=["RS256"], audience=RESOURCE, leeway=60)
        except KeyError as error:
            raise self._challenge("AKV10032: Invalid issuer: the key is unknown.") from error
        except jwt.InvalidAudienceError as error:
            raise self._challenge("AKV10022: Invalid audience.") from error
        except jwt.PyJWTError as error:
            raise self._challenge(f"AKV10001: Invalid token: {error}.") from error
        if claims.get("tid") != self._tenant_id:
            raise self._challenge("AKV10032: Invalid issuer.")
        if self.conditions.forbids or claims.get("oid") not in self.readers:
            text = "Caller is not authorized to perform action on resource."
            raise VaultError(403, "Forbidden", text, "ForbiddenByRbac")

    def _challenge(self, message: str) -> VaultError:
        authority = f"{self._login_url}/{self._tenant_id}"
        challenge = f'Bearer authorization="{authority}", resource="{RESOURCE}"'
        return VaultError(401, "Unauthorized", message, headers={"WWW-Authenticate": challenge})

    # --- secrets

    async def _get(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = self._found(name, request.match_info.get("version", ""))
        if not found.enabled:
            text = "Operation get is not allowed on a disabled secret."
            raise VaultError(403, "Forbidden", text, "SecretDisabled")
        self.reads.append(name.lower())
        return web.json_response({"value": found.value} | self._item(name, found))

    async def _set(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name.lower() in self.vault.deleted:
            text = f"Secret {name} is currently in a deleted but recoverable state."
            raise VaultError(409, "Conflict", text, "ObjectIsDeletedButRecoverable")
        body = _SetSecret.model_validate_json(await request.read())
        made = self.vault.put(
            name,
            body.value,
            content_type=body.contentType,
            enabled=body.attributes.enabled is not False,
            not_before=_instant(body.attributes.nbf),
            expires_at=_instant(body.attributes.exp),
            tags=body.tags,
        )
        return web.json_response({"value": made.value} | self._item(name, made))

    async def _change(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = self._found(name, request.match_info["version"])
        body = _ChangeSecret.model_validate_json(await request.read())
        if body.attributes.enabled is not None:
            found.enabled = body.attributes.enabled
        found.not_before = _instant(body.attributes.nbf) or found.not_before
        found.expires_at = _instant(body.attributes.exp) or found.expires_at
        found.content_type = body.contentType or found.content_type
        found.tags = found.tags if body.tags is None else body.tags
        return web.json_response(self._item(name, found))

    async def _versions(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        # In the order of their random ids, as the service lists them, not by age.
        versions = sorted(self.vault.secrets.get(name.lower(), []), key=lambda each: each.version)
        return self._page(request, [self._item(name, each) for each in versions])

    async def _list(self, request: web.Request) -> web.Response:
        items = []
        for name, versions in sorted(self.vault.secrets.items()):
            item = self._item(name, versions[-1])
            items.append(item | {"id": f"{self._root_url}/secrets/{name}"})
        return self._page(request, items)

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not self.vault.delete(name):
            raise _not_found(name)
        return await self._get_deleted(request)

    async def _get_deleted(self, request: web.Request) -> web.Response:
        name = request.match_info["name"].lower()
        if name not in self.vault.deleted:
            raise _not_found(name)
        deleted_at, versions = self.vault.deleted[name]
        purge_at = deleted_at + timedelta(days=RECOVERABLE_DAYS)
        return web.json_response(
            self._item(name, versions[-1])
            | {
                "recoveryId": f"{self._root_url}/deletedsecrets/{name}",
                "deletedDate": int(deleted_at.timestamp()),
                "scheduledPurgeDate": int(purge_at.timestamp()),
            }
        )

    async def _recover(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not self.vault.recover(name):
            raise _not_found(name)
        return web.json_response(self._item(name, self._found(name, "")))

    async def _purge(self, request: web.Request) -> web.Response:
        if self.vault.deleted.pop(request.match_info["name"].lower(), None) is None:
            raise _not_found(request.match_info["name"])
        return web.Response(status=204)

    # --- by hand

    async def _show_control(self, _: web.Request) -> web.Response:
        conditions = self.conditions
        return web.json_response(
            {
                "is_down": conditions.is_down,
                "delay_seconds": conditions.delay.total_seconds(),
                "throttled": conditions.throttled,
                "retry_after_seconds": conditions.retry_after_seconds,
                "forbids": conditions.forbids,
                "secrets": {name: len(each) for name, each in self.vault.secrets.items()},
            }
        )

    async def _set_control(self, request: web.Request) -> web.Response:
        try:
            asked = _WeatherChange.model_validate_json(await request.read())
        except ValidationError as error:
            return VaultError(400, "BadParameter", str(error.errors()[0]["msg"])).response()
        for name, value in asked.model_dump(exclude_none=True).items():
            if name == "delay_seconds":
                self.conditions.delay = timedelta(seconds=value)
            else:
                setattr(self.conditions, name, value)
        return await self._show_control(request)

    # --- parts

    def _found(self, name: str, version: str) -> SecretVersion:
        found = self.vault.find(name, version)
        if found is None:
            raise _not_found(name)
        return found

    def _item(self, name: str, each: SecretVersion) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            "enabled": each.enabled,
            "created": int(each.created_at.timestamp()),
            "updated": int(each.updated_at.timestamp()),
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": RECOVERABLE_DAYS,
        }
        if each.not_before:
            attributes["nbf"] = int(each.not_before.timestamp())
        if each.expires_at:
            attributes["exp"] = int(each.expires_at.timestamp())
        item: dict[str, Any] = {
            "id": f"{self._root_url}/secrets/{name}/{each.version}",
            "attributes": attributes,
            "tags": dict(each.tags),
        }
        return item | ({"contentType": each.content_type} if each.content_type else {})

    def _page(self, request: web.Request, items: list[dict[str, Any]]) -> web.Response:
        start = int(request.query.get("$skiptoken", "0"))
        size = min(int(request.query.get("maxresults", PAGE)), PAGE)
        following = start + size
        link = None
        if following < len(items):
            query = {**request.query, "$skiptoken": str(following)}
            link = f"{self._root_url}{request.rel_url.with_query(query)}"
        return web.json_response({"value": items[start:following], "nextLink": link})


class _WeatherChange(BaseModel):
    model_config = ConfigDict(extra="forbid")
    is_down: bool | None = None
    delay_seconds: float | None = None
    throttled: int | None = None
    retry_after_seconds: int | None = None
    forbids: bool | None = None


def _check_version(request: web.Request) -> None:
    if not request.query.get("api-version"):
        raise VaultError(400, "BadParameter", "An API version is required.")


def _not_found(name: str) -> VaultError:
    text = (
        f"A secret with (name/id) {name} was not found in this key vault. If you recently deleted "
        "this secret you may be able to recover it using the correct recovery command."
    )
    return VaultError(404, "SecretNotFound", text)


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
