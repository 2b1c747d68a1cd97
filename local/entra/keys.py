"""Entra's signing keys: the published set, and its rotation."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

PERSONAL_TENANT: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""Microsoft's own tenant of personal accounts, whose keys the common set holds as well."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair with its certificate. *key_id* is the certificate's thumbprint, as in Entra."""

    key_id: str
    private: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def public(self) -> rsa.RSAPublicKey:
        """The published half."""
        return self.private.public_key()

    def as_jwk(self, issuer: str) -> dict[str, Any]:
        """Return the key as an entry of the key set."""
        numbers = self.public.public_numbers()
        encoded = self.certificate.public_bytes(serialization.Encoding.DER)
        return {
            "kty": "RSA",
            "use": "sig",
            "kid": self.key_id,
            "x5t": self.key_id,
            "n": _base64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
            "e": _base64url(numbers.e.to_bytes(3)),
            "x5c": [base64.b64encode(encoded).decode()],
            "issuer": issuer,
        }


class KeyRing:
    """The current keys: one that signs, one beside it, and one of personal accounts."""

    def __init__(self) -> None:
        self._signing = [_key(0), _key(1)]
        self._next = 3
        self.personal = _key(2)
        self.foreign = _key(-1)
        """An unpublished key, for forged tokens."""

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        return self._signing[0]

    def roll(self) -> SigningKey:
        """Sign with a new key from now on and stop publishing the oldest. Returns the new key."""
        self._signing = [_key(self._next), self._signing[0]]
        self._next += 1
        return self.current

    def withdraw(self) -> SigningKey:
        """Sign with a new key, and publish no earlier one any more. Returns the new key."""
        self.roll()
        return self.roll()

    def public_keys(self) -> Mapping[str, rsa.RSAPublicKey]:
        """Return the keys of work accounts by key id."""
        return {key.key_id: key.public for key in self._signing}

    def key_set(self, root_url: str, tenant_id: str | None) -> dict[str, Any]:
        """Return the key set of a tenant, or of all (*tenant_id* None) with the placeholder."""
        issuer = f"{root_url}/{tenant_id or '{tenantid}'}/v2.0"
        keys = [key.as_jwk(issuer) for key in self._signing]
        if tenant_id is None:
            keys.append(self.personal.as_jwk(f"{root_url}/{PERSONAL_TENANT}/v2.0"))
        return {"keys": keys}


@cache
def _key(number: int) -> SigningKey:
    """Return the key with *number*. Making one is slow, so all rings of this process share it."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Simulated Entra, key {number}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(private, hashes.SHA256())
    )
    encoded = certificate.public_bytes(serialization.Encoding.DER)
    thumbprint = hashlib.sha1(encoded, usedforsecurity=False).digest()
    return SigningKey(_base64url(thumbprint), private, certificate)


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
