"""Detects that a tenant has withdrawn its consent, for every call to Graph.

A denied call alone proves nothing, because one person or mailbox may be denied. So it only triggers
a check of the tenant: a new token of the app's own and one call to the directory.
"""

import time
from collections.abc import Callable
from typing import Final

from shared.changes.model import Change, ChangeKind
from shared.changes.ports import ChangeStore
from shared.clock import Clock
from shared.ids import TenantId
from shared.logs import log_warning
from shared.organizations.consent import recheck_tenant
from shared.organizations.model import ConsentState, Organization
from shared.organizations.ports import OrganizationStore, Probes

RECHECK_INTERVAL_SECONDS: Final = 300.0
"""The least time between two checks of one tenant by one process."""
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
        now = self._monotonic()
        if now - self._looked_at.get(tenant_id, float("-inf")) < RECHECK_INTERVAL_SECONDS:
            return
        if len(self._looked_at) >= _REMEMBERED:
            self._looked_at.clear()
        # Recorded before the check, so that a denied call of the check triggers no second one.
        self._looked_at[tenant_id] = now
        try:
            await self._recheck(tenant_id)
        except Exception:  # noqa: BLE001 - the caller's own error must propagate, not this one
            log_warning("consent.not_looked_at", tenant_id=tenant_id)

    async def _recheck(self, tenant_id: TenantId) -> None:
        organization = await self._organizations().of_tenant(tenant_id)
        if organization is None or organization.consent is not ConsentState.GRANTED:
            return
        found = await recheck_tenant(
            organization,
            organizations=self._organizations(),
            probes=self._probes(),
            clock=self._clock,
        )
        if found.consent is ConsentState.WITHDRAWN:
            await self._changes().append([trouble_change(found, "consent_withdrawn", self._clock)])


def trouble_change(organization: Organization, detail: str, clock: Clock) -> Change:
    """Return the change that reports trouble with *organization* to the platform."""
    return Change(organization.id, clock.now(), ChangeKind.TROUBLE, "api", detail=detail)
