"""Runs an Azure Functions app: ``python -m local.host --app-dir FOLDER``.

Once it listens it prints one line of JSON to standard output::

    {"url": "http://127.0.0.1:7071", "functions": ["health"], "failure": null,
     "function_key": "…", "master_key": "…", "pid": 4711}
"""

import argparse
from pathlib import Path

from local.host.spawning import spawn


def main() -> None:
    """Run as the host or as its worker, each of which imports only its own part."""
    options = _parser().parse_args()
    if options.worker is not None:
        from local.host.worker_process import work

        work(options.worker, options.app_dir.resolve())
    else:
        first = spawn()  # the app loads while the host imports its own part
        from local.host.command import run

        run(options, first)


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
    add("--static", action="append", default=[], metavar="DIR=/PATH",
        help="serve web pages beside the functions")  # fmt: skip
    add("--function-key", help="what opens functions of level `function`; random without")
    add("--master-key", help="what opens everything; random without")
    add("--no-queues", action="store_true", help="do not poll queues")
    add("--no-timers", action="store_true", help="run timers by hand alone")
    add("--control", action="store_true",
        help="do what standard input says, until it ends: see local.host.control")  # fmt: skip
    add("--deliver-twice", action="store_true", help="run each queue message again after success")
    add("--grace", type=float, default=30.0,
        help="seconds that running invocations get when the host stops")  # fmt: skip
    add("--worker", type=int, metavar="FD", help=argparse.SUPPRESS)
    return parser


def _origins(text: str) -> list[str]:
    return [each.strip().rstrip("/") for each in text.split(",") if each.strip()]


if __name__ == "__main__":
    main()
