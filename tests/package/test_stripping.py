"""The parts removed from packages, and that the rest still works."""

import importlib.metadata
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from deployment.stripping import strip_metadata, strip_object


def test_a_compiled_module_is_smaller_and_loads(tmp_path: Path) -> None:
    [source] = Path(sysconfig.get_path("platlib")).glob("multidict/_multidict.*.so")
    copy = tmp_path / source.name
    copy.write_bytes(source.read_bytes())
    strip_object(copy)
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("multidict._multidict", {str(copy)!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
assert module.MultiDict(a=1)["a"] == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert copy.stat().st_size < source.stat().st_size / 2
    once = copy.read_bytes()
    strip_object(copy)
    assert copy.read_bytes() == once


def test_file_that_is_not_a_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_text("GROUP ( libc.so.6 )")
    with pytest.raises(ValueError, match=r"x\.so is no"):
        strip_object(tmp_path / "x.so")


def test_metadata_keep_all_but_the_description(tmp_path: Path) -> None:
    folder = tmp_path / "thing-1.0.dist-info"
    folder.mkdir()
    headers = "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\nRequires-Dist: other"
    (folder / "METADATA").write_text(f"{headers}\n\n# Thing\n\nIt does things.\n")
    strip_metadata(folder / "METADATA")
    [found] = importlib.metadata.distributions(path=[str(tmp_path)])
    assert (found.version, found.requires) == ("1.0", ["other"])
    assert "things" not in (folder / "METADATA").read_text()
