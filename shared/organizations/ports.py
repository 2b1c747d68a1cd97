"""What organizations need from outside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.ids import Mailbox, ObjectId, OrganizationId, TenantId
from shared.organizations.model import ActingUser, Organization


class OrganizationStore(Protocol):
    """Where organizations are kept. Every method may raise StoreUnavailable."""

    async def get(self, organization_id: OrganizationId) -> Organization:
        """Return the organization, or raise NotFound."""
        ...

    async def of_tenant(self, tenant_id: TenantId) -> Organization | None:
        """Return the one organization that *tenant_id* belongs to."""
        ...

    async def create(self, organization: Organization) -> Organization:
        """Store a new one. Raises Conflict if the id or the tenant is taken."""
        ...

    async def save(self, organization: Organization) -> Organization:
        """Replace it if its version is still the stored one, else raise StaleRow.

        A tenant that appears or changes is claimed first: Conflict if another organization has it.
        """
        ...

    async def list(
        self, *, after: str | None = None, limit: int = 50
    ) -> tuple[Sequence[Organization], str | None]:
        """Return a page, and the cursor of the next or None."""
        ...

    async def delete(self, organization_id: OrganizationId) -> None:
        """Remove the organization and its claim on the tenant; absent is no error."""
        ...


class CallerKind(StrEnum):
    """What a token stands for."""

    USER = "user"
    """Has the delegated scope `access_as_user`."""
    PLATFORM = "platform"
    """An app of the platform's own tenant with the role `Platform.Manage`."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a checked access token says."""

    kind: CallerKind
    tenant_id: TenantId
    object_id: ObjectId
    """The user's, or the service principal's."""
    raw: str = field(repr=False)
    """The token as it came: the assertion for on-behalf-of."""


class TokenVerifier(Protocol):
    """Checks bearer tokens of Entra."""

    async def verify(self, raw: str) -> VerifiedToken:
        """Return what *raw* proves.

        Raises:
            NotAuthenticated: signature, issuer, audience, times, version, scope or role is wrong.
            CalendarUnavailable: the signing keys cannot be had right now.
        """
        ...


class Signer(Protocol):
    """Signs short texts that travel through other hands, such as the state of a consent link.

    Every method may raise StoreUnavailable, Misconfigured.
    """

    async def sign(self, text: str) -> str:
        """Return *text*, readable, with a signature: letters, digits, dots, ``-`` and ``_``."""
        ...

    async def verify(self, sealed: str) -> str | None:
        """Return the text, or None if it was not sealed here. Current and previous key count."""
        ...


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """What the app proves itself with right now."""

    kind: str
    """`managed-identity`, `certificate` or `secret`."""
    expires_at: datetime | None
    """None for the managed identity, where nothing expires, or if the vault was not told."""


class Credential(Protocol):
    """The app's own credential."""

    async def describe(self) -> CredentialInfo:
        """Return it. Raises StoreUnavailable, Misconfigured."""
        ...


class Capability(StrEnum):
    """What the app must be able to do in a tenant."""

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
    """What the adapter saw that is neither a status nor a code."""

    ACCESS_POLICY = "access_policy"
    """Exchange named its application access policy."""
    MISCONFIGURED = "misconfigured"
    """This deployment has no credential to ask with."""
    HANDSHAKE = "handshake"
    """Graph could not reach our webhook."""
    NO_MAILBOX = "no_mailbox"
    """The subscription service was told by Outlook that there is no such mailbox."""
    SHARED = "shared"
    CHALLENGED = "challenged"
    """Entra demands more of the user than their token shows."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the directory tells about a person. None: it may not be read, so it is not known."""

    address: str
    """SMTP address, or the user principal name where there is none."""
    is_guest: bool = False
    is_shared: bool | None = None
    is_synced: bool | None = None
    """Comes from a directory on premises."""
    has_exchange_plan: bool | None = None
    is_enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one trial showed."""

    capability: Capability
    ok: bool | None
    """None: no answer, or one that says nothing either way."""
    status: int = 0
    """HTTP's; 0: no answer."""
    code: str = ""
    """Graph's error code, or Entra's `error`."""
    aadsts: int | None = None
    request_id: str = ""
    as_user: bool = False
    """Tried on-behalf-of a user."""
    hint: ProbeHint | None = None
    account: Account | None = field(default=None, repr=False)
    """Of `PROFILES` for a mailbox."""


@dataclass(frozen=True, slots=True)
class AppRegistration:
    """What links and remedies name of this deployment. URLs end without a slash."""

    client_id: str
    login_url: str
    graph_url: str
    portal_url: str
    """Where administrators of this cloud work: the Entra admin center."""
    public_url: str


class Probes(Protocol):
    """Tries out single capabilities, live. What is refused is evidence, not an error.

    Trials on-behalf-of a user raise SignInAgain and NotAuthenticated, which only the user can mend.
    """

    @property
    def app(self) -> AppRegistration:
        """Return the facts that remedies name."""
        ...

    async def token(self, tenant_id: TenantId, *, fresh: bool = False) -> ProbeResult:
        """Get a token of the app's own; *fresh*: not a kept one. Not ok if of another tenant."""
        ...

    async def profiles(self, tenant_id: TenantId, mailbox: Mailbox | None) -> ProbeResult:
        """Look somebody up, or *mailbox*'s owner, with all the directory tells of them."""
        ...

    async def schedule(self, acting: ActingUser) -> ProbeResult:
        """Read the acting mailbox's own free/busy."""
        ...

    async def read_events(self, acting: ActingUser) -> ProbeResult:
        """Read the id of one event."""
        ...

    async def write(self, acting: ActingUser) -> ProbeResult:
        """Try to write, in a way that changes nothing."""
        ...

    async def subscribe(self, mailbox: Mailbox) -> ProbeResult:
        """Subscribe to the mailbox for a moment, with the real handshake."""
        ...
