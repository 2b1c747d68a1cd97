"""Detects that a tenant has withdrawn its consent, for every call to Graph, or granted it again.

A denied call alone proves nothing, because one person or mailbox may be denied. So it only triggers
a check of the tenant: a new token of the app's own and one call to the directory. No call to Graph
is made for a tenant that withdrew its consent, so there its waiting jobs trigger the check.
"""

import time
from collections.abc import Callable
from typing import Final

from shared.administration.settings_changes import approved_changes
from shared.changes.model import Change, ChangeKind
from shared.changes.ports import ChangeStore
from shared.clock import Clock
from shared.ids import TenantId
from shared.logs import log_warning
from shared.organizations.consent_state import record_consent
from shared.organizations.diagnosis import Subject, diagnose_tenant
from shared.organizations.issues import Issue
from shared.organizations.model import ConsentState, Organization
from shared.organizations.ports import AppRegistration, Capability, OrganizationStore, Probes

RECHECK_INTERVAL_SECONDS: Final = 300.0
"""The least time between two checks of one tenant by one process."""
WITHDRAWN_INTERVAL_SECONDS: Final = 900.0
"""The least time between two checks, by one process, of a tenant that withdrew its consent."""
_REMEMBERED: Final = 10_000


class ConsentMonitor:
    """Checks tenants where a call was denied."""

    def __init__(
        self,
        *,
        organizations: Callable[[], OrganizationStore],
        probes: Callable[[], Probes],
        changes: Callable[[], ChangeStore],
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the ports as callables: the probes call Graph, whose client calls this monitor."""
        self._organizations = organizations
        self._probes = probes
        self._changes = changes
        self._clock = clock
        self._monotonic = monotonic
        self._looked_at: dict[TenantId, float] = {}

    async def on_denied(self, tenant_id: TenantId) -> None:
        """Check the tenant's consent after a denied call, at most every 5 minutes per process.

        Swallows its own errors so that the caller's denial propagates.
        """
        if not self._is_turn(tenant_id, RECHECK_INTERVAL_SECONDS):
            return
        try:
            organization = await self._organizations().of_tenant(tenant_id)
            if organization is not None and organization.consent is ConsentState.GRANTED:
                await self._recheck(organization)
        except Exception:  # noqa: BLE001 - the caller's own error must propagate, not this one
            log_warning("consent.not_looked_at", tenant_id=tenant_id)

    async def current(self, organization: Organization) -> Organization:
        """Return *organization*, checked now and then if it has withdrawn its consent.

        Swallows the errors of the check.
        """
        tenant_id = organization.tenant_id
        is_withdrawn = organization.consent is ConsentState.WITHDRAWN
        if tenant_id is None or not is_withdrawn or organization.is_closing:
            return organization
        if not self._is_turn(tenant_id, WITHDRAWN_INTERVAL_SECONDS):
            return organization
        try:
            return await self._recheck(organization)
        except Exception:  # noqa: BLE001 - the next check may succeed
            log_warning("consent.not_looked_at", tenant_id=tenant_id)
            return organization

    async def on_granting(self, before: Organization, granted: Organization) -> None:
        """Append to the feed what *granted*, about to be saved, consents to again or newly."""
        changes = approved_changes(before, granted)
        if before.consent is ConsentState.WITHDRAWN:
            changes.append(consent_change(granted, self._probes().app))
        if changes:
            await self._changes().append(changes)

    def _is_turn(self, tenant_id: TenantId, interval_seconds: float) -> bool:
        """Return whether *interval_seconds* have passed since the last check, and note this one."""
        now = self._monotonic()
        if now - self._looked_at.get(tenant_id, float("-inf")) < interval_seconds:
            return False
        if len(self._looked_at) >= _REMEMBERED:
            self._looked_at.clear()
        # Noted before the check, so that a denied call of the check triggers no second one.
        self._looked_at[tenant_id] = now
        return True

    async def _recheck(self, organization: Organization) -> Organization:
        """Check the consent of *organization*; append a change of it to the feed."""
        probes = self._probes()

        async def report(changed: Organization) -> None:
            await self._changes().append([consent_change(changed, probes.app)])

        return await record_consent(
            organization,
            await diagnose_tenant(organization, probes=probes),
            organizations=self._organizations(),
            report=report,
            clock=self._clock,
        )


def consent_change(organization: Organization, app: AppRegistration) -> Change:
    """Return the change that reports *organization*'s new consent: granted again or withdrawn.

    Its id is that of the stored row that changes: one change, however often it is tried.
    """
    is_lost = organization.consent is ConsentState.WITHDRAWN
    at = organization.consent_changed_at or organization.created_at
    subject = Subject(organization, None, app)
    finding = subject.failure(Capability.TOKEN, Issue.CONSENT_WITHDRAWN)
    return Change(
        organization.id,
        at,
        ChangeKind.TROUBLE if is_lost else ChangeKind.RECOVERED,
        "api",
        detail=Issue.CONSENT_WITHDRAWN,
        remedy=(finding.remedy or "") if is_lost else "",
        id=f"consent;{organization.version};{organization.consent}",
    )
