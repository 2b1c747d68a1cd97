"""Runs an Azure Functions app: ``python -m local.host --app-dir FOLDER``.

Once it listens it prints one line of JSON to standard output::

    {"url": "http://127.0.0.1:7071", "functions": ["health"], "failure": null,
     "function_key": "…", "master_key": "…", "pid": 4711}
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Final

from local.host.console import announce, set_up_logging
from local.host.control import run_command
from local.host.cors import Cors
from local.host.host import GRACE, DevelopmentHost
from local.host.static import StaticSite

_HOST_ROOT: Final = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGINT or SIGTERM."""
    options = _parser().parse_args(arguments)
    app_dir: Path = options.app_dir.resolve()
    started_in = Path.cwd()
    _leave(app_dir)
    set_up_logging()
    app_modules = asyncio.run(_run(options, app_dir, started_in))
    # Like Azure, the host ends the worker without closing the app's connections. So a sync
    # function that never ends does not keep the interpreter waiting.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if app_modules else 1)


async def _run(options: argparse.Namespace, app_dir: Path, started_in: Path) -> list[ModuleType]:
    """Return all loaded modules: the app's objects live as long as they do."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    host = DevelopmentHost(
        app_dir,
        address=options.host,
        port=options.port,
        listening=None if options.listening is None else socket.socket(fileno=options.listening),
        certificate=options.certificate and (started_in / options.certificate),
        key=options.key and (started_in / options.key),
        cors=Cors(options.cors, supports_credentials=options.cors_credentials),
        sites=options.static,
        function_key=options.function_key,
        master_key=options.master_key,
        polls_queues=not options.no_queues,
        runs_timers=not options.no_timers,
        delivers_twice=options.deliver_twice,
        grace=timedelta(seconds=options.grace),
    )
    async with host:
        announce(
            url=host.url,
            functions=[each.name for each in host.functions],
            failure=str(host.failure) if host.failure else None,
            function_key=host.keys.function,
            master_key=host.keys.master,
            pid=os.getpid(),
        )
        if options.control:
            obeying = asyncio.create_task(run_command(host))
            obeying.add_done_callback(lambda _: stopped.set())
        await stopped.wait()
        return list(sys.modules.values())


def _restart(host: DevelopmentHost, started_in: Path) -> None:
    """Restart on the same port, as Azure kills the worker process; running invocations end."""
    os.chdir(started_in)
    sys.stderr.flush()
    # The new process inherits the socket, so the port stays taken and no connection is refused.
    os.set_inheritable(host.listening.fileno(), True)
    again = ["--listening", str(host.listening.fileno())]
    # With "=", since a random key may begin with a dash.
    again += [f"--function-key={host.keys.function}", f"--master-key={host.keys.master}"]
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *again])  # noqa: S606


def _leave(app_dir: Path) -> None:
    """Change to the app's folder, and remove the host's folder from its imports."""
    if app_dir != _HOST_ROOT:
        sys.path[:] = [each for each in sys.path if Path(each).resolve() != _HOST_ROOT]
    os.chdir(app_dir)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    add = parser.add_argument
    add("--app-dir", type=Path, default=Path(), help="where function_app.py and host.json are")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="0 takes a free one")
    add("--listening", type=int, metavar="FD",
        help="an open file that listens already, instead of --host and --port")  # fmt: skip
    add("--certificate", type=Path, help="PEM; with it the host speaks HTTPS")
    add("--key", type=Path, help="PEM, the certificate's key")
    add("--cors", type=_origins, default=[], help="origins, separated by commas, or *")
    add("--cors-credentials", action="store_true", help="let pages send credentials")
    add("--static", type=_site, action="append", default=[], metavar="DIR=/PATH",
        help="serve web pages beside the functions")  # fmt: skip
    add("--function-key", help="what opens functions of level `function`; random without")
    add("--master-key", help="what opens everything; random without")
    add("--no-queues", action="store_true", help="do not poll queues")
    add("--no-timers", action="store_true", help="run timers by hand alone")
    add("--control", action="store_true",
        help="do what standard input says, until it ends: see local.host.control")  # fmt: skip
    add("--deliver-twice", action="store_true", help="run each queue message again after success")
    add("--grace", type=float, default=GRACE.total_seconds(),
        help="seconds that running invocations get when the host stops")  # fmt: skip
    return parser


def _origins(text: str) -> list[str]:
    return [each.strip().rstrip("/") for each in text.split(",") if each.strip()]


def _site(text: str) -> StaticSite:
    try:
        return StaticSite.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    main()
