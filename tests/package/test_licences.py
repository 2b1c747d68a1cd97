"""What is distributed has licences that we accept, and comes from where it is pinned."""

import json
from typing import Any

import pytest

from deployment.licences import PAGE_LOCK, NotAccepted, check_bill, check_page, is_accepted
from tests.package.conftest import Built


def a_component(**changes: Any) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": "0" * 64}]
    return {
        "name": "thing",
        "version": "1.0",
        "licenses": [{"expression": "MIT"}],
        "externalReferences": [{"type": "distribution", "url": "https://x", "hashes": hashes}],
        **changes,
    }


def a_bill(**changes: Any) -> str:
    return json.dumps({"components": [a_component(name="other"), a_component(**changes)]})


def a_lock(**changes: Any) -> str:
    own, thing = {"license": "MIT"}, {"license": "MIT", **changes}
    return json.dumps({"packages": {"": own, "node_modules/@a/thing": thing}})


@pytest.mark.parametrize(
    ("licence", "is_fine"),
    [
        ("MIT", True),
        ("MIT License", True),
        ("Apache-2.0 AND MIT", True),
        ("Apache-2.0 AND GPL-3.0-only", False),
        ("GPL-2.0-or-later OR BSD-3-Clause", True),
        ("(MIT OR GPL-2.0-only) AND ISC", True),
        ("(MIT AND GPL-2.0-only) OR LGPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("SEE LICENSE IN LICENSE", False),
        ("UNLICENSED", False),
        ("BSD License", False),
        ("()", False),
        ("", False),
    ],
)
def test_a_licence_is_accepted_if_it_leaves_an_accepted_choice(licence: str, is_fine: bool) -> None:
    assert is_accepted(licence) is is_fine


def test_the_package_has_accepted_libraries_alone(built: Built) -> None:
    check_bill(built.package.bill.read_text())


@pytest.mark.parametrize(
    "changes",
    [
        {"licenses": [{"expression": "AGPL-3.0-only"}]},
        {"licenses": [{"license": {"name": "Copyright (c) 2021, somebody"}}]},
        {"licenses": []},
        {"externalReferences": []},
    ],
)
def test_a_package_with_another_library_is_refused(changes: dict[str, Any]) -> None:
    check_bill(a_bill())
    with pytest.raises(NotAccepted, match="thing"):
        check_bill(a_bill(**changes))


def test_a_licence_that_a_person_read_counts_for_its_package_alone() -> None:
    strange = [{"license": {"name": "Copyright (c) 2021, Hugo van Kemenade and contributors"}}]
    check_bill(a_bill(name="isodate", licenses=strange))
    with pytest.raises(NotAccepted):
        check_bill(a_bill(licenses=strange))


def test_the_page_has_accepted_packages_alone() -> None:
    check_page(PAGE_LOCK.read_text())


@pytest.mark.parametrize("licence", ["GPL-3.0-only", ""])
def test_a_page_with_another_package_is_refused(licence: str) -> None:
    check_page(a_lock())
    check_page(a_lock(license=licence, dev=True))
    with pytest.raises(NotAccepted, match="@a/thing"):
        check_page(a_lock(license=licence))
