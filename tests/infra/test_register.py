"""The registration script, against a stand-in for the Azure CLI that keeps a directory."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.infra.scripts import INFRA, put_program, run_script

SCRIPT: Final = INFRA / "entra/register.sh"
ME, MALLORY, COLLEAGUE = "me", "mallory", "colleague"
_AZ: Final = f"""#!{sys.executable}
import json, sys
from pathlib import Path

state = Path(__file__).with_name("directory.json")
apps = json.loads(state.read_text())
given = sys.argv[1:]
words = [w for i, w in enumerate(given) if w[0] != "-" and not (i and given[i - 1][0] == "-")]
flags = {{f: v for f, v in zip(given, [*given[1:], ""]) if f[0] == "-"}}
command, app = " ".join(words), apps.get(flags.get("--id", ""))
with Path(__file__).with_name("calls.txt").open("a") as calls:
    calls.write(f"{{command}} {{flags.get('--id', '')}}\\n")

def query(found):
    return "\\n".join(found)

if command == "ad signed-in-user show":
    print("me")
elif command == "ad app list":
    exact = flags["--filter"].removeprefix("displayName eq '").removesuffix("'")
    print(query(i for i, a in apps.items() if a["displayName"] == exact))
elif command == "ad app create":
    apps["new"] = {{"displayName": flags["--display-name"], "owners": ["me"], "subject": ""}}
    print("new")
elif command == "account show":
    print("tenant")
elif app is None and command.startswith(("ad app", "ad sp")):
    sys.exit("Resource does not exist")
elif command == "ad app owner list":
    app.get("deaf") and sys.exit("Insufficient privileges")
    print(query(app["owners"]))
elif command == "ad app credential list":
    print(query(app.get("certificates" if "--cert" in flags else "secrets", [])))
elif command == "ad app federated-credential list":
    asked = flags["--query"]
    ours = bool(app["subject"]) and "subject!='" + app["subject"] + "'" not in asked
    names = app.get("federated", []) + (["function-app-identity"] if ours else [])
    print(query(names) if "name!=" in asked else app["subject"])
elif command.startswith("ad app federated-credential"):
    app["subject"] = json.loads(flags["--parameters"])["subject"]
elif command == "ad app update":
    app["uris"] = flags["--web-redirect-uris"]
state.write_text(json.dumps(apps))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Provide a run of the script in a directory of *apps*, with settings by name."""
    put_program(tmp_path, "az", _AZ)

    def run_it(
        *arguments: str, apps: dict[str, Any] | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        if apps is not None or not (tmp_path / "directory.json").exists():
            (tmp_path / "directory.json").write_text(json.dumps(apps or {}))
        (tmp_path / "calls.txt").write_text("")
        noted = {"APP_ID_FILE": str(tmp_path / "app-client-id")}
        return run_script(
            SCRIPT, "host.example", *arguments, programs=tmp_path, **noted, **settings
        )

    return run_it


def an_app(*owners: str, name: str = "Mentor Calendar") -> dict[str, Any]:
    return {"displayName": name, "owners": [*owners], "subject": ""}


def changed(tmp_path: Path) -> list[str]:
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    return [call for call in calls if "update" in call or "create" in call or call.startswith("re")]


@pytest.mark.parametrize("name", ["Mentor Calendar", "Mentor Calendar test"])
def test_a_planted_registration_is_not_taken(run: Run, tmp_path: Path, name: str) -> None:
    planted = {"planted": an_app(MALLORY, name=name)}
    done = run(apps=planted)
    if name == "Mentor Calendar":
        assert done.returncode == 1
        assert "planted" in done.stderr
        assert "APP_CLIENT_ID" in done.stderr
        assert changed(tmp_path) == []
    else:
        assert done.stdout.strip() == "APP_CLIENT_ID=new", done.stderr
    assert "uris" not in json.loads((tmp_path / "directory.json").read_text())["planted"]


def test_the_registration_of_the_first_run_is_changed_again(run: Run, tmp_path: Path) -> None:
    assert run().stdout.strip() == "APP_CLIENT_ID=new"
    apps = json.loads((tmp_path / "directory.json").read_text()) | {"planted": an_app(MALLORY)}
    again = run("identity", apps=apps)
    assert again.stdout.strip() == "APP_CLIENT_ID=new", again.stderr
    assert json.loads((tmp_path / "directory.json").read_text())["new"]["subject"] == "identity"
    moved = run("another")
    assert moved.returncode == 0, moved.stderr
    assert json.loads((tmp_path / "directory.json").read_text())["new"]["subject"] == "another"


def test_unknown_owners_are_refused_until_they_are_named(run: Run, tmp_path: Path) -> None:
    apps = {"ours": an_app(ME, COLLEAGUE)}
    refused = run(apps=apps, APP_CLIENT_ID="ours")
    assert refused.returncode == 1
    assert COLLEAGUE in refused.stderr
    assert "owner remove" in refused.stderr
    assert changed(tmp_path) == []
    assert run(APP_CLIENT_ID="ours", APP_OWNERS=COLLEAGUE).stdout.strip() == "APP_CLIENT_ID=ours"


def test_owners_that_cannot_be_listed_are_not_none(run: Run, tmp_path: Path) -> None:
    done = run(apps={"ours": an_app(ME) | {"deaf": True}}, APP_CLIENT_ID="ours")
    assert done.returncode != 0
    assert changed(tmp_path) == []


@pytest.mark.parametrize("kind", ["secrets", "certificates", "federated"])
def test_credentials_of_a_registration_that_it_did_not_make_are_refused_until_they_are_named(
    run: Run, tmp_path: Path, kind: str
) -> None:
    apps = {"ours": an_app(ME) | {kind: ["planted"]}}
    refused = run(apps=apps, APP_CLIENT_ID="ours")
    assert refused.returncode == 1
    assert "has the credential planted" in refused.stderr
    assert changed(tmp_path) == []
    assert run(APP_CLIENT_ID="ours", APP_CREDENTIALS="planted").returncode == 0
    # From then on it is noted as the one of this deployment.
    assert run().returncode == 0


def test_its_own_federated_credential_is_known(run: Run, tmp_path: Path) -> None:
    apps = {"ours": an_app(ME) | {"subject": "identity"}}
    assert run("identity", apps=apps, APP_CLIENT_ID="ours").returncode == 0
    (tmp_path / "app-client-id").unlink()
    refused = run("another", apps=apps, APP_CLIENT_ID="ours")
    assert refused.returncode == 1
    assert "function-app-identity" in refused.stderr


def test_a_registration_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    done = run(APP_CLIENT_ID="mistyped")
    assert done.returncode == 1
    assert "no registration mistyped" in done.stderr
    assert changed(tmp_path) == []
