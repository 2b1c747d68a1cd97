"""Settings that weaken a customer's protection: they begin when its administrator has consented.

A platform's backend that is taken over can ask for more, and begins nothing with it. What is asked
for invalidates earlier consent links, so a link approves what was asked for when it was made.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from shared.organizations.model import (
    AccessMode,
    Organization,
    OrganizationSettings,
    PendingSettings,
)

WEAKENING: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    # The app writes into any calendar, for a participant whom the platform names.
    "access_mode": lambda new, old: new is AccessMode.APPLICATION and new is not old,
    # Personal data is kept for longer.
    "retention": lambda new, old: new > old,
}
"""Whether a new value of a setting protects the customer less than the old one."""


def wanted_settings(organization: Organization) -> OrganizationSettings:
    """Return the settings of *organization* as they are once its administrator has consented."""
    asked = {name: getattr(organization.pending, name) for name in WEAKENING}
    changes = {name: value for name, value in asked.items() if value is not None}
    return replace(organization.settings, **changes)


def ask_for(organization: Organization, wanted: OrganizationSettings) -> Organization:
    """Return *organization* with the *wanted* settings in force, except for those that weaken.

    Those are pending. A setting that is wanted no wider than it is has no pending value.
    """
    kept, asked = {}, {}
    for name, weakens in WEAKENING.items():
        new, old = getattr(wanted, name), getattr(organization.settings, name)
        if weakens(new, old):
            kept[name], asked[name] = old, new
    pending = PendingSettings(**asked)
    asks_more = bool(pending) and pending != organization.pending
    return replace(
        organization,
        settings=replace(wanted, **kept),
        pending=pending,
        consent_nonce=None if asks_more else organization.consent_nonce,
    )


def approved(organization: Organization) -> Organization:
    """Return *organization* with its pending settings in force."""
    return replace(organization, settings=wanted_settings(organization), pending=PendingSettings())


def with_consent_of(before: Organization, organization: Organization) -> Organization:
    """Return *organization* with the tenant, the consent and what it protects as *before*."""
    kept = {name: getattr(before.settings, name) for name in WEAKENING}
    return replace(
        organization,
        tenant_id=before.tenant_id,
        consent=before.consent,
        consent_changed_at=before.consent_changed_at,
        consent_nonce=before.consent_nonce,
        pending=before.pending,
        settings=replace(organization.settings, **kept),
    )
