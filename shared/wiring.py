"""The composition root: builds the adapter of each port."""

from functools import cache, cached_property
from typing import TYPE_CHECKING

from shared.clock import Clock, SystemClock
from shared.settings import Settings

# Each property imports its adapter: a cold start for the webhook's handshake then loads none, and
# the Graph SDK is loaded at the first call to Graph.
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
    from shared.administration.look_ports import LookPorts
    from shared.administration.offboarding import OffboardingPorts
    from shared.availability.ports import Schedules
    from shared.changes.delivery import DeliveryPorts
    from shared.changes.ports import ChangeStore, DeliveryStore
    from shared.health import HealthCheck, PublicHealth
    from shared.ids import TenantId
    from shared.jobs import DueStore, JobQueue
    from shared.limits.limiter import CallLimiter
    from shared.notifications.ports import NotificationQueue
    from shared.notifications.rate_limiting import (
        MailboxLimiter,
        NotificationLimiter,
        PushSeenThrottle,
    )
    from shared.organizations.consent_model import ConsentPorts
    from shared.organizations.lost_mailboxes import LostMailboxStore
    from shared.organizations.ports import (
        AppRegistration,
        OrganizationStore,
        Probes,
        Signer,
        SignIn,
    )
    from shared.pairings.ports import Directory, PairingStore
    from shared.sessions.ports import Calendar, SessionPorts, SessionStore
    from shared.subscriptions.maintenance import SubscriptionPorts
    from shared.subscriptions.ports import GraphSubscriptions, SubscriptionStore


class Wiring:
    """The adapters of one worker process, each built at its first use.

    An instance belongs to the event loop of its first use.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()

    @property
    def authorization_url(self) -> str:
        """The sign-in URL for clients, in `WWW-Authenticate` challenges."""
        return f"{self.settings.cloud.login_url}/common/oauth2/v2.0/authorize"

    @property
    def app(self) -> "AppRegistration":
        """The facts about this deployment in links and remedies."""
        from shared.organizations.ports import AppRegistration

        cloud = self.settings.cloud
        return AppRegistration(
            client_id=self.settings.app_client_id,
            login_url=cloud.login_url,
            graph_url=cloud.graph_url,
            portal_url=cloud.portal_url,
            public_url=self.settings.public_url,
        )

    # --- Microsoft: Entra, Key Vault, Graph

    @cached_property
    def http_pool(self) -> "HttpPool":
        """The connection pool of the process."""
        from shared.adapters.http_pool import HttpPool

        return HttpPool()

    @cached_property
    def credentials(self) -> "AppCredentials":
        """The identities that the app calls Graph with."""
        from shared.adapters.app_credentials import AppCredentials

        return AppCredentials(self.settings, self.secrets, self.http_pool)

    @cached_property
    def secrets(self) -> "KeyVaultSecrets":
        """The secrets in Key Vault."""
        from shared.adapters.key_vault import KeyVaultSecrets

        return KeyVaultSecrets(
            self.settings,
            lambda: self.credentials.managed_identity,
            transport=lambda: self.credentials.transport(),  # noqa: PLW0108 - made when asked
        )

    @cached_property
    def tokens(self) -> "EntraTokenVerifier":
        """The verifier of callers' Entra tokens."""
        from shared.adapters.entra import EntraTokenVerifier

        return EntraTokenVerifier(self.settings, self.http_pool, self.clock)

    @cached_property
    def client_states(self) -> "HmacClientStateSigner":
        """The signer of client states, which notifications echo."""
        from shared.adapters.client_states import HmacClientStateSigner

        return HmacClientStateSigner(self.secrets)

    @cached_property
    def consent_signer(self) -> "Signer":
        """The signer of the state in consent links."""
        from shared.adapters.signing import HmacSigner

        return HmacSigner(self.secrets, "consent-state-key")

    @cached_property
    def sign_in(self) -> "SignIn":
        """The sign-in of administrators at Entra, which proves their tenant."""
        from shared.adapters.entra_sign_in import EntraSignIn

        return EntraSignIn(self.settings, self.credentials, self.tokens, self.http_pool)

    @cached_property
    def graph(self) -> "GraphClient":
        """The Graph client of the process."""
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
        """The number of times Graph throttled this process, by tenant."""
        from collections import Counter

        return Counter()

    @cached_property
    def consent_monitor(self) -> "ConsentMonitor":
        """The monitor that detects withdrawn consent."""
        from shared.administration.consent_monitor import ConsentMonitor

        return ConsentMonitor(
            organizations=lambda: self.organizations,
            probes=lambda: self.probes,
            changes=lambda: self.changes,
            clock=self.clock,
        )

    @cached_property
    def directory(self) -> "Directory":
        """The `Directory` port on Microsoft Graph."""
        from shared.adapters.graph.people import GraphDirectory

        return GraphDirectory(self.graph)

    @cached_property
    def schedules(self) -> "Schedules":
        """The `Schedules` port on Microsoft Graph: reads free/busy."""
        from shared.adapters.graph.schedules import GraphSchedules

        return GraphSchedules(self.graph)

    @cached_property
    def calendar(self) -> "Calendar":
        """The `Calendar` port on Microsoft Graph: reads and writes events."""
        from shared.adapters.graph.events import GraphCalendar

        return GraphCalendar(self.graph)

    @cached_property
    def graph_subscriptions(self) -> "GraphSubscriptions":
        """The `GraphSubscriptions` port on Microsoft Graph."""
        from shared.adapters.graph.subscriptions import GraphSubscriptionService

        return GraphSubscriptionService(self.graph, self.settings.public_url)

    @cached_property
    def probes(self) -> "Probes":
        """The `Probes` port on Microsoft Graph: probes each capability of the app."""
        from shared.adapters.graph.probes import GraphProbes

        return GraphProbes(self.graph, self.credentials, self.app)

    # --- our storage: tables and queues

    @cached_property
    def tables(self) -> "Tables":
        """The tables of the storage account."""
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
        """The queues of the storage account."""
        from shared.adapters.queues import Queues

        return Queues(
            self.settings.storage_queues_url,
            lambda: self.credentials.managed_identity,
            transport=lambda: self.credentials.transport(),  # noqa: PLW0108 - made when asked
        )

    @cached_property
    def organizations(self) -> "OrganizationStore":
        """The store of organizations in Table Storage."""
        from shared.adapters.tables.organizations import TableOrganizations

        return TableOrganizations(self.tables)

    @cached_property
    def pairings(self) -> "PairingStore":
        """The store of pairings in Table Storage."""
        from shared.adapters.tables.pairings import TablePairings

        return TablePairings(self.tables)

    @cached_property
    def sessions(self) -> "SessionStore":
        """The store of sessions in Table Storage."""
        from shared.adapters.tables.sessions import TableSessions

        return TableSessions(self.tables, self.changes)

    @cached_property
    def subscriptions(self) -> "SubscriptionStore":
        """The store of subscriptions in Table Storage."""
        from shared.adapters.tables.subscriptions import TableSubscriptions

        return TableSubscriptions(self.tables)

    @cached_property
    def lost_mailboxes(self) -> "LostMailboxStore":
        """The store of lost mailboxes in Table Storage."""
        from shared.adapters.tables.lost_mailboxes import TableLostMailboxes

        return TableLostMailboxes(self.tables)

    @cached_property
    def due(self) -> "DueStore":
        """The store of due items in Table Storage."""
        from shared.adapters.tables.due import TableDue

        return TableDue(self.tables)

    @cached_property
    def changes(self) -> "ChangeStore":
        """The store of change feeds; with a webhook it also queues their delivery."""
        from shared.adapters.tables.changes import TableChanges

        feed = TableChanges(self.tables)
        if not self.settings.webhook_url:
            return feed
        from shared.adapters.webhooks import NotifyingChangeStore

        return NotifyingChangeStore(feed, self.jobs)

    @cached_property
    def deliveries(self) -> "DeliveryStore":
        """The store of the webhook's delivery states in Table Storage."""
        from shared.adapters.tables.deliveries import TableDeliveries

        return TableDeliveries(self.tables)

    @cached_property
    def delivery_ports(self) -> "DeliveryPorts | None":
        """The ports of webhook delivery; None: this deployment has no webhook."""
        if not self.settings.webhook_url:
            return None
        from shared.adapters.webhooks import HttpWebhookClient
        from shared.changes.delivery import DeliveryPorts

        receiver = HttpWebhookClient(self.settings.webhook_url, self.secrets, self.http_pool)
        return DeliveryPorts(self.changes, self.deliveries, receiver, self.clock)

    @cached_property
    def jobs(self) -> "JobQueue":
        """The `jobs` queue."""
        from shared.adapters.queues import StorageJobQueue

        return StorageJobQueue(self.queues)

    @cached_property
    def notification_queue(self) -> "NotificationQueue":
        """The `notifications` queue."""
        from shared.adapters.queues import StorageNotificationQueue

        return StorageNotificationQueue(self.queues)

    # --- limiters of this process

    @cached_property
    def notification_limiter(self) -> "NotificationLimiter":
        """The limit of queued notifications per mailbox."""
        from shared.notifications.rate_limiting import NotificationLimiter

        return NotificationLimiter(self.clock)

    @cached_property
    def mailbox_limiter(self) -> "MailboxLimiter":
        """The limit of concurrent events per mailbox."""
        from shared.notifications.rate_limiting import MailboxLimiter

        return MailboxLimiter()

    @cached_property
    def push_seen_throttle(self) -> "PushSeenThrottle":
        """The limit of how often a working push is recorded."""
        from shared.notifications.rate_limiting import PushSeenThrottle

        return PushSeenThrottle()

    @cached_property
    def limiter(self) -> "CallLimiter":
        """The limits of what callers and organizations do."""
        from shared.adapters.tables.usages import TableUsages
        from shared.limits.limiter import CallLimiter
        from shared.limits.model import Budget, Limits, Spending

        known = self.settings.limits
        limits = Limits(
            participant={
                Spending.CHANGES: Budget(known.changes_per_minute, known.changes_per_day),
                Spending.READS: Budget(known.reads_per_minute),
            },
            organization={
                Spending.CHANGES: Budget(
                    known.organization_changes_per_minute, known.organization_changes_per_day
                ),
                Spending.READS: Budget(known.organization_reads_per_minute),
            },
            unanswered=known.unanswered_dates,
        )
        return CallLimiter(limits, TableUsages(self.tables), self.clock)

    # --- the ports of each use-case

    @cached_property
    def session_ports(self) -> "SessionPorts":
        """The ports of the use-cases about sessions."""
        from shared.sessions.ports import SessionPorts

        return SessionPorts(
            schedules=self.schedules,
            calendar=self.calendar,
            sessions=self.sessions,
            jobs=self.jobs,
            due=self.due,
            limiter=self.limiter,
            clock=self.clock,
        )

    @cached_property
    def subscription_ports(self) -> "SubscriptionPorts":
        """The ports of the use-cases about subscriptions."""
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
    def look_ports(self) -> "LookPorts":
        """The ports of looking at mailboxes that refused a read."""
        from shared.administration.look_ports import LookPorts

        return LookPorts(
            organizations=self.organizations,
            pairings=self.pairings,
            directory=self.directory,
            lost=self.lost_mailboxes,
            changes=self.changes,
            probes=self.probes,
            sessions=self.session_ports,
            subscriptions=self.subscription_ports,
        )

    @cached_property
    def consent_ports(self) -> "ConsentPorts":
        """The ports of consent."""
        from shared.organizations.consent_model import ConsentPorts

        return ConsentPorts(
            app=self.app,
            organizations=self.organizations,
            signer=self.consent_signer,
            sign_in=self.sign_in,
            probes=self.probes,
            clock=self.clock,
            on_granting=self.consent_monitor.on_granting,
        )

    @cached_property
    def offboarding_ports(self) -> "OffboardingPorts":
        """The ports of offboarding."""
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
        """The health check of each service that this deployment depends on."""
        return {
            "tables": self.tables.ping,
            "queues": self.queues.ping,
            "key_vault": self.client_states.ping,
            "entra": self.tokens.ping,
            "app_credential": self.credentials.ping,
        }

    @cached_property
    def health(self) -> "PublicHealth":
        """The health of this deployment, for callers without a token."""
        from shared.health import PublicHealth

        return PublicHealth(lambda: self.dependencies, self.clock)

    @cached_property
    def telemetry(self) -> "Telemetry":
        """The sender of spans and metrics to Azure Monitor."""
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
