"""The composition root: which adapter stands behind which port."""

from functools import cache, cached_property
from typing import TYPE_CHECKING

from shared.clock import Clock, SystemClock
from shared.settings import Settings

# Adapters are imported where they are made: a cold start of the webhook's handshake loads none, and
# nothing loads the Graph SDK before the first call to Graph.
if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from azure.core.credentials import TokenCredential

    from shared.adapters.app_credentials import AppCredentials
    from shared.adapters.client_states import HmacClientStateSigner
    from shared.adapters.entra import EntraTokenVerifier
    from shared.adapters.graph.client import GraphClient
    from shared.adapters.http_pool import HttpPool
    from shared.adapters.key_vault import KeyVaultSecrets
    from shared.adapters.queues import Queues
    from shared.adapters.tables.client import Tables
    from shared.adapters.telemetry import Telemetry
    from shared.administration.consent_monitor import ConsentMonitor
    from shared.administration.offboarding import OffboardingPorts
    from shared.availability.ports import Schedules
    from shared.changes.delivery import DeliveryPorts
    from shared.changes.ports import ChangeStore, DeliveryStore
    from shared.health import HealthCheck
    from shared.ids import TenantId
    from shared.jobs import DueStore, JobQueue
    from shared.notifications.ports import NotificationQueue
    from shared.notifications.rate_limiting import (
        MailboxLimiter,
        NotificationLimiter,
        PushSeenThrottle,
    )
    from shared.organizations.consent import ConsentPorts
    from shared.organizations.ports import AppRegistration, OrganizationStore, Probes, Signer
    from shared.pairings.ports import Directory, PairingStore
    from shared.sessions.ports import Calendar, SessionPorts, SessionStore
    from shared.subscriptions.maintenance import SubscriptionPorts
    from shared.subscriptions.ports import GraphSubscriptions, SubscriptionStore


class Wiring:
    """The adapters of one worker process, each built the first time it is asked for.

    Belongs to the loop it is first used on.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()

    @property
    def authorization_url(self) -> str:
        """Return where a client signs people in, for challenges."""
        return f"{self.settings.cloud.login_url}/common/oauth2/v2.0/authorize"

    @property
    def app(self) -> "AppRegistration":
        """Return what links and remedies name of this deployment."""
        from shared.organizations.ports import AppRegistration

        cloud = self.settings.cloud
        return AppRegistration(
            client_id=self.settings.app_client_id,
            login_url=cloud.login_url,
            graph_url=cloud.graph_url,
            portal_url=cloud.portal_url,
            public_url=self.settings.public_url,
        )

    # --- towards Microsoft

    @cached_property
    def http_pool(self) -> "HttpPool":
        """Return the process's connections."""
        from shared.adapters.http_pool import HttpPool

        return HttpPool()

    @cached_property
    def credentials(self) -> "AppCredentials":
        """Return the identities the app calls Graph with."""
        from shared.adapters.app_credentials import AppCredentials

        return AppCredentials(self.settings, self.secrets, self.http_pool)

    @cached_property
    def secrets(self) -> "KeyVaultSecrets":
        """Return the secrets in Key Vault."""
        from shared.adapters.key_vault import KeyVaultSecrets

        return KeyVaultSecrets(
            self.settings,
            lambda: self.credentials.managed_identity,
            transport=lambda: self.credentials.transport(),  # noqa: PLW0108 - made when asked
        )

    @cached_property
    def tokens(self) -> "EntraTokenVerifier":
        """Return what checks callers' tokens."""
        from shared.adapters.entra import EntraTokenVerifier

        return EntraTokenVerifier(self.settings, self.http_pool, self.clock)

    @cached_property
    def client_states(self) -> "HmacClientStateSigner":
        """Return what makes and checks client states."""
        from shared.adapters.client_states import HmacClientStateSigner

        return HmacClientStateSigner(self.secrets)

    @cached_property
    def consent_signer(self) -> "Signer":
        """Return what signs the state of consent links."""
        from shared.adapters.signing import HmacSigner

        return HmacSigner(self.secrets, "consent-state-key")

    @cached_property
    def graph(self) -> "GraphClient":
        """Return the process's way to Graph."""
        from shared.adapters.graph.client import GraphClient

        return GraphClient(
            self.settings,
            self.credentials,
            self.http_pool,
            self.consent_monitor.on_denied,
            self.throttle_counts,
        )

    @cached_property
    def throttle_counts(self) -> "Counter[TenantId]":
        """Return how often Graph asked this process to wait, by tenant."""
        from collections import Counter

        return Counter()

    @cached_property
    def consent_monitor(self) -> "ConsentMonitor":
        """Return what notices that a tenant has shut the app out."""
        from shared.administration.consent_monitor import ConsentMonitor

        return ConsentMonitor(
            organizations=lambda: self.organizations,
            probes=lambda: self.probes,
            changes=lambda: self.changes,
            clock=self.clock,
        )

    @cached_property
    def directory(self) -> "Directory":
        """Return the tenants' directories."""
        from shared.adapters.graph.people import GraphDirectory

        return GraphDirectory(self.graph)

    @cached_property
    def schedules(self) -> "Schedules":
        """Return what reads free/busy."""
        from shared.adapters.graph.schedules import GraphSchedules

        return GraphSchedules(self.graph)

    @cached_property
    def calendar(self) -> "Calendar":
        """Return what writes and reads our events."""
        from shared.adapters.graph.events import GraphCalendar

        return GraphCalendar(self.graph)

    @cached_property
    def graph_subscriptions(self) -> "GraphSubscriptions":
        """Return subscriptions at Graph."""
        from shared.adapters.graph.subscriptions import GraphSubscriptionService

        return GraphSubscriptionService(self.graph, self.settings.public_url)

    @cached_property
    def probes(self) -> "Probes":
        """Return what tries out each capability."""
        from shared.adapters.graph.probes import GraphProbes

        return GraphProbes(self.graph, self.credentials, self.app)

    # --- towards our storage

    @cached_property
    def tables(self) -> "Tables":
        """Return the storage account's tables."""
        from shared.adapters.tables.client import Tables, table_service

        return Tables(
            table_service(
                self.settings.storage_tables_url,
                self.credentials.managed_identity,
                transport=self.credentials.transport(),
            )
        )

    @cached_property
    def queues(self) -> "Queues":
        """Return the storage account's queues."""
        from shared.adapters.queues import Queues

        return Queues(
            self.settings.storage_queues_url,
            lambda: self.credentials.managed_identity,
            transport=lambda: self.credentials.transport(),  # noqa: PLW0108 - made when asked
        )

    @cached_property
    def organizations(self) -> "OrganizationStore":
        """Return where organizations are kept."""
        from shared.adapters.tables.organizations import TableOrganizations

        return TableOrganizations(self.tables)

    @cached_property
    def pairings(self) -> "PairingStore":
        """Return where pairings are kept."""
        from shared.adapters.tables.pairings import TablePairings

        return TablePairings(self.tables)

    @cached_property
    def sessions(self) -> "SessionStore":
        """Return where sessions are kept."""
        from shared.adapters.tables.sessions import TableSessions

        return TableSessions(self.tables)

    @cached_property
    def subscriptions(self) -> "SubscriptionStore":
        """Return where subscriptions are remembered."""
        from shared.adapters.tables.subscriptions import TableSubscriptions

        return TableSubscriptions(self.tables)

    @cached_property
    def due(self) -> "DueStore":
        """Return the work that comes due."""
        from shared.adapters.tables.due import TableDue

        return TableDue(self.tables)

    @cached_property
    def changes(self) -> "ChangeStore":
        """Return the change feeds."""
        from shared.adapters.tables.changes import TableChanges

        feed = TableChanges(self.tables)
        if not self.settings.webhook_url:
            return feed
        from shared.adapters.webhooks import NotifyingChangeStore

        return NotifyingChangeStore(feed, self.jobs)

    @cached_property
    def deliveries(self) -> "DeliveryStore":
        """Return how far the platform was told."""
        from shared.adapters.tables.deliveries import TableDeliveries

        return TableDeliveries(self.tables)

    @cached_property
    def delivery_ports(self) -> "DeliveryPorts | None":
        """Return what telling the platform needs; None: it is not to be told."""
        if not self.settings.webhook_url:
            return None
        from shared.adapters.webhooks import HttpWebhookClient
        from shared.changes.delivery import DeliveryPorts

        receiver = HttpWebhookClient(self.settings.webhook_url, self.secrets, self.http_pool)
        return DeliveryPorts(self.changes, self.deliveries, receiver, self.clock)

    @cached_property
    def jobs(self) -> "JobQueue":
        """Return the `jobs` queue."""
        from shared.adapters.queues import StorageJobQueue

        return StorageJobQueue(self.queues)

    @cached_property
    def notification_queue(self) -> "NotificationQueue":
        """Return the `notifications` queue."""
        from shared.adapters.queues import StorageNotificationQueue

        return StorageNotificationQueue(self.queues)

    # --- within this process

    @cached_property
    def notification_limiter(self) -> "NotificationLimiter":
        """Return how much each mailbox may have queued."""
        from shared.notifications.rate_limiting import NotificationLimiter

        return NotificationLimiter(self.clock)

    @cached_property
    def mailbox_limiter(self) -> "MailboxLimiter":
        """Return whose turn it is to be read."""
        from shared.notifications.rate_limiting import MailboxLimiter

        return MailboxLimiter()

    @cached_property
    def push_seen_throttle(self) -> "PushSeenThrottle":
        """Return what keeps it from being noted all the time that push works."""
        from shared.notifications.rate_limiting import PushSeenThrottle

        return PushSeenThrottle()

    # --- together

    @cached_property
    def session_ports(self) -> "SessionPorts":
        """Return what everything about sessions needs."""
        from shared.sessions.ports import SessionPorts

        return SessionPorts(
            schedules=self.schedules,
            calendar=self.calendar,
            sessions=self.sessions,
            jobs=self.jobs,
            changes=self.changes,
            due=self.due,
            clock=self.clock,
        )

    @cached_property
    def subscription_ports(self) -> "SubscriptionPorts":
        """Return what following mailboxes needs."""
        from shared.subscriptions.maintenance import SubscriptionPorts

        return SubscriptionPorts(
            graph=self.graph_subscriptions,
            subscriptions=self.subscriptions,
            states=self.client_states,
            sessions=self.sessions,
            due=self.due,
            jobs=self.jobs,
            clock=self.clock,
        )

    @cached_property
    def consent_ports(self) -> "ConsentPorts":
        """Return what consent needs."""
        from shared.organizations.consent import ConsentPorts

        return ConsentPorts(
            organizations=self.organizations,
            signer=self.consent_signer,
            probes=self.probes,
            clock=self.clock,
        )

    @cached_property
    def offboarding_ports(self) -> "OffboardingPorts":
        """Return what offboarding needs."""
        from shared.adapters.tables.tenant_rows import TableTenantRows
        from shared.administration.offboarding import OffboardingPorts

        return OffboardingPorts(
            organizations=self.organizations,
            pairings=self.pairings,
            sessions=self.sessions,
            subscriptions=self.subscriptions,
            changes=self.changes,
            due=self.due,
            rows=TableTenantRows(self.tables),
            graph=self.graph_subscriptions,
            calendar=self.calendar,
            clock=self.clock,
        )

    @property
    def dependencies(self) -> "Mapping[str, HealthCheck]":
        """Return a check of each part that this deployment stands on."""
        return {
            "tables": self.tables.ping,
            "queues": self.queues.ping,
            "key_vault": self.client_states.ping,
            "entra": self.tokens.ping,
        }

    @cached_property
    def telemetry(self) -> "Telemetry":
        """Return what sends spans and figures."""
        from shared.adapters.telemetry import Telemetry

        def identity() -> "TokenCredential":
            from azure.identity import ManagedIdentityCredential

            return ManagedIdentityCredential(client_id=self.settings.managed_identity_client_id)

        return Telemetry(self.settings, identity)

    async def aclose(self) -> None:
        """Close every connection that was made."""
        if "telemetry" in self.__dict__:
            await self.telemetry.aclose()
        for name in ("tables", "queues", "secrets", "credentials", "http_pool"):
            if name in self.__dict__:
                await self.__dict__[name].aclose()


@cache
def wiring() -> Wiring:
    """Return the wiring of this process."""
    made = Wiring(Settings.from_environment())
    if made.settings.telemetry_connection_string:
        made.telemetry.start()
    return made
