"""A release agrees with its tag, and the changelog has its section."""

from pathlib import Path

import pytest

from deployment.release import main

CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-29

### Added

- Series.

### Fixed

- A hold.

## [1.1.0] - 2026-10-01

- Groups.

## [1.0.0] - 2026-09-01
"""


def a_project(folder: Path, version: str) -> Path:
    (folder / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "{version}"\n')
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    return folder


@pytest.mark.parametrize(
    ("version", "notes"),
    [
        ("1.2.0", "### Added\n\n- Series.\n\n### Fixed\n\n- A hold.\n"),
        ("1.1.0", "- Groups.\n"),
    ],
)
def test_the_notes_are_the_versions_section(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, notes: str
) -> None:
    assert main([f"v{version}"], root=a_project(tmp_path, version)) == 0
    assert capsys.readouterr().out == notes


@pytest.mark.parametrize(
    ("version", "tag", "reason"),
    [
        ("1.2.0", "v1.1.0", "The tag is v1.1.0, and pyproject.toml has version 1.2.0."),
        ("1.2.0", "1.2.0", "The tag is 1.2.0, and pyproject.toml has version 1.2.0."),
        ("1.0.0", "v1.0.0", "CHANGELOG.md says nothing under [1.0.0]."),
        ("1.3.0", "v1.3.0", "CHANGELOG.md says nothing under [1.3.0]."),
    ],
)
def test_a_release_that_does_not_agree_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, tag: str, reason: str
) -> None:
    assert main([tag], root=a_project(tmp_path, version)) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", reason + "\n")
