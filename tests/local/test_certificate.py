"""The local certificate: for this machine's names alone, reused while valid."""

import asyncio
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web

from local.certificate import ensure_certificate
from local.serving import serving, take_address


async def _reach(port: int, host: str, context: ssl.SSLContext) -> list[tuple[str, str]]:
    """Connect; return the names in the server's certificate."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    shown: list[tuple[str, str]] = writer.get_extra_info("peercert")["subjectAltName"]
    writer.close()
    await writer.wait_closed()
    return shown


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
async def test_this_machines_names_are_trusted_by_the_authority(tmp_path: Path, host: str) -> None:
    files = ensure_certificate(tmp_path)
    address = take_address(files.server_context())
    async with serving(web.Application(), address):
        shown = await _reach(
            address.port, host, ssl.create_default_context(cafile=str(files.trust))
        )
    names = [str(ip_address(name)) if kind == "IP Address" else name for kind, name in shown]
    assert host in names


async def test_without_the_authority_it_is_not_trusted(tmp_path: Path) -> None:
    address = take_address(ensure_certificate(tmp_path).server_context())
    async with serving(web.Application(), address):
        with pytest.raises(ssl.SSLCertVerificationError):
            await _reach(address.port, "localhost", ssl.create_default_context())


async def test_other_names_are_not_covered(tmp_path: Path) -> None:
    files = ensure_certificate(tmp_path)
    address = take_address(files.server_context())
    async with serving(web.Application(), address):
        with pytest.raises(ssl.SSLCertVerificationError):
            await _reach(address.port, "login.microsoftonline.com", files.client_context())


def test_it_is_used_again_and_made_anew_when_broken(tmp_path: Path) -> None:
    first = ensure_certificate(tmp_path).certificate.read_bytes()
    assert ensure_certificate(tmp_path).certificate.read_bytes() == first
    (tmp_path / "localhost-key.pem").write_text("no key")
    assert ensure_certificate(tmp_path).certificate.read_bytes() != first


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert ensure_certificate(tmp_path).key.stat().st_mode & 0o077 == 0
