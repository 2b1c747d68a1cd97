"""Consent: makes the organization's link, handles the callback, and proves the grant.

The callback's parameters prove nothing: any browser can call it with any tenant. The proof is a
token of the app's own for that tenant, and a call to Graph with it.

Source: https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
"""

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

from shared.clock import Clock
from shared.errors import Conflict, NotFound, StaleRow
from shared.ids import OrganizationId, TenantId
from shared.logs import log_event
from shared.organizations.diagnosis import Finding, FindingState, diagnose_tenant
from shared.organizations.issues import LOST_CONSENT, Issue
from shared.organizations.model import ConsentState, Organization
from shared.organizations.ports import (
    AppRegistration,
    Capability,
    OrganizationStore,
    Probes,
    Signer,
)

LINK_LIFE: Final = timedelta(days=7)
"""How long a consent link may be used."""
PAUSES: Final = (0.5, 1.5, 2.5)
"""Seconds between the attempts to prove a grant in one request: Entra spreads it with a delay."""

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DECLINED: Final = frozenset({"access_denied", "permission_denied", "consent_declined"})
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


class ConsentOutcome(StrEnum):
    """The outcome of a call to the callback."""

    GRANTED = "granted"
    SPREADING = "spreading"
    """Approved, but Entra does not show it yet: the administrator repeats the same link."""
    UNPROVEN = "unproven"
    """Approved, but the app is still blocked, for the reason in *finding*."""
    DECLINED = "declined"
    REFUSED = "refused"
    """Entra failed before it asked the administrator; *code* is the reason."""
    WRONG_TENANT = "wrong_tenant"
    TENANT_TAKEN = "tenant_taken"
    USED = "used"
    EXPIRED = "expired"
    TAMPERED = "tampered"


@dataclass(frozen=True, slots=True)
class ConsentLink:
    """The link for the customer's administrator."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ConsentAnswer:
    """The callback's parameters, none of them trusted."""

    state: str | None
    tenant: str | None
    admin_consent: str | None
    error: str | None
    error_description: str | None


@dataclass(frozen=True, slots=True)
class ConsentResult:
    """The outcome of a callback, and its organization."""

    outcome: ConsentOutcome
    organization: Organization | None = None
    finding: Finding | None = None
    code: str | None = None
    """Entra's `error`, with the AADSTS number where there is one; nothing else of its text."""


@dataclass(frozen=True, slots=True)
class ConsentPorts:
    """The ports of consent."""

    organizations: OrganizationStore
    signer: Signer
    probes: Probes
    clock: Clock
    on_regained: Callable[[Organization], Awaitable[None]]
    """Called with an organization that had withdrawn its consent and has granted it again."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


async def make_consent_link(
    organization: Organization,
    *,
    app: AppRegistration,
    organizations: OrganizationStore,
    signer: Signer,
    clock: Clock,
) -> ConsentLink:
    """Make a new link for *organization*'s administrator; earlier links become invalid.

    Raises:
        StaleRow: the organization is being changed right now.
        StoreUnavailable, Misconfigured: the key in Key Vault cannot be had.
    """
    nonce = secrets.token_urlsafe(16)
    expires_at = (clock.now() + LINK_LIFE).replace(microsecond=0)
    state = await signer.sign(json.dumps([organization.id, nonce, int(expires_at.timestamp())]))
    await organizations.save(replace(organization, consent_nonce=nonce))
    query = urlencode(
        {
            "client_id": app.client_id,
            # `.default` asks for all permissions of the registration, and is the only scope that
            # covers application permissions.
            "scope": f"{app.graph_url}/.default",
            "redirect_uri": f"{app.public_url}/api/consent/callback",
            "state": state,
        }
    )
    tenant = organization.tenant_id or "organizations"
    log_event("consent.link_made", organization_id=organization.id)
    return ConsentLink(f"{app.login_url}/{tenant}/v2.0/adminconsent?{query}", expires_at)


async def complete_consent(answer: ConsentAnswer, *, ports: ConsentPorts) -> ConsentResult:
    """Prove the claims of *answer*, store the consent and return the outcome.

    Only a proven grant uses up the link: an administrator who declined, or whose consent has not
    spread yet, may open it again until it expires.

    Raises:
        StoreUnavailable, Misconfigured: no outcome was stored.
    """
    conclusion = await _completed(answer, ports)
    log_event(
        "consent.concluded",
        state=conclusion.outcome,
        organization_id=conclusion.organization.id if conclusion.organization else "",
        code=conclusion.code or "",
    )
    return conclusion


async def recheck_tenant(
    organization: Organization, *, organizations: OrganizationStore, probes: Probes, clock: Clock
) -> Organization:
    """Probe the tenant's consent and return *organization* with the present state, stored."""
    findings = await diagnose_tenant(organization, probes=probes)
    return await record_consent(organization, findings, organizations=organizations, clock=clock)


async def record_consent(
    organization: Organization,
    findings: Iterable[Finding],
    *,
    organizations: OrganizationStore,
    clock: Clock,
) -> Organization:
    """Store the consent state that *findings* show: granted or withdrawn.

    Findings about one person or mailbox leave it unchanged.
    """
    shown = consent_state_of(findings)
    if shown is None or shown is organization.consent:
        return organization
    if shown is ConsentState.WITHDRAWN and organization.consent is not ConsentState.GRANTED:
        return organization
    changed = replace(organization, consent=shown, consent_changed_at=clock.now())
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


async def _completed(answer: ConsentAnswer, ports: ConsentPorts) -> ConsentResult:
    opened = await _parse_state(answer.state, ports)
    if isinstance(opened, ConsentResult):
        return opened
    organization = opened
    # Checked first, because a refusal has `admin_consent=True` as well.
    if answer.error:
        return await _handle_refusal(organization, answer, ports)
    tenant = (answer.tenant or "").lower()
    if not _GUID.fullmatch(tenant) or (answer.admin_consent or "").lower() != "true":
        return ConsentResult(ConsentOutcome.TAMPERED)
    tenant_id = TenantId(tenant)
    if organization.tenant_id not in {None, tenant_id}:
        return ConsentResult(ConsentOutcome.WRONG_TENANT, organization)
    other = await ports.organizations.of_tenant(tenant_id)
    if other is not None and other.id != organization.id:
        return ConsentResult(ConsentOutcome.TENANT_TAKEN, organization)
    return await _verify_grant(organization, tenant_id, ports)


async def _parse_state(state: str | None, ports: ConsentPorts) -> Organization | ConsentResult:
    """Return the organization of the link, or the result for a link that is not valid."""
    text = await ports.signer.verify(state) if state else None
    if text is None:
        return ConsentResult(ConsentOutcome.TAMPERED)
    organization_id, nonce, expires = json.loads(text)
    try:
        organization = await ports.organizations.get(OrganizationId(organization_id))
    except NotFound:
        return ConsentResult(ConsentOutcome.EXPIRED)
    if ports.clock.now().timestamp() >= expires:
        return ConsentResult(ConsentOutcome.EXPIRED, organization)
    if organization.consent_nonce is None or not secrets.compare_digest(
        organization.consent_nonce, nonce
    ):
        return ConsentResult(ConsentOutcome.USED, organization)
    return organization


async def _handle_refusal(
    organization: Organization, answer: ConsentAnswer, ports: ConsentPorts
) -> ConsentResult:
    error = (answer.error or "").lower()
    code = _code(error, answer.error_description or "")
    if error not in _DECLINED and "65004" not in code:
        return ConsentResult(ConsentOutcome.REFUSED, organization, code=code)
    # A granted consent stays valid when an administrator declines to grant it once more.
    if organization.consent is ConsentState.PENDING:
        declined = replace(
            organization,
            consent=ConsentState.DECLINED,
            consent_changed_at=ports.clock.now(),
        )
        try:
            organization = await ports.organizations.save(declined)
        except StaleRow:
            organization = await ports.organizations.get(organization.id)
    return ConsentResult(ConsentOutcome.DECLINED, organization, code=code)


async def _verify_grant(
    organization: Organization, tenant_id: TenantId, ports: ConsentPorts
) -> ConsentResult:
    claimed = replace(organization, tenant_id=tenant_id)
    findings = await diagnose_tenant(claimed, probes=ports.probes)
    for pause in PAUSES:
        if not _is_propagating(findings):
            break
        await ports.pause(pause)
        findings = await diagnose_tenant(claimed, probes=ports.probes)
    if consent_state_of(findings) is ConsentState.GRANTED:
        return await _save_grant(claimed, ports)
    if _is_propagating(findings):
        return ConsentResult(ConsentOutcome.SPREADING, organization)
    wrong = next(f for f in findings if f.state is not FindingState.WORKS)
    return ConsentResult(ConsentOutcome.UNPROVEN, organization, finding=wrong, code=wrong.code)


async def _save_grant(claimed: Organization, ports: ConsentPorts) -> ConsentResult:
    granted = replace(
        claimed,
        consent=ConsentState.GRANTED,
        consent_changed_at=ports.clock.now(),
        consent_nonce=None,
    )
    try:
        saved = await ports.organizations.save(granted)
    except StaleRow:
        # ETag conflict: a concurrent reload of the page, or a change by the platform, was first.
        return ConsentResult(ConsentOutcome.SPREADING, claimed)
    except Conflict:
        return ConsentResult(ConsentOutcome.TENANT_TAKEN, claimed)
    if claimed.consent is ConsentState.WITHDRAWN:
        await ports.on_regained(saved)
    return ConsentResult(ConsentOutcome.GRANTED, saved)


def _is_propagating(findings: Iterable[Finding]) -> bool:
    return any(finding.issue in _SPREADING for finding in findings)


def _code(error: str, description: str) -> str:
    """Return Entra's error code, cleaned: the text comes from the URL, so any caller can set it."""
    known = error if re.fullmatch(r"[a-z_]{1,40}", error) else "error"
    number = re.search(r"AADSTS(\d{4,8})", description)
    return f"{known} (AADSTS{number[1]})" if number else known
