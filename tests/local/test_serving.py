"""Applications on free ports, and that they leave no connection when they stop."""

import asyncio
import gc
import socket
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
