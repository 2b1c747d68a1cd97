"""Runs each port's suite on its fake and on its adapter, which uses a real Azurite.

Without Azurite the tests fail, and the message has the remedy: a contract that only the fake passes
proves nothing.
"""

from collections.abc import AsyncIterator
from typing import Literal

import aiohttp
import pytest
import pytest_asyncio
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableServiceClient

from local.azurite import ACCOUNT, Azurite, azurite
from local.certificate import LocalCertificate, ensure_certificate
from shared.adapters.queues import Queues
from shared.adapters.tables.changes import TableChanges
from shared.adapters.tables.client import Tables, table_service
from shared.adapters.tables.deliveries import TableDeliveries
from shared.adapters.tables.due import TableDue
from shared.adapters.tables.keys import DUE, ORGANIZATIONS
from shared.adapters.tables.lost_mailboxes import TableLostMailboxes
from shared.adapters.tables.organizations import TableOrganizations
from shared.adapters.tables.pairings import TablePairings
from shared.adapters.tables.sessions import TableSessions
from shared.adapters.tables.subscriptions import TableSubscriptions
from shared.adapters.tables.usages import TableUsages
from shared.changes.ports import ChangeStore, DeliveryStore
from shared.jobs import DueStore
from shared.limits.ports import UsageStore
from shared.organizations.lost_mailboxes import LostMailboxStore
from shared.organizations.ports import OrganizationStore
from shared.pairings.ports import PairingStore
from shared.sessions.ports import SessionStore
from shared.subscriptions.ports import SubscriptionStore
from tests.fakes import (
    InMemoryChanges,
    InMemoryDeliveries,
    InMemoryDue,
    InMemoryLostMailboxes,
    InMemoryOrganizations,
    InMemoryPairings,
    InMemorySessions,
    InMemorySubscriptions,
    InMemoryUsages,
)

# The emulator's account and key are public, the same everywhere:
# https://learn.microsoft.com/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key
KEY = AzureNamedKeyCredential(
    ACCOUNT,
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)

Kind = Literal["in memory", "storage"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> LocalCertificate:
    return ensure_certificate(tmp_path_factory.mktemp("certificate"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def storage(certificate: LocalCertificate) -> AsyncIterator[Azurite]:
    async with azurite(certificate) as running:
        yield running


@pytest.fixture
async def transport(certificate: LocalCertificate) -> AsyncIterator[AioHttpTransport]:
    connector = aiohttp.TCPConnector(ssl=certificate.client_context())
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield AioHttpTransport(session=session, session_owner=False)


@pytest.fixture
async def service(
    storage: Azurite, transport: AioHttpTransport
) -> AsyncIterator[TableServiceClient]:
    async with table_service(storage.tables_url, KEY, transport) as client:
        yield client


@pytest.fixture
def tables(service: TableServiceClient) -> Tables:
    return Tables(service)


@pytest.fixture
async def queues(storage: Azurite, transport: AioHttpTransport) -> AsyncIterator[Queues]:
    queues = Queues(storage.queues_url, lambda: KEY, transport=lambda: transport)
    yield queues
    await queues.aclose()


@pytest.fixture(params=["in memory", "storage"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return "in memory" if request.param == "in memory" else "storage"


@pytest.fixture
def on_storage(kind: Kind, request: pytest.FixtureRequest) -> Tables | None:
    """Return the tables for the adapter; None for the fake, which needs no Azurite."""
    if kind == "in memory":
        return None
    tables: Tables = request.getfixturevalue("tables")
    return tables


@pytest.fixture
def sessions(on_storage: Tables | None, changes: ChangeStore) -> SessionStore:
    return TableSessions(on_storage, changes) if on_storage else InMemorySessions(changes)


@pytest.fixture
def pairings(on_storage: Tables | None) -> PairingStore:
    return TablePairings(on_storage) if on_storage else InMemoryPairings()


@pytest.fixture
def subscriptions(on_storage: Tables | None) -> SubscriptionStore:
    return TableSubscriptions(on_storage) if on_storage else InMemorySubscriptions()


@pytest.fixture
def lost_mailboxes(on_storage: Tables | None) -> LostMailboxStore:
    return TableLostMailboxes(on_storage) if on_storage else InMemoryLostMailboxes()


@pytest.fixture
def usages(on_storage: Tables | None) -> UsageStore:
    return TableUsages(on_storage) if on_storage else InMemoryUsages()


@pytest.fixture
def changes(on_storage: Tables | None) -> ChangeStore:
    return TableChanges(on_storage) if on_storage else InMemoryChanges()


@pytest.fixture
def deliveries(on_storage: Tables | None) -> DeliveryStore:
    return TableDeliveries(on_storage) if on_storage else InMemoryDeliveries()


@pytest.fixture
async def organizations(
    on_storage: Tables | None, request: pytest.FixtureRequest
) -> OrganizationStore:
    if on_storage is None:
        return InMemoryOrganizations()
    await _empty(request, ORGANIZATIONS)
    return TableOrganizations(on_storage)


@pytest.fixture
async def due(on_storage: Tables | None, request: pytest.FixtureRequest) -> DueStore:
    if on_storage is None:
        return InMemoryDue()
    await _empty(request, DUE)
    return TableDue(on_storage)


@pytest.fixture
async def stored_due(tables: Tables, request: pytest.FixtureRequest) -> TableDue:
    """Return the adapter, without any due items."""
    await _empty(request, DUE)
    return TableDue(tables)


async def _empty(request: pytest.FixtureRequest, table: str) -> None:
    """Drop a table that all tests share; the adapter creates it again."""
    service: TableServiceClient = request.getfixturevalue("service")
    try:
        await service.delete_table(table)
    except ResourceNotFoundError:
        return
