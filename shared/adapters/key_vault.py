"""Reads this deployment's secrets from Key Vault and caches them for five minutes."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shared.errors import Misconfigured, StoreUnavailable
from shared.logs import log_warning
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AsyncHttpTransport
    from azure.keyvault.secrets import SecretProperties
    from azure.keyvault.secrets.aio import SecretClient

_KEY_BYTES = 32
KEEP_SECONDS = 300.0
"""Lifetime of a cached secret."""


@dataclass(frozen=True, slots=True)
class Secret:
    """One version of a secret. A certificate with its key is the secret of the same name.

    Source: https://learn.microsoft.com/azure/key-vault/certificates/about-certificates
    """

    value: str = field(repr=False)
    version: str
    content_type: str = ""
    """``application/x-pkcs12`` or ``application/x-pem-file`` where it is a certificate."""
    expires_at: datetime | None = None
    """The expiry set in the vault; of a certificate, its own expiry."""


@dataclass(slots=True)
class _Kept:
    secrets: tuple[Secret, ...] = ()
    read_at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeyVaultSecrets:
    """Reads secrets. While the vault does not answer, cached secrets stay valid."""

    def __init__(
        self,
        settings: Settings,
        credential: "Callable[[], AsyncTokenCredential]",
        *,
        transport: "Callable[[], AsyncHttpTransport[Any, Any]] | None" = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store the arguments; *credential* and *transport* are called on the first read."""
        self._settings = settings
        self._credential = credential
        self._transport = transport
        self._monotonic = monotonic
        self._kept: dict[tuple[str, int], _Kept] = {}

    async def get(self, name: str, *, fresh: bool = False) -> Secret:
        """Return the current version of *name*; *fresh*: re-read it, past the cache.

        Raises:
            Misconfigured: there is no such secret, or the app may not read it.
            StoreUnavailable: the vault does not answer, and the secret is not cached.
        """
        (current,) = await self._read(name, 1, fresh=fresh)
        return current

    async def versions(self, name: str, count: int = 2, *, fresh: bool = False) -> list[Secret]:
        """Return up to *count* enabled versions of *name*, newest first. Raises as `get` does."""
        return list(await self._read(name, count, fresh=fresh))

    async def aclose(self) -> None:
        """Close the client, if one was made."""
        if "_client" in self.__dict__:
            await self._client.close()

    @cached_property
    def _client(self) -> "SecretClient":
        # Imported here: most processes start without a read of a secret.
        from azure.keyvault.secrets.aio import SecretClient

        more: dict[str, Any] = {"transport": self._transport()} if self._transport else {}
        return SecretClient(
            self._settings.key_vault_url,
            self._credential(),
            verify_challenge_resource=self._settings.verify_key_vault_challenge,
            retry_total=2,
            retry_backoff_factor=0.2,
            connection_timeout=4,
            read_timeout=6,
            **more,
        )

    async def _read(self, name: str, count: int, *, fresh: bool) -> tuple[Secret, ...]:
        kept = self._kept.setdefault((name, count), _Kept())
        asked_at = self._monotonic()
        if not fresh and asked_at - kept.read_at < KEEP_SECONDS:
            return kept.secrets
        async with kept.lock:
            # Another caller may have read it while this one waited for the lock.
            if kept.read_at >= asked_at or (
                not fresh and self._monotonic() - kept.read_at < KEEP_SECONDS
            ):
                return kept.secrets
            try:
                found = await _translating(name, lambda: self._fetch(name, count))
            except StoreUnavailable:
                if not kept.secrets:
                    raise
                log_warning("key_vault.unavailable", reason=name)
                found = kept.secrets
            kept.secrets, kept.read_at = found, self._monotonic()
            return found

    async def _fetch(self, name: str, count: int) -> tuple[Secret, ...]:
        if count == 1:
            return (_secret(await self._client.get_secret(name)),)
        enabled = [
            properties
            async for properties in self._client.list_properties_of_secret_versions(name)
            if properties.enabled
        ]
        newest = sorted(enabled, key=_made_at, reverse=True)[:count]
        if not newest:
            raise Misconfigured(f"The secret {name} has no enabled version in Key Vault.")
        return tuple(
            [_secret(await self._client.get_secret(name, version=p.version)) for p in newest]
        )


async def _translating(
    name: str, fetch: Callable[[], Awaitable[tuple[Secret, ...]]]
) -> tuple[Secret, ...]:
    """Await *fetch* and translate the SDK's errors: Misconfigured or StoreUnavailable."""
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        HttpResponseError,
        ResourceNotFoundError,
    )

    try:
        return await fetch()
    except ResourceNotFoundError as error:
        raise Misconfigured(
            f"The secret {name} is not in Key Vault.", remedy="Put it there; no restart is needed."
        ) from error
    except ClientAuthenticationError as error:
        raise Misconfigured(
            f"Key Vault refuses the app's identity when it reads {name}."
        ) from error
    except HttpResponseError as error:
        if error.status_code == 403:
            raise Misconfigured(
                f"The app may not read the secret {name}.",
                remedy="Give the app's identity the role Key Vault Secrets User. If it has it, "
                "look whether the secret's newest version is disabled, expired or not valid yet, "
                "and whether the vault's network lets the app in.",
            ) from error
        raise StoreUnavailable("Key Vault did not answer.") from error
    except AzureError as error:
        raise StoreUnavailable("Key Vault did not answer.") from error
    except ValueError as error:
        raise _challenge_error(error) from error


def _challenge_error(error: ValueError) -> Misconfigured | StoreUnavailable:
    """Return our error for the SDK's about a challenge.

    It names another resource than the vault's host is part of. Any other ValueError is about an
    answer that is none of the vault's.
    """
    if "challenge" not in str(error):
        return StoreUnavailable("Key Vault did not answer.")
    return Misconfigured(
        "KEY_VAULT_URL has a host that the vault does not know as its own.",
        remedy="Set it to https://NAME.vault.azure.net, also with a private endpoint: that name "
        "leads to it. Where the vault's resource really is another one (disconnected clouds), set "
        "KEY_VAULT_VERIFY_CHALLENGE=false.",
    )


def _made_at(properties: "SecretProperties") -> tuple[float, str]:
    made = properties.created_on
    return (made.timestamp() if made else 0.0, properties.version or "")


def _secret(found: Any) -> Secret:  # noqa: ANN401 - a KeyVaultSecret, whose parts are all optional
    return Secret(
        value=found.value or "",
        version=found.properties.version or "",
        content_type=found.properties.content_type or "",
        expires_at=found.properties.expires_on,
    )


def signing_key(value: str) -> bytes:
    """Return the bytes of a signing key: decoded base64 of 32 bytes or more, else the text's."""
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        return value.encode()
    return decoded if len(decoded) >= _KEY_BYTES else value.encode()
