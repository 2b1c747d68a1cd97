"""A zip whose bytes follow from its contents alone, and its limits of size.

``python -m deployment.archive FOLDER ARCHIVE`` writes one.
"""

import stat
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_BEFORE_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can store."""
_MODE: Final = stat.S_IFREG | 0o644


@dataclass(frozen=True, slots=True)
class Figures:
    """The costs of a cold start: bytes to fetch, bytes to unpack, files to open."""

    zip_bytes: int
    bytes: int
    files: int

    @classmethod
    def of(cls, archive: Path) -> Self:
        """Measure *archive*."""
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
        return cls(archive.stat().st_size, sum(each.file_size for each in entries), len(entries))

    def exceeded(self, limits: "Figures") -> list[str]:
        """Return a text for each figure that exceeds *limits*."""
        pairs = (
            ("bytes of zip", self.zip_bytes, limits.zip_bytes),
            ("bytes unpacked", self.bytes, limits.bytes),
            ("files", self.files, limits.files),
        )
        return [f"{n:,} {what}, {limit:,} allowed" for what, n, limit in pairs if n > limit]

    def __str__(self) -> str:
        return f"{self.zip_bytes / 1e6:.1f} MB zip, {self.bytes / 1e6:.1f} MB, {self.files:,} files"


LIMITS: Final = Figures(zip_bytes=17_000_000, bytes=43_000_000, files=2_700)


def write_archive(folder: Path, archive: Path) -> None:
    """Write the files in *folder* to *archive*: sorted, without times, readable by every user."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    with zipfile.ZipFile(archive, "w") as opened:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _BEFORE_TIME)
            entry.external_attr = _MODE << 16
            entry.create_system = 3  # Unix, on every build machine
            opened.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)


if __name__ == "__main__":
    write_archive(Path(sys.argv[1]), Path(sys.argv[2]))
