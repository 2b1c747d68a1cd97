"""Packages built once for all tests of a run: for this interpreter, and for Azure's versions."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployment.archive import Figures
from deployment.dependencies import NoInterpreter, find_interpreter
from deployment.package import BILL, NAME, ROOT, Package, build, unpack

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def _offered() -> list[str]:
    """Return the versions of Python that the template offers."""
    template = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    found = re.search(r"@allowed\(\[([^]]*)\]\)\nparam pythonVersion ", template)
    assert found
    return re.findall(r"'([\d.]+)'", found[1])


def _is_here(version: str) -> bool:
    try:
        find_interpreter(version)
    except NoInterpreter:
        return False
    return True


def pytest_report_header() -> str | None:
    """Report the versions without a package, because no interpreter here can compile it."""
    absent = [each for each in _offered() if not _is_here(each)]
    return f"no package is built for Python {', '.join(absent)}: not here" if absent else None


@dataclass(frozen=True)
class Built:
    package: Package
    app: Path
    """The folder of the unpacked package."""
    interpreter: Path
    """The interpreter of its version."""


def _build(folder: Path, version: str) -> Built:
    interpreter = find_interpreter(version)
    package = build(folder / "dist", python=version, interpreter=interpreter)
    unpack(package.archive, folder / "app")
    return Built(package, folder / "app", interpreter)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    # `make test` has already built it, for the end-to-end tests.
    if made := os.environ.get("BUILT_PACKAGE"):
        out = ROOT / made
        archive = out / f"{NAME}.zip"
        package = Package(archive, out / BILL, Figures.of(archive))
        return Built(package, out / "app", find_interpreter(HERE))
    return _build(tmp_path_factory.mktemp("package"), HERE)


@pytest.fixture(scope="session", params=[each for each in _offered() if _is_here(each)])
def offered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    version: str = request.param
    if version == HERE:
        made: Built = request.getfixturevalue("built")
        return made
    return _build(tmp_path_factory.mktemp(f"package-{version}"), version)
