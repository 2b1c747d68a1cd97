"""Who signs in and who approves, and what the others are told: each person of the seed."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Final

import jwt
import pytest

from local.__main__ import main
from local.certificate import LocalCertificate
from local.seed import CONTOSO_ID, NORTHWIND_ID, seeded_world
from local.world import DirectoryRole
from tests.local.conftest import Cloud

SIGNS_IN: Final = ""
NEEDS_APPROVAL: Final = "AADSTS90094: Mentor Calendar needs permission"
NORTHWIND: Final = {
    "nils": NEEDS_APPROVAL,
    "noor": NEEDS_APPROVAL,
    # Whoever may let an app act for people signs in; the app gets no permission by it.
    "vera": SIGNS_IN,
    "arne": SIGNS_IN,
    "cleo": SIGNS_IN,
}
ELSEWHERE: Final = dict.fromkeys(
    (
        *("ada", "ben", "priya", "tashi", "dana", "layla", "misaki", "oskar", "lena"),
        *("ruth", "gil", "ines", "faye", "hugo", "rosa"),
    ),
    SIGNS_IN,
)
"""A mailbox that is missing or elsewhere hinders nobody at the sign-in."""


@pytest.fixture
def cloud_file(cloud: Cloud, certificate: LocalCertificate, tmp_path: Path) -> Path:
    """Return the file by which commands find the running simulators."""
    path = tmp_path / "cloud.json"
    running = {
        "pid": os.getpid(),
        "login_url": cloud.entra.root_url,
        "graph_url": "",
        "key_vault_url": "",
        "app_url": None,
        "ca": str(certificate.authority),
        "environment": {},
    }
    path.write_text(json.dumps(running))
    return path


async def token(cloud_file: Path, who: str, *more: str) -> int:
    """Run the command; return its exit status."""
    return await asyncio.to_thread(main, ["token", who, *more, "--cloud", str(cloud_file)])


def test_the_table_has_every_person_of_the_seed() -> None:
    assert {each.key for each in seeded_world().people()} == {*NORTHWIND, *ELSEWHERE}


@pytest.mark.parametrize(("who", "says"), [*NORTHWIND.items(), *ELSEWHERE.items()])
async def test_a_token_is_got_as_the_person_would_sign_in(
    cloud: Cloud, cloud_file: Path, capsys: pytest.CaptureFixture[str], who: str, says: str
) -> None:
    status = await token(cloud_file, who)
    out, err = capsys.readouterr()
    if says:
        assert (status, out) == (1, "")
        sentence, remedy = err.splitlines()
        assert sentence.startswith(f"{who} cannot sign in. Entra says: {says}")
        assert "consent link: docs/onboarding.md" in remedy
    else:
        assert (status, err) == (0, "")
        claims: dict[str, Any] = jwt.decode(out.strip(), options={"verify_signature": False})
        assert claims["oid"] == cloud.world.person(who).object_id


@pytest.mark.parametrize("who", ["zed", "zed@contoso.example"])
async def test_who_is_not_there_reads_what_entra_says(
    cloud_file: Path, capsys: pytest.CaptureFixture[str], who: str
) -> None:
    assert await token(cloud_file, who) == 1
    out, err = capsys.readouterr()
    sentence, remedy = err.splitlines()
    assert out == ""
    assert sentence.startswith(
        f"{who} cannot sign in. Entra says: AADSTS50034: The user account {who} does not exist"
    )
    assert remedy == "`.venv/bin/python -m local people` lists who is there."


@pytest.mark.parametrize(
    ("who", "change", "says", "remedy"),
    [
        ("ruth", {"assignment_required": True}, "AADSTS50105: ", '"assignment_required": false'),
        ("ada", {"enabled": False}, "AADSTS7000112: ", '"enabled": true'),
    ],
)
async def test_who_is_kept_out_reads_how_to_lift_it(
    cloud: Cloud,
    cloud_file: Path,
    capsys: pytest.CaptureFixture[str],
    who: str,
    change: dict[str, bool],
    says: str,
    remedy: str,
) -> None:
    async with cloud.browser.patch(
        f"{cloud.entra.root_url}/_control/tenants/{CONTOSO_ID}", json=change
    ) as answer:
        assert answer.status == 200
    assert await token(cloud_file, who) == 1
    sentence, advice = capsys.readouterr().err.splitlines()
    assert (says in sentence, remedy in advice) == (True, True)
    # A forger asks nobody.
    assert await token(cloud_file, who, "--forgery", "unsigned") == 0


async def test_an_injected_error_is_met_as_often_as_it_was_asked_for(
    cloud: Cloud, cloud_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.entra.inject_error(50076, times=1)
    assert await token(cloud_file, "ada") == 1
    assert "DELETE /_control/errors" in capsys.readouterr().err
    assert await token(cloud_file, "ada") == 0
    assert await token(cloud_file, "platform") == 0


async def test_an_administrators_own_sign_in_opens_nothing_for_others(
    cloud: Cloud, cloud_file: Path
) -> None:
    assert await token(cloud_file, "vera") == 0
    assert not cloud.entra.app_in(NORTHWIND_ID).approved
    assert await token(cloud_file, "nils") == 1
    cloud.entra.grant(NORTHWIND_ID)
    assert await token(cloud_file, "nils") == 0


# --- who approves


def asked_of(cloud: Cloud, **form: str) -> dict[str, str]:
    return {
        "client_id": cloud.world.client_id,
        "scope": "https://graph.microsoft.com/.default",
        "redirect_uri": "https://localhost:7071/api/consent/callback",
        "state": "12345",
        **form,
    }


@pytest.mark.parametrize("who", ["arne", "cleo", "nils"])
async def test_a_role_that_cannot_approve_sees_the_page_for_it(cloud: Cloud, who: str) -> None:
    url = f"{cloud.entra.root_url}/{NORTHWIND_ID}/v2.0/adminconsent"
    form = asked_of(cloud, decision="grant", person=who)
    async with cloud.browser.post(url, data=form, allow_redirects=False) as answer:
        page = await answer.text()
    assert answer.status == 400
    assert "<h1>Need admin approval</h1>" in page
    assert NEEDS_APPROVAL in page
    assert "error=access_denied" in page
    assert not cloud.entra.app_in(NORTHWIND_ID).exists


@pytest.mark.parametrize("role", ["GLOBAL_ADMINISTRATOR", "PRIVILEGED_ROLE_ADMINISTRATOR"])
async def test_the_two_roles_approve(cloud: Cloud, role: str) -> None:
    cloud.world.person("arne").directory_roles = frozenset({DirectoryRole[role]})
    url = f"{cloud.entra.root_url}/{NORTHWIND_ID}/v2.0/adminconsent"
    form = asked_of(cloud, decision="grant", person="arne")
    async with cloud.browser.post(url, data=form, allow_redirects=False) as answer:
        assert answer.status == 302
    assert cloud.entra.app_in(NORTHWIND_ID).approved


async def test_the_consent_page_offers_everybody_who_holds_a_role(cloud: Cloud) -> None:
    url = f"{cloud.entra.root_url}/{NORTHWIND_ID}/v2.0/adminconsent"
    async with cloud.browser.get(url, params=asked_of(cloud)) as answer:
        page = await answer.text()
    offered = {key for key in NORTHWIND if f'id="grant-{key}"' in page}
    assert offered == {"vera", "arne", "cleo"}
