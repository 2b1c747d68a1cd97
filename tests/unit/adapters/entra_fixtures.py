"""Shared by the adapters' tests: settings, a clock, Entra's keys, and a fake HTTP server."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.settings import Settings

TENANT = "84bd8158-6d4d-4958-8b9f-9d6445542f95"
OTHER_TENANT = "11111111-2222-4333-8444-555555555555"
PLATFORM_TENANT = "0a0a0a0a-1b1b-4c2c-8d3d-4e4e4e4e4e4e"
USER = "ddfcd489-628b-40d7-b48b-57002df800e5"
MENTOR = "5b1c1a3e-5c2e-4d8a-9a53-0a5a4f6f7c11"
APP = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
PLATFORM_CLIENT = "99999999-8888-4777-8666-555555555555"
NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def some_settings(**changes: str) -> Settings:
    """Return settings of a deployment in the global cloud."""
    return Settings.from_environment(
        {
            "STORAGE_TABLES_URL": "https://x.table.core.windows.net",
            "STORAGE_QUEUES_URL": "https://x.queue.core.windows.net",
            "KEY_VAULT_URL": "https://x.vault.azure.net",
            "MANAGED_IDENTITY_CLIENT_ID": "77777777-0000-4000-8000-000000000000",
            "APP_CLIENT_ID": APP,
            "PLATFORM_TENANT_ID": PLATFORM_TENANT,
            "PLATFORM_CLIENT_IDS": PLATFORM_CLIENT,
            "PUBLIC_URL": "https://app.example",
            "APP_CREDENTIAL": "secret",
            **changes,
        }
    )


@dataclass
class FakeClock:
    """A clock that a test moves."""

    present: datetime = NOW

    def now(self) -> datetime:
        return self.present

    def advance(self, by: timedelta) -> None:
        self.present += by

    def monotonic(self) -> float:
        return self.present.timestamp()


@cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    """Return the private key *name*. Keys are cached, because creating one is slow."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(name: str, issuer: str | None) -> dict[str, Any]:
    """Return the public key *name* as Entra publishes it."""
    numbers = private_key(name).public_key().public_numbers()
    key = {"kty": "RSA", "use": "sig", "kid": name, "n": _b64(numbers.n), "e": _b64(numbers.e)}
    return key | ({"issuer": issuer} if issuer else {})


def _b64(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def user_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a user's token; None as a value removes one."""
    claims = {
        "iss": f"https://login.microsoftonline.com/{changes.get('tid', TENANT)}/v2.0",
        "aud": APP,
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
        "nbf": int((NOW - timedelta(minutes=5)).timestamp()),
        "iat": int((NOW - timedelta(minutes=5)).timestamp()),
        "tid": TENANT,
        "oid": USER,
        "sub": "opaque",
        "azp": "12121212-3434-4565-8787-909090909090",
        "scp": "access_as_user",
        "ver": "2.0",
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def platform_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of the platform's own token."""
    return user_claims(
        **{
            "tid": PLATFORM_TENANT,
            "sub": USER,
            "scp": None,
            "roles": ["Platform.Manage"],
            "azp": PLATFORM_CLIENT,
        }
        | changes
    )


def signed(claims: Mapping[str, Any], key: str = "first", **headers: Any) -> str:
    """Return a token as Entra signs it."""
    return jwt.encode(dict(claims), private_key(key), "RS256", headers={"kid": key} | headers)


@dataclass
class Answers:
    """An HTTP transport that records requests and answers by a function of the request."""

    answer: Callable[[httpx.Request], httpx.Response]
    requests: list[httpx.Request] = field(default_factory=list)

    @property
    def transport(self) -> httpx.MockTransport:
        async def handle(request: httpx.Request) -> httpx.Response:
            await request.aread()
            self.requests.append(request)
            return self.answer(request)

        return httpx.MockTransport(handle)

    @property
    def last(self) -> httpx.Request:
        return self.requests[-1]

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the last request."""
        payload: dict[str, Any] = json.loads(self.last.content)
        return payload
