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
    from shared.adapters.client_states import KeyedClientStates
    from shared.adapters.entra import EntraTokens
    from shared.adapters.graph.client import GraphClient
    from shared.adapters.key_vault import KeyVaultSecrets
    from shared.adapters.outbound import Outbound
    from shared.adapters.queues import Queues
    from shared.adapters.tables.client import Tables
    from shared.adapters.telemetry import Telemetry
    from shared.availability.ports import Schedules
    from shared.changes.delivery import Delivering
    from shared.changes.ports import ChangeStore, Deliveries
    from shared.checkup import Probe
    from shared.consent_watch import ConsentWatch
    from shared.due import DueStore
    from shared.ids import TenantId
    from shared.notifications.fairness import Budget, Turns
    from shared.notifications.ports import Outbox
    from shared.offboarding import Leaving
    from shared.organizations.consent import Consenting
    from shared.organizations.ports import AppFacts, OrganizationStore, Probes, Seals
    from shared.pairings.ports import PairingStore, People
    from shared.sessions.ports import Books, Calendar, Jobs, SessionStore
    from shared.subscriptions.ports import GraphSubscriptions, SubscriptionStore
    from shared.subscriptions.upkeep import Following


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
    def app(self) -> "AppFacts":
        """Return what links and remedies name of this deployment."""
        from shared.organizations.ports import AppFacts

        cloud = self.settings.cloud
        return AppFacts(
            client_id=self.settings.app_client_id,
            login_url=cloud.login_url,
            graph_url=cloud.graph_url,
            portal_url=cloud.portal_url,
            public_url=self.settings.public_url,
        )

    # --- towards Microsoft

    @cached_property
    def outbound(self) -> "Outbound":
        """Return the process's connections."""
        from shared.adapters.outbound import Outbound

        return Outbound()

    @cached_property
    def credentials(self) -> "AppCredentials":
        """Return the identities the app calls Graph with."""
        from shared.adapters.app_credentials import AppCredentials

        return AppCredentials(self.settings, self.secrets, self.outbound)

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
    def tokens(self) -> "EntraTokens":
        """Return what checks callers' tokens."""
        from shared.adapters.entra import EntraTokens

        return EntraTokens(self.settings, self.outbound, self.clock)

    @cached_property
    def client_states(self) -> "KeyedClientStates":
        """Return what makes and checks client states."""
        from shared.adapters.client_states import KeyedClientStates

        return KeyedClientStates(self.secrets)

    @cached_property
    def consent_seals(self) -> "Seals":
        """Return what signs the state of consent links."""
        from shared.adapters.seals import KeyedSeals

        return KeyedSeals(self.secrets, "consent-state-key")

    @cached_property
    def graph(self) -> "GraphClient":
        """Return the process's way to Graph."""
        from shared.adapters.graph.client import GraphClient

        return GraphClient(
            self.settings,
            self.credentials,
            self.outbound,
            self.consent_watch.suspect,
            self.throttled,
        )

    @cached_property
    def throttled(self) -> "Counter[TenantId]":
        """Return how often Graph asked this process to wait, by tenant."""
        from collections import Counter

        return Counter()

    @cached_property
    def consent_watch(self) -> "ConsentWatch":
        """Return what notices that a tenant has shut the app out."""
        from shared.consent_watch import ConsentWatch

        return ConsentWatch(
            organizations=lambda: self.organizations,
            probes=lambda: self.probes,
            changes=lambda: self.changes,
            clock=self.clock,
        )

    @cached_property
    def people(self) -> "People":
        """Return the tenants' directories."""
        from shared.adapters.graph.people import GraphPeople

        return GraphPeople(self.graph)

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
        from shared.adapters.webhooks import ToldChanges

        return ToldChanges(feed, self.jobs)

    @cached_property
    def deliveries(self) -> "Deliveries":
        """Return how far the platform was told."""
        from shared.adapters.tables.deliveries import TableDeliveries

        return TableDeliveries(self.tables)

    @cached_property
    def delivering(self) -> "Delivering | None":
        """Return what telling the platform needs; None: it is not to be told."""
        if not self.settings.webhook_url:
            return None
        from shared.adapters.webhooks import WebhookReceiver
        from shared.changes.delivery import Delivering

        receiver = WebhookReceiver(self.settings.webhook_url, self.secrets, self.outbound)
        return Delivering(self.changes, self.deliveries, receiver, self.clock)

    @cached_property
    def jobs(self) -> "Jobs":
        """Return the `jobs` queue."""
        from shared.adapters.queues import StorageJobs

        return StorageJobs(self.queues)

    @cached_property
    def outbox(self) -> "Outbox":
        """Return the `notifications` queue."""
        from shared.adapters.queues import StorageOutbox

        return StorageOutbox(self.queues)

    # --- within this process

    @cached_property
    def budget(self) -> "Budget":
        """Return how much each mailbox may have queued."""
        from shared.notifications.fairness import Budget

        return Budget(self.clock)

    @cached_property
    def turns(self) -> "Turns":
        """Return whose turn it is to be read."""
        from shared.notifications.fairness import Turns

        return Turns()

    # --- together

    @cached_property
    def books(self) -> "Books":
        """Return what everything about sessions needs."""
        from shared.sessions.ports import Books

        return Books(
            schedules=self.schedules,
            calendar=self.calendar,
            sessions=self.sessions,
            jobs=self.jobs,
            changes=self.changes,
            due=self.due,
            clock=self.clock,
        )

    @cached_property
    def following(self) -> "Following":
        """Return what following mailboxes needs."""
        from shared.subscriptions.upkeep import Following

        return Following(
            graph=self.graph_subscriptions,
            subscriptions=self.subscriptions,
            states=self.client_states,
            sessions=self.sessions,
            due=self.due,
            jobs=self.jobs,
            clock=self.clock,
        )

    @cached_property
    def consenting(self) -> "Consenting":
        """Return what consent needs."""
        from shared.organizations.consent import Consenting

        return Consenting(
            organizations=self.organizations,
            seals=self.consent_seals,
            probes=self.probes,
            clock=self.clock,
        )

    @cached_property
    def leaving(self) -> "Leaving":
        """Return what offboarding needs."""
        from shared.adapters.tables.leaving import TableTenantRows
        from shared.offboarding import Leaving

        return Leaving(
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
    def dependencies(self) -> "Mapping[str, Probe]":
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
        for name in ("tables", "queues", "secrets", "credentials", "outbound"):
            if name in self.__dict__:
                await self.__dict__[name].aclose()


@cache
def wiring() -> Wiring:
    """Return the wiring of this process."""
    made = Wiring(Settings.from_environment())
    if made.settings.telemetry_connection_string:
        made.telemetry.start()
    return made
