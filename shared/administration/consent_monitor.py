"""Notices that a tenant has taken back its approval: one place for every call to Graph.

A denial alone proves nothing, as one person or mailbox may be denied. So it only makes the tenant
be looked at: by the app's own new token and one call to the directory.
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
"""How often at most one process looks at one tenant."""
_REMEMBERED: Final = 10_000


class ConsentMonitor:
    """Looks at tenants that are suspected to have shut the app out."""

    def __init__(
        self,
        *,
        organizations: Callable[[], OrganizationStore],
        probes: Callable[[], Probes],
        changes: Callable[[], ChangeStore],
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ports are asked for when they are needed: the probes call Graph, which calls this."""
        self._organizations = organizations
        self._probes = probes
        self._changes = changes
        self._clock = clock
        self._monotonic = monotonic
        self._looked_at: dict[TenantId, float] = {}

    async def on_denied(self, tenant_id: TenantId) -> None:
        """Look at the tenant, unless it was just done. Never raises: the denial is what counts."""
        now = self._monotonic()
        if now - self._looked_at.get(tenant_id, float("-inf")) < RECHECK_INTERVAL_SECONDS:
            return
        if len(self._looked_at) >= _REMEMBERED:
            self._looked_at.clear()
        # Before looking: what the look itself is denied must not lead here again.
        self._looked_at[tenant_id] = now
        try:
            await self._recheck(tenant_id)
        except Exception:  # noqa: BLE001 - whatever it is, the caller's own error must come out
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
    """Return the change that tells the platform of trouble with *organization*."""
    return Change(organization.id, clock.now(), ChangeKind.TROUBLE, "api", detail=detail)
