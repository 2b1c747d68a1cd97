"""The last step of consent: proves the grant by live calls to the tenant, and stores it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from shared.errors import Conflict, StaleRow
from shared.ids import TenantId
from shared.organizations.consent_model import ConsentOutcome, ConsentPorts, ConsentResult
from shared.organizations.consent_state import consent_state_of
from shared.organizations.diagnosis import Finding, FindingState, diagnose_tenant
from shared.organizations.issues import Issue
from shared.organizations.model import ConsentState, Organization
from shared.organizations.protection import approved

PAUSES: Final = (0.5, 1.5, 2.5)
"""Seconds between the attempts to prove a grant in one request: Entra spreads it with a delay."""
_SPREADING: Final = frozenset(
    {
        Issue.CONSENT_MISSING,
        Issue.CONSENT_WITHDRAWN,
        Issue.APP_GONE,
        Issue.PERMISSION_MISSING,
        Issue.NO_ANSWER,
        Issue.THROTTLED,
    }
)
"""Issues that may pass shortly after the administrator has approved."""


async def verify_grant(
    organization: Organization, tenant_id: TenantId, ports: ConsentPorts
) -> ConsentResult:
    """Prove the grant in the tenant that an administrator's sign-in has proven, and store it."""
    claimed = replace(organization, tenant_id=tenant_id)
    findings = await diagnose_tenant(claimed, probes=ports.probes)
    for pause in PAUSES:
        if not _is_propagating(findings):
            break
        await ports.pause(pause)
        findings = await diagnose_tenant(claimed, probes=ports.probes)
    if consent_state_of(findings) is ConsentState.GRANTED:
        return await _save_grant(organization, claimed, ports)
    if _is_propagating(findings):
        return ConsentResult(ConsentOutcome.SPREADING, organization)
    wrong = next(f for f in findings if f.state is not FindingState.WORKS)
    return ConsentResult(ConsentOutcome.UNPROVEN, organization, finding=wrong, code=wrong.code)


async def _save_grant(
    before: Organization, claimed: Organization, ports: ConsentPorts
) -> ConsentResult:
    granted = replace(
        approved(claimed),
        consent=ConsentState.GRANTED,
        consent_changed_at=ports.clock.now(),
        consent_nonce=None,
    )
    # Looked up again: minutes may have passed since the sign-in, and the feed must not tell a lie.
    holder = await ports.organizations.of_tenant(claimed.tenant_id) if claimed.tenant_id else None
    if holder is not None and holder.id != claimed.id:
        return ConsentResult(ConsentOutcome.TENANT_TAKEN, claimed)
    # Reported before it is saved: a crash in between reports too much, never too little.
    await ports.on_granting(before, granted)
    try:
        saved = await ports.organizations.save(granted)
    except StaleRow:
        # ETag conflict: a concurrent reload of the page, or a change by the platform, was first.
        return ConsentResult(ConsentOutcome.SPREADING, claimed)
    except Conflict:
        return ConsentResult(ConsentOutcome.TENANT_TAKEN, claimed)
    return ConsentResult(ConsentOutcome.GRANTED, saved)


def _is_propagating(findings: Iterable[Finding]) -> bool:
    return any(finding.issue in _SPREADING for finding in findings)
