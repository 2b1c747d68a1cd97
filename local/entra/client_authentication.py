"""The app's proof of identity: a secret, a certificate, or a managed identity's token.

Source: https://learn.microsoft.com/entra/identity-platform/certificate-credentials
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from local.clock import CloudClock
from local.entra.errors import EntraError
from local.entra.registration import Registration
from local.entra.tokens import TokenMint

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LEEWAY_SECONDS: Final = 300


class ClientAuthentication:
    """Checks the credential of a confidential client."""

    def __init__(
        self,
        registration: Registration,
        platform_secrets: Mapping[str, str],
        mint: TokenMint,
        clock: CloudClock,
    ) -> None:
        """*platform_secrets*: the secret of each other client of the home tenant, by client id."""
        self._registration = registration
        self._platform_secrets = platform_secrets
        self._mint = mint
        self._clock = clock

    def check(self, client_id: str, form: Mapping[str, str], token_url: str) -> None:
        """Return if *form* proves that *client_id* sent the request. EntraError otherwise."""
        if secret := form.get("client_secret"):
            self._check_secret(client_id, secret)
        elif assertion := form.get("client_assertion"):
            if form.get("client_assertion_type") != ASSERTION_TYPE:
                raise EntraError(900144, detail="client_assertion_type")
            self._check_assertion(client_id, assertion, token_url)
        else:
            raise EntraError(7000218)

    def _check_secret(self, client_id: str, secret: str) -> None:
        if client_id != self._registration.client_id:
            if self._platform_secrets.get(client_id) != secret:
                raise EntraError(7000215, app=client_id)
            return
        if secret not in self._registration.secrets:
            raise EntraError(7000215, app=client_id)
        expires_at = self._registration.secrets[secret]
        if expires_at and expires_at <= self._clock.now():
            raise EntraError(7000222, app=client_id)

    def _check_assertion(self, client_id: str, assertion: str, token_url: str) -> None:
        if client_id != self._registration.client_id:
            raise EntraError(700027)
        try:
            header = jwt.get_unverified_header(assertion)
            claims = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.PyJWTError as error:
            raise EntraError(50013, detail=str(error)) from error
        if claims.get("iss") == client_id:
            self._check_certificate(client_id, assertion, header, token_url)
        else:
            self._check_federated(assertion)

    def _check_certificate(
        self, client_id: str, assertion: str, header: Mapping[str, Any], token_url: str
    ) -> None:
        certificate = self._registration.certificate_of(header.get("x5t#S256"), header.get("x5t"))
        if certificate is None:
            raise EntraError(700027)
        if certificate.not_valid_after_utc <= datetime.now(UTC):
            raise EntraError(700027)
        try:
            claims = jwt.decode(
                assertion,
                certificate.public_key(),  # type: ignore[arg-type]  # RSA, or the algorithm refuses
                algorithms=["PS256", "RS256"],
                audience=[token_url, token_url.removesuffix("/oauth2/v2.0/token") + "/v2.0"],
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "aud", "iss", "sub", "jti"]},
            )
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            raise EntraError(700024) from error
        except jwt.InvalidAudienceError as error:
            raise EntraError(700021) from error
        except (jwt.PyJWTError, TypeError) as error:
            raise EntraError(700027) from error
        if claims["sub"] != client_id:
            raise EntraError(700021)

    def _check_federated(self, assertion: str) -> None:
        """Compare issuer, subject and audience with the registered credentials, in that order."""
        claims = self._mint.read_own(assertion)
        if claims.get("idtyp") != "app":
            raise EntraError(700229)
        known = self._registration.federated
        if not known:
            raise EntraError(70021, detail="The application has no federated identity credential.")
        for code, name in ((700211, "iss"), (700213, "sub"), (700212, "aud")):
            attribute = {"iss": "issuer", "sub": "subject", "aud": "audience"}[name]
            known = [each for each in known if getattr(each, attribute) == claims.get(name)]
            if not known:
                raise EntraError(code, detail=f"Presented assertion: {name} '{claims.get(name)}'.")
        if self._mint.has_expired(claims):
            raise EntraError(700024)
