"""The licences under which what we distribute may come: the package's libraries, and the page's.

The build of the package refuses any other. ``python -m deployment.licences`` checks the page.
What only builds and tests is not distributed, so its licences are not looked at.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE_LOCK: Final = ROOT / "web" / "package-lock.json"

ACCEPTED: Final = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"),
        # It asks for the source of changed files. We change none.
        "MPL-2.0",
    }
)
"""SPDX identifiers: licences that ask for their notice, which each package brings along."""
_IDENTIFIERS: Final = {"Apache 2.0": "Apache-2.0", "MIT License": "MIT"}
"""Other names in packages' metadata → the SPDX identifier."""
_READ: Final = {
    # Its metadata begins with a copyright; the text that follows is the licence.
    "isodate": "BSD-3-Clause",
}
"""Packages whose metadata names no licence → the licence that a person read in them."""


class NotAccepted(Exception):
    """Something that would be distributed is not on our lists. The message names each."""


def check_bill(bill: str) -> None:
    """Check the bill of materials of the package.

    Raises:
        NotAccepted: a component has another licence than the accepted ones, or none, or is not
            pinned with its hashes.
    """
    _refuse([*_wrong_licences(_in_bill(bill)), *_without_hashes(bill)])


def check_page(lock: str) -> None:
    """Check the npm packages that are built into the page, in its lock file.

    Raises:
        NotAccepted: one has another licence than the accepted ones, or none.
    """
    _refuse([*_wrong_licences(_in_page(lock))])


def is_accepted(licence: str) -> bool:
    """Return whether *licence*, an SPDX expression, can be kept by keeping accepted licences."""
    licence = _IDENTIFIERS.get(licence, licence)
    while inner := re.search(r"\(([^()]*)\)", licence):
        stands_for = "MIT" if is_accepted(inner[1]) else "none"
        licence = f"{licence[: inner.start()]}{stands_for}{licence[inner.end() :]}"
    return any(
        all(each.strip() in ACCEPTED for each in choice.split(" AND "))
        for choice in licence.split(" OR ")
    )


def _refuse(wrong: list[str]) -> None:
    if wrong:
        raise NotAccepted("\n".join([*wrong, "What to do: CONTRIBUTING.md#dependencies."]))


def _wrong_licences(found: Iterator[tuple[str, str]]) -> Iterator[str]:
    for name, licence in found:
        if not is_accepted(licence):
            yield f"{name}: the licence {licence or '(none is named)'} is not accepted."


def _in_bill(bill: str) -> Iterator[tuple[str, str]]:
    for component in json.loads(bill)["components"]:
        named: dict[str, Any] = next(iter(component.get("licenses", ())), {})
        licence = named.get("expression") or named.get("license", {}).get("name", "")
        yield component["name"], _READ.get(component["name"], licence)


def _without_hashes(bill: str) -> Iterator[str]:
    for component in json.loads(bill)["components"]:
        if not component.get("externalReferences"):
            yield f"{component['name']} {component['version']} is not pinned in requirements.txt."


def _in_page(lock: str) -> Iterator[tuple[str, str]]:
    for path, package in json.loads(lock)["packages"].items():
        if path and not package.get("dev"):
            yield path.rpartition("node_modules/")[2], package.get("license", "")


def main() -> int:
    """Check the page's packages. Returns 1 if one is not accepted."""
    try:
        check_page(PAGE_LOCK.read_text(encoding="utf-8"))
    except NotAccepted as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
