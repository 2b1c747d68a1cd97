"""The app's packages for deployment: installed from pinned hashes, pruned, compiled."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from deployment.closure import reachable
from deployment.stripping import strip_metadata, strip_object

PLATFORM: Final = "x86_64-manylinux_2_28"
"""Flex Consumption runs on x86-64 Linux with a newer glibc than this."""
INSTALLED_AT: Final = "/home/site/wwwroot"
"""The folder in which Azure unpacks the package; tracebacks name it."""
GRAPH_SDK: Final = "msgraph"

_UNUSED_FOLDERS: Final = frozenset({"__pycache__", "bin", "tests", "sboms"})
_UNUSED_SUFFIXES: Final = frozenset(
    {".c", ".h", ".hash", ".pxd", ".pxi", ".pyi", ".pyx", ".typed", ".lock"}
)
_UNUSED_METADATA: Final = frozenset({"INSTALLER", "RECORD", "REQUESTED", "WHEEL", "top_level.txt"})
_UNUSED: Final = (
    # cryptography needs only the compiled half of cffi; the other half parses C.
    "cffi",
    "cffi-*.dist-info/entry_points.txt",
    "pycparser",
    "pycparser-*.dist-info",
    # Dependencies of the telemetry exporter, which imports none of them.
    "msrest",
    "msrest-*.dist-info",
    "oauthlib",
    "oauthlib-*.dist-info",
    "requests_oauthlib",
    "requests_oauthlib-*.dist-info",
    # Version 1 of pydantic, and its plugins for type checkers and tests.
    "pydantic/v1",
    "pydantic/mypy.py",
    "pydantic/_hypothesis_plugin.py",
    # HTTP/2, which the app's clients do not use.
    "h2",
    "h2-*.dist-info",
    "hpack",
    "hpack-*.dist-info",
    "hyperframe",
    "hyperframe-*.dist-info",
    # A debugger, a plugin for tests, another event loop.
    "werkzeug/debug",
    "anyio/pytest_plugin.py",
    "anyio/_backends/_trio.py",
    "multidict/_testcapi*.so",
    # The app opens no websocket; without its compiled half aiohttp uses the Python one beside it.
    "aiohttp/_websocket/*.so",
)


class NoInterpreter(Exception):
    """This machine has no Python of the requested version to compile with."""


def install(requirements: Path, site: Path, version: str) -> None:
    """Install *requirements* for Azure's platform and Python *version* into *site*.

    Raises:
        subprocess.CalledProcessError: the installer failed, and printed the reason.
    """
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [
            *(uv, "pip", "install", "--quiet", "--no-config", "--require-hashes"),
            *("--only-binary", ":all:", "--link-mode", "copy"),
            *("--python-platform", PLATFORM, "--python-version", version),
            *("--target", site, "--requirements", requirements),
        ],
        check=True,
    )


def prune(site: Path, sources: Iterable[Path]) -> None:
    """Remove from *site* the files that the app, whose code is *sources*, cannot use."""
    kept = {site / each for each in reachable(GRAPH_SDK, sources, site)}
    for pattern in _UNUSED:
        for path in [*site.glob(pattern)]:
            _remove(path)
    for path in [*site.rglob("*")]:
        if not path.exists():
            continue  # with its folder
        is_left_out = path.is_file() and path not in kept and site / GRAPH_SDK in path.parents
        if is_left_out or _is_unused(path.relative_to(site)):
            _remove(path)
    _remove_empty_folders(site)
    for file in site.rglob("*.so*"):
        strip_object(file)
    for file in site.glob("*.dist-info/METADATA"):
        strip_metadata(file)


def compile_sources(app: Path, site: Path, interpreter: Path) -> None:
    """Compile both for *interpreter*: the app beside its source, packages without theirs.

    A package's source would double the number of files, which slows a cold start. Bytecode is
    never compared with a source's time, since archives set their own.
    """
    for folder, options in ((app, ("-x", r"/\.python_packages/")), (site, ("-b",))):
        subprocess.run(
            [
                *(interpreter, "-I", "-S", "-m", "compileall", "-q", "-f", "-j1", *options),
                *("--invalidation-mode", "unchecked-hash"),
                *("-s", app, "-p", INSTALLED_AT, folder),
            ],
            check=True,
            # Bytecode contains the order of a set's members.
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
    for source in site.rglob("*.py"):
        if source.with_suffix(".pyc").is_file():
            source.unlink()


def find_interpreter(version: str) -> Path:
    """Return a Python *version* (``3.13``) of this machine. Raises NoInterpreter."""
    for candidate in _interpreters(version):
        if candidate.is_file() and version_of(candidate) == version:
            return candidate
    raise NoInterpreter(
        f"Python {version} is needed to compile the package for it, and is not on the PATH.\n"
        f"Install it, name it with --interpreter, or build for another with --python."
    )


def version_of(interpreter: Path) -> str:
    """Return the version of *interpreter* as ``3.13``, "" if it does not run."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [interpreter, "-I", "-S", "-c", asked], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _interpreters(version: str) -> Iterator[Path]:
    yield Path(sys.executable)
    for folder in os.get_exec_path():
        yield Path(folder) / f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))


def _is_unused(path: Path) -> bool:
    if path.name in _UNUSED_FOLDERS or path.suffix in _UNUSED_SUFFIXES:
        return True
    return path.parent.suffix == ".dist-info" and path.name in _UNUSED_METADATA


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty_folders(site: Path) -> None:
    for folder in sorted((each for each in site.rglob("*") if each.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
