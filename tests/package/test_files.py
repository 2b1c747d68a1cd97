"""The files in the package; a zip depends on their contents alone."""

import os
import zipfile
from pathlib import Path

import pytest

from deployment.archive import LIMITS, Figures, write_archive
from deployment.ignoring import app_files, is_ignored, read_patterns
from deployment.package import ROOT


def test_the_app_is_its_code_and_the_hosts_files() -> None:
    files = list(app_files(ROOT))
    assert files == sorted(files)
    names = {file.parts[0] for file in files}
    assert names == {
        "LICENSE",
        "function_app.py",
        "functions",
        "host.json",
        "requirements.txt",
        "shared",
    }
    assert {file.suffix for file in files} == {"", ".py", ".json", ".txt"}


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("tests/unit/test_x.py", True),
        ("shared/__pycache__/x.pyc", True),
        (".venv/bin/python", True),
        ("local.settings.json", True),
        ("shared/local_time.py", False),
        ("host.json", False),
    ],
)
def test_names_are_ignored_wherever_they_stand(path: str, ignored: bool) -> None:
    assert is_ignored(Path(path), read_patterns(ROOT / ".funcignore")) is ignored


@pytest.mark.parametrize("pattern", ["shared/x.py", "!shared"])
def test_a_pattern_that_would_be_misread_is_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / ".funcignore").write_text(f"# said\n\n{pattern}\n")
    with pytest.raises(ValueError, match="not the name"):
        read_patterns(tmp_path / ".funcignore")


def test_an_archive_follows_from_its_contents_alone(tmp_path: Path) -> None:
    archives = []
    for name, mode, time in (("one", 0o600, 1_000_000_000), ("two", 0o777, 1_500_000_000)):
        folder = tmp_path / name
        (folder / "b").mkdir(parents=True)
        for file in sorted(("b/x.py", "a.json"), reverse=name == "two"):
            (folder / file).write_text(file)
            (folder / file).chmod(mode)
            os.utime(folder / file, (time, time))
        write_archive(folder, tmp_path / f"{name}.zip")
        archives.append((tmp_path / f"{name}.zip").read_bytes())
    assert archives[0] == archives[1]
    with zipfile.ZipFile(tmp_path / "one.zip") as opened:
        assert opened.namelist() == ["a.json", "b/x.py"]
        assert all(each.external_attr >> 16 == 0o100644 for each in opened.infolist())


def test_figures_name_each_exceeded_limit(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_text("12345")
    write_archive(tmp_path / "in", tmp_path / "x.zip")
    figures = Figures.of(tmp_path / "x.zip")
    assert (figures.bytes, figures.files) == (5, 1)
    assert figures.exceeded(LIMITS) == []
    assert figures.exceeded(Figures(zip_bytes=1, bytes=4, files=1)) == [
        f"{figures.zip_bytes} bytes of zip, 1 allowed",
        "5 bytes unpacked, 4 allowed",
    ]
