"""``cloud`` and ``start``: run until Ctrl-C, then end every process."""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Final

from local.azurite import AzuriteUnavailable
from local.cloud import ROOT, WEEKS, LocalCloud
from local.page import configured_page, is_built
from local.running_cloud import remembered
from local.serving import take_address
from local.subprocesses import ChildFailed, child, first_line

PORT: Final = 7071
"""The usual port of Functions hosts; a free one if it is taken."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line."""

    port: int | None
    keep: bool
    credential: str
    cors: str


def run(work: Callable[[Options], Awaitable[None]], options: Options) -> int:
    """Do *work* until it ends or SIGINT or SIGTERM comes. Returns the exit status."""
    try:
        asyncio.run(_until_signalled(work, options))
    except (AzuriteUnavailable, ChildFailed, OSError) as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return 1
    return 0


async def _until_signalled(work: Callable[[Options], Awaitable[None]], options: Options) -> None:
    task = asyncio.ensure_future(work(options))
    stopping = False

    def stop() -> None:
        # Only once: a second signal must not interrupt the cleanup.
        nonlocal stopping
        if not stopping:
            stopping = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise
        print("Stopped.")


async def run_cloud(options: Options) -> None:
    """Run the cloud alone: for tests by hand, and for other hosts."""
    public_url = f"https://localhost:{options.port or PORT}"
    async with _cloud(options, public_url) as cloud:
        async with child("local.seed_storage", environment=cloud.environment) as enrolment:
            await _enrolled(enrolment)
        with remembered(cloud, None) as path:
            print(_services(cloud))
            print(f"The app is expected at {public_url} (--port says otherwise). Its settings:")
            print(f'  eval "$({_python()} -m local environment{_option(path)})"')
            print("Ctrl-C stops it.", flush=True)
            await asyncio.Event().wait()


async def run_all(options: Options) -> None:
    """Run the cloud and the app on the development host."""
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(_listening(options.port))
        public_url = f"https://localhost:{listening.getsockname()[1]}"
        cloud = await stack.enter_async_context(_cloud(options, public_url))
        enrolment = await stack.enter_async_context(
            child("local.seed_storage", environment=cloud.environment)
        )
        page = _page(cloud, stack)
        host = await stack.enter_async_context(
            child(
                "local.host",
                *_host_arguments(cloud, listening, page, options.cors),
                environment=cloud.environment,
                inherits=[listening.fileno()],
            )
        )
        listening.close()  # the host alone listens from here on
        await _enrolled(enrolment)
        announced = json.loads(await first_line(host))
        if announced.get("failure"):
            raise ChildFailed(f"the host refuses the app: {announced['failure']}")
        path = stack.enter_context(remembered(cloud, public_url))
        print(_services(cloud))
        print(_first_steps(public_url, cloud, path, has_page=page is not None), flush=True)
        status = await host.wait()
        raise ChildFailed(f"the development host ended with {status}; see above.")


async def _enrolled(enrolment: asyncio.subprocess.Process) -> None:
    if await enrolment.wait():
        raise ChildFailed("the seeded organizations could not be written; see above.")


def _cloud(options: Options, public_url: str) -> LocalCloud:
    return LocalCloud(
        public_url=public_url, credential=options.credential, keep=options.keep, weeks=WEEKS
    )


def _page(cloud: LocalCloud, stack: AsyncExitStack) -> Path | None:
    """Return the booking page, ready to be served for as long as *stack* lives; None if unbuilt."""
    if not is_built():
        return None
    folder = stack.enter_context(TemporaryDirectory(prefix="mentor-calendar-page-"))
    return configured_page(cloud, Path(folder))


def _host_arguments(
    cloud: LocalCloud, listening: socket, page: Path | None, cors: str
) -> list[str]:
    files = cloud.certificate
    arguments = ["--app-dir", str(ROOT), "--listening", str(listening.fileno())]
    arguments += ["--certificate", str(files.certificate), "--key", str(files.key)]
    if page:
        arguments += ["--static", f"{page}=/"]
    if cors:
        arguments += ["--cors", cors]
    return arguments


def _listening(wanted: int | None) -> socket:
    """Listen on *wanted*, else the usual port, else any free one. OSError if *wanted* is taken."""
    for port in (wanted,) if wanted else (PORT, 0):
        try:
            return take_address(port=port).taken
        except OSError as error:
            if wanted:
                raise OSError(f"port {wanted} is taken") from error
    raise AssertionError("the system always has a free port")


# --- its output


def _services(cloud: LocalCloud) -> str:
    return (
        f"Entra      {cloud.entra.root_url}\n"
        f"Graph      {cloud.graph_url}\n"
        f"Outlook    {cloud.outlook_url}\n"
        f"Key Vault  {cloud.key_vault_url}\n"
        f"Tables     {cloud.storage.tables_url}\n"
        f"Queues     {cloud.storage.queues_url}"
    )


def _first_steps(public_url: str, cloud: LocalCloud, path: Path, *, has_page: bool) -> str:
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start += timedelta(days=(7 - start.weekday()) % 7 or 7)
    query = (
        f"from={start:%Y-%m-%dT%H:%M:%SZ}&to={start + timedelta(days=5):%Y-%m-%dT%H:%M:%SZ}"
        "&duration_minutes=30"
    )
    python, option = _python(), _option(path)
    page = f"Page       {public_url}/\n" if has_page else "Page       not built: make web\n"
    return (
        f"App        {public_url}/api\n{page}\n"
        "When can Ben meet his mentor Ada next week?\n\n"
        f"  curl --cacert {_shown(cloud.certificate.authority)} \\\n"
        f'    -H "Authorization: Bearer $({python} -m local token ben{option})" \\\n'
        f'    "{public_url}/api/pairings/ada-ben/availability?{query}"\n\n'
        f"{python} -m local people  lists who is there. Ctrl-C stops it all."
    )


def _option(path: Path) -> str:
    """Return the option that selects this cloud in other commands, if it is not the first one."""
    return "" if path.name == "cloud.json" else f" --cloud {shlex.quote(_shown(path))}"


def _python() -> str:
    return shlex.quote(_shown(Path(sys.executable)))


def _shown(path: Path) -> str:
    """Return *path* relative to the working folder, if it is below it."""
    here = Path(os.path.abspath(Path.cwd()))  # noqa: PTH100 - resolve() would follow venv's links
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
