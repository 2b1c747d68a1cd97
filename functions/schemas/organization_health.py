"""Health of one organization: consent, credential, subscriptions, changes, webhook."""

from typing import Self

from functions.schemas.base import Reply, ResponseInstant
from shared.administration.sync_health import LagFigures, SyncHealth
from shared.organizations.model import ConsentState, SyncMode


class ConsentHealth(Reply):
    """The approval."""

    state: ConsentState
    changed_at: ResponseInstant | None


class CredentialHealth(Reply):
    """What the app proves itself with."""

    kind: str
    """`managed-identity`, `certificate` or `secret`."""
    expires_at: ResponseInstant | None


class SubscriptionsHealth(Reply):
    """How the mailboxes of organizers are followed."""

    active: int
    polling: int
    """Graph refuses a subscription: they are read by the clock."""
    expired: int
    oldest_renewal_at: ResponseInstant | None
    next_due_at: ResponseInstant | None
    last_push_at: ResponseInstant | None


class LagFiguresBody(Reply):
    """Changes found in one way, and how long after they happened in Outlook."""

    count: int
    lag_p50_ms: int | None
    lag_p99_ms: int | None
    last_at: ResponseInstant | None

    @classmethod
    def of(cls, seen: LagFigures) -> Self:
        """Return the body of *seen*."""
        return cls(
            count=seen.count,
            lag_p50_ms=seen.lag_p50_ms,
            lag_p99_ms=seen.lag_p99_ms,
            last_at=seen.last_at,
        )


class ChangesHealth(Reply):
    """The last thousand changes."""

    since: ResponseInstant | None
    push: LagFiguresBody
    reconciliation: LagFiguresBody


class WebhookHealth(Reply):
    """How the platform is told of changes."""

    delivered_at: ResponseInstant | None
    """The last time it took some."""
    failing_since: ResponseInstant | None
    failures: int
    """In a row. It is tried again for as long as the changes are kept."""
    retry_at: ResponseInstant | None


class OrganizationHealthBody(Reply):
    """How well an organization is followed."""

    organization_id: str
    consent: ConsentHealth
    sync_mode: SyncMode
    credential: CredentialHealth | None
    """null: Key Vault does not show it."""
    subscriptions: SubscriptionsHealth
    changes: ChangesHealth
    throttled: int
    """How often Graph asked the answering instance to wait, in this tenant, since it started."""
    webhook: WebhookHealth | None
    """null: this deployment tells nobody; ask for the changes."""

    @classmethod
    def of(cls, health: SyncHealth) -> Self:
        """Return the body of *health*."""
        organization, followed = health.organization, health.subscriptions
        credential = health.credential
        return cls(
            organization_id=organization.id,
            consent=ConsentHealth(
                state=organization.consent, changed_at=organization.consent_changed_at
            ),
            sync_mode=organization.settings.sync_mode,
            credential=CredentialHealth(kind=credential.kind, expires_at=credential.expires_at)
            if credential
            else None,
            subscriptions=SubscriptionsHealth(
                active=followed.active,
                polling=followed.polling,
                expired=followed.expired,
                oldest_renewal_at=followed.oldest_renewal_at,
                next_due_at=followed.next_due_at,
                last_push_at=followed.last_push_at,
            ),
            changes=ChangesHealth(
                since=health.counted_since,
                push=LagFiguresBody.of(health.by_push),
                reconciliation=LagFiguresBody.of(health.by_reconciliation),
            ),
            throttled=health.throttled,
            webhook=WebhookHealth(
                delivered_at=health.delivery.delivered_at,
                failing_since=health.delivery.failing_since,
                failures=health.delivery.failures,
                retry_at=health.delivery.retry_at,
            )
            if health.delivery
            else None,
        )
