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
from tests.fake_probes import APP, FakeProbes, FakeSigner, Pauses
from tests.fakes import FakeClock, InMemoryOrganizations

GONE = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=700016)
DISABLED = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=7000112)
NOT_ASSIGNED = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=50105)
NO_ROLES = ProbeResult(
    Capability.PROFILES, ok=False, status=403, code="Authorization_RequestDenied"
)
UNAVAILABLE = ProbeResult(Capability.TOKEN, ok=None, status=503)


@dataclass
class Office:
    """An organization with a link, and all that its consent needs."""

    probes: FakeProbes = field(default_factory=FakeProbes)
    organizations: InMemoryOrganizations = field(default_factory=InMemoryOrganizations)
    clock: FakeClock = field(default_factory=FakeClock)
    pauses: Pauses = field(default_factory=Pauses)

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
        return ConsentPorts(self.organizations, FakeSigner(), self.probes, self.clock, self.pauses)


def query_of(link: ConsentLink) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(link.url).query).items()}


@pytest.fixture
def office() -> Office:
    return Office()


async def test_the_link_leads_to_the_tenants_own_consent_page(office: Office) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    query = query_of(link)
    assert link.url.startswith(f"https://login.test/{organization.tenant_id}/v2.0/adminconsent?")
    assert query["client_id"] == APP.client_id
    assert query["scope"] == "https://graph.test/.default"
    assert query["redirect_uri"] == "https://app.test/api/consent/callback"
    assert link.expires_at == office.clock.now() + LINK_LIFE


async def test_without_a_known_tenant_any_work_tenant_may_answer(office: Office) -> None:
    link = await office.link(await office.opened(tenant_id=None))
    assert link.url.startswith("https://login.test/organizations/v2.0/adminconsent?")


async def test_a_proven_grant_is_remembered_with_its_tenant(office: Office) -> None:
    organization = await office.opened(tenant_id=None)
    tenant = a_tenant()
    conclusion = await office.returns(await office.link(organization), tenant)
    stored = await office.organizations.get(organization.id)
    assert conclusion.outcome is ConsentOutcome.GRANTED
    assert (stored.consent, stored.tenant_id) == (ConsentState.GRANTED, tenant)
    assert stored.consent_changed_at == office.clock.now()
    assert office.probes.tried == [
        (Capability.TOKEN, tenant),
        (Capability.PROFILES, tenant),
    ]


async def test_the_link_works_once(office: Office) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    await office.returns(link, organization.tenant_id)
    again = await office.returns(link, organization.tenant_id)
    assert again.outcome is ConsentOutcome.USED
    assert again.organization
    assert again.organization.consent is ConsentState.GRANTED


async def test_a_new_link_ends_the_one_before(office: Office) -> None:
    organization = await office.opened()
    old = await office.link(organization)
    new = await office.link(organization)
    assert (await office.returns(old, organization.tenant_id)).outcome is ConsentOutcome.USED
    assert (await office.returns(new, organization.tenant_id)).outcome is ConsentOutcome.GRANTED


async def test_a_link_expires(office: Office) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    office.clock.advance(LINK_LIFE)
    late = await office.returns(link, organization.tenant_id)
    assert late.outcome is ConsentOutcome.EXPIRED
    assert not office.probes.tried


@pytest.mark.parametrize("state", [None, "", "sealed", "forged.state"])
async def test_a_state_that_is_not_ours_leads_nowhere(office: Office, state: str | None) -> None:
    organization = await office.opened()
    conclusion = await office.returns(None, organization.tenant_id, state=state)
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
    office: Office, changes: dict[str, str | None]
) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    conclusion = await office.returns(link, organization.tenant_id, **changes)
    assert conclusion.outcome is ConsentOutcome.TAMPERED
    assert not office.probes.tried


async def test_the_link_of_an_organization_that_is_gone_has_expired(office: Office) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    await office.organizations.delete(organization.id)
    conclusion = await office.returns(link, organization.tenant_id)
    assert conclusion.outcome is ConsentOutcome.EXPIRED


async def test_an_error_counts_before_the_consent_it_comes_with(office: Office) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    declined = await office.returns(
        link,
        organization.tenant_id,
        error="access_denied",
        error_description="AADSTS65004: <script>declined",
    )
    stored = await office.organizations.get(organization.id)
    assert declined.outcome is ConsentOutcome.DECLINED
    assert declined.code == "access_denied (AADSTS65004)"
    assert stored.consent is ConsentState.DECLINED
    assert not office.probes.tried


async def test_whoever_declined_may_think_again(office: Office) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    await office.returns(link, None, error="permission_denied")
    again = await office.returns(link, organization.tenant_id)
    assert again.outcome is ConsentOutcome.GRANTED


async def test_declining_once_more_does_not_end_a_consent_that_is_there(office: Office) -> None:
    organization = await office.opened(consent=ConsentState.GRANTED)
    link = await office.link(organization)
    await office.returns(link, None, error="access_denied")
    stored = await office.organizations.get(organization.id)
    assert stored.consent is ConsentState.GRANTED


async def test_other_errors_of_entra_are_told_by_their_code_alone(office: Office) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    refused = await office.returns(
        link, None, error="<b>invalid", error_description="AADSTS650056: misconfigured <b>"
    )
    assert refused.outcome is ConsentOutcome.REFUSED
    assert refused.code == "error (AADSTS650056)"


async def test_another_tenant_than_the_named_one_is_refused(office: Office) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    conclusion = await office.returns(link, a_tenant())
    assert conclusion.outcome is ConsentOutcome.WRONG_TENANT
    assert not office.probes.tried


async def test_a_tenant_of_another_organization_is_refused(office: Office) -> None:
    theirs = await office.opened()
    mine = await office.opened(tenant_id=None)
    conclusion = await office.returns(await office.link(mine), theirs.tenant_id)
    assert conclusion.outcome is ConsentOutcome.TENANT_TAKEN
    assert (await office.organizations.get(mine.id)).tenant_id is None


async def test_a_tenant_that_is_claimed_during_the_proof_is_refused(office: Office) -> None:
    mine = await office.opened(tenant_id=None)
    tenant = a_tenant()
    link = await office.link(mine)
    office.probes = Claiming(office.organizations, tenant)
    conclusion = await office.returns(link, tenant)
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
    office: Office, evidence: ProbeResult
) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    office.probes.ill[evidence.capability] = evidence
    office.pauses = Pauses(meanwhile=office.probes.ill.clear)
    conclusion = await office.returns(link, organization.tenant_id)
    assert conclusion.outcome is ConsentOutcome.GRANTED
    assert office.pauses.seconds == [PAUSES[0]]


async def test_consent_that_spreads_very_slowly_goes_on_with_the_same_link(
    office: Office,
) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    office.probes.ill[Capability.TOKEN] = GONE
    first = await office.returns(link, organization.tenant_id)
    office.probes.ill.clear()
    second = await office.returns(link, organization.tenant_id)
    assert first.outcome is ConsentOutcome.SPREADING
    assert sum(office.pauses.seconds) < 8
    assert second.outcome is ConsentOutcome.GRANTED


async def test_a_tenant_that_keeps_the_app_out_otherwise_is_told_why(office: Office) -> None:
    organization = await office.opened()
    link = await office.link(organization)
    office.probes.ill[Capability.TOKEN] = DISABLED
    conclusion = await office.returns(link, organization.tenant_id)
    assert conclusion.outcome is ConsentOutcome.UNPROVEN
    assert conclusion.finding
    assert conclusion.code == "AADSTS7000112"
    assert not office.pauses.seconds


async def examined(office: Office, organization: Organization) -> ConsentState:
    found = await recheck_tenant(
        organization,
        organizations=office.organizations,
        probes=office.probes,
        clock=office.clock,
    )
    stored = await office.organizations.get(organization.id)
    assert stored == found
    return found.consent


@pytest.mark.parametrize("evidence", [GONE, DISABLED, NO_ROLES])
async def test_a_tenant_that_shuts_the_app_out_has_withdrawn(
    office: Office, evidence: ProbeResult
) -> None:
    organization = await office.opened(consent=ConsentState.GRANTED)
    office.probes.ill[evidence.capability] = evidence
    assert await examined(office, organization) is ConsentState.WITHDRAWN


@pytest.mark.parametrize("evidence", [UNAVAILABLE, NOT_ASSIGNED])
async def test_what_says_nothing_about_consent_changes_nothing(
    office: Office, evidence: ProbeResult
) -> None:
    organization = await office.opened(consent=ConsentState.GRANTED)
    office.probes.ill[evidence.capability] = evidence
    assert await examined(office, organization) is ConsentState.GRANTED


async def test_a_tenant_that_never_approved_has_not_withdrawn(office: Office) -> None:
    organization = await office.opened()
    office.probes.ill[Capability.TOKEN] = GONE
    assert await examined(office, organization) is ConsentState.PENDING


@pytest.mark.parametrize("before", [ConsentState.WITHDRAWN, ConsentState.PENDING])
async def test_a_later_proof_restores_the_consent(office: Office, before: ConsentState) -> None:
    organization = await office.opened(consent=before)
    assert await examined(office, organization) is ConsentState.GRANTED


async def test_a_link_is_not_made_over_a_change_in_between(office: Office) -> None:
    organization = await office.opened()
    await office.organizations.save(replace(organization, consent=ConsentState.GRANTED))
    with pytest.raises(StaleRow):
        await make_consent_link(
            organization,
            app=APP,
            organizations=office.organizations,
            signer=FakeSigner(),
            clock=office.clock,
        )


def test_the_link_lives_for_a_week() -> None:
    assert timedelta(days=7) == LINK_LIFE
