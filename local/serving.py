"""Serves aiohttp applications on free ports of this machine, over TLS or plain.

A port is taken before the application is made, so an application may know its own address.
"""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Address:
    """A port that is ours already."""

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


@asynccontextmanager
async def serving(app: web.Application, address: Address) -> AsyncIterator[None]:
    """Serve *app* while the block runs."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, address.taken, ssl_context=address.tls).start()
        yield
    finally:
        await runner.cleanup()
        address.taken.close()
