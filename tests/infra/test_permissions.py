"""The registered, documented and simulated permissions are the same."""

import re
from pathlib import Path

import pytest

from local.entra import registration

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "permissions.md").read_text()
TEMPLATE = (ROOT / "infra" / "entra" / "main.bicep").read_text()


def documented(title: str) -> set[str]:
    """Return the permissions in the first column of the table under *title*."""
    section = DOCUMENT.split(f"## {title}")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def registered(name: str) -> set[str]:
    """Return every permission in a variable of the template."""
    (line,) = re.findall(rf"^var {name} = (.+)$", TEMPLATE, re.MULTILINE)
    return set(re.findall(r"'([A-Za-z_.]+)'", line))


def test_every_delegated_permission_is_explained() -> None:
    assert documented("In the name of the signed-in user (delegated)") == registered("delegated")


def test_every_application_permission_is_explained() -> None:
    asked = registered("reading") | registered("application")
    assert documented("By itself (application)") == asked


def test_the_simulated_registration_asks_for_no_more() -> None:
    assert registered("delegated") >= registration.DELEGATED
    assert registered("reading") | registered("application") >= registration.APPLICATION


@pytest.mark.parametrize("name", ["main.bicep", "register.sh"])
def test_the_administrators_sign_in_leads_back_and_shows_their_roles(name: str) -> None:
    """Both ways to register set what consent needs."""
    text = (ROOT / "infra" / "entra" / name).read_text().replace('\\"', '"')
    assert re.search(r"https://\$\{?\w+\}?/api/consent/callback", text)
    assert re.search(r"""groupMembershipClaims"?: ["']DirectoryRole["']""", text)
