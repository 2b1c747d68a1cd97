"""The consent state that live calls show: granted or withdrawn."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final

from shared.clock import Clock
from shared.errors import StaleRow
from shared.logs import log_event
from shared.organizations.diagnosis import Finding, FindingState
from shared.organizations.issues import LOST_CONSENT, Issue
from shared.organizations.model import ConsentState, Organization
from shared.organizations.ports import Capability, OrganizationStore


async def record_consent(
    organization: Organization,
    findings: Iterable[Finding],
    *,
    organizations: OrganizationStore,
    report: Callable[[Organization], Awaitable[None]],
    clock: Clock,
) -> Organization:
    """Store the consent state that *findings* show: granted or withdrawn.

    *report* is called with the changed organization before it is saved: a crash in between reports
    too much, never too little.

    Findings about one person or mailbox leave it unchanged. An organization that was never
    connected stays so: what the app can do in a tenant does not prove whose tenant it is.
    """
    shown = consent_state_of(findings)
    if shown is None or shown is organization.consent or not organization.is_connected:
        return organization
    changed = replace(organization, consent=shown, consent_changed_at=clock.now())
    await report(changed)
    try:
        saved = await organizations.save(changed)
    except StaleRow:
        return organization  # ETag conflict with another change: the next check stores the state
    log_event("consent.changed", organization_id=organization.id, state=shown)
    return saved


def consent_state_of(findings: Iterable[Finding]) -> ConsentState | None:
    """Return the consent state that token and directory show; None if they prove neither."""
    own = {
        finding.capability: finding
        for finding in findings
        if finding.capability in {Capability.TOKEN, Capability.PROFILES}
    }
    if any(finding.issue in _LOST for finding in own.values()):
        return ConsentState.WITHDRAWN
    works = {c for c, finding in own.items() if finding.state is FindingState.WORKS}
    return ConsentState.GRANTED if len(works) == 2 else None


_LOST: Final = LOST_CONSENT | {Issue.CONSENT_WITHDRAWN}
