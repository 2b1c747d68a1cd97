"""A denial makes the tenant be looked at; only the tenant's own answer changes the consent."""

from dataclasses import dataclass, field

import pytest

from shared.administration.consent_monitor import (
    RECHECK_INTERVAL_SECONDS,
    WITHDRAWN_INTERVAL_SECONDS,
    ConsentMonitor,
)
from shared.changes.model import ChangeKind
from shared.ids import TenantId
from shared.organizations.model import ConsentState, Organization
from shared.organizations.ports import Capability, ProbeResult
from tests.builders import a_tenant, an_organization
from tests.fake_probes import FakeProbes
from tests.fakes import FakeClock, InMemoryChanges, InMemoryOrganizations

GONE = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=700016)


@dataclass
class MonitorEnv:
    """A watch over one connected organization."""

    organization: Organization
    organizations: InMemoryOrganizations = field(default_factory=InMemoryOrganizations)
    probes: FakeProbes = field(default_factory=FakeProbes)
    changes: InMemoryChanges = field(default_factory=InMemoryChanges)
    seconds: float = 0.0

    @property
    def watch(self) -> ConsentMonitor:
        return ConsentMonitor(
            organizations=lambda: self.organizations,
            probes=lambda: self.probes,
            changes=lambda: self.changes,
            clock=FakeClock(),
            monotonic=lambda: self.seconds,
        )

    @property
    def tenant_id(self) -> TenantId:
        assert self.organization.tenant_id
        return self.organization.tenant_id

    async def consent(self) -> ConsentState:
        return (await self.organizations.get(self.organization.id)).consent


@pytest.fixture
async def watched() -> MonitorEnv:
    made = MonitorEnv(an_organization(consent=ConsentState.GRANTED))
    made.organization = await made.organizations.create(made.organization)
    return made


async def test_a_tenant_that_shut_the_app_out_is_remembered_and_told(watched: MonitorEnv) -> None:
    watched.probes.ill[Capability.TOKEN] = GONE
    await watched.watch.on_denied(watched.tenant_id)
    (told,) = await watched.changes.recent(watched.organization.id, 5)
    assert await watched.consent() is ConsentState.WITHDRAWN
    assert (told.kind, told.detail) == (ChangeKind.TROUBLE, "consent_withdrawn")
    assert "consent-link" in told.remedy


async def test_consent_that_is_back_is_found_and_told(watched: MonitorEnv) -> None:
    watch = watched.watch
    watched.probes.ill[Capability.TOKEN] = GONE
    await watch.on_denied(watched.tenant_id)
    withdrawn = await watched.organizations.get(watched.organization.id)
    watched.seconds += WITHDRAWN_INTERVAL_SECONDS
    assert (await watch.current(withdrawn)).consent is ConsentState.WITHDRAWN
    watched.probes.ill.clear()
    assert (await watch.current(withdrawn)).consent is ConsentState.WITHDRAWN  # looked just now
    watched.seconds += WITHDRAWN_INTERVAL_SECONDS
    assert (await watch.current(withdrawn)).consent is ConsentState.GRANTED
    assert await watched.consent() is ConsentState.GRANTED
    told = await watched.changes.recent(watched.organization.id, 5)
    assert [each.kind for each in told] == [ChangeKind.TROUBLE, ChangeKind.RECOVERED]


async def test_an_organization_with_consent_is_not_looked_at(watched: MonitorEnv) -> None:
    assert await watched.watch.current(watched.organization) == watched.organization
    assert not watched.probes.tried


async def test_one_denied_mailbox_changes_nothing(watched: MonitorEnv) -> None:
    await watched.watch.on_denied(watched.tenant_id)
    assert await watched.consent() is ConsentState.GRANTED
    assert not await watched.changes.recent(watched.organization.id, 5)


async def test_a_tenant_is_looked_at_once_in_a_while(watched: MonitorEnv) -> None:
    watch = watched.watch
    for _ in range(5):
        await watch.on_denied(watched.tenant_id)
    tried = len(watched.probes.tried)
    watched.seconds += RECHECK_INTERVAL_SECONDS
    await watch.on_denied(watched.tenant_id)
    assert tried == 2
    assert len(watched.probes.tried) == 4


async def test_a_tenant_that_belongs_to_nobody_is_left_alone(watched: MonitorEnv) -> None:
    await watched.watch.on_denied(a_tenant())
    assert not watched.probes.tried


async def test_a_look_that_fails_hides_no_denial(watched: MonitorEnv) -> None:
    watch = ConsentMonitor(
        organizations=lambda: 1 / 0,  # type: ignore[arg-type, return-value]  # it fails
        probes=lambda: watched.probes,
        changes=lambda: watched.changes,
        clock=FakeClock(),
    )
    await watch.on_denied(watched.tenant_id)
    assert await watched.consent() is ConsentState.GRANTED
