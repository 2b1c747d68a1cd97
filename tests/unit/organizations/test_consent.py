"""The consent link and every way in which a browser can come back from it."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.errors import StaleRow
from shared.ids import OrganizationId, TenantId
from shared.organizations.consent import (
    LINK_LIFE,
    PAUSES,
    ConsentAnswer,
    ConsentLink,
    ConsentOutcome,
    ConsentPorts,
    ConsentResult,
    complete_consent,
    make_consent_link,
    recheck_tenant,
)
from shared.organizations.model import ConsentState, Organization
from shared.organizations.ports import Capability, ProbeResult
from tests.builders import a_tenant, an_organization
from tests.fake_probes import APP, FakeProbes, FakeSigner, RecordedSleeps
from tests.fakes import FakeClock, InMemoryOrganizations

GONE = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=700016)
DISABLED = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=7000112)
NOT_ASSIGNED = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=50105)
NO_ROLES = ProbeResult(
    Capability.PROFILES, ok=False, status=403, code="Authorization_RequestDenied"
)
UNAVAILABLE = ProbeResult(Capability.TOKEN, ok=None, status=503)


@dataclass
class ConsentEnv:
    """An organization with a link, and all that its consent needs."""

    probes: FakeProbes = field(default_factory=FakeProbes)
    organizations: InMemoryOrganizations = field(default_factory=InMemoryOrganizations)
    clock: FakeClock = field(default_factory=FakeClock)
    pauses: RecordedSleeps = field(default_factory=RecordedSleeps)
    regained: list[Organization] = field(default_factory=list)

    async def regain(self, organization: Organization) -> None:
        self.regained.append(organization)

    async def opened(self, **changes: Any) -> Organization:
        return await self.organizations.create(an_organization(**changes))

    async def link(self, organization: Organization) -> ConsentLink:
        current = await self.organizations.get(organization.id)
        return await make_consent_link(
            current,
            app=APP,
            organizations=self.organizations,
            signer=FakeSigner(),
            clock=self.clock,
        )

    async def returns(
        self, link: ConsentLink | None, tenant: str | None, /, **changes: str | None
    ) -> ConsentResult:
        """Come back from *link* with an admin of *tenant* having approved."""
        answer = ConsentAnswer(
            state=query_of(link)["state"] if link else None,
            tenant=tenant,
            admin_consent="True",
            error=None,
            error_description=None,
        )
        return await complete_consent(replace(answer, **changes), ports=self.ports)

    @property
    def ports(self) -> ConsentPorts:
        return ConsentPorts(
            self.organizations,
            FakeSigner(),
            self.probes,
            self.clock,
            self.regain,
            self.pauses,
        )


def query_of(link: ConsentLink) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(link.url).query).items()}


@pytest.fixture
def env() -> ConsentEnv:
    return ConsentEnv()


async def test_the_link_leads_to_the_tenants_own_consent_page(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    query = query_of(link)
    assert link.url.startswith(f"https://login.test/{organization.tenant_id}/v2.0/adminconsent?")
    assert query["client_id"] == APP.client_id
    assert query["scope"] == "https://graph.test/.default"
    assert query["redirect_uri"] == "https://app.test/api/consent/callback"
    assert link.expires_at == env.clock.now() + LINK_LIFE


async def test_without_a_known_tenant_any_work_tenant_may_answer(env: ConsentEnv) -> None:
    link = await env.link(await env.opened(tenant_id=None))
    assert link.url.startswith("https://login.test/organizations/v2.0/adminconsent?")


async def test_a_proven_grant_is_remembered_with_its_tenant(env: ConsentEnv) -> None:
    organization = await env.opened(tenant_id=None)
    tenant = a_tenant()
    conclusion = await env.returns(await env.link(organization), tenant)
    stored = await env.organizations.get(organization.id)
    assert conclusion.outcome is ConsentOutcome.GRANTED
    assert (stored.consent, stored.tenant_id) == (ConsentState.GRANTED, tenant)
    assert stored.consent_changed_at == env.clock.now()
    assert env.probes.tried == [
        (Capability.TOKEN, tenant),
        (Capability.PROFILES, tenant),
    ]


@pytest.mark.parametrize(
    ("before", "tells"), [(ConsentState.WITHDRAWN, True), (ConsentState.PENDING, False)]
)
async def test_a_consent_that_was_withdrawn_is_said_to_be_back(
    env: ConsentEnv, before: ConsentState, *, tells: bool
) -> None:
    organization = await env.opened(consent=before)
    await env.returns(await env.link(organization), organization.tenant_id)
    assert [each.consent for each in env.regained] == [ConsentState.GRANTED] * tells


async def test_the_link_works_once(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    await env.returns(link, organization.tenant_id)
    again = await env.returns(link, organization.tenant_id)
    assert again.outcome is ConsentOutcome.USED
    assert again.organization
    assert again.organization.consent is ConsentState.GRANTED


async def test_a_new_link_ends_the_one_before(env: ConsentEnv) -> None:
    organization = await env.opened()
    old = await env.link(organization)
    new = await env.link(organization)
    assert (await env.returns(old, organization.tenant_id)).outcome is ConsentOutcome.USED
    assert (await env.returns(new, organization.tenant_id)).outcome is ConsentOutcome.GRANTED


async def test_a_link_expires(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    env.clock.advance(LINK_LIFE)
    late = await env.returns(link, organization.tenant_id)
    assert late.outcome is ConsentOutcome.EXPIRED
    assert not env.probes.tried


@pytest.mark.parametrize("state", [None, "", "sealed", "forged.state"])
async def test_a_state_that_is_not_ours_leads_nowhere(env: ConsentEnv, state: str | None) -> None:
    organization = await env.opened()
    conclusion = await env.returns(None, organization.tenant_id, state=state)
    assert conclusion == ConsentResult(ConsentOutcome.TAMPERED)


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": None},
        {"tenant": "common"},
        {"tenant": "../../other"},
        {"admin_consent": None},
        {"admin_consent": "False"},
    ],
)
async def test_an_answer_in_the_wrong_shape_is_not_believed(
    env: ConsentEnv, changes: dict[str, str | None]
) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    conclusion = await env.returns(link, organization.tenant_id, **changes)
    assert conclusion.outcome is ConsentOutcome.TAMPERED
    assert not env.probes.tried


async def test_the_link_of_an_organization_that_is_gone_has_expired(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    await env.organizations.delete(organization.id)
    conclusion = await env.returns(link, organization.tenant_id)
    assert conclusion.outcome is ConsentOutcome.EXPIRED


async def test_an_error_counts_before_the_consent_it_comes_with(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    declined = await env.returns(
        link,
        organization.tenant_id,
        error="access_denied",
        error_description="AADSTS65004: <script>declined",
    )
    stored = await env.organizations.get(organization.id)
    assert declined.outcome is ConsentOutcome.DECLINED
    assert declined.code == "access_denied (AADSTS65004)"
    assert stored.consent is ConsentState.DECLINED
    assert not env.probes.tried


async def test_declined_consent_can_be_granted_later(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    await env.returns(link, None, error="permission_denied")
    again = await env.returns(link, organization.tenant_id)
    assert again.outcome is ConsentOutcome.GRANTED


async def test_declining_once_more_does_not_end_a_consent_that_is_there(env: ConsentEnv) -> None:
    organization = await env.opened(consent=ConsentState.GRANTED)
    link = await env.link(organization)
    await env.returns(link, None, error="access_denied")
    stored = await env.organizations.get(organization.id)
    assert stored.consent is ConsentState.GRANTED


async def test_other_errors_of_entra_are_told_by_their_code_alone(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    refused = await env.returns(
        link, None, error="<b>invalid", error_description="AADSTS650056: misconfigured <b>"
    )
    assert refused.outcome is ConsentOutcome.REFUSED
    assert refused.code == "error (AADSTS650056)"


async def test_another_tenant_than_the_named_one_is_refused(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    conclusion = await env.returns(link, a_tenant())
    assert conclusion.outcome is ConsentOutcome.WRONG_TENANT
    assert not env.probes.tried


async def test_a_tenant_of_another_organization_is_refused(env: ConsentEnv) -> None:
    theirs = await env.opened()
    mine = await env.opened(tenant_id=None)
    conclusion = await env.returns(await env.link(mine), theirs.tenant_id)
    assert conclusion.outcome is ConsentOutcome.TENANT_TAKEN
    assert (await env.organizations.get(mine.id)).tenant_id is None


async def test_a_tenant_that_is_claimed_during_the_proof_is_refused(env: ConsentEnv) -> None:
    mine = await env.opened(tenant_id=None)
    tenant = a_tenant()
    link = await env.link(mine)
    env.probes = Claiming(env.organizations, tenant)
    conclusion = await env.returns(link, tenant)
    assert conclusion.outcome is ConsentOutcome.TENANT_TAKEN


class Claiming(FakeProbes):
    """Lets another organization take the tenant while the proof goes on."""

    def __init__(self, organizations: InMemoryOrganizations, tenant: TenantId) -> None:
        super().__init__()
        self._organizations = organizations
        self._tenant = tenant

    async def token(self, tenant_id: TenantId, *, fresh: bool = False) -> ProbeResult:
        await self._organizations.create(
            an_organization(id=OrganizationId("quicker"), tenant_id=self._tenant)
        )
        return await super().token(tenant_id, fresh=fresh)


@pytest.mark.parametrize("evidence", [GONE, NO_ROLES, UNAVAILABLE])
async def test_consent_that_spreads_slowly_is_waited_for(
    env: ConsentEnv, evidence: ProbeResult
) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    env.probes.ill[evidence.capability] = evidence
    env.pauses = RecordedSleeps(meanwhile=env.probes.ill.clear)
    conclusion = await env.returns(link, organization.tenant_id)
    assert conclusion.outcome is ConsentOutcome.GRANTED
    assert env.pauses.seconds == [PAUSES[0]]


async def test_consent_that_spreads_very_slowly_goes_on_with_the_same_link(
    env: ConsentEnv,
) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    env.probes.ill[Capability.TOKEN] = GONE
    first = await env.returns(link, organization.tenant_id)
    env.probes.ill.clear()
    second = await env.returns(link, organization.tenant_id)
    assert first.outcome is ConsentOutcome.SPREADING
    assert sum(env.pauses.seconds) < 8
    assert second.outcome is ConsentOutcome.GRANTED


async def test_a_tenant_that_keeps_the_app_out_otherwise_is_told_why(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    env.probes.ill[Capability.TOKEN] = DISABLED
    conclusion = await env.returns(link, organization.tenant_id)
    assert conclusion.outcome is ConsentOutcome.UNPROVEN
    assert conclusion.finding
    assert conclusion.code == "AADSTS7000112"
    assert not env.pauses.seconds


async def examined(env: ConsentEnv, organization: Organization) -> ConsentState:
    found = await recheck_tenant(
        organization,
        organizations=env.organizations,
        probes=env.probes,
        clock=env.clock,
    )
    stored = await env.organizations.get(organization.id)
    assert stored == found
    return found.consent


@pytest.mark.parametrize("evidence", [GONE, DISABLED, NO_ROLES])
async def test_a_tenant_that_shuts_the_app_out_has_withdrawn(
    env: ConsentEnv, evidence: ProbeResult
) -> None:
    organization = await env.opened(consent=ConsentState.GRANTED)
    env.probes.ill[evidence.capability] = evidence
    assert await examined(env, organization) is ConsentState.WITHDRAWN


@pytest.mark.parametrize("evidence", [UNAVAILABLE, NOT_ASSIGNED])
async def test_unrelated_findings_leave_consent_unchanged(
    env: ConsentEnv, evidence: ProbeResult
) -> None:
    organization = await env.opened(consent=ConsentState.GRANTED)
    env.probes.ill[evidence.capability] = evidence
    assert await examined(env, organization) is ConsentState.GRANTED


async def test_a_tenant_that_never_approved_has_not_withdrawn(env: ConsentEnv) -> None:
    organization = await env.opened()
    env.probes.ill[Capability.TOKEN] = GONE
    assert await examined(env, organization) is ConsentState.PENDING


@pytest.mark.parametrize("before", [ConsentState.WITHDRAWN, ConsentState.PENDING])
async def test_a_later_proof_restores_the_consent(env: ConsentEnv, before: ConsentState) -> None:
    organization = await env.opened(consent=before)
    assert await examined(env, organization) is ConsentState.GRANTED


async def test_a_link_is_not_made_over_a_change_in_between(env: ConsentEnv) -> None:
    organization = await env.opened()
    await env.organizations.save(replace(organization, consent=ConsentState.GRANTED))
    with pytest.raises(StaleRow):
        await make_consent_link(
            organization,
            app=APP,
            organizations=env.organizations,
            signer=FakeSigner(),
            clock=env.clock,
        )


def test_the_link_lives_for_a_week() -> None:
    assert timedelta(days=7) == LINK_LIFE
