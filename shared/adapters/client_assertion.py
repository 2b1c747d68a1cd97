"""The app's client credential as the fields of a token request.

Source: https://learn.microsoft.com/entra/identity-platform/certificate-credentials
"""

import base64
import time
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from shared.errors import Misconfigured

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

_PEM: Final = b"-----BEGIN"
_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIFE_SECONDS: Final = 300


def client_proof(credential: Mapping[str, Any], client_id: str, token_url: str) -> dict[str, str]:
    """Return the fields that prove *client_id* to the token endpoint at *token_url*.

    *credential* is an option of the Azure SDK's credentials, see `AppCredentials`.
    """
    if "client_secret" in credential:
        return {"client_secret": credential["client_secret"]}
    if "client_assertion_func" in credential:
        assertion = credential["client_assertion_func"]()
    else:
        assertion = _signed(credential["client_certificate"], client_id, token_url)
    return {"client_assertion_type": _TYPE, "client_assertion": assertion}


def _signed(certificate: bytes, client_id: str, token_url: str) -> str:
    """Return a JWT that is signed with the key of *certificate*, PEM or PKCS#12."""
    import jwt
    from cryptography.hazmat.primitives import hashes

    key, public = load_certificate(certificate)
    thumbprint = base64.urlsafe_b64encode(public.fingerprint(hashes.SHA256()))
    now = int(time.time())
    claims = {
        "aud": token_url,
        "iss": client_id,
        "sub": client_id,
        "jti": str(uuid.uuid4()),
        "nbf": now,
        "iat": now,
        "exp": now + _LIFE_SECONDS,
    }
    headers = {"x5t#S256": thumbprint.rstrip(b"=").decode()}
    return jwt.encode(claims, key, algorithm="PS256", headers=headers)


@lru_cache(maxsize=2)
def load_certificate(certificate: bytes) -> "tuple[RSAPrivateKey, Certificate]":
    """Return the private key and the certificate in *certificate*, PEM or PKCS#12.

    Kept for the next call: a key is checked for 30 ms, in which no other request goes on. Raises
    Misconfigured, which says what is wrong with it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    try:
        key, public = _read_pem(certificate) if _PEM in certificate else _read_packed(certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable("cannot be read as PEM or PKCS#12 without a password") from error
    if key is None:
        raise _unusable("has no private key")
    if public is None:
        raise _unusable("is a key without its certificate")
    if not isinstance(key, RSAPrivateKey):
        raise _unusable("has a key that is no RSA key, which Entra does not take")
    return key, public


def _read_pem(certificate: bytes) -> "tuple[Any, Certificate | None]":
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = (
        load_pem_private_key(certificate, password=None) if b"PRIVATE KEY" in certificate else None
    )
    has_public = b"BEGIN CERTIFICATE" in certificate
    return key, x509.load_pem_x509_certificate(certificate) if has_public else None


def _read_packed(certificate: bytes) -> "tuple[Any, Certificate | None]":
    from cryptography.hazmat.primitives.serialization import pkcs12

    key, public, _ = pkcs12.load_key_and_certificates(certificate, None)
    return key, public


def _unusable(why: str) -> Misconfigured:
    return Misconfigured(
        f"The app's certificate in Key Vault {why}.",
        remedy="Import a certificate with its RSA private key and without a password, as PEM or "
        "PKCS#12, or have Key Vault create it; no restart is needed.",
    )
