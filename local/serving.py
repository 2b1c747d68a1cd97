"""Serves aiohttp applications on free ports of this machine, over TLS or plain.

A port is taken before the application is made, so an application may know its own address.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from weakref import WeakSet

from aiohttp import web

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Address:
    """An address whose port is taken by this process."""

    taken: socket.socket
    tls: ssl.SSLContext | None

    @property
    def port(self) -> int:
        """The number of it."""
        return int(self.taken.getsockname()[1])

    @property
    def url(self) -> str:
        """``https://localhost:PORT``; without TLS by address, as App Service's endpoint is."""
        return f"https://localhost:{self.port}" if self.tls else f"http://{HOST}:{self.port}"


def take_address(tls: ssl.SSLContext | None = None, port: int = 0) -> Address:
    """Take *port*, or a free one. OSError if it is in use."""
    return Address(socket.create_server((HOST, port)), tls)


class Acceptor:
    """Hands the connections of a listening socket to a server, and leaves none behind.

    aiohttp's sites lose a connection that comes while they stop, and one whose TLS handshake is
    under way then. A connection over TLS whose client does not answer the end stays open for half a
    minute. Each stays until it is collected, which Python warns of.
    """

    def __init__(
        self, server: web.Server | None, listening: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        if server is None:
            raise RuntimeError("The runner is not set up.")
        self._server, self._listening, self._tls = server, listening, tls
        self._connecting: dict[asyncio.Task[None], socket.socket] = {}
        self._connected: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Accept connections from now on."""
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._accept)

    async def stop(self) -> None:
        """Stop accepting, and end the handshakes in progress."""
        self._loop.remove_reader(self._listening)
        connecting = dict(self._connecting)
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        for connection in connecting.values():
            connection.close()

    async def abort(self) -> None:
        """End the connections that are still open, without the client's consent."""
        for transport in list(self._connected):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        for _ in range(2):  # the transport below TLS closes in a later turn
            await asyncio.sleep(0)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return  # the peer is gone already
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection))
        self._connecting[task] = connection
        task.add_done_callback(self._connecting.pop)

    async def _connect(self, connection: socket.socket) -> None:
        with suppress(OSError):  # a handshake that failed; asyncio has closed the connection
            transport, _ = await self._loop.connect_accepted_socket(
                self._server, connection, ssl=self._tls
            )
            self._connected.add(transport)


@asynccontextmanager
async def serving(app: web.Application, address: Address) -> AsyncIterator[None]:
    """Serve *app* while the block runs."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    acceptor = Acceptor(runner.server, address.taken, address.tls)
    acceptor.start()
    try:
        yield
    finally:
        await acceptor.stop()
        await runner.cleanup()
        await acceptor.abort()
        address.taken.close()
