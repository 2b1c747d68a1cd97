"""Diagnosing whether the app itself can read the events of one mailbox, or of any."""

from typing import Final

from shared.ids import Mailbox
from shared.organizations.diagnosis import Finding, Subject, classify_failure
from shared.organizations.issues import Issue
from shared.organizations.model import ActingUser, Organization
from shared.organizations.ports import Capability, ProbeResult, Probes

DENIALS: Final = frozenset({Issue.OUT_OF_SCOPE, Issue.ACCESS_POLICY, Issue.PERMISSION_MISSING})
"""Issues of a mailbox that may be those of every mailbox of the tenant."""


async def diagnose_reading(
    organization: Organization, mailbox: Mailbox, *, probes: Probes, explain: bool = True
) -> Finding:
    """Return whether the app can read *mailbox*, with a new token: one may keep former rights.

    The finding is about `TOKEN` if the tenant gives none. Its remedy names ids only. *explain*:
    the person is looked up as well, to tell a missing license from another reason.
    """
    token = await probes.token(mailbox.tenant_id, fresh=True)
    subject = Subject(organization, mailbox, probes.app)
    if not token.ok:
        return subject.finding(token)
    evidence = await probes.read_events(ActingUser(mailbox))
    if evidence.ok:
        return subject.finding(evidence)
    seen = {}
    if explain:
        seen[Capability.PROFILES] = await probes.profiles(mailbox.tenant_id, mailbox)
    issue = classify_failure(evidence, seen, organization.consent)
    return subject.failure(Capability.READ_EVENTS, issue, evidence)


async def is_denied(mailbox: Mailbox, *, probes: Probes) -> bool | None:
    """Return whether Graph denies the app the events of *mailbox*; None: no other answer counts."""
    evidence: ProbeResult = await probes.read_events(ActingUser(mailbox))
    if evidence.ok:
        return False
    return True if evidence.status == 403 else None


def of_foreign_ids(organization: Organization, mailbox: Mailbox, *, probes: Probes) -> Finding:
    """Return the finding about *mailbox*, which can be read, but not by the ids of its events."""
    subject = Subject(organization, mailbox, probes.app)
    return subject.failure(Capability.READ_EVENTS, Issue.FOREIGN_IDS)


def of_whole_tenant(finding: Finding, organization: Organization, *, probes: Probes) -> Finding:
    """Return the finding about the tenant, for *finding* about each mailbox of it."""
    if finding.issue is not Issue.OUT_OF_SCOPE:
        return finding
    subject = Subject(organization, None, probes.app)
    return subject.failure(Capability.READ_EVENTS, Issue.PERMISSION_MISSING)
