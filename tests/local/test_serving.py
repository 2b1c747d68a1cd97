"""Applications on free ports, and that they leave no connection when they stop."""

import asyncio
import gc
import socket
import ssl
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from local.certificate import ensure_certificate
from local.serving import serving, take_address


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("turns", range(8))
async def test_no_connection_is_left_behind(tmp_path: Path, *, tls: bool, turns: int) -> None:
    """Stop a server *turns* of the loop after a silent client has connected."""
    context = ensure_certificate(tmp_path).server_context() if tls else None
    address = take_address(context)
    async with serving(web.Application(), address):
        client = socket.create_connection(address.taken.getsockname())
        for _ in range(turns):
            await asyncio.sleep(0)
    for _ in range(3):  # closing a transport takes effect in a later turn
        await asyncio.sleep(0)
    client.settimeout(100)
    with suppress(ConnectionResetError):  # if it was not accepted yet
        assert client.recv(1) == b""
    client.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(each.message) for each in caught] == []


async def test_client_that_does_not_answer_the_end_is_cut_off(tmp_path: Path) -> None:
    """Close over TLS while a client keeps its connection open and reads nothing."""
    files = ensure_certificate(tmp_path)
    address = take_address(files.server_context())
    async with serving(web.Application(), address):
        client = await asyncio.to_thread(_ask, address.port, files.client_context())
    rest = socket.socket(fileno=client.detach())
    rest.settimeout(10)
    with suppress(ConnectionResetError):
        while await asyncio.to_thread(rest.recv, 4096):
            pass
    rest.close()


def _ask(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    client = context.wrap_socket(
        socket.create_connection(("127.0.0.1", port)), server_hostname="localhost"
    )
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client.recv(4096).startswith(b"HTTP/1.1 404")
    return client
