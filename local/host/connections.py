"""Finds storage queues by the name of a connection, as the host reads it from the settings.

``NAME`` (or ``AzureWebJobsNAME``) is a connection string; else ``NAME__queueServiceUri`` with
``NAME__credential=managedidentity`` and ``NAME__clientId`` have the address and the identity.

Source: https://learn.microsoft.com/azure/azure-functions/functions-reference#configure-an-identity-based-connection
"""

import ssl
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from local.host.timer_status import StoredStatuses, TimerStatuses

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

HOST_STORAGE: Final = "AzureWebJobsStorage"
# The meaning of `UseDevelopmentStorage=true`: the emulator's well-known account.
_DEVELOPMENT: Final = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
)


def check_connection(name: str, settings: Mapping[str, str]) -> None:
    """Raise ValueError, naming what is missing, if the connection *name* is not in *settings*."""
    if _connection_string(name, settings) is None and _service_uri(name, settings) is None:
        raise ValueError(
            f"the connection {name!r} is not set: neither the setting {name!r} (a connection"
            f" string) nor {name}__queueServiceUri exists"
        )
    way = settings.get(f"{name}__credential", "managedidentity")
    if way.lower() != "managedidentity":
        raise ValueError(f"{name}__credential={way!r}: only managedidentity is supported")


class Connections:
    """The queue services of one host, each opened on first use."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Look connections up in *settings*."""
        self._settings = settings
        self._services: dict[str, QueueServiceClient] = {}
        self._credentials: dict[str, AsyncTokenCredential] = {}

    def queue(self, connection: str, queue: str) -> "QueueClient":
        """Return a client of *queue* that neither encodes nor decodes contents."""
        if connection not in self._services:
            self._services[connection] = self._open(connection)
        return self._services[connection].get_queue_client(queue)

    def timer_statuses(self) -> TimerStatuses:
        """Return where the statuses of timers are kept: in memory without an identity's storage.

        ValueError: the host's storage has an identity and no blob service.
        """
        name, settings = HOST_STORAGE, self._settings
        account = settings.get(f"{name}__accountName")
        url = settings.get(f"{name}__blobServiceUri") or (
            f"https://{account}.blob.core.windows.net" if account else ""
        )
        if not url and _service_uri(name, settings) and not _connection_string(name, settings):
            raise ValueError(f"{name}__blobServiceUri is not set, where timers keep their status")
        if not url:
            return TimerStatuses()
        return StoredStatuses(url, self._session, lambda: self._credential(name))

    async def close(self) -> None:
        """Close the opened services."""
        for service in self._services.values():
            await service.close()
        for credential in self._credentials.values():
            await credential.close()
        if "_session" in self.__dict__:
            await self._session.close()

    # The SDKs are imported where they are used: half a second in which the host listens already.

    def _open(self, name: str) -> "QueueServiceClient":
        from azure.storage.queue.aio import QueueServiceClient

        options = self._options
        text = _connection_string(name, self._settings)
        if text is not None:
            return QueueServiceClient.from_connection_string(text, **options)
        uri = _service_uri(name, self._settings)
        if uri is None:
            raise ValueError(f"the connection {name!r} is not set")
        return QueueServiceClient(uri, credential=self._credential(name), **options)

    @property
    def _options(self) -> dict[str, Any]:
        from azure.core.pipeline.transport import AioHttpTransport

        transport = AioHttpTransport(session=self._session, session_owner=False)
        return {
            "transport": transport,
            "retry_total": 1,
        }  # a poll that fails is followed by another

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        # aiohttp reads SSL_CERT_FILE at its import, perhaps before the variable is set. The SDK's
        # `connection_verify` reads the file again for each request, which costs 37 ms.
        trusted = ssl.create_default_context(cafile=self._settings.get("SSL_CERT_FILE"))
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusted),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # the SDK's part
        )

    def _credential(self, name: str) -> "AsyncTokenCredential":
        from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

        if name in self._credentials:
            return self._credentials[name]
        client_id = self._settings.get(f"{name}__clientId") or self._settings.get("AZURE_CLIENT_ID")
        found: ManagedIdentityCredential | DefaultAzureCredential
        if f"{name}__credential" in self._settings:
            found = ManagedIdentityCredential(client_id=client_id, **self._options)
        else:
            found = DefaultAzureCredential(managed_identity_client_id=client_id, **self._options)
        self._credentials[name] = found
        return found


def _connection_string(name: str, settings: Mapping[str, str]) -> str | None:
    text = settings.get(f"AzureWebJobs{name}") or settings.get(name)
    if text and text.strip().rstrip(";").lower() == "usedevelopmentstorage=true":
        return _DEVELOPMENT
    return text or None


def _service_uri(name: str, settings: Mapping[str, str]) -> str | None:
    uri = settings.get(f"{name}__queueServiceUri")
    account = settings.get(f"{name}__accountName")
    # An account's name without a URL works only for the host's own storage.
    if not uri and account and name == HOST_STORAGE:
        return f"https://{account}.queue.core.windows.net"
    return uri or None
