"""The command line, as people use it: real processes, real signals."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest

from local.azurite import HERE
from local.seed import CONTOSO_ID, seeded_world
from shared.settings import Settings
from shared.wiring import Wiring
from tests.e2e.slow_machine import TOOK_TOO_LONG

LAST_LINE = "Ctrl-C stops it"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a folder of its own, apart from a developer's running cloud."""
    return {**os.environ, "LOCAL_CLOUD_FOLDER": str(tmp_path), "PYTHONUNBUFFERED": "1"}


async def launched(environment: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "local", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=HERE.parent,
    )


async def ran(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Run a command to its end; return status, output and errors."""
    process = await launched(environment, *arguments)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def running(
    environment: dict[str, str], *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start a cloud and wait for its last line; yield the process and its output. Then end it."""
    process = await launched(environment, *arguments)
    assert process.stdout is not None
    try:
        said = ""
        while LAST_LINE not in said:
            line = await process.stdout.readline()
            if not line:
                assert process.stderr is not None
                raise AssertionError((await process.stderr.read()).decode())
            said += line.decode()
        yield process, said
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.communicate()


def children(pid: int) -> list[int]:
    """Return a pidfd of each child of *pid*."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [os.pidfd_open(int(each)) for each in found]


async def all_ended(watched: list[int]) -> None:
    """Return when all have ended; a pidfd is readable then."""
    assert watched
    loop = asyncio.get_running_loop()
    for each in watched:
        end = asyncio.Event()
        loop.add_reader(each, end.set)
        try:
            async with asyncio.timeout(100):
                await end.wait()
        finally:
            loop.remove_reader(each)
            os.close(each)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_everything(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    async with running(environment, "cloud") as (process, _):
        watched = children(process.pid)
        assert (tmp_path / "cloud.json").is_file()
        process.send_signal(number)
        out, err = await process.communicate()
        await all_ended(watched)
    assert (process.returncode, out.decode(), err.decode()) == (0, "Stopped.\n", "")
    assert not (tmp_path / "cloud.json").exists()


async def test_a_killed_cloud_leaves_no_process(environment: dict[str, str]) -> None:
    async with running(environment, "start") as (process, _):
        watched = children(process.pid)
        process.kill()
        await all_ended(watched)


async def test_tokens_are_for_the_app_and_for_the_person(environment: dict[str, str]) -> None:
    async with running(environment, "cloud"):
        status, token, _ = await ran(environment, "token", "ben")
        assert status == 0
        _, platform, _ = await ran(environment, "token", "platform")
        _, _, refused = await ran(environment, "token", "nobody")
        _, lines, _ = await ran(environment, "environment")
    claims: dict[str, Any] = jwt.decode(token.strip(), options={"verify_signature": False})
    assert claims["oid"] == seeded_world().person("ben").object_id
    assert claims["tid"] == CONTOSO_ID
    roles = jwt.decode(platform.strip(), options={"verify_signature": False})["roles"]
    assert roles == ["Platform.Manage"]
    assert "nobody" in refused
    assert "export SSL_CERT_FILE=" in lines


async def test_a_cloud_alone_has_all_that_another_host_needs(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with running(environment, "cloud"):
        settings = json.loads((tmp_path / "cloud.json").read_text())["environment"]
        with pytest.MonkeyPatch.context() as patched:
            for name, value in settings.items():
                patched.setenv(name, value)
            wiring = Wiring(Settings.from_environment(settings))
            found, _ = await wiring.organizations.list()
            await wiring.aclose()
    assert "contoso" in [organization.id for organization in found]
    # Without it Microsoft's host cannot keep the state of timers, and says that it has started.
    assert settings["AzureWebJobsStorage__blobServiceUri"].startswith("https://")


async def test_a_second_cloud_stands_beside_the_first(environment: dict[str, str]) -> None:
    async with running(environment, "cloud"), running(environment, "cloud") as (_, said):
        assert "--cloud " in said
        path = said.split("--cloud ")[1].split(")")[0].strip('"')
        (_, first, _), (_, second, _) = await asyncio.gather(
            ran(environment, "environment"), ran(environment, "environment", "--cloud", path)
        )
    assert first != second


async def test_the_app_answers_and_people_act(environment: dict[str, str]) -> None:
    async with running(environment, "start") as (process, said):
        url = next(each for each in said.split('"') if "/availability?" in each)
        answer = await curl(environment, url, "ben")
        assert {one["address"] for one in answer["participants"]} == {
            "ada@contoso.example",
            "ben@contoso.example",
        }
        status, _, refused = await ran(environment, "act", "ada", "accept", "no-such-session")
        assert (status, "no-such-session" in refused) == (1, True)
        status, _, refused = await ran(environment, "act", "ada", "move", "no-such-session")
        assert (status, "--start" in refused) == (1, True)
        act = ("act", "ada", "all-day", "no-such-session", "--start")
        status, _, refused = await ran(environment, *act, "2026-11-30")
        assert (status, "no-such-session" in refused) == (1, True)
        status, _, refused = await ran(environment, *act, "10:00")
        assert (status, "not a date" in refused) == (1, True)
        for verb, to in (("attend", "x@contoso.example"), ("move-to", "Mentoring")):
            status, _, refused = await ran(environment, "act", "ben", verb, "no-such-session")
            assert (status, "--to" in refused) == (1, True)
            named = ("act", "ben", verb, "no-such-session", "--to", to)
            status, _, refused = await ran(environment, *named)
            assert (status, "no-such-session" in refused) == (1, True)
        watched = children(process.pid)
        process.terminate()
        await process.communicate()
        await all_ended(watched)
        assert process.returncode == 0


async def curl(environment: dict[str, str], url: str, who: str) -> dict[str, Any]:
    """Run the printed example."""
    folder = environment["LOCAL_CLOUD_FOLDER"]
    _, token, _ = await ran(environment, "token", who)
    command = f"curl -sS --cacert '{folder}/ca.pem' -H 'Authorization: Bearer {token.strip()}'"
    answer: dict[str, Any] = await answered(environment, f"{command} '{url}'")
    return answer


async def test_a_taken_port_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        status, out, err = await ran(environment, "start", "--port", port)
    assert (status, out, err) == (1, "", f"Cannot start: port {port} is taken\n")
    assert not (tmp_path / "cloud.json").exists()


async def test_a_missing_node_is_named(environment: dict[str, str]) -> None:
    status, out, err = await ran(environment | {"PATH": "/nowhere"}, "start")
    assert (status, out) == (1, "")
    assert err.startswith("Cannot start: Node.js is missing")


async def test_without_a_cloud_commands_say_how_to_start_one(environment: dict[str, str]) -> None:
    status, _, err = await ran(environment, "token", "ben")
    assert (status, "make start" in err) == (1, True)


async def test_people_are_listed_without_a_cloud(environment: dict[str, str]) -> None:
    status, out, _ = await ran(environment, "people")
    assert (status, "busy mentor" in out) == (0, True)


async def test_readme_commands_book_a_session_and_see_the_answer(
    environment: dict[str, str],
) -> None:
    async with running(environment, "start") as (_, said):
        api = next(each for each in said.split() if each.endswith("/api"))
        prelude, (look, choose, book, accept, show) = readme_commands(environment, api)
        available = await answered(environment, prelude + look)
        booked = await answered(environment, f"{prelude}{choose}\n{book}")
        await shell(environment, prelude + accept.replace("SESSION_ID", booked["id"]))
        async with asyncio.timeout(100):
            shown = booked
            while shown["responses"]["pending"]:
                show_it = prelude + show.replace("SESSION_ID", booked["id"])
                shown = await answered(environment, show_it)
    assert "slots" in available, available
    slot = available["slots"][0]
    assert (booked["start"], booked["end"]) == (slot["start"], slot["end"])
    assert booked["online_meeting"]["state"] == "ready"
    assert (booked["responses"]["pending"], shown["responses"]["accepted"]) == (1, 1)


def readme_commands(environment: dict[str, str], api: str) -> tuple[str, list[str]]:
    """Return the prelude of every shell, and the README's commands, adapted to this machine."""
    text = (HERE.parent / "README.md").read_text(encoding="utf-8")
    for written, here in (
        ("https://localhost:7071/api", api),
        (".local/ca.pem", f"{environment['LOCAL_CLOUD_FOLDER']}/ca.pem"),
        (".venv/bin/python", sys.executable),
    ):
        assert written in text
        text = text.replace(written, here)
    _, looking, booking = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    *first, look = looking.splitlines()
    commands = [look, *booking.replace("\\\n", " ").splitlines()]
    return "\n".join(["set -euo pipefail; shopt -s expand_aliases", *first, ""]), commands


async def answered(environment: dict[str, str], script: str) -> Any:
    """Return the API's answer to *script*, with retries after took-too-long."""
    for _ in range(5):
        answer = json.loads(await shell(environment, script))
        if answer.get("type") != TOOK_TOO_LONG:
            break
    return answer


async def shell(environment: dict[str, str], script: str) -> str:
    """Run *script* in bash; return its output."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=HERE.parent,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()
