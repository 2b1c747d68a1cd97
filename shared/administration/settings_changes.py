"""Changes an organization's settings, and reports in the feed those that wait for consent."""

from datetime import datetime
from typing import Final

from shared.changes.model import Change, ChangeKind
from shared.changes.ports import ChangeStore
from shared.clock import Clock
from shared.logs import log_event
from shared.organizations.model import Organization, OrganizationSettings, PendingSettings
from shared.organizations.ports import OrganizationStore
from shared.organizations.protection import ask_for

_REMEDY: Final = (
    "It begins when an administrator of the organization's tenant approves it through a new "
    "consent link. If it was not you who asked, set it back and find out who has the platform's "
    "role."
)
_DETAILS: Final = {"access_mode": "access_mode", "retention": "retention_days"}
"""The names of pending settings in the API."""


async def change_settings(
    organization: Organization,
    wanted: OrganizationSettings,
    *,
    organizations: OrganizationStore,
    changes: ChangeStore,
    clock: Clock,
) -> Organization:
    """Store the *wanted* settings; those that weaken the customer's protection as pending.

    Raises:
        StaleRow: the organization was changed in between.
    """
    changed = ask_for(organization, wanted)
    if changed.pending and changed.pending != organization.pending:
        log_event("organization.more_requested", organization_id=organization.id)
        # Appended before it is saved: a crash in between reports too much, never too little.
        known = f"requested;{organization.version}"
        await changes.append(
            _changes(changed, changed.pending, ChangeKind.SETTING_REQUESTED, clock.now(), known)
        )
    return await organizations.save(changed)


def approved_changes(before: Organization, organization: Organization) -> list[Change]:
    """Return the changes that report the settings of *before* that are not pending any more."""
    at = organization.consent_changed_at or organization.created_at
    known = f"approved;{before.version}"
    return _changes(organization, before.pending, ChangeKind.SETTING_APPROVED, at, known)


def _changes(
    organization: Organization,
    pending: PendingSettings,
    kind: ChangeKind,
    at: datetime,
    known: str,
) -> list[Change]:
    return [
        Change(
            organization.id,
            at,
            kind,
            "api",
            detail=detail,
            remedy=_REMEDY if kind is ChangeKind.SETTING_REQUESTED else "",
            id=f"setting;{detail};{known}",
        )
        for name, detail in _DETAILS.items()
        if getattr(pending, name) is not None
    ]
