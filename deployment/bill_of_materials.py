"""The bill of materials in CycloneDX.

Specification: https://cyclonedx.org/docs/1.6/json/
"""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

SPECIFICATION: Final = "1.6"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NEED: Final = re.compile(r"^[A-Za-z0-9._-]+")


def bill_of_materials(site: Path, requirements: Path, *, name: str, version: str) -> str:
    """Return the bill of the packages in *site*, as JSON. The same contents give the same bill.

    *requirements* has the hashes of each package: those of every file of that version in the
    registry. One of these files was fetched.
    """
    installed = sorted(distributions(path=[str(site)]), key=_name)
    hashes = _hashes(requirements)
    references = {_name(each): _reference(each) for each in installed}
    root = f"pkg:generic/{name}@{version}"
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": root, "name": name, "version": version}
        },
        "components": [_component(each, hashes) for each in installed],
        "dependencies": [
            {"ref": root, "dependsOn": sorted(references.values())},
            *(_needs(each, references) for each in installed),
        ],
    }
    # The serial number is derived from the contents, so equal builds have the same one.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return json.dumps({**document, "serialNumber": f"urn:uuid:{serial}"}, indent=1) + "\n"


def _component(one: Distribution, hashes: Mapping[tuple[str, str], list[str]]) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _reference(one),
        "name": one.metadata["Name"],
        "version": one.version,
        "purl": _reference(one),
    }
    if licence := _licence(one):
        component["licenses"] = [licence]
    if summary := one.metadata.json.get("summary"):
        component["description"] = summary
    found = hashes.get((_name(one), one.version), [])
    if found:
        component["externalReferences"] = [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{_name(one)}/{one.version}/#files",
                "hashes": [{"alg": "SHA-256", "content": each} for each in found],
            }
        ]
    return component


def _licence(one: Distribution) -> dict[str, Any] | None:
    if expression := one.metadata.json.get("license_expression"):
        return {"expression": expression}
    classified = [
        each.rpartition(" :: ")[2]
        for each in one.metadata.get_all("Classifier") or []
        if each.startswith("License ::")
    ]
    text = str(one.metadata.json.get("license") or "").strip().partition("\n")[0]
    named = text or next(iter(classified), "")
    return {"license": {"name": named}} if named else None


def _needs(one: Distribution, references: Mapping[str, str]) -> dict[str, Any]:
    names = {_canonical(found[0]) for need in one.requires or [] if (found := _NEED.match(need))}
    needed = sorted(references[each] for each in names & references.keys())
    return {"ref": _reference(one), **({"dependsOn": needed} if needed else {})}


def _hashes(requirements: Path) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for pin, lines in _pinned(requirements.read_text(encoding="utf-8")):
        found[pin] = sorted(_HASH.findall(lines))
    return found


def _pinned(text: str) -> Iterator[tuple[tuple[str, str], str]]:
    for entry in text.replace("\\\n", " ").splitlines():
        if match := _PIN.match(entry):
            yield (_canonical(match[1]), match[2]), entry


def _name(one: Distribution) -> str:
    return _canonical(one.metadata["Name"])


def _reference(one: Distribution) -> str:
    return f"pkg:pypi/{_name(one)}@{one.version}"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
