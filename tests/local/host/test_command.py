"""The host as a process of its own, as `make start` and the end-to-end tests run it."""

import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from local.certificate import LocalCertificate
from tests.local.host.apps import HOST_JSON, an_app, fetching

ROOT = Path(__file__).parents[3]
HELLO = "@app.route('it')\ndef it(req: func.HttpRequest) -> str: return 'hello'\n"


@dataclass(slots=True)
class Command:
    """A running host."""

    process: asyncio.subprocess.Process
    ready: dict[str, Any]
    """Its line of JSON."""

    async def said(self) -> dict[str, Any]:
        """Return the next line of JSON."""
        assert self.process.stdout
        line = await self.process.stdout.readline()
        if not line:
            _, errors = await self.process.communicate()
            pytest.fail(f"It ended with {self.process.returncode}: {errors.decode()}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Stop it; return its exit code and its standard error."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@asynccontextmanager
async def command(app_dir: Path, *arguments: str, **settings: str) -> AsyncIterator[Command]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "local.host", "--app-dir", str(app_dir), *arguments),
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Command(process, {})
    try:
        running.ready = await running.said()
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_it_says_where_it_listens_and_stops_when_asked(tmp_path: Path) -> None:
    code = HELLO + "import os\nassert os.getcwd() == os.path.dirname(__file__)\n"
    async with command(an_app(tmp_path, code)) as host:
        assert host.ready["functions"] == ["it"]
        assert host.ready["failure"] is None
        async with fetching(host.ready["url"]) as client:
            assert await (await client.get("/api/it")).text() == "hello"
            key = {"x-functions-key": host.ready["master_key"]}
            assert (await client.get("/admin/host/status", headers=key)).status == 200
        status, errors = await host.stop()
    assert status == 0
    assert "Executed 'Functions.it' (Succeeded" in errors


async def test_a_bad_app_is_reported_and_every_url_is_not_found(tmp_path: Path) -> None:
    async with command(an_app(tmp_path, "def broken():\n    return 1 / 0\nbroken()")) as host:
        assert "ZeroDivisionError" in host.ready["failure"]
        async with fetching(host.ready["url"]) as client:
            assert (await client.get("/api/it")).status == 404
        status, errors = await host.stop(signal.SIGINT)
    assert status == 0
    assert "in broken" in errors


async def test_modules_of_the_hosts_own_folder_are_not_the_apps(tmp_path: Path) -> None:
    async with command(an_app(tmp_path, "import shared.clock\n" + HELLO)) as host:
        assert "No module named 'shared'" in host.ready["failure"]


async def test_https_with_a_certificate(tmp_path: Path, certificate: LocalCertificate) -> None:
    files = ("--certificate", str(certificate.certificate), "--key", str(certificate.key))
    async with command(an_app(tmp_path, HELLO), *files, "--host", "127.0.0.1") as host:
        url = host.ready["url"]
        assert url.startswith("https://127.0.0.1:")
        trust: ssl.SSLContext = certificate.client_context()
        async with ClientSession(connector=TCPConnector(ssl=trust)) as client:
            assert await (await client.get(f"{url}/api/it")).text() == "hello"


async def test_lines_that_azure_drops_are_marked(tmp_path: Path) -> None:
    code = """
        import logging
        logging.info("at import")
        logging.getLogger("azure.core").info("each request")
        @app.route("it")
        def it(req: func.HttpRequest) -> str:
            logging.info("in the invocation")
            return ""
    """
    async with command(an_app(tmp_path, code)) as host:
        async with fetching(host.ready["url"]) as client:
            await client.get("/api/it")
        _, errors = await host.stop()
    assert "Azure drops this] at import" in errors
    assert "root: in the invocation" in errors
    assert "each request" not in errors


@pytest.mark.parametrize("keys", [(), ("--function-key=-f", "--master-key=-m")])
async def test_after_a_timeout_it_starts_anew_on_the_same_port(
    tmp_path: Path, keys: tuple[str, ...]
) -> None:
    code = """
        import threading
        COUNT = 0

        @app.route("stuck")
        def stuck(req: func.HttpRequest) -> str:
            threading.Event().wait()
            return ""

        @app.route("count")
        async def count(req: func.HttpRequest) -> str:
            global COUNT
            COUNT += 1
            return str(COUNT)
    """
    host_json = {**HOST_JSON, "functionTimeout": "00:00:01"}
    async with command(an_app(tmp_path, code, host_json), *keys) as host:
        async with fetching(host.ready["url"]) as client:
            assert await (await client.get("/api/count")).text() == "1"
            stuck = asyncio.create_task(client.get("/api/stuck"))
            again = await host.said()
            assert again == host.ready
            await asyncio.wait([stuck])
            stuck.exception()
            # And once more: the inherited socket is passed on again.
            stuck = asyncio.create_task(client.get("/api/stuck"))
            assert await host.said() == host.ready
            await asyncio.wait([stuck])
            stuck.exception()
        async with fetching(host.ready["url"]) as client:
            assert await (await client.get("/api/count")).text() == "1"
        status, errors = await host.stop()
    assert status == 0
    assert "Timeout value of 0:00:01" in errors


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_endless_function_does_not_stop_shutdown(tmp_path: Path, kind: str) -> None:
    code = f"""
        import threading
        @app.route("stuck")
        {kind} stuck(req: func.HttpRequest) -> str:
            print('{{"is": "stuck"}}', flush=True)
            threading.Event().wait()
            return ""
    """
    async with (
        command(an_app(tmp_path, code), "--grace", "0.1") as host,
        fetching(host.ready["url"]) as client,
    ):
        stuck = asyncio.create_task(client.get("/api/stuck"))
        assert await host.said() == {"is": "stuck"}
        status, _ = await host.stop()
        await asyncio.wait([stuck])
        stuck.exception()
    assert status == 0


async def test_the_product_is_an_app_that_azure_would_load() -> None:
    quiet = ("--no-queues", "--no-timers")
    async with command(ROOT, *quiet, STORAGE="UseDevelopmentStorage=true") as host:
        assert host.ready["failure"] is None
        assert "show_health" in host.ready["functions"]
