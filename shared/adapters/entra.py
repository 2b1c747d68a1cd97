"""Verifies callers' access tokens, which Entra's v2.0 endpoint issues.

Source: https://learn.microsoft.com/entra/identity-platform/access-tokens
Source: https://learn.microsoft.com/entra/identity-platform/claims-validation
"""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.http_pool import HttpPool
from shared.clock import Clock
from shared.errors import CalendarUnavailable, NotAuthenticated
from shared.ids import ObjectId, TenantId
from shared.logs import log_warning
from shared.organizations.ports import CallerKind, VerifiedToken
from shared.settings import Cloud, Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

USER_SCOPE: Final = "access_as_user"
PLATFORM_ROLE: Final = "Platform.Manage"
PERSONAL_TENANT: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of Microsoft's personal accounts, whose tokens are refused."""

LEEWAY: Final = timedelta(minutes=1)
"""Tolerated clock skew between Entra and this app."""
MAX_TOKEN_LENGTH: Final = 16_384
KEYS_LIVE: Final = timedelta(minutes=55)
"""Lifetime of cached keys, so that a key which Entra withdraws stops within an hour."""
KEYS_KEPT: Final = timedelta(hours=24)
"""How long keys count that cannot be fetched again: Entra asks for a refresh once a day.

Source: https://learn.microsoft.com/entra/identity-platform/access-tokens
"""
LOOKS: Final = 5
"""Fetches caused by unknown key ids that may follow each other at once.

A caller can name a key that does not exist. A few of them must not hide a key that Entra publishes
just afterwards, and many of them must not become many requests to Entra.
"""
LOOK_EVERY: Final = timedelta(seconds=10)
"""Interval between such fetches after that: how long many unknown ids can hide a new key."""
TRY_AGAIN_AFTER: Final = timedelta(seconds=15)
"""Shortest interval between a failed fetch and the next one."""

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class SigningKey:
    """One of Entra's public keys, with the issuer whose tokens it may sign."""

    __slots__ = ("issuer", "key")

    def __init__(self, key: "RSAPublicKey", issuer: str) -> None:
        """*issuer* may contain ``{tenantid}``, which stands for the tenant of the token."""
        self.key = key
        self.issuer = issuer


class SigningKeys:
    """Entra's current keys by id, fetched on first use and cached for less than an hour.

    PyJWT's own client is not used: its blocking call would stop all other requests.
    """

    def __init__(self, cloud: Cloud, http_pool: HttpPool, clock: Clock) -> None:
        self._url = f"{cloud.login_url}/common/discovery/v2.0/keys"
        self._issuer = cloud.issuer_of("{tenantid}")
        self._http_pool = http_pool
        self._clock = clock
        self._keys: Mapping[str, SigningKey] = {}
        self._fetched_at: datetime | None = None
        self._try_at: datetime | None = None
        """After a failed fetch: when the next one may be tried."""
        self._looks_until: datetime | None = None
        """When the looks for unknown key ids are all available again."""
        self._lock = asyncio.Lock()

    async def find(self, key_id: str) -> SigningKey | None:
        """Return the key with *key_id*, or None if Entra has no such key.

        Raises:
            CalendarUnavailable: no cached key has the id, and the last fetch failed.
        """
        known = self._known(key_id)
        if known is not None and not self._is_older_than(KEYS_LIVE):
            return known
        if known is not None and self._lock.locked():
            return known  # another caller fetches the keys; the cached one stays valid
        async with self._lock:
            # A caller that waited for the lock finds the keys that the previous one fetched.
            if self._may_look(key_id):
                await self._look()
        known = self._known(key_id)
        if known is None and self._try_at is not None:
            raise CalendarUnavailable(
                "Entra's signing keys cannot be had right now.",
                retry_after_seconds=TRY_AGAIN_AFTER.total_seconds(),
            )
        return known

    async def ping(self) -> None:
        """Return if there are keys, fetched now if they are old. Raises as `find` does."""
        await self.find(next(iter(self._keys), ""))

    def _known(self, key_id: str) -> SigningKey | None:
        return None if self._is_older_than(KEYS_KEPT) else self._keys.get(key_id)

    def _is_older_than(self, age: timedelta) -> bool:
        return self._fetched_at is None or self._clock.now() - self._fetched_at >= age

    def _may_look(self, key_id: str) -> bool:
        """Return whether to fetch the keys: they are old, or *key_id* is not among them."""
        now = self._clock.now()
        if self._try_at is not None and now < self._try_at:
            return False
        if self._is_older_than(KEYS_LIVE):
            return True
        until = max(self._looks_until or now, now)
        if key_id in self._keys or until - now > (LOOKS - 1) * LOOK_EVERY:
            return False
        self._looks_until = until + LOOK_EVERY
        return True

    async def _look(self) -> None:
        """Fetch the keys. If that fails, the cached ones stay."""
        import httpx

        try:
            answer = await self._http_pool.client.get(self._url)
            answer.raise_for_status()
            self._keys = _keys_of(answer.json(), self._issuer)
        except (httpx.HTTPError, ValueError, TypeError, AttributeError, KeyError):
            log_warning("entra.keys_unavailable", count=len(self._keys))
            self._try_at = self._clock.now() + TRY_AGAIN_AFTER
        else:
            self._try_at = None
            self._fetched_at = self._clock.now()


class EntraTokenVerifier:
    """The `TokenVerifier` port for Entra's tokens."""

    def __init__(self, settings: Settings, http_pool: HttpPool, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._keys = SigningKeys(settings.cloud, http_pool, clock)

    async def ping(self) -> None:
        """Return if signing keys are cached or can be fetched, else raise CalendarUnavailable."""
        await self._keys.ping()

    async def verify(self, raw: str) -> VerifiedToken:
        """Verify the bearer token *raw*; return the caller's kind, tenant and object id.

        Verified tokens are not cached: a signature check costs less than the rest of a request,
        and without a cache no token outlives its expiry.

        Raises:
            NotAuthenticated: signature, issuer, audience, times, version, scope or role is wrong.
            CalendarUnavailable: the signing keys cannot be fetched right now.
        """
        claims = await self.verified_claims(raw)
        tenant_id = claims["tid"]
        kind = self._kind(claims, tenant_id)
        return VerifiedToken(kind, TenantId(tenant_id), ObjectId(_guid(claims, "oid")), raw)

    async def verified_claims(self, raw: str) -> Mapping[str, Any]:
        """Return the claims of *raw*, a token for this app from its own tenant's v2.0 endpoint.

        Raises:
            NotAuthenticated: signature, issuer, audience, times, version or tenant is wrong.
            CalendarUnavailable: the signing keys cannot be fetched right now.
        """
        key = await self._keys.find(_key_id(raw))
        if key is None:
            raise NotAuthenticated("The token is signed with a key that Entra does not have.")
        claims = _signed_claims(raw, key)
        tenant_id = _guid(claims, "tid")
        self._check_issuer(claims, tenant_id, key)
        self._check_audience_and_version(claims)
        self._check_times(claims)
        return claims

    def _check_issuer(self, claims: Mapping[str, Any], tenant_id: str, key: SigningKey) -> None:
        issuer = self._settings.cloud.issuer_of(tenant_id)
        if claims.get("iss") != issuer or key.issuer.replace("{tenantid}", tenant_id) != issuer:
            raise NotAuthenticated("The token's issuer is not its own tenant's v2.0 endpoint.")
        if tenant_id == PERSONAL_TENANT:
            raise NotAuthenticated("Personal accounts are not served; use a work account.")

    def _check_audience_and_version(self, claims: Mapping[str, Any]) -> None:
        if claims.get("aud") != self._settings.app_client_id:
            raise NotAuthenticated("The token is meant for another application.")
        if claims.get("ver") != "2.0":
            raise NotAuthenticated("The token is not of version 2.0.")

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now, leeway = self._clock.now().timestamp(), LEEWAY.total_seconds()
        if now >= _seconds(claims, "exp") + leeway:
            raise NotAuthenticated("The token has expired.")
        if now < _seconds(claims, "nbf") - leeway:
            raise NotAuthenticated("The token is not valid yet.")

    def _kind(self, claims: Mapping[str, Any], tenant_id: str) -> CallerKind:
        """Return whether a user or the platform calls.

        An app-only token never counts as a user's, and no other one as the platform's: a user or
        an ID token may carry the role as well.

        Raises:
            NotAuthenticated: the token has neither our scope nor our role, has the scope for a
                client that may not act for people, or has the role in another tenant, for another
                client, or for a user.
        """
        if "scp" in claims:
            scopes = claims["scp"]
            if claims.get("idtyp") == "app" or not isinstance(scopes, str):
                raise NotAuthenticated("The token is neither a user's nor an app's.")
            if USER_SCOPE not in scopes.split():
                raise NotAuthenticated(f"The token lacks the scope {USER_SCOPE}.")
            clients = self._settings.user_client_ids
            if clients and str(claims.get("azp", "")).lower() not in clients:
                raise NotAuthenticated(
                    "The token was given to an app that may not act for people here.",
                    remedy="Whoever runs this service adds the app's client id to USER_CLIENT_IDS.",
                )
            return CallerKind.USER
        roles = claims.get("roles")
        if not isinstance(roles, list) or PLATFORM_ROLE not in roles:
            raise NotAuthenticated(
                f"The token has neither the scope {USER_SCOPE} nor the role {PLATFORM_ROLE}."
            )
        if tenant_id != self._settings.platform_tenant_id:
            raise NotAuthenticated("The role counts only in the platform's own tenant.")
        if not _is_app_only(claims):
            raise NotAuthenticated("The role counts only in the token of an app by itself.")
        if str(claims.get("azp", "")).lower() not in self._settings.platform_client_ids:
            raise NotAuthenticated("The token was issued to a client that is not the platform's.")
        return CallerKind.PLATFORM


def _key_id(raw: str) -> str:
    """Return the key id in the header of an RS256 token. The header is not verified yet.

    Raises:
        NotAuthenticated: the token is too long, no JWT, or not signed by RS256 with a key id.
    """
    # Imported here: a cold start that only answers Graph's handshake needs no cryptography.
    import jwt

    if len(raw) > MAX_TOKEN_LENGTH:
        raise NotAuthenticated("The token is too long to be one.")
    try:
        header = jwt.get_unverified_header(raw)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise NotAuthenticated("The token is not a JWT.") from error
    if header.get("alg") != "RS256" or not isinstance(header.get("kid"), str):
        raise NotAuthenticated("The token is not signed as Entra does.")
    return str(header["kid"])


def _signed_claims(raw: str, key: SigningKey) -> Mapping[str, Any]:
    import jwt

    try:
        payload = jwt.PyJWS().decode(raw, key.key, algorithms=["RS256"])
        claims = json.loads(payload)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise NotAuthenticated("The token's signature is wrong.") from error
    if not isinstance(claims, dict):
        raise NotAuthenticated("The token has no claims.")
    return claims


def _guid(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not _GUID.fullmatch(value):
        raise NotAuthenticated(f"The token's {name} is not an id.")
    return value


def _is_app_only(claims: Mapping[str, Any]) -> bool:
    """Return whether an app got the token by itself, without a user.

    `idtyp` is optional: the registration asks for it. Without it, the subject of an app's token is
    the app's own object, and a user's subject is pairwise.
    Source: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
    """
    if "idtyp" in claims:
        return bool(claims["idtyp"] == "app")
    return claims.get("sub") == claims.get("oid")


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAuthenticated(f"The token has no {name}.")
    return value


def _keys_of(key_set: Mapping[str, Any], default_issuer: str) -> dict[str, SigningKey]:
    """Return the RSA signing keys of *key_set* by id, without those that cannot be parsed.

    Raises:
        ValueError: there is no usable key.
    """
    import jwt
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from jwt.algorithms import RSAAlgorithm

    found: dict[str, SigningKey] = {}
    for entry in key_set["keys"]:
        if entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig" or not entry.get("kid"):
            continue
        public = {"kty": "RSA", "n": entry.get("n"), "e": entry.get("e")}
        try:
            key = RSAAlgorithm.from_jwk(json.dumps(public))
        except (jwt.InvalidKeyError, ValueError, TypeError):
            continue
        if isinstance(key, RSAPublicKey):
            found[str(entry["kid"])] = SigningKey(key, entry.get("issuer") or default_issuer)
    if not found:
        raise ValueError("a key set without a usable key")
    return found
