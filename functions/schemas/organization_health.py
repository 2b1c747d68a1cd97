"""Health of one organization: consent, credential, subscriptions, changes, webhook."""

from typing import TYPE_CHECKING, Self

from functions.schemas.base import Reply, ResponseInstant
from shared.organizations.model import ConsentState, SyncMode

if TYPE_CHECKING:
    from shared.administration.sync_health import LagFigures, SyncHealth


class ConsentHealth(Reply):
    """The state of the administrator's consent."""

    state: ConsentState
    changed_at: ResponseInstant | None


class CredentialHealth(Reply):
    """The app's own credential."""

    kind: str
    """`managed-identity`, `certificate` or `secret`."""
    expires_at: ResponseInstant | None


class SubscriptionsHealth(Reply):
    """The subscriptions to the mailboxes of organizers."""

    active: int
    polling: int
    """Graph refuses a subscription: these mailboxes are polled."""
    expired: int
    oldest_renewal_at: ResponseInstant | None
    next_due_at: ResponseInstant | None
    last_push_at: ResponseInstant | None


class LagFiguresBody(Reply):
    """The changes found in one way, and their lag behind Outlook."""

    count: int
    lag_p50_ms: int | None
    lag_p99_ms: int | None
    last_at: ResponseInstant | None

    @classmethod
    def of(cls, figures: "LagFigures") -> Self:
        """Return the body of *figures*."""
        return cls(
            count=figures.count,
            lag_p50_ms=figures.lag_p50_ms,
            lag_p99_ms=figures.lag_p99_ms,
            last_at=figures.last_at,
        )


class ChangesHealth(Reply):
    """The last thousand changes."""

    since: ResponseInstant | None
    push: LagFiguresBody
    reconciliation: LagFiguresBody


class WebhookHealth(Reply):
    """The delivery of changes to the platform's webhook."""

    delivered_at: ResponseInstant | None
    """The last successful delivery."""
    failing_since: ResponseInstant | None
    failures: int
    """Consecutive failures. Delivery is retried for as long as the changes are kept."""
    retry_at: ResponseInstant | None


class OrganizationHealthBody(Reply):
    """The health of an organization's synchronization."""

    organization_id: str
    consent: ConsentHealth
    sync_mode: SyncMode
    credential: CredentialHealth | None
    """null: Key Vault does not answer, or this deployment is misconfigured."""
    subscriptions: SubscriptionsHealth
    changes: ChangesHealth
    throttled: int
    """How often Graph throttled the answering instance in this tenant since it started."""
    webhook: WebhookHealth | None
    """null: this deployment has no webhook; read the change feed instead."""

    @classmethod
    def of(cls, health: "SyncHealth") -> Self:
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
