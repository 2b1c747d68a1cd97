"""Imports the app's `function_app.py` as the worker does, and checks the origin of its modules.

The app shares this process, so its modules are removed when the host closes. The next host then
imports a fresh copy, as a new worker process would.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Final

import azure.functions as func
from azure.functions.decorators.function_app import Function

from local.host.errors import WorkerRefused

SCRIPT: Final = "function_app"
# The program that imports the app is not part of it, though it may live in the same folder.
_HOST_PACKAGES: Final = frozenset({__name__.partition(".")[0], "tests", "conftest", "__main__"})
# The packages that Microsoft ships beside the worker, with the dependencies of azure-functions.
_SHIPPED: Final = frozenset({"azure-functions", "grpcio", "protobuf", "werkzeug", "markupsafe"})
# The folder in which a built package carries its requirements.
_PACKAGES: Final = Path(".python_packages/lib/site-packages")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@contextmanager
def fresh_modules(app_dir: Path) -> Iterator[None]:
    """Let imports find the app in *app_dir*, and forget its modules afterwards."""
    before = _taken_out(app_dir)
    paths = [str(app_dir)]
    if (app_dir / _PACKAGES).is_dir():
        paths.append(str(app_dir / _PACKAGES))
    sys.path[:0] = paths
    importlib.invalidate_caches()
    try:
        yield
    finally:
        _taken_out(app_dir)
        sys.modules.update(before)
        for each in paths:
            sys.path.remove(each)
            sys.path_importer_cache.pop(each, None)


def import_app(app_dir: Path) -> list[Function]:
    """Import `function_app.py` of *app_dir* and return its registered functions.

    Raises:
        WorkerRefused: the app cannot be loaded. An error of its own code is the cause, with its
        traceback.
    """
    if not (app_dir / f"{SCRIPT}.py").is_file():
        raise WorkerRefused(f"{SCRIPT}.py is missing in {app_dir}")
    before = set(sys.modules)
    try:
        module = importlib.import_module(SCRIPT)
        functions = list(_only_app(module).get_functions())
    except SystemExit as error:
        raise WorkerRefused("sys.exit at import: it kills the worker") from error
    except ImportError as error:
        raise WorkerRefused(f"{SCRIPT}.py cannot be imported: {error}{_advice(error)}") from error
    except Exception as error:
        raise WorkerRefused(
            f"{SCRIPT}.py cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not functions:
        raise WorkerRefused(f"{SCRIPT}.py registers no function")
    _check_origins(app_dir, set(sys.modules) - before)
    return functions


def _only_app(module: ModuleType) -> func.FunctionRegister:
    apps = [each for each in vars(module).values() if isinstance(each, func.FunctionRegister)]
    if not apps:
        raise WorkerRefused(f"{SCRIPT}.py defines no FunctionApp at its top level")
    if len(apps) > 1:
        raise WorkerRefused(f"{SCRIPT}.py defines more than one FunctionApp at its top level")
    return apps[0]


def _advice(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return " (is it in requirements.txt?)"
    return ""


def _taken_out(app_dir: Path) -> dict[str, ModuleType]:
    """Take the modules that came from *app_dir* out of `sys.modules` and return them.

    Also remove another app's modules of the same names: they would be taken for this app's.
    """
    app_dir = app_dir.resolve()
    own_names = {SCRIPT} | {path.stem for path in app_dir.glob("*.py")}
    own_names |= {path.parent.name for path in app_dir.glob("*/__init__.py")}
    found = {
        name: module
        for name, module in sys.modules.items()
        if (top := name.partition(".")[0]) not in _HOST_PACKAGES
        and (top in own_names or _is_of(module, app_dir))
    }
    for name in found:
        del sys.modules[name]
    return found


def _is_of(module: ModuleType, app_dir: Path) -> bool:
    file = _file(module) or _first_folder(module)
    return file is not None and _is_in(file, app_dir) and not _is_installed(file)


# --- the origin of modules


def _check_origins(app_dir: Path, names: set[str]) -> None:
    """Refuse modules that the deployed app would not have.

    Modules that the host had imported before cannot be checked. A run of the unpacked package in an
    interpreter of its own checks those too.
    """
    ignored = _ignored(app_dir)
    allowed: frozenset[str] | None = None
    owners: Mapping[str, list[str]] = {}
    for name in sorted(names):
        file = _file(sys.modules.get(name))
        if file is None or _is_standard(file):
            continue
        if _is_installed(file):
            if allowed is None:
                allowed = _required(app_dir)
                owners = _owners(tuple(sys.path)) if allowed else {}
            _check_required(name, owners, allowed)
        elif not _is_in(file, app_dir):
            raise WorkerRefused(
                f"module {name!r} comes from {file}, outside the app:"
                " .pth files and editable installs do not work on Azure"
            )
        else:
            _check_packaged(name, Path(file).relative_to(app_dir.resolve()), ignored)


def _check_required(
    name: str, owners: Mapping[str, list[str]], allowed: frozenset[str] | None
) -> None:
    owning = {_canonical(each) for each in owners.get(name.partition(".")[0], [])}
    if allowed and owning and not owning & (allowed | _SHIPPED):
        raise WorkerRefused(
            f"module {name!r} belongs to {', '.join(sorted(owning))},"
            " which requirements.txt does not bring"
        )


def _check_packaged(name: str, path: Path, ignored: list[str]) -> None:
    for pattern in ignored:
        wanted = pattern.strip("/")
        if fnmatch(path.as_posix(), wanted) or fnmatch(path.parts[0], wanted):
            raise WorkerRefused(
                f"module {name!r} is left out of the package: .funcignore says {pattern!r}"
            )


def _ignored(app_dir: Path) -> list[str]:
    try:
        lines = (app_dir / ".funcignore").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line.strip() for line in lines if line.strip() and line.strip()[0] not in "#!"]


def _required(app_dir: Path) -> frozenset[str]:
    """Return the distributions of requirements.txt, with their dependencies.

    Markers and extras are ignored, so there may be too many names, but never too few.
    """
    try:
        lines = (app_dir / "requirements.txt").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    waiting = {_canonical(found[0]) for line in lines if (found := _NAME.match(line))}
    known: set[str] = set()
    while waiting:
        name = waiting.pop()
        known.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting |= {_canonical(found[0]) for each in needs if (found := _NAME.match(each))} - known
    return frozenset(known)


@functools.cache
def _owners(path: tuple[str, ...]) -> Mapping[str, list[str]]:  # noqa: ARG001
    """Return the distributions of each package, as found on *path*, which is `sys.path`."""
    return dict(importlib.metadata.packages_distributions())


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _file(module: ModuleType | None) -> str | None:
    file = getattr(module, "__file__", None)
    return _resolved(file) if file else None


@functools.cache
def _resolved(path: str) -> str:
    # Cached, and text: every app that a process loads asks for thousands of modules.
    return os.path.realpath(path)


def _first_folder(module: ModuleType) -> str | None:
    """Return the folder of a namespace package, which has no file."""
    return next((_resolved(each) for each in getattr(module, "__path__", ())), None)


def _is_in(file: str, folder: Path) -> bool:
    return file.startswith(_resolved(str(folder)) + os.sep)


def _is_installed(file: str) -> bool:
    return "/site-packages/" in file or "/dist-packages/" in file


def _is_standard(file: str) -> bool:
    libraries = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return not _is_installed(file) and any(_is_in(file, Path(each)) for each in libraries)
