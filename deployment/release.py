"""Checks a release before it is published: ``python -m deployment.release v1.2.3``.

Prints the changelog's section for the tag's version, which becomes the release notes.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


class NotReleasable(Exception):
    """The tag, the project's version and the changelog do not agree."""


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Print the release notes. Returns 1 if the tag must not be released."""
    parser = argparse.ArgumentParser(prog="python -m deployment.release", description=__doc__)
    parser.add_argument("tag", help="the tag to release: v and the version in pyproject.toml")
    tag: str = parser.parse_args(arguments).tag
    try:
        print(release_notes(tag, root), end="")
    except NotReleasable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def release_notes(tag: str, root: Path) -> str:
    """Return the changelog's section for *tag*, without its heading.

    Raises:
        NotReleasable: *tag* is not ``v`` and the version in pyproject.toml, or the changelog has
            no section for that version, or an empty one.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = str(project["version"])
    if tag != f"v{version}":
        raise NotReleasable(f"The tag is {tag}, and pyproject.toml has version {version}.")
    notes = _section((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    if not notes:
        raise NotReleasable(f"CHANGELOG.md says nothing under [{version}].")
    return notes + "\n"


def _section(changelog: str, version: str) -> str:
    """Return the text under ``## [version] - date``, up to the next such heading."""
    heading = re.compile(r"^## \[([^\]]+)\].*$", re.MULTILINE)
    parts = heading.split(changelog)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(version, "").strip()


if __name__ == "__main__":
    sys.exit(main())
