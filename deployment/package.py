"""Builds the deployment package: the app's files, and beside them the packages they need."""

import hashlib
import json
import shutil
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployment.archive import Figures, write_archive
from deployment.bill_of_materials import bill_of_materials
from deployment.dependencies import compile_sources, find_interpreter, install, prune
from deployment.ignoring import app_files
from deployment.licences import check_bill

ROOT: Final = Path(__file__).resolve().parents[1]
DEFAULT_PYTHON: Final = "3.13"
NAME: Final = "mentor-calendar"
SITE: Final = Path(".python_packages/lib/site-packages")
"""The folder in which the Functions host looks for packages."""
BILL: Final = "sbom.cdx.json"
BUILD: Final = "build.json"
"""Says what the package is: `GET health/details` shows it, so that a deployment can be checked."""
_REQUIREMENTS: Final = "requirements.txt"


@dataclass(frozen=True, slots=True)
class Package:
    """The built package."""

    archive: Path
    bill: Path
    figures: Figures


def build(
    out: Path,
    *,
    python: str = DEFAULT_PYTHON,
    interpreter: Path | None = None,
    root: Path = ROOT,
) -> Package:
    """Write ``mentor-calendar.zip`` and its bill of materials into *out*.

    *python*: the version on Azure. *interpreter*: one of that version, to compile with; searched by
    default.

    Raises:
        NoInterpreter: this machine has none of that version.
        NotAccepted: a library is not pinned, or has a licence that we do not accept.
        subprocess.CalledProcessError: a tool failed, and printed the reason.
    """
    compiler = interpreter or find_interpreter(python)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="package-") as temporary:
        folder = Path(temporary)
        sources = _copy_app(root, folder)
        site = folder / SITE
        install(root / _REQUIREMENTS, site, python)
        # Not in the package: Azure, told to build it anew, finds nothing to install instead of
        # packages for another Python.
        (folder / _REQUIREMENTS).unlink()
        prune(site, sources)
        bill = bill_of_materials(site, root / _REQUIREMENTS, name=NAME, version=_version(root))
        check_bill(bill)
        (folder / BILL).write_text(bill, encoding="utf-8")
        compile_sources(folder, site, compiler)
        build_of = {"package": digest(folder), "python": python}
        (folder / BUILD).write_text(json.dumps(build_of), encoding="utf-8")
        archive = out / f"{NAME}.zip"
        write_archive(folder, archive)
    kept = out / BILL
    kept.write_text(bill, encoding="utf-8")
    return Package(archive, kept, Figures.of(archive))


def digest(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of the files in *folder*."""
    whole = hashlib.sha256()
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        own = hashlib.sha256(file.read_bytes()).hexdigest()
        whole.update(f"{own}  {file.relative_to(folder).as_posix()}\n".encode())
    return whole.hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Replace *folder* by the contents of *archive*."""
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)


def _copy_app(root: Path, folder: Path) -> list[Path]:
    """Copy the app from *root* to *folder*; return its Python files."""
    sources = []
    for file in app_files(root):
        copy = folder / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, copy)
        if copy.suffix == ".py":
            sources.append(copy)
    return sources


def _version(root: Path) -> str:
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return str(document["project"]["version"])
