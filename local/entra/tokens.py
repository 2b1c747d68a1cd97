"""Mints and reads Entra's tokens: real JWTs, signed with RS256.

Source: https://learn.microsoft.com/entra/identity-platform/access-tokens
"""

import base64
import hashlib
import json
import secrets
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import hashes, hmac, serialization

from local.entra.errors import EntraError
from local.entra.keys import KeyRing, SigningKey
from local.entra.registration import PLATFORM_ROLE, USER_SCOPE, Registration
from local.world import DirectoryRole, Person, World

LIFE: Final = timedelta(seconds=3599)
EXCHANGE_AUDIENCES: Final = frozenset(
    {
        "api://AzureADTokenExchange",
        "api://AzureADTokenExchangeUSGov",
        "api://AzureADTokenExchangeChina",
    }
)


class Forgery(StrEnum):
    """The defect of a forged token."""

    NONE = "none"
    WRONG_AUDIENCE = "wrong-audience"
    WRONG_ISSUER = "wrong-issuer"
    EXPIRED = "expired"
    NOT_YET = "not-yet"
    UNSIGNED = "unsigned"
    """`alg: none`"""
    HMAC_WITH_PUBLIC_KEY = "hmac-with-public-key"
    FOREIGN_KEY = "foreign-key"
    """Signed with a key that is not published, under a key id that is."""
    UNKNOWN_KEY = "unknown-key"
    PERSONAL_KEY = "personal-key"
    """Signed with the published key of personal accounts."""
    NO_SCOPE = "no-scope"
    OTHER_SCOPE = "other-scope"
    V1 = "v1"
    UNKNOWN_TENANT = "unknown-tenant"
    APP_ONLY = "app-only"
    """An app's token without any role, where a user is meant."""
    TAMPERED = "tampered"
    """Its payload was changed after it was signed."""
    GRAPH_AUDIENCE = "graph-audience"
    """A valid token, but for Microsoft Graph."""


class TokenMint:
    """Makes the tokens of every flow."""

    def __init__(
        self, world: World, registration: Registration, keys: KeyRing, root_url: str
    ) -> None:
        self._world = world
        self._registration = registration
        self._keys = keys
        self.root_url = root_url
        self.life = LIFE
        self.graph_slack = timedelta()
        """How much longer Graph accepts a token than its `expires_in`. A test may advance the
        world's clock, but the app uses the machine's clock; its cached token must then stay valid.
        """

    # --- by purpose

    def for_our_api(self, person: Person, *, claims: Mapping[str, Any] | None = None) -> str:
        """Return the frontend's token: the app's own access token for *person*."""
        if self._registration.issues_v1_tokens:
            return self.v1_for_our_api(person)
        return self.sign(
            {
                **self._common(person.tenant_id, self._registration.client_id),
                **self._about(person),
                "azp": self._registration.client_id,
                "azpacr": "0",
                "scp": USER_SCOPE,
                **(claims or {}),
            }
        )

    def v1_for_our_api(self, person: Person) -> str:
        """Return the same token in version 1, as for a registration without a version."""
        claims = self._common(person.tenant_id, self._registration.app_id_uri, version="1.0")
        about = self._about(person)
        return self.sign(
            claims
            | {
                "appid": self._registration.client_id,
                "appidacr": "0",
                "scp": USER_SCOPE,
                "upn": about.pop("preferred_username"),
                **about,
            }
        )

    def for_platform(self) -> str:
        """Return the platform's own token, with the role to manage organizations."""
        client_id = self._world.platform_client_id
        return self._for_app(
            self._world.home_tenant_id, self._registration.client_id, client_id, [PLATFORM_ROLE]
        )

    def for_graph_as_user(self, person: Person, audience: str, scopes: Iterable[str]) -> str:
        """Return a delegated token for Graph."""
        return self.sign(
            {
                **self._common(person.tenant_id, audience, slack=self.graph_slack),
                **self._about(person),
                "azp": self._registration.client_id,
                "azpacr": "2",
                "idtyp": "user",
                "scp": " ".join(sorted(scopes)),
            }
        )

    def for_graph_as_app(self, tenant_id: str, audience: str, roles: Iterable[str]) -> str:
        """Return an app-only token for Graph; without roles if nothing was granted."""
        client_id = self._registration.client_id
        return self._for_app(tenant_id, audience, client_id, roles, slack=self.graph_slack)

    def id_token(self, person: Person, nonce: str | None) -> str:
        """Return the id token of the signed-in user."""
        claims = self._common(person.tenant_id, self._registration.client_id) | self._about(person)
        return self.sign(claims | ({"nonce": nonce} if nonce else {}))

    def for_identity(self, principal_id: str, client_id: str, audience: str) -> str:
        """Return a managed identity's token for *audience*.

        Azure's resources accept version 1.0, whose issuer Azurite checks. The token exchange
        accepts the tenant's v2.0 issuer, the one in federated credentials.
        """
        tenant_id = self._world.home_tenant_id
        version = "2.0" if audience in EXCHANGE_AUDIENCES else "1.0"
        claims = self._common(tenant_id, audience, version=version)
        return self.sign(
            claims
            | {
                "appid" if version == "1.0" else "azp": client_id,
                "oid": principal_id,
                "sub": principal_id,
                "idtyp": "app",
            }
        )

    def forged(self, kind: Forgery, person: Person) -> str:
        """Return a token for the app's API with one defect."""
        claims = self.read_own(self.for_our_api(person))
        now = int(self._issued_at().timestamp())
        changed: dict[Forgery, dict[str, Any]] = {
            Forgery.WRONG_AUDIENCE: {"aud": str(uuid.uuid4())},
            Forgery.GRAPH_AUDIENCE: {"aud": "https://graph.microsoft.com"},
            Forgery.WRONG_ISSUER: {"iss": f"{self.root_url}/{uuid.uuid4()}/v2.0"},
            Forgery.EXPIRED: {"iat": now - 7200, "nbf": now - 7200, "exp": now - 3600},
            Forgery.NOT_YET: {"nbf": self._valid_until() - 60},
            Forgery.OTHER_SCOPE: {"scp": "read_something_else"},
        }
        if kind in changed:
            return self.sign(claims | changed[kind])
        if kind is Forgery.NO_SCOPE:
            return self.sign({name: value for name, value in claims.items() if name != "scp"})
        if kind is Forgery.V1:
            return self.v1_for_our_api(person)
        if kind is Forgery.UNKNOWN_TENANT:
            tenant_id = str(uuid.uuid4())
            issuer = f"{self.root_url}/{tenant_id}/v2.0"
            return self.sign(claims | {"tid": tenant_id, "iss": issuer})
        if kind is Forgery.APP_ONLY:
            client_id = self._registration.client_id
            return self._for_app(person.tenant_id, client_id, client_id, [])
        return self._mis_signed(kind, claims)

    def _mis_signed(self, kind: Forgery, claims: Mapping[str, Any]) -> str:
        current = self._keys.current
        headers = {"kid": current.key_id}
        match kind:
            case Forgery.UNSIGNED:
                return jwt.encode(dict(claims), "", algorithm="none", headers=headers)
            case Forgery.HMAC_WITH_PUBLIC_KEY:
                return _hmac_with_public_key(claims, current)
            case Forgery.FOREIGN_KEY:
                return self.sign(claims, key=self._keys.foreign, key_id=current.key_id)
            case Forgery.UNKNOWN_KEY:
                return self.sign(claims, key=self._keys.foreign)
            case Forgery.PERSONAL_KEY:
                return self.sign(claims, key=self._keys.personal)
            case Forgery.TAMPERED:
                head, _, tail = self.sign(claims).split(".")
                other = self.sign({**claims, "oid": str(uuid.uuid4())})
                return f"{head}.{other.split('.')[1]}.{tail}"
            case _:
                return self.sign(claims)

    # --- signing and reading

    def sign(
        self, claims: Mapping[str, Any], *, key: SigningKey | None = None, key_id: str | None = None
    ) -> str:
        """Return *claims* signed with *key*, the current one by default."""
        key = key or self._keys.current
        headers = {"kid": key_id or key.key_id, "x5t": key_id or key.key_id}
        return jwt.encode(dict(claims), key.private, algorithm="RS256", headers=headers)

    def read_own(self, token: str) -> dict[str, Any]:
        """Return the claims of an own token, without checking times and audience.

        Raises:
            EntraError: 50013, the simulator did not issue it.
        """
        try:
            key_id = jwt.get_unverified_header(token).get("kid", "")
            key = self._keys.public_keys().get(key_id)
            if key is None:
                raise EntraError(50013, detail="The key was not found.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                options={
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            raise EntraError(50013, detail=str(error)) from error
        return claims

    def has_expired(self, claims: Mapping[str, Any]) -> bool:
        """Return whether a token with *claims* has expired, or is not valid yet."""
        now = datetime.now(UTC).timestamp()
        clock = self._world.clock.now().timestamp()
        return float(claims["exp"]) <= min(now, clock) or float(claims.get("nbf", 0)) > max(
            now, clock
        )

    # --- parts

    def _common(
        self,
        tenant_id: str,
        audience: str,
        *,
        version: str = "2.0",
        slack: timedelta = timedelta(),
    ) -> dict[str, Any]:
        issued = int(self._issued_at().timestamp())
        issuer = (
            f"{self.root_url}/{tenant_id}/v2.0"
            if version == "2.0"
            else f"https://sts.windows.net/{tenant_id}/"
        )
        return {
            "aud": audience,
            "iss": issuer,
            "iat": issued,
            "nbf": issued,
            "exp": self._valid_until() + int(slack.total_seconds()),
            "tid": tenant_id,
            "uti": secrets.token_urlsafe(16),
            "rh": "0.AAAA.",
            "ver": version,
        }

    def _issued_at(self) -> datetime:
        """Return an instant that is past by this machine's clock and by the world's.

        The world's clock may be shifted; the SDKs, Azurite and the app look at the machine's.
        """
        return min(datetime.now(UTC), self._world.clock.now())

    def _valid_until(self) -> int:
        latest = max(datetime.now(UTC), self._world.clock.now())
        return int((latest + self.life).timestamp())

    def _about(self, person: Person) -> dict[str, Any]:
        pairwise = f"{person.object_id}:{self._registration.client_id}".encode()
        wids = sorted(person.directory_roles | {DirectoryRole.USER})
        return {
            **({"wids": wids} if self._registration.emits_directory_roles else {}),
            "oid": person.object_id,
            "sub": base64.urlsafe_b64encode(hashlib.sha256(pairwise).digest()).decode().rstrip("="),
            "name": person.name,
            "preferred_username": person.address,
        }

    def _for_app(
        self,
        tenant_id: str,
        audience: str,
        client_id: str,
        roles: Iterable[str],
        *,
        slack: timedelta = timedelta(),
    ) -> str:
        principal = service_principal_id(tenant_id, client_id)
        granted = sorted(roles)
        return self.sign(
            {
                **self._common(tenant_id, audience, slack=slack),
                "azp": client_id,
                "azpacr": "2",
                "idtyp": "app",
                "oid": principal,
                "sub": principal,
                **({"roles": granted} if granted else {}),
            }
        )


def service_principal_id(tenant_id: str, client_id: str) -> str:
    """Return the object id of an app in a tenant: stable, and different in each."""
    return str(uuid.uuid5(uuid.UUID(tenant_id), client_id))


def client_info(person: Person) -> str:
    """Return the claim from which MSAL derives the account's id."""
    text = f'{{"uid":"{person.object_id}","utid":"{person.tenant_id}"}}'
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _hmac_with_public_key(claims: Mapping[str, Any], key: SigningKey) -> str:
    """Return an HS256 token with the public key as the secret. PyJWT itself refuses to make one."""

    def part(value: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': key.key_id})}.{part(claims)}"
    public = key.public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signature = hmac.HMAC(public, hashes.SHA256())
    signature.update(signed.encode())
    return f"{signed}.{base64.urlsafe_b64encode(signature.finalize()).decode().rstrip('=')}"
