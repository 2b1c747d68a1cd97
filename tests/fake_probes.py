"""Stand-ins for what the consent and its doctor ask of Microsoft."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from shared.ids import Mailbox, TenantId
from shared.organizations.model import Acting
from shared.organizations.ports import AppFacts, Capability, Evidence

APP = AppFacts(
    client_id="11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    login_url="https://login.test",
    graph_url="https://graph.test",
    portal_url="https://portal.test",
    public_url="https://app.test",
)


@dataclass
class FakeProbes:
    """Everything works, but for what *ill* says of a capability."""

    ill: dict[Capability, Evidence] = field(default_factory=dict)
    tried: list[tuple[Capability, str]] = field(default_factory=list)
    """What was tried, and in which tenant."""
    app: AppFacts = APP

    async def token(self, tenant_id: TenantId, *, fresh: bool = False) -> Evidence:
        return self._of(Capability.TOKEN, tenant_id)

    async def profiles(self, tenant_id: TenantId, mailbox: Mailbox | None) -> Evidence:
        return self._of(Capability.PROFILES, tenant_id)

    async def schedule(self, acting: Acting) -> Evidence:
        return self._of(Capability.SCHEDULE, acting.mailbox.tenant_id)

    async def read_events(self, acting: Acting) -> Evidence:
        return self._of(Capability.READ_EVENTS, acting.mailbox.tenant_id)

    async def write(self, acting: Acting) -> Evidence:
        as_user = acting.assertion is not None
        capability = Capability.WRITE_AS_USER if as_user else Capability.WRITE_AS_APP
        return replace(self._of(capability, acting.mailbox.tenant_id), as_user=as_user)

    async def subscribe(self, mailbox: Mailbox) -> Evidence:
        return self._of(Capability.SUBSCRIBE, mailbox.tenant_id)

    def _of(self, capability: Capability, tenant_id: TenantId) -> Evidence:
        self.tried.append((capability, tenant_id))
        return self.ill.get(capability) or Evidence(capability, ok=True, status=200)


@dataclass
class FakeSeals:
    """Seals that anybody could make: for tests of what is sealed, not of the seal."""

    async def seal(self, text: str) -> str:
        return f"sealed.{text}"

    async def unseal(self, sealed: str) -> str | None:
        return sealed.removeprefix("sealed.") if sealed.startswith("sealed.") else None


class Pauses:
    """Notes pauses in place of waiting, and lets something happen in each."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.seconds: list[float] = []
        self._meanwhile = meanwhile

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._meanwhile()
