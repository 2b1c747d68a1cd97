"""The deployed package: small, reproducible, complete by itself."""

import importlib.metadata
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deployment.archive import LIMITS
from deployment.package import BUILD, ROOT, SITE, build, digest
from tests.e2e.packaged import python
from tests.package.conftest import HERE, Built

pytestmark = pytest.mark.timeout(900)  # the first test builds the package


def run(package: Built, code: str) -> str:
    """Return the output of *code* in an interpreter of its version that sees *package* alone."""
    done = subprocess.run(
        [package.interpreter, *python(package.app)[1:], code],
        capture_output=True,
        text=True,
        check=False,
        cwd=package.app,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_small(offered: Built) -> None:
    assert offered.package.figures.exceeded(LIMITS) == []


def test_a_second_build_gives_the_same_bytes(built: Built, tmp_path: Path) -> None:
    again = build(tmp_path, python=HERE)
    assert again.archive.read_bytes() == built.package.archive.read_bytes()
    assert again.bill.read_bytes() == built.package.bill.read_bytes()


def test_it_says_what_it_is_and_has_nothing_to_install(built: Built, tmp_path: Path) -> None:
    said = json.loads((built.app / BUILD).read_text())
    copy = tmp_path / "app"
    shutil.copytree(built.app, copy)
    (copy / BUILD).unlink()
    assert said == {"package": digest(copy), "python": HERE}
    (copy / "host.json").write_text("{}")
    assert digest(copy) != said["package"]
    assert not (built.app / "requirements.txt").exists()
    shown = run(built, "from functions.service import _package; print(_package())")
    assert shown.strip() == said["package"]


def test_the_app_loads_from_it_and_from_nowhere_else(offered: Built) -> None:
    code = """
import sys, sysconfig, function_app
print(*sorted(each.get_function_name() for each in function_app.app.get_functions()))
known = sys.path[0], sysconfig.get_path("stdlib")
files = [each.__file__ or "" for each in [*sys.modules.values()] if hasattr(each, "__file__")]
strange = [file for file in files if file and not file.startswith(known)]
assert not strange, strange
"""
    assert "book_session" in run(offered, code).split()


def test_every_module_of_the_graph_sdk_that_is_kept_can_be_imported(built: Built) -> None:
    site = built.app / SITE
    names = [
        ".".join(file.relative_to(site).with_suffix("").parts).removesuffix(".__init__")
        for file in (site / "msgraph").rglob("*.pyc")
    ]
    assert 20 <= len(names) <= 97
    code = f"import importlib\nfor name in {sorted(names)!r}: importlib.import_module(name)"
    run(built, code)


def test_every_compiled_module_can_be_loaded(offered: Built) -> None:
    site = offered.app / SITE
    names = [
        ".".join([*file.relative_to(site).parent.parts, file.name.partition(".")[0]])
        for file in site.rglob("*.so")
    ]
    assert len(names) > 10
    code = f"import importlib\nfor name in {sorted(names)!r}: importlib.import_module(name)"
    run(offered, code)


def test_every_module_of_ours_can_be_imported(built: Built) -> None:
    names = [
        ".".join(file.relative_to(built.app).with_suffix("").parts).removesuffix(".__init__")
        for folder in ("shared", "functions")
        for file in (built.app / folder).rglob("*.py")
    ]
    code = f"import importlib\nfor name in {sorted(names)!r}: importlib.import_module(name)"
    run(built, code)


def test_bytecode_is_taken_as_it_is(built: Built) -> None:
    # After the magic number: 0b01 is "by hash", 0b10 would be "compare it".
    flags = {int.from_bytes(file.read_bytes()[4:8], "little") for file in built.app.rglob("*.pyc")}
    assert flags == {0b01}
    sources = {file.name for file in (built.app / SITE).rglob("*.py")}
    assert sources == set()
    ours = [*(built.app / "shared").rglob("*.py"), *(built.app / "functions").rglob("*.py")]
    tag = f"cpython-{HERE.replace('.', '')}"
    assert all((f.parent / "__pycache__" / f"{f.stem}.{tag}.pyc").is_file() for f in ours)


def test_the_bill_of_materials_is_valid_and_complete(built: Built) -> None:
    text = built.package.bill.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    listed = {(each["name"].lower(), each["version"]) for each in bill["components"]}
    there = importlib.metadata.distributions(path=[str(built.app / SITE)])
    assert listed == {(each.metadata["Name"].lower(), each.version) for each in there}
    assert ("pydantic", importlib.metadata.version("pydantic")) in listed
    assert all(each["externalReferences"][0]["hashes"] for each in bill["components"])
    assert all("licenses" in each for each in bill["components"])


@pytest.mark.parametrize("name", ["local", "tests", "deployment", ".git", "web", "docs"])
def test_only_the_app_is_in_the_package(built: Built, name: str) -> None:
    assert (ROOT / name).exists()
    assert not (built.app / name).exists()
