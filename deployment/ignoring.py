"""The files of the repository in the package: all that `.funcignore` does not name."""

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path


def app_files(root: Path) -> Iterator[Path]:
    """Yield the app's files in *root*, relative to it, sorted."""
    patterns = read_patterns(root / ".funcignore")
    yield from sorted(_kept(root, Path(), patterns))


def read_patterns(path: Path) -> tuple[str, ...]:
    """Return the patterns in *path*. ValueError names an unsupported one."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    patterns = tuple(line for line in lines if line and not line.startswith("#"))
    for each in patterns:
        if "/" in each.rstrip("/") or each.startswith("!"):
            raise ValueError(f".funcignore: {each!r} is not the name of a file or folder")
    return tuple(each.rstrip("/") for each in patterns)


def is_ignored(path: Path, patterns: tuple[str, ...]) -> bool:
    """Return whether a name in *path*, relative to the root, is left out, as gitignore matches."""
    return any(fnmatch(part, pattern) for part in path.parts for pattern in patterns)


def _kept(root: Path, folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for entry in (root / folder).iterdir():
        path = folder / entry.name
        if is_ignored(path, patterns):
            continue
        if entry.is_dir():
            yield from _kept(root, path, patterns)
        else:
            yield path
