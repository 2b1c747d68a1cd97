"""The ports of organizations: store, tokens, signing, credential, probes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.ids import Mailbox, ObjectId, OrganizationId, TenantId
from shared.organizations.model import ActingUser, Organization


class OrganizationStore(Protocol):
    """The store of organizations. Every method may raise StoreUnavailable."""

    async def get(self, organization_id: OrganizationId) -> Organization:
        """Return the organization, or raise NotFound."""
        ...

    async def of_tenant(self, tenant_id: TenantId) -> Organization | None:
        """Return the one organization of *tenant_id*, or None."""
        ...

    async def create(self, organization: Organization) -> Organization:
        """Store a new organization. Raises Conflict if the id or the tenant is taken."""
        ...

    async def save(self, organization: Organization) -> Organization:
        """Replace the organization if its version is the stored one, else raise StaleRow.

        A new or changed tenant is claimed first: Conflict if another organization has it.
        """
        ...

    async def list(
        self, *, after: str | None = None, limit: int = 50
    ) -> tuple[Sequence[Organization], str | None]:
        """Return a page and the cursor of the next one, or None."""
        ...

    async def delete(self, organization_id: OrganizationId) -> None:
        """Remove the organization and its claim on the tenant; absent is no error."""
        ...


class CallerKind(StrEnum):
    """The kind of caller that a token identifies."""

    USER = "user"
    """Has the delegated scope `access_as_user`."""
    PLATFORM = "platform"
    """An app of the platform's own tenant with the role `Platform.Manage`."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """The claims of a verified access token."""

    kind: CallerKind
    tenant_id: TenantId
    object_id: ObjectId
    """The user's, or the service principal's."""
    raw: str = field(repr=False)
    """The token itself: the assertion for on-behalf-of."""


class TokenVerifier(Protocol):
    """Checks bearer tokens of Entra."""

    async def verify(self, raw: str) -> VerifiedToken:
        """Verify *raw* and return its claims.

        Raises:
            NotAuthenticated: signature, issuer, audience, times, version, scope or role is wrong.
            CalendarUnavailable: the signing keys cannot be read right now.
        """
        ...


class Signer(Protocol):
    """Signs short texts that pass through a browser, for example the state of a consent link.

    Every method may raise StoreUnavailable, Misconfigured.
    """

    async def sign(self, text: str) -> str:
        """Return *text*, readable, with a signature: letters, digits, dots, ``-`` and ``_``."""
        ...

    async def verify(self, sealed: str) -> str | None:
        """Return the text; None if neither the current nor the previous key signed it."""
        ...


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """One sign-in at Entra, by authorization code."""

    tenant: str
    """The tenant whose sign-in page is asked for; what is proven is the token's."""
    state: str
    verifier: str = field(repr=False)
    """PKCE's."""
    nonce: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedInPerson:
    """A person who has just signed in, by the ID token from Entra's own token endpoint."""

    tenant_id: TenantId
    object_id: ObjectId
    roles: frozenset[str] | None
    """The template ids of their directory roles; None: the token does not have them."""


class SignInRefused(Exception):
    """Entra gave no valid ID token. *code*: its error code, nothing of its text."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SignIn(Protocol):
    """Signs people in at Entra, to prove their tenant."""

    def url(self, request: SignInRequest) -> str:
        """Return the address of Entra's sign-in page; it leads back to the consent callback."""
        ...

    async def redeem(self, code: str, request: SignInRequest) -> SignedInPerson:
        """Exchange *code* for an ID token and validate it.

        Raises:
            SignInRefused: the code was used, expired or not for *request*, or the token is invalid.
            Misconfigured, StoreUnavailable: the app's credential fails or cannot be had.
            CalendarUnavailable, CalendarThrottled: Entra does not answer right now.
        """
        ...


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """The credential that the app uses at present."""

    kind: str
    """`managed-identity`, `certificate` or `secret`."""
    expires_at: datetime | None
    """None for a managed identity, which never expires, or if Key Vault has no expiry."""


class Credential(Protocol):
    """The app's own credential."""

    async def describe(self) -> CredentialInfo:
        """Return its kind and expiry. Raises StoreUnavailable, Misconfigured."""
        ...


class Capability(StrEnum):
    """A thing that the app must be able to do in a tenant."""

    TOKEN = "token"
    """Get a token of its own for the tenant."""
    PROFILES = "profiles"
    SCHEDULE = "schedule"
    READ_EVENTS = "read_events"
    WRITE_AS_USER = "write_as_user"
    WRITE_AS_APP = "write_as_app"
    """In application mode."""
    SUBSCRIBE = "subscribe"


class ProbeHint(StrEnum):
    """Evidence in an answer that is neither a status nor a code."""

    ACCESS_POLICY = "access_policy"
    """Exchange named its application access policy."""
    MISCONFIGURED = "misconfigured"
    """This deployment has no credential to call Entra with."""
    HANDSHAKE = "handshake"
    """Graph could not reach our webhook."""
    NO_MAILBOX = "no_mailbox"
    """Outlook answered the subscription service that there is no such mailbox."""
    SHARED = "shared"
    CHALLENGED = "challenged"
    """Entra demands more of the user than their token proves (claims challenge)."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person's account in the directory. None: the app may not read it, so it is unknown."""

    address: str
    """SMTP address, or the user principal name where there is none."""
    is_guest: bool = False
    is_shared: bool | None = None
    is_synced: bool | None = None
    """Whether the account is synchronized from a directory on premises."""
    has_exchange_plan: bool | None = None
    is_enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one probe."""

    capability: Capability
    ok: bool | None
    """None: no answer, or one that proves neither."""
    status: int = 0
    """HTTP's; 0: no answer."""
    code: str = ""
    """Graph's error code, or Entra's `error`."""
    aadsts: int | None = None
    request_id: str = ""
    as_user: bool = False
    """Probed on-behalf-of a user."""
    hint: ProbeHint | None = None
    cause: str = ""
    """What is wrong with this deployment, and who mends it how: a text of ours."""
    account: Account | None = field(default=None, repr=False)
    """Only in results of `PROFILES` for a mailbox."""


@dataclass(frozen=True, slots=True)
class AppRegistration:
    """The facts about this deployment in links and remedies. URLs end without a slash."""

    client_id: str
    login_url: str
    graph_url: str
    portal_url: str
    """The Entra admin center of this cloud."""
    public_url: str


class Probes(Protocol):
    """Probes single capabilities with live calls. A refusal is evidence, not an error.

    Probes on-behalf-of a user raise SignInAgain and NotAuthenticated, which only the user can
    mend.
    """

    @property
    def app(self) -> AppRegistration:
        """Return the facts about this deployment in remedies."""
        ...

    async def token(self, tenant_id: TenantId, *, fresh: bool = False) -> ProbeResult:
        """Get a token of the app's own. *fresh*: not from the cache.

        Not ok if the token is of another tenant.
        """
        ...

    async def profiles(self, tenant_id: TenantId, mailbox: Mailbox | None) -> ProbeResult:
        """Look up *mailbox*'s owner with the whole account, or any one user without *mailbox*."""
        ...

    async def assignment(self, tenant_id: TenantId) -> ProbeResult:
        """Ask for a token of the app's own API, which Entra refuses if people must be assigned.

        Not ok if they must. None if that is not known.
        """
        ...

    async def schedule(self, acting: ActingUser) -> ProbeResult:
        """Read the acting mailbox's own free/busy."""
        ...

    async def read_events(self, acting: ActingUser) -> ProbeResult:
        """Read the id of one event."""
        ...

    async def write(self, acting: ActingUser) -> ProbeResult:
        """Attempt a write that changes nothing."""
        ...

    async def subscribe(self, mailbox: Mailbox) -> ProbeResult:
        """Create a subscription to the mailbox, with the real handshake, and delete it."""
        ...
