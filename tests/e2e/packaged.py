"""The unpacked package under test, in an interpreter that sees only the package.

``APP_DIR`` names its folder; without it the tests run the repository's own code in this process.
The interpreter starts without site-packages (``-I -S``): the app uses the packages inside the
package, and so does the development host, of which only `local/` is added.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

from deployment.package import SITE
from local.host.errors import AppRefused

ROOT: Final = Path(__file__).resolve().parents[2]
APP_DIR: Final = Path(os.environ["APP_DIR"]).resolve() if os.environ.get("APP_DIR") else None
_STOP_SECONDS: Final = 60.0
_LINE_BYTES: Final = 1024 * 1024


def python(app_dir: Path, *more: Path) -> list[str]:
    """Return a command that runs code with only *app_dir* and *more* on its path."""
    paths = [str(each) for each in (app_dir, app_dir / SITE, *more)]
    start = f"import sys; sys.path[:0] = {paths!r}; exec(sys.argv.pop(1))"
    return [sys.executable, "-I", "-S", "-W", "ignore", "-c", start]


class PackagedHost:
    """A development host in a process of its own, controlled by its standard input."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self.failure: AppRefused | None = None

    async def drain_queues(self) -> int:
        """Handle every message visible now. Return how many there were."""
        return int((await self._ask({"do": "drain"}))["done"])

    async def invoke_timer(self, name: str) -> None:
        """Run the timer function *name* and wait for its end."""
        await self._ask({"do": "timer", "name": name})

    async def started(self) -> None:
        """Wait until it listens."""
        failure = (await self._reply())["failure"]
        self.failure = AppRefused(failure) if failure else None

    async def _ask(self, what: Mapping[str, Any]) -> dict[str, Any]:
        async with self._turn:
            cast("asyncio.StreamWriter", self._process.stdin).write(
                json.dumps(what).encode() + b"\n"
            )
            reply = await self._reply()
        assert "error" not in reply, reply["error"]
        return reply

    async def _reply(self) -> dict[str, Any]:
        line = await cast("asyncio.StreamReader", self._process.stdout).readline()
        assert line, f"The host ended with {await self._process.wait()}; its log says why."
        reply: dict[str, Any] = json.loads(line)
        return reply


def link_local(folder: Path) -> Path:
    """Make *folder*, from which only `local/` can be imported. Return it."""
    folder.mkdir(parents=True)
    (folder / "local").symlink_to(ROOT / "local")
    return folder


@asynccontextmanager
async def packaged_host(
    app_dir: Path,
    environment: Mapping[str, str],
    folder: Path,
    *arguments: str,
    listening: socket.socket,
    lines: list[str],
) -> AsyncIterator[PackagedHost]:
    """Run the host on *app_dir* while the block runs. *lines* gets its log lines.

    *folder* holds a link to `local/`: the repository itself must not be seen.
    """
    process = await asyncio.create_subprocess_exec(
        *python(app_dir, folder),
        "from local.host.__main__ import main; main()",
        *("--app-dir", str(app_dir), "--listening", str(listening.fileno())),
        *("--no-queues", "--no-timers", "--control", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
        env={**os.environ, **environment},
        pass_fds=[listening.fileno()],
    )
    listening.close()
    reading = asyncio.create_task(_read(process, lines))
    host = PackagedHost(process)
    try:
        await host.started()
        yield host
    finally:
        # The host stops at the end of its input, so it never outlives a killed test run.
        cast("asyncio.StreamWriter", process.stdin).close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading


async def _read(process: asyncio.subprocess.Process, lines: list[str]) -> None:
    async for line in cast("asyncio.StreamReader", process.stderr):
        text = line.decode(errors="replace").rstrip("\n")
        lines.append(text)
        print(text, file=sys.stderr)  # noqa: T201  # shown where the test fails
