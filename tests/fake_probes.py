"""Stand-ins for the calls of the platform's routes to Microsoft and to a tenant's rows."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import quote

from shared.ids import Mailbox, ObjectId, SubscriptionId, TenantId
from shared.organizations.model import ActingUser
from shared.organizations.ports import (
    AppRegistration,
    Capability,
    CredentialInfo,
    ProbeResult,
    SignedInPerson,
    SignInRefused,
    SignInRequest,
)
from shared.pairings.ports import Person
from shared.sessions.ledger import MailboxLedger
from tests.builders import NOW, a_uuid
from tests.fakes import InMemorySessions, InMemorySubscriptions

GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
APP = AppRegistration(
    client_id="11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    login_url="https://login.test",
    graph_url="https://graph.test",
    portal_url="https://portal.test",
    public_url="https://app.test",
)


@dataclass
class FakeProbes:
    """Every capability works, except for the issues in *ill*."""

    ill: dict[Capability, ProbeResult] = field(default_factory=dict)
    tried: list[tuple[Capability, str]] = field(default_factory=list)
    """The tried capabilities, with their tenants."""
    app: AppRegistration = APP

    async def token(self, tenant_id: TenantId, *, fresh: bool = False) -> ProbeResult:
        return self._of(Capability.TOKEN, tenant_id)

    async def profiles(self, tenant_id: TenantId, mailbox: Mailbox | None) -> ProbeResult:
        return self._of(Capability.PROFILES, tenant_id)

    async def assignment(self, tenant_id: TenantId) -> ProbeResult:
        return self._of(Capability.WRITE_AS_USER, tenant_id)

    async def schedule(self, acting: ActingUser) -> ProbeResult:
        return self._of(Capability.SCHEDULE, acting.mailbox.tenant_id)

    async def read_events(self, acting: ActingUser) -> ProbeResult:
        return self._of(Capability.READ_EVENTS, acting.mailbox.tenant_id)

    async def write(self, acting: ActingUser) -> ProbeResult:
        as_user = acting.assertion is not None
        capability = Capability.WRITE_AS_USER if as_user else Capability.WRITE_AS_APP
        return replace(self._of(capability, acting.mailbox.tenant_id), as_user=as_user)

    async def subscribe(self, mailbox: Mailbox) -> ProbeResult:
        return self._of(Capability.SUBSCRIBE, mailbox.tenant_id)

    def _of(self, capability: Capability, tenant_id: TenantId) -> ProbeResult:
        self.tried.append((capability, tenant_id))
        return self.ill.get(capability) or ProbeResult(capability, ok=True, status=200)


@dataclass
class FakeSigner:
    """Seals without a key: for tests of the sealed content, not of the seal."""

    async def sign(self, text: str) -> str:
        return f"sealed.{text}"

    async def verify(self, sealed: str) -> str | None:
        return sealed.removeprefix("sealed.") if sealed.startswith("sealed.") else None


@dataclass
class FakeSignIn:
    """Signs in one person at Entra, whose codes are good for once and for one request."""

    person: SignedInPerson | None = None
    """None: an administrator of the tenant that is asked for."""
    error: Exception | None = None
    requests: list[SignInRequest] = field(default_factory=list)
    codes: dict[str, SignInRequest] = field(default_factory=dict)

    def url(self, request: SignInRequest) -> str:
        self.requests.append(request)
        code = f"code-{len(self.requests)}"
        self.codes[code] = request
        return (
            f"https://login.test/{request.tenant}/authorize?state={quote(request.state)}&as={code}"
        )

    async def redeem(self, code: str, request: SignInRequest) -> SignedInPerson:
        if self.error:
            raise self.error
        if self.codes.pop(code, None) != request:
            raise SignInRefused("invalid_grant (AADSTS54005)")
        return self.person or an_administrator(TenantId(request.tenant))


def an_administrator(tenant_id: TenantId, *roles: str) -> SignedInPerson:
    """Return a person with *roles*, or a Global Administrator."""
    return SignedInPerson(tenant_id, ObjectId(a_uuid()), frozenset(roles or {GLOBAL_ADMINISTRATOR}))


class RecordedSleeps:
    """Records pauses instead of waiting, and calls a function in each."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.seconds: list[float] = []
        self._meanwhile = meanwhile

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._meanwhile()


class FakeDirectory:
    """A directory of the people that were added (the `Directory` port)."""

    def __init__(self) -> None:
        self.known: list[tuple[TenantId, Person]] = []
        self.aliases: dict[str, Person] = {}
        self.error: Exception | None = None
        """Raised instead of a user."""

    def add(self, tenant_id: TenantId, address: str) -> Person:
        person = Person(ObjectId(a_uuid()), address, "Somebody")
        self.known.append((tenant_id, person))
        return person

    async def get(self, mailbox: Mailbox) -> Person | None:
        if self.error:
            raise self.error
        return next(
            (
                person
                for tenant_id, person in self.known
                if Mailbox(tenant_id, person.object_id) == mailbox
            ),
            None,
        )

    async def find(self, tenant_id: TenantId, address: str) -> Person | None:
        found = (p for t, p in self.known if (t, p.address) == (tenant_id, address))
        return next(found, self.aliases.get(address))


class FakeCredential:
    """A secret that expires."""

    async def describe(self) -> CredentialInfo:
        return CredentialInfo("secret", NOW)

    async def ping(self) -> None:
        """Answer."""


class FakeGraphSubscriptions:
    """Graph's side of subscriptions: records the ended ones, or denies with *error*."""

    def __init__(self) -> None:
        self.ended: list[SubscriptionId] = []
        self.error: Exception | None = None

    async def create(
        self,
        mailbox: Mailbox,
        client_state: str,
        expires_at: datetime,
    ) -> tuple[SubscriptionId, datetime]:
        self._deny()
        return SubscriptionId(a_uuid()), expires_at

    async def renew(
        self,
        tenant_id: TenantId,
        ids: Sequence[SubscriptionId],
        expires_at: datetime,
    ) -> list[datetime | Exception]:
        self._deny()
        return [expires_at for _ in ids]

    async def delete(self, tenant_id: TenantId, subscription_id: SubscriptionId) -> None:
        self._deny()
        self.ended.append(subscription_id)

    def _deny(self) -> None:
        if self.error is not None:
            raise self.error


class InMemoryTenantRows:
    """`TenantRows` over the other stand-ins."""

    def __init__(self, sessions: InMemorySessions, subscriptions: InMemorySubscriptions) -> None:
        self._sessions = sessions.ledgers
        self._subscriptions = subscriptions._subscriptions

    async def mailboxes(self, tenant_id: TenantId) -> AsyncIterator[Mailbox]:
        used = {mailbox for mailbox, ledger in self._sessions.items() if ledger.sessions}
        for mailbox in sorted(used | {*self._subscriptions}):
            if mailbox.tenant_id == tenant_id:
                yield mailbox

    async def delete_rows(self, mailbox: Mailbox) -> Mapping[str, int]:
        ledger = self._sessions.pop(mailbox, None) or MailboxLedger(mailbox)
        subscription = self._subscriptions.pop(mailbox, None)
        counts = {
            "session": len(ledger.sessions),
            "event": len(ledger.events),
            "day": sum(1 for holds in ledger.holds.values() if holds),
            "subscription": int(subscription is not None),
        }
        return {kind: count for kind, count in counts.items() if count}
