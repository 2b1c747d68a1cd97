"""The app's client credential as the fields of a token request.

Source: https://learn.microsoft.com/entra/identity-platform/certificate-credentials
"""

import base64
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

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

    key, public = _loaded(certificate)
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


def _loaded(certificate: bytes) -> tuple[Any, Any]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

    if b"-----BEGIN" in certificate:
        key = load_pem_private_key(certificate, password=None)
        return key, x509.load_pem_x509_certificate(certificate)
    packed_key, packed, _ = pkcs12.load_key_and_certificates(certificate, None)
    return packed_key, packed
