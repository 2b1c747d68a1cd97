"""The TLS context and the connection pool that all outgoing calls of a process share.

Creating a TLS context costs 15 ms and a client 2.5 ms. All calls by httpx share both; the Azure
SDKs' transport (aiohttp) shares the context.
"""

# Imported here, on the event loop's thread: the first DNS look-up, which runs in another thread,
# would import it otherwise.
import encodings.idna  # noqa: F401
import logging
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    import httpx

# These loggers write personal data: URLs that search by address, and texts of Entra that contain
# account names. The adapters log the same calls themselves, with fields that cannot contain any.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("azure").setLevel(logging.ERROR)


class HttpPool:
    """The connections of one process, opened on first use. Belongs to the loop of that use."""

    def __init__(self, transport: "httpx.AsyncBaseTransport | None" = None) -> None:
        """Use *transport* for all requests if it is given, else create one on first use."""
        self._given = transport

    @cached_property
    def tls(self) -> "ssl.SSLContext":
        """The TLS context: it trusts the certificates in SSL_CERT_FILE, or the public roots."""
        import httpx

        return httpx.create_ssl_context()

    @cached_property
    def transport(self) -> "httpx.AsyncBaseTransport":
        """The transport that sends requests over pooled connections."""
        import httpx

        return self._given or httpx.AsyncHTTPTransport(
            verify=self.tls,
            http2=False,
            limits=httpx.Limits(
                max_connections=200, max_keepalive_connections=50, keepalive_expiry=50
            ),
        )

    @cached_property
    def client(self) -> "httpx.AsyncClient":
        """A plain client: it adds no credentials and follows no redirects."""
        import httpx

        return httpx.AsyncClient(transport=self.transport, timeout=httpx.Timeout(8, connect=4))

    async def aclose(self) -> None:
        """Close the pool, if one was made."""
        if "transport" in self.__dict__:
            await self.transport.aclose()
