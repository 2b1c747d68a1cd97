"""Signs texts that pass through a browser, with a key from Key Vault (the `Signer` port)."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Final

from shared.adapters.key_vault import KeyVaultSecrets

MAX_LENGTH: Final = 1_024
REREAD_SECONDS: Final = 15.0
"""Shortest interval between two re-reads of the keys after a signature that fits no key."""


class HmacSigner:
    """Signs by HMAC-SHA256; the two newest versions of the secret *key_name* are valid."""

    def __init__(
        self,
        secrets: KeyVaultSecrets,
        key_name: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets = secrets
        self._key_name = key_name
        self._monotonic = monotonic
        self._reread_at = float("-inf")

    async def sign(self, text: str) -> str:
        """Return `v1.{text}.{mac}`, text and mac in base64url."""
        keys = await self._keys()
        body = _encoded(text.encode())
        return f"v1.{body}.{self._mac(keys[0], body)}"

    async def verify(self, sealed: str) -> str | None:
        """Return the text, or None if neither the current nor the previous key signed it."""
        version, _, rest = sealed.partition(".")
        body, _, mac = rest.partition(".")
        if version != "v1" or len(sealed) > MAX_LENGTH or not sealed.isascii():
            return None
        if not self._fits(mac, body, await self._keys()) and not self._fits(
            # Another instance may have signed with a newer key than the cached ones.
            mac,
            body,
            await self._reread_keys(),
        ):
            return None
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()

    def _fits(self, mac: str, body: str, keys: list[bytes]) -> bool:
        # Every key is compared, so that the duration does not reveal which one fits.
        fitting = [hmac.compare_digest(mac, self._mac(key, body)) for key in keys]
        return any(fitting)

    def _mac(self, key: bytes, body: str) -> str:
        # The mac covers the key's name: a text signed for one purpose is invalid for another.
        covered = f"v1\n{self._key_name}\n{body}".encode()
        return _encoded(hmac.digest(key, covered, hashlib.sha256))

    async def _keys(self, *, fresh: bool = False) -> list[bytes]:
        versions = await self._secrets.versions(self._key_name, 2, fresh=fresh)
        return [secret.value.encode() for secret in versions]

    async def _reread_keys(self) -> list[bytes]:
        now = self._monotonic()
        if now - self._reread_at < REREAD_SECONDS:
            return []
        self._reread_at = now
        return await self._keys(fresh=True)


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
