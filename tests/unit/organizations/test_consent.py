"""The consent link, its steps, and every way in which a browser can come back from Entra."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.errors import CalendarUnavailable, StaleRow, StoreUnavailable
from shared.ids import OrganizationId, TenantId
from shared.organizations.consent import continue_consent, open_consent_link
from shared.organizations.consent_links import ConsentLink, make_consent_link
from shared.organizations.consent_model import (
    ConsentAnswer,
    ConsentOutcome,
    ConsentPorts,
    ConsentRedirect,
    ConsentResult,
    ConsentStart,
)
from shared.organizations.consent_proof import PAUSES
from shared.organizations.consent_state import record_consent
from shared.organizations.consent_tickets import ATTEMPT_LIFE, LINK_LIFE
from shared.organizations.diagnosis import diagnose_tenant
from shared.organizations.model import (
    AccessMode,
    ConsentState,
    Organization,
    OrganizationSettings,
    PendingSettings,
)
from shared.organizations.ports import (
    Capability,
    ProbeResult,
    SignedInPerson,
    SignInRefused,
)
from shared.organizations.protection import ask_for
from tests.builders import a_tenant, an_organization
from tests.fake_probes import (
    APP,
    FakeProbes,
    FakeSigner,
    FakeSignIn,
    RecordedSleeps,
    an_administrator,
)
from tests.fakes import FakeClock, InMemoryOrganizations

GONE = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=700016)
DISABLED = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=7000112)
NOT_ASSIGNED = ProbeResult(Capability.TOKEN, ok=False, status=400, aadsts=50105)
NO_ROLES = ProbeResult(
    Capability.PROFILES, ok=False, status=403, code="Authorization_RequestDenied"
)
UNAVAILABLE = ProbeResult(Capability.TOKEN, ok=None, status=503)
APPLICATION_ADMINISTRATOR = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
PRIVILEGED_ROLE_ADMINISTRATOR = "e8611ab8-c189-46e8-94e1-60213ab1f814"
USER = "b79fbf4d-3ef9-4689-8143-76b194e85509"
OTHER_BROWSER = "b" * 43


@dataclass
class ConsentEnv:
    """An organization with a link, and all that its consent needs."""

    probes: FakeProbes = field(default_factory=FakeProbes)
    sign_in: FakeSignIn = field(default_factory=FakeSignIn)
    organizations: InMemoryOrganizations = field(default_factory=InMemoryOrganizations)
    clock: FakeClock = field(default_factory=FakeClock)
    pauses: RecordedSleeps = field(default_factory=RecordedSleeps)
    granted: list[tuple[Organization, Organization]] = field(default_factory=list)
    feed_is_down: bool = False

    async def on_granting(self, before: Organization, granted: Organization) -> None:
        assert (await self.organizations.get(before.id)).version == before.version
        if self.feed_is_down:
            raise StoreUnavailable("The tables do not answer.")
        self.granted.append((before, granted))

    async def opened(self, **changes: Any) -> Organization:
        made = an_organization(**{"consent": ConsentState.PENDING} | changes)
        return await self.organizations.create(made)

    async def link(self, organization: Organization) -> ConsentLink:
        current = await self.organizations.get(organization.id)
        return await make_consent_link(
            current,
            app=APP,
            organizations=self.organizations,
            signer=FakeSigner(),
            clock=self.clock,
        )

    async def start(self, link: ConsentLink, browser: str | None = None) -> ConsentStart:
        """Open *link* in a browser."""
        start = await open_consent_link(query_of(link.url)["state"], browser, ports=self.ports)
        assert isinstance(start, ConsentStart), start
        return start

    async def approve(
        self, start: ConsentStart, tenant: str | None, /, **changes: str | None
    ) -> ConsentRedirect | ConsentResult:
        """Come back from Entra's consent page, where an admin of *tenant* has approved."""
        answer = ConsentAnswer(
            state=query_of(start.url)["state"],
            tenant=tenant,
            admin_consent="True",
            browser=start.browser,
        )
        return await continue_consent(replace(answer, **changes), ports=self.ports)

    async def signs_in(
        self, start: ConsentStart, to_sign_in: ConsentRedirect, **changes: str | None
    ) -> ConsentRedirect | ConsentResult:
        """Come back from Entra's sign-in."""
        query = query_of(to_sign_in.url)
        answer = ConsentAnswer(state=query["state"], code=query["as"], browser=start.browser)
        return await continue_consent(replace(answer, **changes), ports=self.ports)

    async def proves(self, start: ConsentStart, proven: ConsentRedirect) -> ConsentResult:
        """Load the last page."""
        answer = ConsentAnswer(state=query_of(proven.url)["state"], browser=start.browser)
        shown = await continue_consent(answer, ports=self.ports)
        assert isinstance(shown, ConsentResult)
        return shown

    async def returns(
        self, link: ConsentLink, tenant: str | None, /, **changes: str | None
    ) -> ConsentResult:
        """Go through all steps of *link* as an admin of *tenant*, or until one leads no further.

        *changes*: of the parameters with which the consent page leads back.
        """
        opened = await open_consent_link(query_of(link.url)["state"], None, ports=self.ports)
        if isinstance(opened, ConsentResult):
            return opened
        reached = await self.approve(opened, tenant, **changes)
        if isinstance(reached, ConsentRedirect):
            reached = await self.signs_in(opened, reached)
        if isinstance(reached, ConsentRedirect):
            reached = await self.proves(opened, reached)
        return reached

    @property
    def ports(self) -> ConsentPorts:
        return ConsentPorts(
            APP,
            self.organizations,
            FakeSigner(),
            self.sign_in,
            self.probes,
            self.clock,
            self.on_granting,
            self.pauses,
        )


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.fixture
def env() -> ConsentEnv:
    return ConsentEnv()


async def is_untouched(env: ConsentEnv, organization: Organization) -> bool:
    """Return whether nothing was asked of any tenant, and nothing was claimed."""
    stored = await env.organizations.get(organization.id)
    same = (stored.tenant_id, stored.consent) == (organization.tenant_id, organization.consent)
    return same and not env.probes.tried


# --- the link and its first page


async def test_the_link_leads_to_our_page_and_that_to_the_tenants_own_consent_page(
    env: ConsentEnv,
) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    assert link.url.startswith("https://app.test/api/consent/start?state=")
    assert link.expires_at == env.clock.now() + LINK_LIFE
    start = await env.start(link)
    query = query_of(start.url)
    assert start.url.startswith(f"https://login.test/{organization.tenant_id}/v2.0/adminconsent?")
    assert query["client_id"] == APP.client_id
    assert query["scope"] == "https://graph.test/.default"
    assert query["redirect_uri"] == "https://app.test/api/consent/callback"


async def test_without_a_known_tenant_any_work_tenant_may_answer(env: ConsentEnv) -> None:
    start = await env.start(await env.link(await env.opened(tenant_id=None)))
    assert start.url.startswith("https://login.test/organizations/v2.0/adminconsent?")


async def test_a_browser_keeps_its_secret_if_it_is_one_of_ours(env: ConsentEnv) -> None:
    link = await env.link(await env.opened())
    first = await env.start(link)
    again = await env.start(link, first.browser)
    chosen = await env.start(link, "chosen")
    assert first.browser == again.browser
    assert first.url != again.url
    assert len(chosen.browser) == len(first.browser)


@pytest.mark.parametrize("state", [None, "", "sealed", "forged.state", 'sealed.["old",1,2]'])
async def test_a_state_that_is_not_ours_leads_nowhere(env: ConsentEnv, state: str | None) -> None:
    tampered = ConsentResult(ConsentOutcome.TAMPERED)
    assert await open_consent_link(state, None, ports=env.ports) == tampered
    answer = ConsentAnswer(state=state, tenant=a_tenant(), admin_consent="True")
    assert await continue_consent(answer, ports=env.ports) == tampered


async def test_the_state_of_one_step_is_none_for_another(env: ConsentEnv) -> None:
    organization = await env.opened(tenant_id=None)
    link = await env.link(organization)
    start = await env.start(link)
    for state, code in ((query_of(link.url)["state"], None), (query_of(start.url)["state"], "one")):
        answer = ConsentAnswer(state=state, code=code, browser=start.browser)
        reached = await continue_consent(answer, ports=env.ports)
        assert reached == ConsentResult(ConsentOutcome.TAMPERED)
    opened = await open_consent_link(query_of(start.url)["state"], None, ports=env.ports)
    assert opened == ConsentResult(ConsentOutcome.TAMPERED)
    assert await is_untouched(env, organization)


# --- a grant


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


async def test_a_grant_is_reported_with_the_state_before(env: ConsentEnv) -> None:
    organization = await env.opened(consent=ConsentState.WITHDRAWN)
    await env.returns(await env.link(organization), organization.tenant_id)
    ((before, after),) = env.granted
    assert (before.consent, after.consent) == (ConsentState.WITHDRAWN, ConsentState.GRANTED)


async def test_a_grant_that_cannot_be_reported_is_not_stored_and_the_page_tries_again(
    env: ConsentEnv,
) -> None:
    organization = await env.opened(consent=ConsentState.WITHDRAWN)
    link = await env.link(organization)
    start = await env.start(link)
    to_sign_in = await env.approve(start, organization.tenant_id)
    assert isinstance(to_sign_in, ConsentRedirect)
    proven = await env.signs_in(start, to_sign_in)
    assert isinstance(proven, ConsentRedirect)
    env.feed_is_down = True
    with pytest.raises(StoreUnavailable):
        await env.proves(start, proven)
    assert (await env.organizations.get(organization.id)).consent is ConsentState.WITHDRAWN
    env.feed_is_down = False
    again = await env.proves(start, proven)
    assert again.outcome is ConsentOutcome.GRANTED
    assert len(env.granted) == 1


async def test_a_tenant_that_another_organization_got_meanwhile_is_not_reported_as_granted(
    env: ConsentEnv,
) -> None:
    organization = await env.opened(tenant_id=None)
    start, tenant = await env.start(await env.link(organization)), a_tenant()
    to_sign_in = await env.approve(start, tenant)
    assert isinstance(to_sign_in, ConsentRedirect)
    env.sign_in.person = an_administrator(tenant)
    proven = await env.signs_in(start, to_sign_in)
    assert isinstance(proven, ConsentRedirect)
    await env.organizations.create(an_organization(tenant_id=tenant))
    shown = await env.proves(start, proven)
    assert shown.outcome is ConsentOutcome.TENANT_TAKEN
    assert env.granted == []


async def test_every_sign_in_has_its_own_verifier_and_nonce(env: ConsentEnv) -> None:
    link = await env.link(await env.opened(tenant_id=None))
    start = await env.start(link)
    tenant = a_tenant()
    for _ in range(2):
        await env.approve(start, tenant)
    secrets = [each for r in env.sign_in.requests for each in (r.verifier, r.nonce, r.state)]
    assert len(set(secrets)) == 6
    assert not {start.browser} & set(secrets)


async def test_the_link_works_once(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    await env.returns(link, organization.tenant_id)
    again = await env.returns(link, organization.tenant_id)
    assert again.outcome is ConsentOutcome.USED
    assert again.organization
    assert again.organization.consent is ConsentState.GRANTED


async def test_a_link_that_is_open_in_two_windows_is_finished_in_either(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    first = await env.start(link)
    second = await env.start(link, first.browser)
    to_sign_in = await env.approve(first, organization.tenant_id)
    assert isinstance(to_sign_in, ConsentRedirect)
    proven = await env.signs_in(first, to_sign_in)
    assert isinstance(proven, ConsentRedirect)
    also = await env.approve(second, organization.tenant_id)
    assert isinstance(also, ConsentRedirect)
    assert (await env.proves(first, proven)).outcome is ConsentOutcome.GRANTED
    late = await env.signs_in(second, also)
    assert isinstance(late, ConsentResult)
    assert late.outcome is ConsentOutcome.USED


async def test_the_last_page_may_be_loaded_again_after_a_lost_answer(env: ConsentEnv) -> None:
    organization = await env.opened()
    start = await env.start(await env.link(organization))
    to_sign_in = await env.approve(start, organization.tenant_id)
    assert isinstance(to_sign_in, ConsentRedirect)
    proven = await env.signs_in(start, to_sign_in)
    assert isinstance(proven, ConsentRedirect)
    assert (await env.proves(start, proven)).outcome is ConsentOutcome.GRANTED
    again = await env.proves(start, proven)
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


async def test_an_attempt_that_takes_too_long_is_begun_anew(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    start = await env.start(link)
    env.clock.advance(ATTEMPT_LIFE)
    late = await env.approve(start, organization.tenant_id)
    assert isinstance(late, ConsentResult)
    assert late.outcome is ConsentOutcome.TOO_SLOW
    again = await env.returns(link, organization.tenant_id)
    assert again.outcome is ConsentOutcome.GRANTED


async def test_no_step_outlives_the_link(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    env.clock.advance(LINK_LIFE - timedelta(minutes=1))
    start = await env.start(link)
    env.clock.advance(timedelta(minutes=1))
    late = await env.approve(start, organization.tenant_id)
    assert isinstance(late, ConsentResult)
    assert late.outcome is ConsentOutcome.TOO_SLOW


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
    assert not env.sign_in.requests


async def test_the_link_of_an_organization_that_is_gone_has_expired(env: ConsentEnv) -> None:
    organization = await env.opened()
    link = await env.link(organization)
    await env.organizations.delete(organization.id)
    conclusion = await env.returns(link, organization.tenant_id)
    assert conclusion.outcome is ConsentOutcome.EXPIRED


# --- the sign-in proves the tenant


async def test_the_tenant_is_the_one_of_the_person_who_signed_in(env: ConsentEnv) -> None:
    organization = await env.opened(tenant_id=None)
    env.sign_in.person = an_administrator(a_tenant())
    conclusion = await env.returns(await env.link(organization), a_tenant())
    assert conclusion.outcome is ConsentOutcome.WRONG_TENANT
    assert await is_untouched(env, organization)


async def test_a_sign_in_of_another_tenant_than_the_named_one_is_refused(env: ConsentEnv) -> None:
    organization = await env.opened()
    env.sign_in.person = an_administrator(a_tenant())
    conclusion = await env.returns(await env.link(organization), organization.tenant_id)
    assert conclusion.outcome is ConsentOutcome.WRONG_TENANT
    assert await is_untouched(env, organization)


@pytest.mark.parametrize(
    ("roles", "outcome"),
    [
        (frozenset({USER}), ConsentOutcome.NOT_ADMIN),
        (frozenset({USER, APPLICATION_ADMINISTRATOR}), ConsentOutcome.NOT_ADMIN),
        (frozenset({USER, PRIVILEGED_ROLE_ADMINISTRATOR}), ConsentOutcome.GRANTED),
        (None, ConsentOutcome.ROLE_UNKNOWN),
    ],
)
async def test_only_who_may_consent_for_the_tenant_connects_it(
    env: ConsentEnv, roles: frozenset[str] | None, outcome: ConsentOutcome
) -> None:
    organization = await env.opened(tenant_id=None)
    admin = an_administrator(a_tenant())
    env.sign_in.person = SignedInPerson(admin.tenant_id, admin.object_id, roles)
    conclusion = await env.returns(await env.link(organization), admin.tenant_id)
    assert conclusion.outcome is outcome
    assert (outcome is ConsentOutcome.GRANTED) or await is_untouched(env, organization)


async def test_a_step_that_another_browser_began_is_not_finished(env: ConsentEnv) -> None:
    """An attacker sends an administrator the address of a later step."""
    organization = await env.opened(tenant_id=None)
    start = await env.start(await env.link(organization))
    tenant = a_tenant()
    for browser in (None, "", OTHER_BROWSER):
        stranger = replace(start, browser=browser)  # type: ignore[arg-type]
        refused = await env.approve(stranger, tenant)
        assert isinstance(refused, ConsentResult)
        assert refused.outcome is ConsentOutcome.OTHER_BROWSER
    to_sign_in = await env.approve(start, tenant)
    assert isinstance(to_sign_in, ConsentRedirect)
    for browser in (None, OTHER_BROWSER):
        refused = await env.signs_in(start, to_sign_in, browser=browser)
        assert isinstance(refused, ConsentResult)
        assert refused.outcome is ConsentOutcome.OTHER_BROWSER
    proven = await env.signs_in(start, to_sign_in)
    assert isinstance(proven, ConsentRedirect)
    refused = await env.proves(replace(start, browser=OTHER_BROWSER), proven)
    assert refused.outcome is ConsentOutcome.OTHER_BROWSER
    assert await is_untouched(env, organization)


async def test_a_code_is_good_for_once_and_for_the_step_that_asked_for_it(env: ConsentEnv) -> None:
    organization = await env.opened(tenant_id=None)
    start = await env.start(await env.link(organization))
    tenant = a_tenant()
    one, two = [await env.approve(start, tenant) for _ in range(2)]
    assert isinstance(one, ConsentRedirect)
    assert isinstance(two, ConsentRedirect)
    swapped = await env.signs_in(start, one, code=query_of(two.url)["as"])
    assert isinstance(swapped, ConsentResult)
    assert swapped.outcome is ConsentOutcome.NOT_SIGNED_IN
    assert isinstance(await env.signs_in(start, one), ConsentRedirect)
    replayed = await env.signs_in(start, one)
    assert replayed == ConsentResult(
        ConsentOutcome.NOT_SIGNED_IN,
        await env.organizations.get(organization.id),
        code="invalid_grant (AADSTS54005)",
    )


async def test_a_sign_in_that_is_abandoned_leaves_the_link_valid(env: ConsentEnv) -> None:
    organization = await env.opened(tenant_id=None)
    link, tenant = await env.link(organization), a_tenant()
    start = await env.start(link)
    to_sign_in = await env.approve(start, tenant)
    assert isinstance(to_sign_in, ConsentRedirect)
    cancelled = await env.signs_in(
        start,
        to_sign_in,
        code=None,
        error="access_denied",
        error_description="AADSTS65004: <b>declined",
    )
    assert isinstance(cancelled, ConsentResult)
    assert cancelled.outcome is ConsentOutcome.NOT_SIGNED_IN
    assert cancelled.code == "access_denied (AADSTS65004)"
    assert await is_untouched(env, organization)
    assert (await env.returns(link, tenant)).outcome is ConsentOutcome.GRANTED


async def test_a_token_that_is_refused_or_an_entra_that_is_down_connects_nothing(
    env: ConsentEnv,
) -> None:
    organization = await env.opened(tenant_id=None)
    link, tenant = await env.link(organization), a_tenant()
    env.sign_in.error = SignInRefused("nonce")
    assert (await env.returns(link, tenant)).outcome is ConsentOutcome.NOT_SIGNED_IN
    env.sign_in.error = CalendarUnavailable("Entra does not answer.")
    with pytest.raises(CalendarUnavailable):
        await env.returns(link, tenant)
    assert await is_untouched(env, organization)


# --- a wider access


async def asks_for_more(env: ConsentEnv, organization: Organization, **wanted: Any) -> Organization:
    current = await env.organizations.get(organization.id)
    return await env.organizations.save(ask_for(current, OrganizationSettings(**wanted)))


async def test_a_link_approves_what_was_asked_for_when_it_was_made(env: ConsentEnv) -> None:
    organization = await env.opened(consent=ConsentState.GRANTED)
    early = await env.link(organization)
    begun = await env.start(early)
    await asks_for_more(env, organization, access_mode=AccessMode.APPLICATION)
    late = await env.approve(begun, organization.tenant_id)
    assert isinstance(late, ConsentResult)
    assert late.outcome is ConsentOutcome.USED
    assert (await env.returns(early, organization.tenant_id)).outcome is ConsentOutcome.USED
    stored = await env.organizations.get(organization.id)
    assert stored.settings.access_mode is AccessMode.DELEGATED
    await env.returns(await env.link(organization), organization.tenant_id)
    stored = await env.organizations.get(organization.id)
    assert stored.settings.access_mode is AccessMode.APPLICATION
    assert stored.pending == PendingSettings()


async def test_what_is_asked_for_on_the_last_page_is_not_approved_by_it(env: ConsentEnv) -> None:
    organization = await env.opened(consent=ConsentState.GRANTED)
    start = await env.start(await env.link(organization))
    to_sign_in = await env.approve(start, organization.tenant_id)
    assert isinstance(to_sign_in, ConsentRedirect)
    proven = await env.signs_in(start, to_sign_in)
    assert isinstance(proven, ConsentRedirect)
    await asks_for_more(env, organization, retention=timedelta(days=365))
    assert (await env.proves(start, proven)).outcome is ConsentOutcome.USED
    stored = await env.organizations.get(organization.id)
    assert stored.settings.retention == timedelta(days=30)


# --- refusals


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
    assert not env.probes.tried


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
    async def report(changed: Organization) -> None:
        assert changed.consent is not organization.consent

    found = await record_consent(
        organization,
        await diagnose_tenant(organization, probes=env.probes),
        organizations=env.organizations,
        report=report,
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


async def test_a_later_proof_restores_the_consent(env: ConsentEnv) -> None:
    organization = await env.opened(consent=ConsentState.WITHDRAWN)
    assert await examined(env, organization) is ConsentState.GRANTED


@pytest.mark.parametrize("before", [ConsentState.PENDING, ConsentState.DECLINED])
async def test_what_works_in_a_tenant_connects_nobody(
    env: ConsentEnv, before: ConsentState
) -> None:
    organization = await env.opened(consent=before)
    assert await examined(env, organization) is before


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
