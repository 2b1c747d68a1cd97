"""Diagnosis of tenants with each issue in the table of remedies."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from local.graph.faults import FaultRule
from local.seed import CONTOSO_ID, NORTHWIND_ID
from local.world import MailboxKind
from shared.errors import NotAuthenticated, SignInAgain
from shared.ids import OrganizationId, TenantId
from shared.organizations.diagnosis import (
    Finding,
    FindingState,
    diagnose,
    diagnose_participant,
)
from shared.organizations.issues import Issue, Responsible
from shared.organizations.model import (
    AccessMode,
    Caller,
    ConsentState,
    Organization,
    OrganizationSettings,
    SyncMode,
)
from shared.organizations.ports import Capability
from shared.organizations.remedies import REMEDIES
from shared.wiring import Wiring
from tests.builders import NOW
from tests.contract.microsoft.conftest import SECRET, Microsoft

FULL_DIRECTORY = {"Calendars.Read", "User.ReadBasic.All", "User.Read.All", "MailboxSettings.Read"}


def organization(tenant_id: str = CONTOSO_ID, **settings: Any) -> Organization:
    return Organization(
        OrganizationId("contoso"),
        TenantId(tenant_id),
        NOW,
        ConsentState.GRANTED,
        settings=OrganizationSettings(**settings),
    )


def application_mode(microsoft: Microsoft) -> Organization:
    microsoft.entra.registration.application.add("Calendars.ReadWrite")
    microsoft.entra.grant(CONTOSO_ID)
    return organization(access_mode=AccessMode.APPLICATION)


def by_capability(findings: list[Finding]) -> dict[Capability, Finding]:
    return {finding.capability: finding for finding in findings}


async def test_a_healthy_tenant_works_as_far_as_the_app_can_tell(
    microsoft: Microsoft, wired: Wiring
) -> None:
    findings = await diagnose(organization(), microsoft.mailbox("ada"), probes=wired.probes)
    states = {finding.capability: finding.state for finding in findings}
    assert states == {
        Capability.TOKEN: FindingState.WORKS,
        Capability.PROFILES: FindingState.WORKS,
        Capability.READ_EVENTS: FindingState.WORKS,
        Capability.SCHEDULE: FindingState.WORKS,
        Capability.SUBSCRIBE: FindingState.WORKS,
        Capability.WRITE_AS_USER: FindingState.UNKNOWN,
    }


async def test_a_healthy_tenant_in_application_mode_works_whole(
    microsoft: Microsoft, wired: Wiring
) -> None:
    customer = application_mode(microsoft)
    findings = await diagnose(customer, microsoft.mailbox("ada"), probes=wired.probes)
    assert {finding.state for finding in findings} == {FindingState.WORKS}
    assert Capability.WRITE_AS_APP in by_capability(findings)


async def test_trying_leaves_nothing_behind(microsoft: Microsoft, wired: Wiring) -> None:
    customer = application_mode(microsoft)
    await diagnose(customer, microsoft.mailbox("ada"), probes=wired.probes)
    changes = [
        (entry.method, entry.operation, entry.status)
        for entry in microsoft.graph.requests.entries
        if entry.method != "GET" and entry.status < 300 and "getSchedule" not in entry.path
    ]
    assert changes == [
        ("POST", "subscriptions", 201),
        ("DELETE", "subscriptions/{subscription}", 204),
    ]


async def test_polling_needs_no_subscription(microsoft: Microsoft, wired: Wiring) -> None:
    customer = organization(sync_mode=SyncMode.POLL)
    findings = await diagnose(customer, microsoft.mailbox("ada"), probes=wired.probes)
    assert Capability.SUBSCRIBE not in by_capability(findings)


async def test_without_a_mailbox_the_tenant_alone_is_tried(
    microsoft: Microsoft, wired: Wiring
) -> None:
    found = by_capability(await diagnose(organization(), None, probes=wired.probes))
    assert found[Capability.PROFILES].state is FindingState.WORKS
    assert found[Capability.READ_EVENTS].issue is Issue.NEEDS_MAILBOX


@dataclass(frozen=True)
class Case:
    """A cause to apply to the tenant, and the issue that the diagnosis must find."""

    issue: Issue
    capability: Capability
    make_ill: Callable[[Microsoft], object]
    who: str = "ada"
    settings: dict[str, Any] | None = None
    consent: ConsentState = ConsentState.GRANTED


def fail(code: int) -> Callable[[Microsoft], object]:
    return lambda microsoft: microsoft.entra.inject_error(code, times=None)


def granted(*application: str) -> Callable[[Microsoft], object]:
    def make_ill(microsoft: Microsoft) -> None:
        microsoft.entra.app_in(CONTOSO_ID).application = set(application)

    return make_ill


def disabled(microsoft: Microsoft) -> None:
    microsoft.entra.app_in(CONTOSO_ID).enabled = False


def wrong_secret(microsoft: Microsoft) -> None:
    del microsoft.entra.registration.secrets[SECRET]


def expired_secret(microsoft: Microsoft) -> None:
    microsoft.entra.registration.secrets[SECRET] = microsoft.world.clock.now()


def no_secret(microsoft: Microsoft) -> None:
    microsoft.vault.vault.secrets.clear()


def policy(microsoft: Microsoft) -> None:
    microsoft.graph.switches.access_policy = [CONTOSO_ID]


def scoped(microsoft: Microsoft) -> None:
    """Scope the app in Exchange, and revoke the calendar permission in Entra."""
    granted("User.ReadBasic.All")(microsoft)
    microsoft.graph.switches.rbac = {CONTOSO_ID: ["Calendars.Read"]}


def scoped_without_subscriptions(microsoft: Microsoft) -> None:
    scoped(microsoft)
    microsoft.graph.switches.rbac_subscriptions = False


def answers(status: int, path: str, code: str | None = None) -> Callable[[Microsoft], object]:
    return lambda microsoft: microsoft.graph.faults.add(
        FaultRule(path=path, status=status, code=code)
    )


def require_assignment(microsoft: Microsoft) -> None:
    microsoft.entra.app_in(CONTOSO_ID).assignment_required = True


def without_delegated(microsoft: Microsoft) -> None:
    microsoft.entra.app_in(CONTOSO_ID).delegated = {"Calendars.Read"}


def shared(microsoft: Microsoft) -> None:
    granted(*FULL_DIRECTORY)(microsoft)
    microsoft.person("ada").kind = MailboxKind.SHARED


def nobody(microsoft: Microsoft) -> None:
    ada = microsoft.person("ada")
    microsoft.world.tenants[CONTOSO_ID].people.remove(ada)


TOKEN, PROFILES, READ = Capability.TOKEN, Capability.PROFILES, Capability.READ_EVENTS
SCHEDULE, SUBSCRIBE, AS_USER = (
    Capability.SCHEDULE,
    Capability.SUBSCRIBE,
    Capability.WRITE_AS_USER,
)
APPLICATION = {"access_mode": AccessMode.APPLICATION}

CASES = [
    Case(Issue.CONSENT_MISSING, TOKEN, fail(65001), consent=ConsentState.PENDING),
    Case(Issue.CONSENT_MISSING, TOKEN, fail(500011), consent=ConsentState.PENDING),
    Case(Issue.CONSENT_WITHDRAWN, TOKEN, fail(65001)),
    Case(Issue.CONSENT_DECLINED, TOKEN, fail(65004)),
    Case(Issue.APPROVAL_NEEDED, TOKEN, fail(90094)),
    Case(Issue.APPROVAL_NEEDED, TOKEN, fail(90095)),
    Case(Issue.APP_GONE, TOKEN, lambda m: m.entra.withdraw(CONTOSO_ID)),
    Case(Issue.APP_DISABLED, TOKEN, disabled),
    Case(Issue.CONDITIONAL_ACCESS, TOKEN, fail(53003)),
    Case(Issue.FOREIGN_ACCOUNT, TOKEN, fail(50020)),
    Case(Issue.SECRET_WRONG, TOKEN, wrong_secret),
    Case(Issue.SECRET_EXPIRED, TOKEN, expired_secret),
    Case(Issue.CERTIFICATE_UNKNOWN, TOKEN, fail(700027)),
    Case(Issue.FEDERATION_WRONG, TOKEN, fail(70021)),
    Case(Issue.REGISTRATION_WRONG, TOKEN, fail(650057)),
    Case(Issue.CREDENTIAL_ABSENT, TOKEN, fail(7000218)),
    Case(Issue.CREDENTIAL_ABSENT, TOKEN, no_secret),
    Case(Issue.NO_ANSWER, TOKEN, lambda m: setattr(m.entra, "is_down", True)),
    Case(Issue.NOT_TRIED, READ, disabled),
    Case(Issue.PERMISSION_MISSING, PROFILES, granted()),
    Case(Issue.PERMISSION_MISSING, READ, granted()),
    Case(Issue.OUT_OF_SCOPE, READ, scoped, who="ruth"),
    Case(Issue.OUT_OF_SCOPE, SUBSCRIBE, scoped, who="ruth"),
    Case(Issue.ACCESS_POLICY, READ, policy, who="ruth"),
    Case(Issue.ACCESS_POLICY, SCHEDULE, policy, who="ruth"),
    Case(Issue.SUBSCRIPTIONS_REFUSED, SUBSCRIBE, scoped_without_subscriptions),
    Case(Issue.SUBSCRIPTIONS_REFUSED, SUBSCRIBE, answers(403, "/subscriptions")),
    Case(
        Issue.WEBHOOK_UNREACHABLE,
        SUBSCRIBE,
        lambda m: setattr(m.webhook, "shakes_hands", False),
    ),
    Case(Issue.MAILBOX_NOT_HOSTED, READ, lambda _: None, who="oskar"),
    Case(Issue.MAILBOX_NOT_HOSTED, SUBSCRIBE, lambda _: None, who="lena"),
    Case(Issue.MAILBOX_ON_PREMISES, READ, granted(*FULL_DIRECTORY), who="oskar"),
    Case(Issue.MAILBOX_UNLICENSED, READ, granted(*FULL_DIRECTORY), who="lena"),
    Case(Issue.GUEST, READ, lambda _: None, who="gil"),
    Case(Issue.ACCOUNT_GONE, PROFILES, nobody),
    Case(Issue.ACCOUNT_GONE, READ, nobody),
    Case(Issue.ACCOUNT_DISABLED, READ, answers(403, "/events", "ErrorAccountDisabled")),
    Case(Issue.SHARED_MAILBOX, AS_USER, shared),
    Case(Issue.MAILBOX_STALE, READ, answers(503, "/events", "MailboxInfoStale")),
    Case(Issue.THROTTLED, READ, answers(429, "/events")),
    Case(Issue.NO_ANSWER, READ, answers(503, "/events")),
    Case(Issue.UNKNOWN_REFUSAL, READ, answers(418, "/events", "Teapot")),
    Case(Issue.NEEDS_PERSON, AS_USER, lambda _: None),
    Case(Issue.ASSIGNMENT_REQUIRED, AS_USER, require_assignment),
    Case(Issue.PERMISSION_MISSING, Capability.WRITE_AS_APP, lambda _: None, settings=APPLICATION),
]


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{case.issue}-{case.capability}-{n}" for n, case in enumerate(CASES)]
)
async def test_each_issue_is_recognized(microsoft: Microsoft, wired: Wiring, case: Case) -> None:
    mailbox = microsoft.mailbox(case.who)
    case.make_ill(microsoft)
    customer = replace(organization(**(case.settings or {})), consent=case.consent)
    found = by_capability(await diagnose(customer, mailbox, probes=wired.probes))
    finding = found[case.capability]
    assert finding.issue is case.issue
    assert finding.meaning
    assert finding.remedy
    assert not re.search(r"\{[a-z_]*\}", f"{finding.meaning} {finding.remedy} {finding.link}")
    assert finding.responsible is REMEDIES[case.issue].responsible


def test_every_row_of_the_table_has_its_case() -> None:
    # Other tests of this module have these: a missing tenant, no tenant, and no mailbox.
    elsewhere = {Issue.TENANT_UNKNOWN, Issue.NO_TENANT, Issue.NEEDS_MAILBOX}
    # No diagnosis finds these, but following does.
    elsewhere |= {Issue.ACCOUNT_RECREATED, Issue.FOREIGN_IDS}
    ill = {case.issue for case in CASES} | {issue for _, _, issue in PARTICIPANTS}
    assert set(REMEDIES) == set(Issue)
    assert ill | elsewhere == set(Issue)


async def test_an_unknown_tenant_is_told_as_such(wired: Wiring) -> None:
    customer = organization("0f0f0f0f-0000-4000-8000-000000000000")
    found = by_capability(await diagnose(customer, None, probes=wired.probes))
    assert found[TOKEN].issue is Issue.TENANT_UNKNOWN
    assert found[TOKEN].code == "AADSTS90002"


async def test_an_organization_without_a_tenant_needs_consent_first(wired: Wiring) -> None:
    customer = replace(organization(), tenant_id=None)
    findings = await diagnose(customer, None, probes=wired.probes)
    assert {finding.issue for finding in findings} == {Issue.NO_TENANT}


async def test_a_tenant_that_never_approved_is_told_as_such(wired: Wiring) -> None:
    customer = replace(organization(NORTHWIND_ID), consent=ConsentState.PENDING)
    found = by_capability(await diagnose(customer, None, probes=wired.probes))
    assert found[TOKEN].issue is Issue.APP_GONE
    assert found[TOKEN].responsible is Responsible.ENTRA_ADMIN


async def test_a_scoped_tenant_works_for_those_in_scope(
    microsoft: Microsoft, wired: Wiring
) -> None:
    scoped(microsoft)
    mailbox = microsoft.mailbox("ada")
    found = by_capability(await diagnose(organization(), mailbox, probes=wired.probes))
    assert found[READ].state is FindingState.WORKS


async def test_remedies_name_the_app_the_tenant_and_the_person(
    microsoft: Microsoft, wired: Wiring
) -> None:
    policy(microsoft)
    ruth = microsoft.person("ruth")
    mailbox = microsoft.mailbox("ruth")
    found = by_capability(await diagnose(organization(), mailbox, probes=wired.probes))
    remedy = found[READ].remedy
    assert remedy
    assert microsoft.world.client_id in remedy
    assert ruth.address in remedy
    assert found[READ].request_id


# --- a participant's own part


def caller(microsoft: Microsoft, who: str, **settings: Any) -> Caller:
    return Caller(organization(**settings), microsoft.acting(who))


async def test_a_healthy_participant_can_be_read_and_written(
    microsoft: Microsoft, wired: Wiring
) -> None:
    findings = await diagnose_participant(caller(microsoft, "ada"), probes=wired.probes)
    assert {f.capability: f.state for f in findings} == {
        READ: FindingState.WORKS,
        AS_USER: FindingState.WORKS,
    }


async def test_nothing_is_asked_of_graph_once_consent_is_withdrawn(
    microsoft: Microsoft, wired: Wiring
) -> None:
    mine = caller(microsoft, "ada")
    withdrawn = replace(mine.organization, consent=ConsentState.WITHDRAWN)
    findings = await diagnose_participant(
        replace(mine, organization=withdrawn), probes=wired.probes
    )
    assert {f.issue for f in findings} == {Issue.CONSENT_WITHDRAWN}
    assert not microsoft.entra.requests


PARTICIPANTS: list[tuple[str, Callable[[Microsoft], object], Issue]] = [
    ("oskar", lambda _: None, Issue.MAILBOX_NOT_HOSTED),
    ("ruth", require_assignment, Issue.NOT_ASSIGNED),
    ("ada", without_delegated, Issue.USER_PERMISSION_MISSING),
    ("ada", fail(65001), Issue.CONSENT_WITHDRAWN),
    ("ada", fail(53003), Issue.CONDITIONAL_ACCESS),
    ("ada", fail(50173), Issue.SIGN_IN_AGAIN),
]


@pytest.mark.parametrize(("who", "make_ill", "issue"), PARTICIPANTS)
async def test_a_participant_is_told_in_plain_words(
    microsoft: Microsoft,
    wired: Wiring,
    who: str,
    make_ill: Callable[[Microsoft], object],
    issue: Issue,
) -> None:
    mine = caller(microsoft, who)
    make_ill(microsoft)
    found = by_capability(await diagnose_participant(mine, probes=wired.probes))
    assert found[AS_USER].issue is issue
    assert found[AS_USER].remedy == REMEDIES[issue].to_person
    assert found[AS_USER].link is None


async def test_a_demand_for_another_sign_in_reaches_the_caller(
    microsoft: Microsoft, wired: Wiring
) -> None:
    mine = caller(microsoft, "ada")
    microsoft.entra.demand_claims(CONTOSO_ID)
    with pytest.raises(SignInAgain) as raised:
        await diagnose_participant(mine, probes=wired.probes)
    assert raised.value.claims


async def test_a_token_that_entra_does_not_take_reaches_the_caller(
    microsoft: Microsoft, wired: Wiring
) -> None:
    mine = caller(microsoft, "ada")
    fail(500133)(microsoft)
    with pytest.raises(NotAuthenticated):
        await diagnose_participant(mine, probes=wired.probes)
