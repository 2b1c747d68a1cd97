"""A package built for this interpreter, once for all tests of a run."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployment.package import Package, build, unpack

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Built:
    package: Package
    app: Path
    """Where it is unpacked."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("package")
    package = build(folder / "dist", python=HERE)
    unpack(package.archive, folder / "app")
    return Built(package, folder / "app")
