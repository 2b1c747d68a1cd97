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
IDENTITY: Final = "function-app-identity"
IDENTITY_ID: Final = "11111111-2222-4333-8444-555555555555"
ANOTHER_ID: Final = "99999999-2222-4333-8444-555555555555"
_UNIQUE: Final = "applications(uniqueName='mentor-calendar')"
_AZ: Final = f"""#!{sys.executable}
import json, sys
from pathlib import Path

import jmespath  # the CLI's own

state = Path(__file__).with_name("directory.json")
apps = json.loads(state.read_text())
given = sys.argv[1:]
words = [w for i, w in enumerate(given) if w[0] != "-" and not (i and given[i - 1][0] == "-")]
flags = {{f: v for f, v in zip(given, [*given[1:], ""]) if f[0] == "-"}}
command, app = " ".join(words), apps.get(flags.get("--id", ""))
if "broken" in apps:
    sys.exit("Service Unavailable")
with Path(__file__).with_name("calls.txt").open("a") as calls:
    calls.write(f"{{command}} {{flags.get('--id', '')}} {{flags.get('--method', '')}}\\n")

def show(found):
    if "--query" in flags:
        found = jmespath.search(flags["--query"], found)
    for line in found if isinstance(found, list) else [found]:
        print("" if line is None else line)

if words[0] == "rest":
    url, body = flags["--url"], json.loads(flags.get("--body", "null"))
    assert url.startswith("https://graph.microsoft.com/v1.0/applications")
    if "uniqueName=" in url:
        unique = url.split("'")[1]
        app = next((a for a in apps.values() if a.get("uniqueName") == unique), None)
        if app is None and flags.get("--method") == "PATCH":
            app = apps["new"] = {{"id": "object-new", "appId": "new", "uniqueName": unique}}
            app["owners"] = ["me"]
    else:
        app = next((a for a in apps.values() if a["id"] == url.rpartition("/")[2]), None)
    if app is None:
        sys.exit('Not Found({{"error":{{"code":"Request_ResourceNotFound"}}}})')
    app.update(body or {{}})
    flags["--output"] == "none" or show(app)
elif command == "ad signed-in-user show":
    show({{"id": "me"}})
elif command == "ad app list":
    exact = flags["--filter"].removeprefix("displayName eq '").removesuffix("'")
    show([a for a in apps.values() if a["displayName"] == exact])
elif command == "account show":
    show({{"tenantId": "tenant"}})
elif app is None and command.startswith(("ad app", "ad sp")):
    sys.exit("Resource does not exist")
elif command == "ad app show":
    flags["--output"] == "none" or show(app)
elif command == "ad app owner list":
    app.get("deaf") and sys.exit("Insufficient privileges")
    show([{{"id": each}} for each in app["owners"]])
elif command == "ad app credential list":
    kind = "certificates" if "--cert" in flags else "secrets"
    show([{{"keyId": each}} for each in app.get(kind, [])])
elif command == "ad app federated-credential list":
    show(app.get("federated", []))
elif command.startswith("ad app federated-credential"):
    sent = json.loads(flags["--parameters"])
    others = [each for each in app.get("federated", []) if each["name"] != sent["name"]]
    app["federated"] = [*others, sent]
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


def an_app(*owners: str, name: str = "Mentor Calendar", app_id: str = "ours") -> dict[str, Any]:
    """Return a registration as Graph returns it, with its owners."""
    return {
        "id": f"object-{app_id}",
        "appId": app_id,
        "displayName": name,
        "owners": [*owners],
        "requiredResourceAccess": [],
        "web": {"redirectUris": []},
        "spa": {"redirectUris": []},
        "identifierUris": [],
        "api": {"oauth2PermissionScopes": []},
        "appRoles": [],
    }


def directory(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "directory.json").read_text())
    return found


def subject(app: dict[str, Any]) -> str | None:
    return next((f["subject"] for f in app["federated"] if f["name"] == IDENTITY), None)


def changed(tmp_path: Path) -> list[str]:
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    return [call for call in calls if {"update", "create", "delete", "PATCH"} & {*call.split()}]


def permissions(app: dict[str, Any]) -> list[str]:
    return [each["id"] for api in app["requiredResourceAccess"] for each in api["resourceAccess"]]


@pytest.mark.parametrize("name", ["Mentor Calendar", "Mentor Calendar test"])
def test_a_planted_registration_is_not_taken(run: Run, tmp_path: Path, name: str) -> None:
    planted = an_app(MALLORY, name=name, app_id="planted")
    done = run(apps={"planted": planted})
    if name == "Mentor Calendar":
        assert done.returncode == 1
        assert "planted" in done.stderr
        assert "APP_CLIENT_ID" in done.stderr
        assert changed(tmp_path) == []
    else:
        assert done.stdout.strip() == "APP_CLIENT_ID=new", done.stderr
    assert directory(tmp_path)["planted"] == planted


def test_a_planted_registration_with_our_unique_name_is_not_taken(run: Run, tmp_path: Path) -> None:
    planted = an_app(MALLORY, app_id="planted") | {"uniqueName": "mentor-calendar"}
    done = run(apps={"planted": planted})
    assert done.returncode == 1
    assert f"owned by {MALLORY}" in done.stderr
    left = planted | {"owners": [], "secrets": ["left"]}
    done = run(apps={"planted": left})
    assert done.returncode == 1
    assert "has the credential left" in done.stderr
    assert changed(tmp_path) == []


def test_the_registration_is_made_once_by_its_unique_name(run: Run, tmp_path: Path) -> None:
    assert run(IDENTITY_ID).stdout.strip() == "APP_CLIENT_ID=new"
    (tmp_path / "app-client-id").unlink()  # another machine
    again = run(IDENTITY_ID)
    assert again.stdout.strip() == "APP_CLIENT_ID=new", again.stderr
    assert again.stderr == ""  # nothing to ask for
    app = directory(tmp_path)["new"]
    assert app["uniqueName"] == "mentor-calendar"
    assert app["identifierUris"] == ["api://new"]
    template = (SCRIPT.parent / "main.bicep").read_text()
    assert f"var scopeId = '{app['api']['oauth2PermissionScopes'][0]['id']}'" in template
    assert f"var platformRoleId = '{app['appRoles'][0]['id']}'" in template
    assert f"param uniqueName string = '{app['uniqueName']}'" in template


def test_whether_there_is_a_registration_is_not_guessed(run: Run, tmp_path: Path) -> None:
    done = run(apps={"broken": True})
    assert done.returncode == 1
    assert "Service Unavailable" in done.stderr
    assert changed(tmp_path) == []


def test_the_registration_of_the_first_run_is_changed_again(run: Run, tmp_path: Path) -> None:
    assert run().stdout.strip() == "APP_CLIENT_ID=new"
    apps = directory(tmp_path) | {"planted": an_app(MALLORY, app_id="planted")}
    again = run(IDENTITY_ID, apps=apps, YES="1")
    assert again.stdout.strip() == "APP_CLIENT_ID=new", again.stderr
    assert subject(directory(tmp_path)["new"]) == IDENTITY_ID
    moved = run(ANOTHER_ID, YES="1")
    assert moved.returncode == 0, moved.stderr
    assert moved.stderr.splitlines()[1:] == [
        f"  takes away: identity {IDENTITY_ID}",
        f"  adds:       identity {ANOTHER_ID}",
    ]
    assert subject(directory(tmp_path)["new"]) == ANOTHER_ID


def test_what_is_taken_away_is_shown_and_asked_for(run: Run, tmp_path: Path) -> None:
    run(IDENTITY_ID, "application", PAGE_URL="https://page.example")
    before = directory(tmp_path)
    fewer = run(IDENTITY_ID)
    assert fewer.returncode == 1
    assert "takes away: permission Role Calendars.ReadWrite" in fewer.stderr
    assert "page.example" not in fewer.stderr  # without PAGE_URL it is left as it is
    assert "YES=1" in fewer.stderr
    assert directory(tmp_path) == before
    assert run(IDENTITY_ID, YES="1").returncode == 0
    app = directory(tmp_path)["new"]
    assert set(permissions(before["new"])) > set(permissions(app))
    assert app["spa"] == {
        "redirectUris": [f"https://page.example/{p}" for p in ("signed-in.html", "")]
    }


@pytest.mark.parametrize("words", [("aplication",), (IDENTITY_ID, "Poll"), ("identity",)])
def test_a_word_that_it_does_not_know_is_refused(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert f"{words[-1]} is no object id" in done.stderr
    assert changed(tmp_path) == []


def test_the_mode_may_be_named_without_an_identity(run: Run, tmp_path: Path) -> None:
    assert run("application").returncode == 0
    app = directory(tmp_path)["new"]
    assert "ef54d2bf-783f-4e0f-bca1-3210c0444d99" in permissions(app)
    assert "federated" not in app


def test_a_second_deployment_in_the_tenant_has_its_own_key(run: Run, tmp_path: Path) -> None:
    dev = an_app(ME, app_id="dev") | {"uniqueName": "mentor-calendar"}
    done = run(IDENTITY_ID, apps={"dev": dev}, UNIQUE_NAME="mentor-calendar-prod")
    assert done.stdout.strip() == "APP_CLIENT_ID=new", done.stderr
    assert directory(tmp_path)["new"]["uniqueName"] == "mentor-calendar-prod"
    assert directory(tmp_path)["dev"] == dev


def test_scopes_roles_and_claims_of_others_are_not_taken_away_in_silence(
    run: Run, tmp_path: Path
) -> None:
    run()
    apps = directory(tmp_path)
    apps["new"]["appRoles"].append({"id": "theirs", "value": "Reports.Read"})
    apps["new"]["optionalClaims"]["accessToken"].append({"name": "groups"})
    done = run(apps=apps)
    assert done.returncode == 1
    assert "takes away: role Reports.Read" in done.stderr
    assert "takes away: claim groups" in done.stderr


def test_permissions_for_another_api_are_not_taken_away_in_silence(
    run: Run, tmp_path: Path
) -> None:
    run()
    apps = directory(tmp_path)
    other = {"resourceAppId": "other-api", "resourceAccess": [{"id": "right", "type": "Role"}]}
    apps["new"]["requiredResourceAccess"].append(other)
    done = run(apps=apps)
    assert done.returncode == 1
    assert "takes away: permission Role right" in done.stderr
    assert "permissions of the API other-api" in done.stderr


def test_a_registration_by_the_portal_gets_the_unique_name(run: Run, tmp_path: Path) -> None:
    portals = an_app(ME) | {"appRoles": [{"id": "its-own", "value": "Platform.Manage"}]}
    asked = run(apps={"ours": portals}, APP_CLIENT_ID="ours")
    assert asked.returncode == 1
    assert "adds:       permission Scope Calendars.ReadWrite" in asked.stderr
    assert run(APP_CLIENT_ID="ours", YES="1").returncode == 0
    app = directory(tmp_path)["ours"]
    assert app["uniqueName"] == "mentor-calendar"
    assert app["appRoles"][0]["id"] == "its-own"  # an enabled role cannot be replaced


def test_unknown_owners_are_refused_until_they_are_named(run: Run, tmp_path: Path) -> None:
    refused = run(apps={"ours": an_app(ME, COLLEAGUE)}, APP_CLIENT_ID="ours", YES="1")
    assert refused.returncode == 1
    assert COLLEAGUE in refused.stderr
    assert "owner remove" in refused.stderr
    assert changed(tmp_path) == []
    done = run(APP_CLIENT_ID="ours", APP_OWNERS=COLLEAGUE, YES="1")
    assert done.stdout.strip() == "APP_CLIENT_ID=ours"


def test_owners_that_cannot_be_listed_are_not_none(run: Run, tmp_path: Path) -> None:
    done = run(apps={"ours": an_app(ME) | {"deaf": True}}, APP_CLIENT_ID="ours", YES="1")
    assert done.returncode != 0
    assert changed(tmp_path) == []


@pytest.mark.parametrize("kind", ["secrets", "certificates", "federated"])
def test_credentials_of_a_registration_that_it_did_not_make_are_refused_until_they_are_named(
    run: Run, tmp_path: Path, kind: str
) -> None:
    planted: list[Any] = ["planted"] if kind != "federated" else [{"name": "planted"}]
    apps = {"ours": an_app(ME) | {kind: planted}}
    refused = run(apps=apps, APP_CLIENT_ID="ours", YES="1")
    assert refused.returncode == 1
    assert "has the credential planted" in refused.stderr
    assert changed(tmp_path) == []
    assert run(APP_CLIENT_ID="ours", APP_CREDENTIALS="planted", YES="1").returncode == 0
    # From then on it is noted as the one of this deployment.
    assert run().returncode == 0


def test_its_own_federated_credential_is_known(run: Run, tmp_path: Path) -> None:
    apps = {"ours": an_app(ME) | {"federated": [{"name": IDENTITY, "subject": IDENTITY_ID}]}}
    assert run(IDENTITY_ID, apps=apps, APP_CLIENT_ID="ours", YES="1").returncode == 0
    (tmp_path / "app-client-id").unlink()
    refused = run(ANOTHER_ID, apps=apps, APP_CLIENT_ID="ours", YES="1")
    assert refused.returncode == 1
    assert IDENTITY in refused.stderr


def test_a_registration_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    done = run(APP_CLIENT_ID="mistyped")
    assert done.returncode == 1
    assert "no registration mistyped" in done.stderr
    assert changed(tmp_path) == []
