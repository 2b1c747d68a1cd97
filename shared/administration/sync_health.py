"""The health of one organization's synchronization, for an operator's dashboard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.changes.model import Change
from shared.changes.ports import ChangeStore, Delivery, DeliveryStore
from shared.errors import Misconfigured, StoreUnavailable
from shared.ids import TenantId
from shared.organizations.model import Organization
from shared.organizations.ports import Credential, CredentialInfo
from shared.sessions.model import Cause
from shared.subscriptions.model import Subscription, SubscriptionState
from shared.subscriptions.ports import SubscriptionStore
from shared.subscriptions.renewal import renewal_due_at

RECENT: Final = 1_000
"""The number of the latest changes that are counted."""


@dataclass(slots=True)
class SubscriptionHealth:
    """All subscriptions of an organization."""

    active: int = 0
    polling: int = 0
    """Mailboxes that are polled, because Graph refuses a subscription."""
    expired: int = 0
    """Subscriptions that expired without renewal."""
    oldest_renewal_at: datetime | None = None
    next_due_at: datetime | None = None
    last_push_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LagFigures:
    """The changes that were found in one way, and their lag."""

    count: int
    lag_p50_ms: int | None
    """From the change in Outlook until this service read it; None: no change has a lag."""
    lag_p99_ms: int | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class SyncHealth:
    """Consent, credential, subscriptions and the last changes of one organization."""

    organization: Organization
    credential: CredentialInfo | None
    """None: Key Vault does not answer, or this deployment is misconfigured."""
    subscriptions: SubscriptionHealth
    by_push: LagFigures
    by_reconciliation: LagFigures
    counted_since: datetime | None
    """The time of the oldest counted change."""
    throttled: int
    """The number of times Graph throttled this process in this tenant, since it started."""
    delivery: Delivery | None
    """The state of the webhook; None: this deployment has none."""


async def sync_health(
    organization: Organization,
    *,
    now: datetime,
    subscriptions: SubscriptionStore,
    changes: ChangeStore,
    credential: Credential,
    throttled: Mapping[TenantId, int],
    deliveries: DeliveryStore | None = None,
) -> SyncHealth:
    """Return the health of *organization* at *now*. Raises StoreUnavailable."""
    recent = await changes.recent(organization.id, RECENT)
    followed = SubscriptionHealth()
    if organization.tenant_id is not None:
        async for page in subscriptions.of_tenant(organization.tenant_id):
            _accumulate(page, followed, now)
    return SyncHealth(
        organization=organization,
        credential=await _credential_info(credential),
        subscriptions=followed,
        by_push=lag_figures(Cause.OUTLOOK, recent),
        by_reconciliation=lag_figures(Cause.RECONCILIATION, recent),
        counted_since=recent[0].at if recent else None,
        throttled=throttled.get(organization.tenant_id, 0) if organization.tenant_id else 0,
        delivery=await deliveries.get(organization.id) if deliveries else None,
    )


async def _credential_info(credential: Credential) -> CredentialInfo | None:
    # If Key Vault fails, the operator needs the other figures all the more.
    try:
        return await credential.describe()
    except (StoreUnavailable, Misconfigured):
        return None


def lag_figures(cause: Cause, changes: Iterable[Change]) -> LagFigures:
    """Return the figures of the *changes* with *cause*."""
    found = [change for change in changes if change.cause == cause]
    lags = sorted(change.lag_ms for change in found if change.lag_ms is not None)
    return LagFigures(
        count=len(found),
        lag_p50_ms=percentile(lags, 50),
        lag_p99_ms=percentile(lags, 99),
        last_at=max((change.at for change in found), default=None),
    )


def percentile(ordered: Sequence[int], share: int) -> int | None:
    """Return the smallest value that *share* percent of *ordered* do not exceed."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def _accumulate(page: Iterable[Subscription], health: SubscriptionHealth, now: datetime) -> None:
    for subscription in page:
        if subscription.state is SubscriptionState.POLLING:
            health.polling += 1
        elif subscription.expires_at is None or subscription.expires_at <= now:
            health.expired += 1
        else:
            health.active += 1
        health.oldest_renewal_at = _earliest(health.oldest_renewal_at, subscription.renewed_at)
        health.next_due_at = _earliest(health.next_due_at, renewal_due_at(subscription))
        health.last_push_at = max(
            (at for at in (health.last_push_at, subscription.last_push_at) if at), default=None
        )


def _earliest(known: datetime | None, seen: datetime | None) -> datetime | None:
    return min((at for at in (known, seen) if at), default=None)
