"""Signs the client state that Graph's notifications must echo: `v1.{object id}.{nonce}.{mac}`.

The client state has the mailbox and a signature, so the webhook verifies it without a read of
storage. The key is a secret in Key Vault. Its two newest versions are valid, so that a rotation
does not invalidate subscriptions, which live for up to a week.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable

from shared.adapters.key_vault import KeyVaultSecrets, signing_key
from shared.ids import Mailbox, ObjectId, TenantId

KEY_NAME = "client-state-key"
MAX_LENGTH = 128
"""Graph's limit. Source: https://learn.microsoft.com/graph/api/resources/subscription"""
REREAD_SECONDS = 15.0
"""Shortest interval between two re-reads of the keys after a signature that fits no key."""

_SHAPE = re.compile(
    r"v1\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([A-Za-z0-9_-]{1,40})\.([A-Za-z0-9_-]{43})"
)


class HmacClientStateSigner:
    """The `ClientStateSigner` port by HMAC-SHA256, with a key from Key Vault."""

    def __init__(
        self,
        secrets: KeyVaultSecrets,
        key_name: str = KEY_NAME,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets = secrets
        self._key_name = key_name
        self._monotonic = monotonic
        self._reread_at = float("-inf")

    async def create(self, mailbox: Mailbox, nonce: str) -> str:
        """Return the client state of *mailbox*; *nonce*: up to 40 letters, digits, - or _.

        Raises:
            ValueError: the object id or the nonce has another form.
        """
        keys = await self._keys()
        mac = _mac(keys[0], mailbox.tenant_id, mailbox.object_id, nonce)
        state = f"v1.{mailbox.object_id}.{nonce}.{mac}"
        if len(state) > MAX_LENGTH or not _SHAPE.fullmatch(state):
            raise ValueError("this object id or nonce does not fit into a client state")
        return state

    async def verify(self, tenant_id: str, client_state: str) -> Mailbox | None:
        """Return the mailbox of *client_state*; None if it is not ours or not of *tenant_id*."""
        shape = _SHAPE.fullmatch(client_state) if len(client_state) <= MAX_LENGTH else None
        if shape is None:
            return None
        object_id, nonce, mac = shape.groups()
        tenant_id = tenant_id.lower()
        if not self._fits(mac, await self._keys(), tenant_id, object_id, nonce):
            # Another instance may have signed with a newer key than the cached ones.
            keys = await self._reread_keys()
            if not self._fits(mac, keys, tenant_id, object_id, nonce):
                return None
        return Mailbox(TenantId(tenant_id), ObjectId(object_id))

    async def ping(self) -> None:
        """Return if the key can be read, else raise Misconfigured or StoreUnavailable."""
        await self._keys()

    @staticmethod
    def _fits(mac: str, keys: list[bytes], tenant_id: str, object_id: str, nonce: str) -> bool:
        # Every key is compared, so that the duration does not reveal which one fits.
        fitting = [hmac.compare_digest(mac, _mac(key, tenant_id, object_id, nonce)) for key in keys]
        return any(fitting)

    async def _keys(self, *, fresh: bool = False) -> list[bytes]:
        versions = await self._secrets.versions(self._key_name, 2, fresh=fresh)
        return [signing_key(secret.value) for secret in versions]

    async def _reread_keys(self) -> list[bytes]:
        now = self._monotonic()
        if now - self._reread_at < REREAD_SECONDS:
            return []
        self._reread_at = now
        return await self._keys(fresh=True)


def _mac(key: bytes, tenant_id: str, object_id: str, nonce: str) -> str:
    covered = f"v1\n{tenant_id}\n{object_id}\n{nonce}".encode()
    return base64.urlsafe_b64encode(hmac.digest(key, covered, hashlib.sha256)).rstrip(b"=").decode()
