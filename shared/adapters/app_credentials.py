"""Gets the app's tokens from Entra, as the app or on behalf of a user, in each customer's tenant.

The app's client credential is, best first: the managed identity as federated credential (there is
no secret), a certificate, or a client secret. Certificate and secret come from Key Vault. Each is
got anew when Entra refuses it, so that a rotation or a withdrawn key loses no request.

Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow
"""

import asyncio
import base64
import binascii
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from shared.adapters.entra_errors import (
    STALE_CREDENTIAL,
    EntraErrorBody,
    EntraRefused,
    entra_error,
    read_sdk_error,
)
from shared.adapters.http_pool import HttpPool
from shared.adapters.key_vault import KeyVaultSecrets, Secret
from shared.adapters.managed_identity import RENEW_SECONDS, IdentityAssertion
from shared.errors import SchedulingError
from shared.ids import ObjectId, TenantId
from shared.logs import log_event
from shared.organizations.ports import CredentialInfo
from shared.settings import AppCredential, Settings

if TYPE_CHECKING:
    import aiohttp
    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AsyncHttpTransport
    from azure.identity.aio import ManagedIdentityCredential

KEEP_IDENTITIES = 1_000
"""Limit of cached identities with their tokens; the least recently used one is evicted."""

_POLICIES = {
    # A user waits, so there is one quick retry. The Graph client bounds the total time.
    "retry_total": 1,
    "retry_backoff_factor": 0.2,
    "connection_timeout": 4,
    "read_timeout": 6,
}


@dataclass(frozen=True, slots=True)
class _ClientCredential:
    """The app's current client credential. *version* changes with each rotation."""

    version: str
    options: dict[str, Any] = field(repr=False)
    """One keyword argument of OnBehalfOfCredential, which accepts all three kinds."""


class Identity:
    """Gets tokens as the app in one tenant or as one user, for the Graph SDK.

    An `AsyncTokenCredential` that raises our errors: SignInAgain, ConsentMissing, NotAuthenticated,
    Misconfigured, CalendarThrottled, CalendarUnavailable, CalendarRefused.
    """

    def __init__(self, app: "AppCredentials", tenant_id: TenantId, assertion: str | None) -> None:
        self.tenant_id = tenant_id
        self._app = app
        self._assertion = assertion
        self._inner: AsyncTokenCredential | None = None
        self._version = ""
        self._tokens: dict[tuple[str, ...], AccessToken] = {}
        self._lock = asyncio.Lock()

    @property
    def is_user(self) -> bool:
        """Return whether there is a user, who could sign in again."""
        return self._assertion is not None

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,  # noqa: ARG002 - an identity has one tenant
        enable_cae: bool = False,
        **_: Any,  # noqa: ANN401 - the protocol's own
    ) -> "AccessToken":
        """Return a token for *scopes*; with *claims*, of a claims challenge, never a cached one."""
        if not claims and (cached := self._cached(scopes)):
            return cached
        async with self._lock:
            if not claims and (cached := self._cached(scopes)):
                return cached
            token = await self._new_token(scopes, claims, enable_cae=enable_cae)
            self._tokens[scopes] = token
            return token

    async def forget(self) -> None:
        """Drop the cached tokens, so that the next one is new."""
        self._tokens.clear()
        await self.close()

    async def close(self) -> None:
        """Close the SDK's credential. The next use of the identity creates a new one."""
        inner, self._inner = self._inner, None
        if inner is not None:
            await inner.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _cached(self, scopes: tuple[str, ...]) -> "AccessToken | None":
        token = self._tokens.get(scopes)
        return token if token and token.expires_on - time.time() > RENEW_SECONDS else None

    async def _new_token(
        self, scopes: tuple[str, ...], claims: str | None, *, enable_cae: bool
    ) -> "AccessToken":
        """Request a token; retry once if Entra refuses a credential that a newer one replaces."""
        from azure.core.exceptions import AzureError

        client_credential = await self._app.client_credential()
        try:
            return await self._request(client_credential, scopes, claims, enable_cae=enable_cae)
        except AzureError as error:
            refusal = read_sdk_error(error)
        newer = client_credential
        if refusal.aadsts in STALE_CREDENTIAL:
            newer = await self._app.client_credential(fresh=True)
        if newer.version == client_credential.version:
            raise self._refused(refusal) from EntraRefused(refusal)
        try:
            return await self._request(newer, scopes, claims, enable_cae=enable_cae)
        except AzureError as error:
            refusal = read_sdk_error(error)
        raise self._refused(refusal) from EntraRefused(refusal)

    def _refused(self, refusal: EntraErrorBody) -> SchedulingError:
        """Log and return the error of *refusal*, to be raised without the SDK's and its text."""
        error = entra_error(refusal, is_user=self.is_user)
        log_event(
            "entra.refused",
            reason=type(error).__name__,
            code=refusal.code,
            request_id=refusal.trace_id,
        )
        return error

    async def _request(
        self,
        client_credential: _ClientCredential,
        scopes: tuple[str, ...],
        claims: str | None,
        *,
        enable_cae: bool,
    ) -> "AccessToken":
        if self._inner is None or self._version != client_credential.version:
            await self.close()
            self._inner = self._app.make(self.tenant_id, client_credential, self._assertion)
            self._version = client_credential.version
        return await self._inner.get_token(*scopes, claims=claims, enable_cae=enable_cae)


class AppCredentials:
    """The identities with which this process calls Graph, cached by tenant, user and token.

    Belongs to the event loop of its first use.
    """

    def __init__(self, settings: Settings, secrets: KeyVaultSecrets, http_pool: HttpPool) -> None:
        self._settings = settings
        self._secrets = secrets
        self._http_pool = http_pool
        self._identities: OrderedDict[Hashable, Identity] = OrderedDict()
        self._assertion = IdentityAssertion(
            f"{settings.cloud.token_exchange_audience}/.default", self._new_managed_identity
        )
        self._retired: set[asyncio.Task[None]] = set()

    def app(self, tenant_id: TenantId) -> Identity:
        """Return the identity of the app in *tenant_id*."""
        return self._identity((tenant_id,), lambda: Identity(self, tenant_id, None))

    def user(self, tenant_id: TenantId, object_id: ObjectId, assertion: str) -> Identity:
        """Return the identity of a user, on-behalf-of; *assertion* is their verified token."""
        digest = hashlib.sha256(assertion.encode()).digest()
        return self._identity(
            (tenant_id, object_id, digest), lambda: Identity(self, tenant_id, assertion)
        )

    @cached_property
    def managed_identity(self) -> "ManagedIdentityCredential":
        """The app's managed identity, for storage and Key Vault."""
        return self._new_managed_identity()

    def _new_managed_identity(self) -> "ManagedIdentityCredential":
        from azure.identity.aio import ManagedIdentityCredential

        return ManagedIdentityCredential(
            client_id=self._settings.managed_identity_client_id, transport=self.transport()
        )

    def transport(self) -> "AsyncHttpTransport[Any, Any]":
        """Return a transport for an Azure SDK client, on the HTTP session of the process."""
        from azure.core.pipeline.transport._aiohttp import AioHttpTransport

        return AioHttpTransport(session=self._session, session_owner=False)

    async def aclose(self) -> None:
        """Close every credential and the session."""
        for identity in self._identities.values():
            await identity.close()
        self._identities.clear()
        if self._retired:
            await asyncio.gather(*self._retired)
        await self._assertion.aclose()
        if "managed_identity" in self.__dict__:
            await self.managed_identity.close()
        if "_session" in self.__dict__:
            await self._session.close()

    async def client_credential(self, *, fresh: bool = False) -> _ClientCredential:
        """Return the app's client credential; *fresh*: got anew, past the cache.

        Raises:
            Misconfigured: Key Vault has no such secret, or it is no certificate that can be used.
            StoreUnavailable: Key Vault does not answer.
            CalendarUnavailable: the managed identity gets no token right now.
        """
        match self._settings.app_credential:
            case AppCredential.MANAGED_IDENTITY:
                await self._assertion.refresh(refused=fresh)
                return _ClientCredential(
                    self._assertion.version, {"client_assertion_func": self._assertion.text}
                )
            case AppCredential.CERTIFICATE:
                secret = await self._secrets.get(self._settings.app_certificate_name, fresh=fresh)
                return _ClientCredential(
                    secret.version, {"client_certificate": _certificate(secret)}
                )
            case AppCredential.SECRET:
                secret = await self._secrets.get(self._settings.app_secret_name, fresh=fresh)
                return _ClientCredential(secret.version, {"client_secret": secret.value})

    async def ping(self) -> None:
        """Return if there is a credential for Entra. Raises as `client_credential` does."""
        await self.client_credential()

    async def describe(self) -> CredentialInfo:
        """Return kind and expiry of the client credential. Raises as `client_credential` does."""
        kind = self._settings.app_credential
        if kind is AppCredential.MANAGED_IDENTITY:
            return CredentialInfo(kind.value, None)
        name = (
            self._settings.app_certificate_name
            if kind is AppCredential.CERTIFICATE
            else self._settings.app_secret_name
        )
        return CredentialInfo(kind.value, (await self._secrets.get(name)).expires_at)

    def make(
        self, tenant_id: TenantId, client_credential: _ClientCredential, assertion: str | None
    ) -> "AsyncTokenCredential":
        """Return the SDK's credential for the app, or for the user whose token *assertion* is."""
        from azure.identity import aio

        common: dict[str, Any] = {
            "authority": self._settings.cloud.login_url,
            "disable_instance_discovery": True,
            "transport": self.transport(),
            **_POLICIES,
        }
        client_id = self._settings.app_client_id
        if assertion is not None:
            return aio.OnBehalfOfCredential(
                tenant_id,
                client_id,
                user_assertion=assertion,
                **client_credential.options,
                **common,
            )
        match self._settings.app_credential:
            case AppCredential.MANAGED_IDENTITY:
                return aio.ClientAssertionCredential(
                    tenant_id,
                    client_id,
                    client_credential.options["client_assertion_func"],
                    **common,
                )
            case AppCredential.CERTIFICATE:
                return aio.CertificateCredential(
                    tenant_id,
                    client_id,
                    certificate_data=client_credential.options["client_certificate"],
                    **common,
                )
            case AppCredential.SECRET:
                return aio.ClientSecretCredential(
                    tenant_id, client_id, client_credential.options["client_secret"], **common
                )

    @cached_property
    def _session(self) -> "aiohttp.ClientSession":
        import aiohttp

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._http_pool.tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            # azure-core decompresses by itself.
            auto_decompress=False,
        )

    def _identity(self, key: Hashable, make: Callable[[], Identity]) -> Identity:
        identity = self._identities.get(key)
        if identity is None:
            identity = self._identities[key] = make()
            if len(self._identities) > KEEP_IDENTITIES:
                self._retire(self._identities.popitem(last=False)[1])
        self._identities.move_to_end(key)
        return identity

    def _retire(self, identity: Identity) -> None:
        task = asyncio.get_running_loop().create_task(identity.close())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)


def _certificate(secret: Secret) -> bytes:
    """Return the certificate with its key as bytes: PEM as it is, PKCS#12 decoded from base64.

    Raises Misconfigured: it cannot be used. The SDK would raise errors of its libraries.
    """
    from shared.adapters.client_assertion import load_certificate

    certificate = secret.value.encode()
    if b"-----BEGIN" not in certificate:
        with suppress(binascii.Error, ValueError):
            certificate = base64.b64decode(certificate, validate=True)
    load_certificate(certificate)
    return certificate
