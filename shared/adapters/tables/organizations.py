"""Stores organizations, and claims that bind a tenant to at most one of them.

The claim and the organization are in different partitions, so no transaction spans them. A writer
writes the claim, then the organization, then the claim again, conditional on its ETag. A claim
without an organization that has the tenant was left by a process that crashed, and another writer
may take it over. If the first writer was only slow, its last write fails, and it undoes its write
of the organization.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Row, Tables
from shared.adapters.tables.keys import ORGANIZATIONS, Key
from shared.adapters.tables.retry import as_retryable, retry_on_conflict
from shared.adapters.tables.values import (
    cursor,
    instant,
    moment,
    optional_instant,
    optional_moment,
    present,
    read_cursor,
)
from shared.errors import Conflict, NotFound, StaleRow
from shared.ids import OrganizationId, TenantId
from shared.limits.model import Spending
from shared.organizations.model import (
    AccessMode,
    ConsentState,
    OnlineMeetingChoice,
    Organization,
    OrganizationSettings,
    PendingSettings,
    SyncMode,
)
from shared.organizations.protection import with_consent_of


class TableOrganizations:
    """Implements `OrganizationStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, organization_id: OrganizationId) -> Organization:
        """Return the organization, or raise NotFound."""
        found = await self._find(organization_id)
        if found is None:
            raise NotFound("There is no such organization.")
        return found

    async def of_tenant(self, tenant_id: TenantId) -> Organization | None:
        """Return the organization of *tenant_id*, or None."""
        claim = await self._tables.get(ORGANIZATIONS, keys.tenant_claim(tenant_id))
        return await self._claimant(claim, tenant_id) if claim else None

    async def create(self, organization: Organization) -> Organization:
        """Store a new organization. Raises Conflict if the id or the tenant is taken."""
        return await self._write(organization, before=None)

    async def save(self, organization: Organization) -> Organization:
        """Replace the organization if its version is the stored one, else raise StaleRow."""
        before = await self._find(organization.id)
        if before is None or before.version != organization.version:
            raise StaleRow("The organization changed since it was read.")
        saved = await self._write(organization, before=before)
        if before.tenant_id and before.tenant_id != saved.tenant_id:
            await self._give_up(before.tenant_id, saved.id)
        return saved

    async def list(
        self, *, after: str | None = None, limit: int = 50
    ) -> tuple[Sequence[Organization], str | None]:
        """Return a page of organizations by id, and the cursor of the next page or None."""
        rows = await self._tables.first(
            ORGANIZATIONS,
            "RowKey eq @row and PartitionKey gt @after",
            {"row": "organization", "after": read_cursor(after) if after else ""},
            limit + 1,
        )
        page = rows[:limit]
        return (
            [_organization(row) for row in page],
            cursor(page[-1].key.partition) if len(rows) > limit else None,
        )

    async def delete(self, organization_id: OrganizationId) -> None:
        """Remove the organization, its usage and its claim on the tenant. Idempotent."""
        found = await self._find(organization_id)
        if found is None:
            return
        # The claim last: a claim without an organization is harmless, while an organization
        # without its claim would let a second organization have the same tenant.
        for spending in Spending:
            usage = keys.usage_of_organization(organization_id, spending)
            await self._tables.remove(ORGANIZATIONS, usage)
        await self._tables.remove(ORGANIZATIONS, keys.organization(organization_id))
        if found.tenant_id:
            await self._give_up(found.tenant_id, organization_id)

    async def _write(
        self, organization: Organization, *, before: Organization | None
    ) -> Organization:
        tenant_id = organization.tenant_id
        claim = None
        if tenant_id and not (before and before.tenant_id == tenant_id):
            claim = await retry_on_conflict(lambda _: self._claim(tenant_id, organization.id))
        key = keys.organization(organization.id)
        try:
            version = await self._tables.put(
                ORGANIZATIONS,
                Put(key, _values(organization), before.version if before else None),
            )
        except StaleRow as error:
            if before:
                raise
            raise Conflict("There is an organization with this id already.") from error
        if claim:
            try:
                await self._tables.put(ORGANIZATIONS, claim)
            except StaleRow as error:
                await retry_on_conflict(lambda _: self._take_back(key, tenant_id, before))
                raise Conflict("The tenant belongs to another organization.") from error
        return replace(organization, version=version)

    async def _claim(self, tenant_id: TenantId, organization_id: OrganizationId) -> Put:
        """Write the claim on a tenant; return the write that confirms it.

        Raises:
            Conflict: the tenant belongs to another organization.
        """
        key = keys.tenant_claim(tenant_id)
        found = await self._tables.get(ORGANIZATIONS, key)
        if found:
            claimant = await self._claimant(found, tenant_id)
            if claimant and claimant.id != organization_id:
                raise Conflict("The tenant belongs to another organization.")
        values = present({"organization_id": organization_id})
        with as_retryable():
            etag = await self._tables.put(
                ORGANIZATIONS, Put(key, values, found.etag if found else None)
            )
        return Put(key, values, etag)

    async def _take_back(
        self, key: Key, tenant_id: TenantId | None, before: Organization | None
    ) -> None:
        """Take the tenant from the row again, with what came with it.

        What another writer has changed in the row meanwhile stays.
        """
        row = await self._tables.get(ORGANIZATIONS, key)
        known = _organization(row) if row else None
        if row is None or known is None or known.tenant_id != tenant_id:
            return
        with as_retryable():
            if before is None:
                await self._tables.remove(ORGANIZATIONS, key, row.etag)
                return
            freed = with_consent_of(before, known)
            await self._tables.put(ORGANIZATIONS, Put(key, _values(freed), row.etag))

    async def _give_up(self, tenant_id: TenantId, organization_id: OrganizationId) -> None:
        claim = await self._tables.get(ORGANIZATIONS, keys.tenant_claim(tenant_id))
        if claim is None or claim.values["organization_id"] != organization_id:
            return
        with suppress(StaleRow):  # another organization took the claim over
            await self._tables.remove(ORGANIZATIONS, claim.key, claim.etag)

    async def _claimant(self, claim: Row, tenant_id: TenantId) -> Organization | None:
        """Return the organization of a valid claim; None if it does not have the tenant."""
        found = await self._find(OrganizationId(claim.values["organization_id"]))
        return found if found and found.tenant_id == tenant_id else None

    async def _find(self, organization_id: OrganizationId) -> Organization | None:
        row = await self._tables.get(ORGANIZATIONS, keys.organization(organization_id))
        return _organization(row) if row else None


def _values(organization: Organization) -> dict[str, Any]:
    settings, changed_at = organization.settings, organization.consent_changed_at
    pending = organization.pending
    return present(
        {
            "organization_id": organization.id,
            "tenant_id": organization.tenant_id,
            "created_at": instant(organization.created_at),
            "consent": organization.consent.value,
            "consent_changed_at": instant(changed_at) if changed_at else None,
            "access_mode": settings.access_mode.value,
            "background": settings.sync_mode.value,
            "tentative_is_busy": settings.tentative_is_busy,
            "minimum_notice_seconds": _seconds(settings.minimum_notice),
            "horizon_seconds": _seconds(settings.horizon),
            "buffer_before_seconds": _seconds(settings.buffer_before),
            "buffer_after_seconds": _seconds(settings.buffer_after),
            "step_minutes": settings.step_minutes,
            "online_meeting": settings.online_meeting.value,
            "retention_seconds": _seconds(settings.retention),
            "owner_address": settings.owner_address,
            "pending_access_mode": pending.access_mode.value if pending.access_mode else None,
            "pending_retention_seconds": _seconds(pending.retention) if pending.retention else None,
            "consent_nonce": organization.consent_nonce,
            "denied_since": optional_instant(organization.denied_since),
            "is_closing": organization.is_closing or None,
        }
    )


def _organization(row: Row) -> Organization:
    values = row.values
    tenant_id, changed_at = values.get("tenant_id"), values.get("consent_changed_at")
    return Organization(
        id=OrganizationId(values["organization_id"]),
        tenant_id=TenantId(tenant_id) if tenant_id else None,
        created_at=moment(values["created_at"]),
        consent=ConsentState(values["consent"]),
        consent_changed_at=moment(changed_at) if changed_at else None,
        settings=_settings(values),
        pending=_pending(values),
        consent_nonce=values.get("consent_nonce"),
        denied_since=optional_moment(values.get("denied_since")),
        is_closing=values.get("is_closing", False),
        version=row.etag,
    )


def _settings(values: Mapping[str, Any]) -> OrganizationSettings:
    return OrganizationSettings(
        access_mode=AccessMode(values["access_mode"]),
        sync_mode=SyncMode(values["background"]),
        tentative_is_busy=values["tentative_is_busy"],
        minimum_notice=timedelta(seconds=values["minimum_notice_seconds"]),
        horizon=timedelta(seconds=values["horizon_seconds"]),
        buffer_before=timedelta(seconds=values["buffer_before_seconds"]),
        buffer_after=timedelta(seconds=values["buffer_after_seconds"]),
        step_minutes=values["step_minutes"],
        online_meeting=OnlineMeetingChoice(values["online_meeting"]),
        retention=timedelta(seconds=values["retention_seconds"]),
        owner_address=values.get("owner_address"),
    )


def _pending(values: Mapping[str, Any]) -> PendingSettings:
    mode, seconds = values.get("pending_access_mode"), values.get("pending_retention_seconds")
    return PendingSettings(
        access_mode=AccessMode(mode) if mode else None,
        retention=timedelta(seconds=seconds) if seconds else None,
    )


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
