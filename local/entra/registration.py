"""The app registration: the app's credentials, and the permissions it requests."""

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

DELEGATED: Final = frozenset({"Calendars.ReadWrite"})
APPLICATION: Final = frozenset({"Calendars.Read", "User.ReadBasic.All"})
OPEN_ID: Final = frozenset({"openid", "profile", "email", "offline_access"})
USER_SCOPE: Final = "access_as_user"
PLATFORM_ROLE: Final = "Platform.Manage"


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """The issuer and subject whose tokens prove the app's identity. Entra compares each letter."""

    issuer: str
    subject: str
    audience: str


@dataclass(slots=True)
class Registration:
    """The registration by the app's owner, in the home tenant."""

    client_id: str
    delegated: set[str] = field(default_factory=lambda: set(DELEGATED))
    """Graph's delegated permissions that the registration lists."""
    application: set[str] = field(default_factory=lambda: set(APPLICATION))
    """Graph's application permissions that it lists."""
    secrets: dict[str, datetime | None] = field(default_factory=dict)
    """Client secrets and when they expire (None: never)."""
    certificates: list[x509.Certificate] = field(default_factory=list)
    federated: list[FederatedCredential] = field(default_factory=list)
    redirect_uris: set[str] = field(default_factory=set)
    """Allowed redirect addresses of a single-page app. Empty: any on this machine."""
    web_redirect_uris: set[str] = field(default_factory=set)
    """Allowed redirect addresses of the platform "web": a code that went there is redeemed with the
    app's credential, never by a browser."""
    emits_directory_roles: bool = True
    """`groupMembershipClaims` is `DirectoryRole`: tokens of users have `wids`."""
    issues_v1_tokens: bool = False
    """`requestedAccessTokenVersion` was never set to 2, the most frequent mistake."""

    @property
    def app_id_uri(self) -> str:
        """The resource's name in scopes."""
        return f"api://{self.client_id}"

    def certificate_of(self, sha256: str | None, sha1: str | None) -> x509.Certificate | None:
        """Return the registered certificate with this `x5t#S256` or `x5t`."""
        for certificate in self.certificates:
            if sha256 and sha256.rstrip("=") == thumbprint(certificate, hashes.SHA256()):
                return certificate
            if sha1 and sha1.rstrip("=") == thumbprint(certificate, hashes.SHA1()):  # noqa: S303
                return certificate
        return None


def thumbprint(certificate: x509.Certificate, algorithm: hashes.HashAlgorithm) -> str:
    """Return the certificate's hash as a JWT header carries it."""
    return base64.urlsafe_b64encode(certificate.fingerprint(algorithm)).rstrip(b"=").decode()
