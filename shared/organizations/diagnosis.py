"""Diagnosis: probes each capability that an organization needs and names the issue if one fails.

Only the answers to calls count, never the claims of a token: if a tenant limits the app with
Exchange's role based access control, the token has no roles at all.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.ids import Mailbox
from shared.organizations.issues import BY_AADSTS, BY_CODE, UNCERTAIN, Issue, Remedy, Responsible
from shared.organizations.model import (
    AccessMode,
    ActingUser,
    Caller,
    ConsentState,
    Organization,
    SyncMode,
)
from shared.organizations.ports import AppRegistration, Capability, ProbeHint, ProbeResult, Probes


class FindingState(StrEnum):
    """Whether a capability works."""

    WORKS = "works"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one capability, and the remedy if it does not work."""

    capability: Capability
    state: FindingState
    meaning: str
    """One sentence for people."""
    issue: Issue | None = None
    responsible: Responsible | None = None
    remedy: str | None = None
    takes_effect: str | None = None
    link: str | None = None
    code: str | None = None
    """Graph's error code, or `AADSTS` and a number."""
    request_id: str | None = None


_MEANS: Final[Mapping[Capability, str]] = {  # if it works
    Capability.TOKEN: "The app gets tokens for the tenant.",
    Capability.PROFILES: "The app can look people up.",
    Capability.SCHEDULE: "Free and busy times can be read.",
    Capability.READ_EVENTS: "Calendar entries can be read.",
    Capability.WRITE_AS_USER: "Sessions can be written into the calendar in the user's name.",
    Capability.WRITE_AS_APP: "Sessions can be written into the calendar by the app.",
    Capability.SUBSCRIBE: "Changes in the calendar are reported to this service.",
}
_MAX_CONCURRENCY: Final = 3
"""Outlook takes four requests at a time per app and mailbox; one is left for the participant.
Source: https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits"""


async def diagnose(
    organization: Organization,
    mailbox: Mailbox | None,
    *,
    probes: Probes,
    wanted: Sequence[Capability] = (),
) -> list[Finding]:
    """Probe what *organization* needs, or the *wanted*, of the tenant and of a named *mailbox*.

    The token is probed first, because the other probes need it; those run concurrently. A refusal
    of Graph or Entra becomes a finding and is never raised.
    """
    wanted = wanted or needed(organization)
    subject = Subject(organization, mailbox, probes.app)
    if organization.tenant_id is None:
        return [subject.failure(capability, Issue.NO_TENANT) for capability in wanted]
    token = await probes.token(organization.tenant_id, fresh=True)
    if token.ok is not True:
        others = [c for c in wanted if c is not Capability.TOKEN]
        return [
            subject.finding(token),
            *(subject.failure(capability, Issue.NOT_TRIED) for capability in others),
        ]
    tried = await _gather_evidence(
        (c, evidence) for c in wanted if (evidence := _probe(c, organization, mailbox, probes))
    )
    seen = {Capability.TOKEN: token, **dict(tried)}
    return [
        subject.finding(seen[capability], seen)
        if capability in seen and capability is not Capability.WRITE_AS_USER
        else _finding_of_untried(subject, capability, seen)
        for capability in wanted
    ]


async def diagnose_tenant(organization: Organization, *, probes: Probes) -> list[Finding]:
    """Probe whether the tenant admits the app: by a token, and by one call with it."""
    wanted = (Capability.TOKEN, Capability.PROFILES)
    return await diagnose(organization, None, probes=probes, wanted=wanted)


async def diagnose_participant(caller: Caller, *, probes: Probes) -> list[Finding]:
    """Probe whether the app can read and write the caller's calendar.

    Raises:
        SignInAgain, NotAuthenticated: the caller needs another token.
    """
    organization, acting = caller.organization, caller.acting
    subject = Subject(organization, caller.mailbox, probes.app, is_person=True)
    writing = Capability.WRITE_AS_USER if acting.assertion is not None else Capability.WRITE_AS_APP
    if organization.consent is not ConsentState.GRANTED:
        lost = Issue.CONSENT_WITHDRAWN if organization.is_connected else Issue.CONSENT_MISSING
        return [
            subject.failure(capability, lost) for capability in (Capability.READ_EVENTS, writing)
        ]
    seen = dict(
        await _gather_evidence(
            [
                (Capability.READ_EVENTS, probes.read_events(acting)),
                (writing, probes.write(acting)),
            ]
        )
    )
    return [subject.finding(evidence, seen) for evidence in seen.values()]


def needed(organization: Organization) -> tuple[Capability, ...]:
    """Return the capabilities that *organization*'s access mode and sync mode need."""
    settings = organization.settings
    writes_itself = settings.access_mode is AccessMode.APPLICATION
    return (
        Capability.TOKEN,
        Capability.PROFILES,
        Capability.READ_EVENTS,
        Capability.SCHEDULE,
        *((Capability.SUBSCRIBE,) if settings.sync_mode is SyncMode.PUSH else ()),
        Capability.WRITE_AS_APP if writes_itself else Capability.WRITE_AS_USER,
    )


def classify_failure(
    evidence: ProbeResult,
    seen: Mapping[Capability, ProbeResult] = {},
    consent: ConsentState = ConsentState.PENDING,
) -> Issue:
    """Derive the issue from the *evidence* of a failure and the other results *seen*."""
    found = _plain_issue(evidence, seen)
    was_granted = consent in {ConsentState.GRANTED, ConsentState.WITHDRAWN}
    if found is Issue.CONSENT_MISSING and was_granted:
        return Issue.CONSENT_WITHDRAWN
    if found in {Issue.MAILBOX_NOT_HOSTED, Issue.ACCOUNT_GONE}:
        return _of_mailbox(found, seen.get(Capability.PROFILES))
    return found


def _plain_issue(evidence: ProbeResult, seen: Mapping[Capability, ProbeResult]) -> Issue:
    if evidence.aadsts is not None and evidence.aadsts in BY_AADSTS:
        return BY_AADSTS[evidence.aadsts]
    if evidence.hint in _BY_HINT:
        return _BY_HINT[evidence.hint]
    if evidence.status == 429:
        return Issue.THROTTLED
    if (code := evidence.code.lower()) in BY_CODE:
        return BY_CODE[code]
    if evidence.ok is None or evidence.status == 0 or evidence.status >= 500:
        return Issue.NO_ANSWER
    if evidence.capability is Capability.SUBSCRIBE:
        return _of_subscribing(evidence, seen)
    if evidence.status == 403:
        return _of_denial(evidence, seen)
    return Issue.UNKNOWN_REFUSAL


_BY_HINT: Final[Mapping[ProbeHint | None, Issue]] = {
    ProbeHint.ACCESS_POLICY: Issue.ACCESS_POLICY,
    ProbeHint.MISCONFIGURED: Issue.CREDENTIAL_ABSENT,
    ProbeHint.HANDSHAKE: Issue.WEBHOOK_UNREACHABLE,
    ProbeHint.NO_MAILBOX: Issue.MAILBOX_NOT_HOSTED,
    ProbeHint.SHARED: Issue.SHARED_MAILBOX,
    ProbeHint.CHALLENGED: Issue.SIGN_IN_AGAIN,
}


def _of_denial(evidence: ProbeResult, seen: Mapping[Capability, ProbeResult]) -> Issue:
    """Derive the issue of a 403: Exchange can scope the app to mailboxes, not to the directory."""
    if evidence.as_user:
        return Issue.USER_PERMISSION_MISSING
    directory = seen.get(Capability.PROFILES, evidence)
    if evidence.capability is Capability.PROFILES or directory.status == 403:
        return Issue.PERMISSION_MISSING
    reading = seen.get(Capability.READ_EVENTS)
    if evidence.capability is Capability.WRITE_AS_APP and reading and reading.ok:
        return Issue.PERMISSION_MISSING
    return Issue.OUT_OF_SCOPE


def _of_subscribing(evidence: ProbeResult, seen: Mapping[Capability, ProbeResult]) -> Issue:
    reading = seen.get(Capability.READ_EVENTS)
    if reading is not None and reading.ok is False:
        return _plain_issue(reading, seen)
    return Issue.SUBSCRIPTIONS_REFUSED if reading else _of_denial(evidence, seen)


def _of_mailbox(found: Issue, directory: ProbeResult | None) -> Issue:
    """Return why there is no mailbox, as far as the directory shows."""
    if directory is None or directory.account is None:
        gone = directory is not None and directory.ok is False and directory.status == 404
        return Issue.ACCOUNT_GONE if gone else found
    account = directory.account
    if account.is_guest:
        return Issue.GUEST
    if account.is_enabled is False:
        return Issue.ACCOUNT_DISABLED
    if account.has_exchange_plan is False:
        return Issue.MAILBOX_ON_PREMISES if account.is_synced else Issue.MAILBOX_UNLICENSED
    return Issue.MAILBOX_NOT_HOSTED


def _finding_of_untried(
    subject: "Subject", capability: Capability, seen: Mapping[Capability, ProbeResult]
) -> Finding:
    """Return the finding of a *capability* that the app cannot try by itself."""
    if capability is not Capability.WRITE_AS_USER:
        return subject.failure(capability, Issue.NEEDS_MAILBOX)
    directory, assignment = seen.get(Capability.PROFILES), seen.get(Capability.WRITE_AS_USER)
    account = directory.account if directory and subject.mailbox else None
    if account and account.is_shared:
        return subject.failure(capability, Issue.SHARED_MAILBOX)
    if assignment and assignment.ok is False:
        return subject.failure(capability, classify_failure(assignment), assignment, seen)
    return subject.failure(capability, Issue.NEEDS_PERSON)


def _probe(
    capability: Capability, organization: Organization, mailbox: Mailbox | None, probes: Probes
) -> Awaitable[ProbeResult] | None:
    """Return the probe of *capability* by the app itself; None if the app cannot probe it."""
    tenant_id = organization.tenant_id
    if tenant_id is None or capability is Capability.TOKEN:
        return None
    if capability is Capability.WRITE_AS_USER:
        return probes.assignment(tenant_id)
    if capability is Capability.PROFILES:
        return probes.profiles(tenant_id, mailbox)
    if mailbox is None:
        return None
    acting = ActingUser(mailbox)
    if capability is Capability.READ_EVENTS:
        return probes.read_events(acting)
    if capability is Capability.SCHEDULE:
        return probes.schedule(acting)
    if capability is Capability.SUBSCRIBE:
        return probes.subscribe(mailbox)
    return probes.write(acting)


async def _gather_evidence(
    probes: Iterable[tuple[Capability, Awaitable[ProbeResult]]],
) -> list[tuple[Capability, ProbeResult]]:
    """Await all *probes* concurrently; raise the first error after all of them have ended."""
    started = list(probes)
    turn = asyncio.Semaphore(_MAX_CONCURRENCY)

    async def one(probe: Awaitable[ProbeResult]) -> ProbeResult:
        async with turn:
            return await probe

    outcomes = await asyncio.gather(*(one(probe) for _, probe in started), return_exceptions=True)
    found = []
    for (capability, _), outcome in zip(started, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            raise outcome
        found.append((capability, outcome))
    return found


@dataclass(frozen=True, slots=True)
class Subject:
    """The organization and mailbox of the findings: fills in the texts of the remedies."""

    organization: Organization
    mailbox: Mailbox | None
    app: AppRegistration
    is_person: bool = False
    """The reader is the participant, not the platform."""

    def finding(
        self, evidence: ProbeResult, seen: Mapping[Capability, ProbeResult] = {}
    ) -> Finding:
        """Return the finding of *evidence*."""
        if evidence.ok:
            return Finding(evidence.capability, FindingState.WORKS, _MEANS[evidence.capability])
        issue = classify_failure(evidence, seen, self.organization.consent)
        return self.failure(evidence.capability, issue, evidence, seen)

    def failure(
        self,
        capability: Capability,
        issue: Issue,
        evidence: ProbeResult | None = None,
        seen: Mapping[Capability, ProbeResult] = {},
    ) -> Finding:
        """Return the finding of *issue* for *capability*, with the texts of `REMEDIES`."""
        # Imported here: a cold start does not load the texts, which only a failure needs.
        from shared.organizations.remedies import REMEDIES

        row = REMEDIES[issue]
        words = self._words(evidence, seen)
        return Finding(
            capability=capability,
            state=FindingState.UNKNOWN if issue in UNCERTAIN else FindingState.FAILS,
            meaning=row.meaning.format_map(words),
            issue=issue,
            responsible=row.responsible,
            remedy=self._advice(row).format_map(words),
            takes_effect=row.takes_effect,
            link=row.link.format_map(words) if row.link and not self.is_person else None,
            code=(words["code"] or None) if evidence else None,
            request_id=(evidence.request_id or None) if evidence else None,
        )

    def _advice(self, row: Remedy) -> str:
        return row.to_person if self.is_person else row.remedy

    def _words(
        self, evidence: ProbeResult | None, seen: Mapping[Capability, ProbeResult]
    ) -> dict[str, str]:
        directory = seen.get(Capability.PROFILES)
        account = directory.account if directory else None
        object_id = self.mailbox.object_id if self.mailbox else "<object id>"
        aadsts = evidence.aadsts if evidence else None
        return {
            "cause": f"{evidence.cause} " if evidence and evidence.cause else "",
            "client_id": self.app.client_id,
            "organization_id": self.organization.id,
            "portal": self.app.portal_url,
            "tenant_id": self.organization.tenant_id or "<tenant id>",
            "object_id": object_id,
            "address": account.address if account else object_id,
            "code": f"AADSTS{aadsts}" if aadsts else evidence.code if evidence else "",
        }
