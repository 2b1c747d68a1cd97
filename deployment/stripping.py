"""Removes from installed packages the parts for debuggers and readers."""

import struct
from pathlib import Path
from typing import Final

_ELF64_LITTLE: Final = b"\x7fELF\x02\x01"
_SECTION_TABLE: Final = ((40, "<Q"), (58, "<H"), (60, "<H"), (62, "<H"))
"""The place in the ELF header of the section table's offset, and of its three sizes."""


def strip_object(file: Path) -> None:
    """Cut the compiled module *file* after the last byte that is loaded.

    The loader reads program headers alone. Symbols, debug information and the table of sections lie
    behind the loaded parts. `strip` is not used, because its output depends on the version of
    binutils.

    Source: https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html

    Raises:
        ValueError: *file* is no 64-bit little-endian ELF object.
    """
    content = bytearray(file.read_bytes())
    if not content.startswith(_ELF64_LITTLE):
        raise ValueError(f"{file} is no 64-bit little-endian ELF object")
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    end = table + size * count
    for header in range(table, end, size):
        offset, in_file = struct.unpack_from("<Q16xQ", content, header + 8)
        end = max(end, offset + in_file)
    for position, layout in _SECTION_TABLE:
        struct.pack_into(layout, content, position, 0)
    file.write_bytes(content[:end])


def strip_metadata(file: Path) -> None:
    """Cut the description, a whole README, out of a distribution's ``METADATA``.

    Source: https://packaging.python.org/specifications/core-metadata/
    """
    headers, _, _ = file.read_text(encoding="utf-8").partition("\n\n")
    file.write_text(f"{headers}\n", encoding="utf-8")
