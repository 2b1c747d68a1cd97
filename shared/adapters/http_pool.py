"""The one TLS context and the one pool of connections that a process has towards Microsoft.

Making a TLS context costs 15 ms and a client 2.5 ms, so everything that leaves through httpx shares
these; the Azure SDKs' own transport (aiohttp) borrows the context.
"""

# A name's address is looked up in a thread, where the first look-up would import this.
import encodings.idna  # noqa: F401
import logging
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    import httpx

# These write URLs, which search by address, and Entra's texts, which name accounts, into the log.
# What is worth a line of them is written by the adapters, with facts that cannot hold such things.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("azure").setLevel(logging.ERROR)


class HttpPool:
    """Connections of one process, made when first used. Belongs to the loop it is first used on."""

    def __init__(self, transport: "httpx.AsyncBaseTransport | None" = None) -> None:
        """Keep *transport* (what really sends) if one is given, else make one when needed."""
        self._given = transport

    @cached_property
    def tls(self) -> "ssl.SSLContext":
        """Return the context that trusts what SSL_CERT_FILE names, or the public roots."""
        import httpx

        return httpx.create_ssl_context()

    @cached_property
    def transport(self) -> "httpx.AsyncBaseTransport":
        """Return what really sends requests."""
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
        """Return a plain client: no credentials, no middleware, no redirects."""
        import httpx

        return httpx.AsyncClient(transport=self.transport, timeout=httpx.Timeout(8, connect=4))

    async def aclose(self) -> None:
        """Close the pool, if one was made."""
        if "transport" in self.__dict__:
            await self.transport.aclose()
