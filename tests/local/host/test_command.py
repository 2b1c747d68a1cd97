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
        import asyncio
        @app.route("it")
        async def it(req: func.HttpRequest, context: func.Context) -> str:
            def known():
                context.thread_local_storage.invocation_id = context.invocation_id
                logging.info("in a thread that says so")
            async def log(): logging.info("in a task of it")
            logging.info("in the invocation")
            await asyncio.create_task(log())
            await asyncio.to_thread(logging.info, "in a thread")
            await asyncio.to_thread(known)
            return ""
    """
    async with command(an_app(tmp_path, code)) as host:
        async with fetching(host.ready["url"]) as client:
            await client.get("/api/it")
        _, errors = await host.stop()
    assert "Azure drops this] at import" in errors
    assert "root: in the invocation" in errors
    assert "root: in a task of it" in errors
    assert "Azure drops this] in a thread" in errors
    assert "root: in a thread that says so" in errors
    assert "each request" not in errors


FAULTS = """
    import asyncio, os, threading
    COUNT = 0

    @app.route("stuck")
    def stuck(req: func.HttpRequest) -> str:
        print('{"is": "stuck"}', flush=True)
        threading.Event().wait()
        return ""

    @app.route("crash")
    def crash(req: func.HttpRequest) -> str:
        os._exit(3)

    @app.route("count")
    async def count(req: func.HttpRequest) -> str:
        global COUNT
        COUNT += 1
        return str(COUNT)
"""


async def test_a_worker_that_ends_fails_all_that_it_runs_and_is_replaced(tmp_path: Path) -> None:
    async with (
        command(an_app(tmp_path, FAULTS)) as host,
        fetching(host.ready["url"]) as client,
    ):
        assert await (await client.get("/api/count")).text() == "1"
        stuck = asyncio.create_task(client.get("/api/stuck"))
        assert await host.said() == {"is": "stuck"}
        assert (await client.get("/api/crash")).status == 500
        assert (await stuck).status == 500
        assert await (await client.get("/api/count")).text() == "1"
        status, errors = await host.stop()
    assert status == 0
    assert "The worker process ended with 3" in errors


async def test_a_function_over_its_time_takes_the_worker_with_it(tmp_path: Path) -> None:
    host_json = {**HOST_JSON, "functionTimeout": "00:00:03"}
    async with (
        command(an_app(tmp_path, FAULTS, host_json)) as host,
        fetching(host.ready["url"]) as client,
    ):
        assert await (await client.get("/api/count")).text() == "1"
        started = asyncio.get_running_loop().time()

        async def answered(after: float) -> float:
            reply = await client.get("/api/stuck")
            assert (reply.status, await reply.read()) == (500, b"")
            return asyncio.get_running_loop().time() - started - after

        stuck = asyncio.create_task(answered(0))
        assert await host.said() == {"is": "stuck"}
        while asyncio.get_running_loop().time() < started + 1:  # noqa: ASYNC110  # the other begins later
            await asyncio.sleep(0.01)
        other = asyncio.create_task(answered(1))
        assert await host.said() == {"is": "stuck"}
        # The killed worker's invocations hang until their own limit; a new one serves before.
        await asyncio.wait([other])
        assert not stuck.done()
        assert await (await client.get("/api/count")).text() == "1"
        assert 3 + 2 <= await other < 3 + 12
        assert await stuck >= 3 + 12
        status, errors = await host.stop()
    assert status == 0
    assert "Timeout value of 0:00:03" in errors


async def test_a_worker_that_ends_while_it_imports_is_reported(tmp_path: Path) -> None:
    async with command(an_app(tmp_path, "import os\nos._exit(4)")) as host:
        assert "ended with 4 while it imported the app" in host.ready["failure"]


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
