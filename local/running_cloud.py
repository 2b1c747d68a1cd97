"""The addresses of a running cloud: a file that the other commands read."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from local.cloud import FOLDER, LocalCloud

NAME: Final = "cloud.json"


class NoCloud(Exception):
    """No cloud runs; the message has the command to start one."""


@dataclass(frozen=True, slots=True)
class RunningCloud:
    """A cloud of this machine."""

    pid: int
    login_url: str
    graph_url: str
    key_vault_url: str
    app_url: str | None
    """Root of the app, without ``/api``; None where the cloud runs alone."""
    ca: str
    environment: dict[str, str] = field(repr=False)


@contextmanager
def remembered(cloud: LocalCloud, app_url: str | None) -> Iterator[Path]:
    """Keep a file with the addresses of *cloud*, and yield it. A second cloud gets its own file."""
    known = FOLDER / NAME
    path = FOLDER / f"cloud-{os.getpid()}.json" if _is_taken(known) else known
    running = RunningCloud(
        pid=os.getpid(),
        login_url=cloud.entra.root_url,
        graph_url=cloud.graph_url,
        key_vault_url=cloud.key_vault_url,
        app_url=app_url,
        ca=str(cloud.certificate.authority),
        environment=cloud.environment,
    )
    # It has the identity's secret header, so only this user may read it.
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(running), file, indent=2)
    temporary.replace(path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def running_cloud(path: Path | None = None) -> RunningCloud:
    """Return the cloud of the file *path*; by default the first one. NoCloud if it is gone."""
    path = path or FOLDER / NAME
    running = _read(path)
    if running is None or not _lives(running.pid):
        raise NoCloud("No local cloud is running. Start one in another terminal: make start")
    return running


def _is_taken(path: Path) -> bool:
    running = _read(path)
    return running is not None and running.pid != os.getpid() and _lives(running.pid)


def _read(path: Path) -> RunningCloud | None:
    try:
        return RunningCloud(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
