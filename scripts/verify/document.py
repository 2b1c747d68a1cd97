"""The checks of `docs/verify-on-azure.md`: their numbers and texts are written there alone."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "verify-on-azure.md"
_ROW: Final = re.compile(r"^\| *(\d+) *\| *(script|hand) *\|(.*)\|$", re.MULTILINE)
_BAR: Final = re.compile(r"(?<!\\)\|")
_LINK: Final = re.compile(r"\[([^]]+)\]\([^)]+\)")


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the document's tables."""

    number: int
    by_hand: bool
    """Only a person can do it: the script lists it."""
    do: str
    must_come: str
    if_not: str
    """What it means if something else comes."""


def read_checks(text: str | None = None) -> dict[int, Check]:
    """Return the checks in *text*, by default the document's, by number."""
    text = DOCUMENT.read_text(encoding="utf-8") if text is None else text
    checks = {}
    for number, by, rest in _ROW.findall(text):
        do, must_come, if_not = (_plain(cell) for cell in _BAR.split(rest))
        checks[int(number)] = Check(int(number), by == "hand", do, must_come, if_not)
    return dict(sorted(checks.items()))


def _plain(cell: str) -> str:
    return _LINK.sub(r"\1", cell.replace(r"\|", "|")).strip()
