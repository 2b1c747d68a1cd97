"""The script that makes the signing keys, with a stand-in for the Azure CLI and its vault."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.infra.scripts import INFRA, put_program, run_script

SCRIPT: Final = INFRA / "secrets.sh"
KEYS: Final = ("client-state-key", "consent-state-key", "webhook-key")
_AZ: Final = f"""#!{sys.executable}
import json, sys
from pathlib import Path

state = Path(__file__).with_name("vault.json")
vault = json.loads(state.read_text())
given = sys.argv[1:]
flags = {{f: v for f, v in zip(given, [*given[1:], ""]) if f[0] == "-"}}
command = " ".join(given[:3])
name = flags.get("--name", "")
closed = Path(__file__).with_name("closed")
if closed.exists():
    reasons = closed.read_text().split()
    reason = reasons.pop(0)
    closed.write_text(" ".join(reasons)) if reasons else closed.unlink()
    sys.exit(f"(Forbidden) Caller is not authorized. Inner error: {{reason}}")

if command == "keyvault secret show":
    name in vault or sys.exit("(SecretNotFound) A secret with (name/id) was not found")
elif command == "keyvault secret set":
    versions = vault.setdefault(name, {{}})
    version = f"https://vault/secrets/{{name}}/{{len(versions)}}"
    versions[version] = [Path(flags["--file"]).read_text(), True]
    print("WARNING: this command is in preview", file=sys.stderr)
    print(version)
elif command == "keyvault secret list-versions":
    # As the real one: only of whoever may list, and here it may fail.
    Path(__file__).with_name("deaf").exists() and sys.exit("Forbidden")
    print("\\n".join(v for v, (_, enabled) in vault[name].items() if enabled))
elif command == "keyvault secret set-attributes":
    for versions in vault.values():
        if flags["--id"] in versions:
            versions[flags["--id"]][1] = flags["--enabled"] == "true"
else:
    sys.exit(f"unknown: {{command}}")
state.write_text(json.dumps(vault))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Provide a run of the script."""
    put_program(tmp_path, "az", _AZ)
    (tmp_path / "vault.json").write_text("{}")

    def run_it(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_script(
            SCRIPT, "vault", *arguments, programs=tmp_path, TRIES="4", PAUSE_SECONDS="0"
        )

    return run_it


def good(tmp_path: Path, name: str) -> list[str]:
    """Return the values of the versions of the secret *name* that are enabled, oldest first."""
    vault = json.loads((tmp_path / "vault.json").read_text())
    return [value for value, enabled in vault.get(name, {}).values() if enabled]


def test_what_is_missing_is_made_once(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert run().returncode == 0
    values = [good(tmp_path, name) for name in KEYS]
    assert [len(each) for each in values] == [1, 1, 1]
    assert len({value for each in values for value in each}) == 3
    assert {len(value) for each in values for value in each} == {44}


def test_a_right_that_was_just_granted_is_waited_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "closed").write_text("ForbiddenByRbac " * 3)
    done = run()
    assert done.returncode == 0, done.stderr
    assert [len(good(tmp_path, name)) for name in KEYS] == [1, 1, 1]
    assert done.stderr.count("Waiting") == 1


@pytest.mark.parametrize(
    ("reasons", "says"),
    [
        ("ForbiddenByRbac " * 20, "Key Vault Secrets Officer"),
        ("ForbiddenByConnection", "private vault"),
        ("ForbiddenByFirewall", "private vault"),
        ("Throttled", "Throttled"),
    ],
)
def test_a_vault_that_cannot_be_read_is_not_empty(
    run: Run, tmp_path: Path, reasons: str, says: str
) -> None:
    run()
    (tmp_path / "closed").write_text(reasons)
    done = run()
    assert done.returncode == 1
    assert says in done.stderr
    assert [len(good(tmp_path, name)) for name in KEYS] == [1, 1, 1]


def test_a_rotation_keeps_the_version_before(run: Run, tmp_path: Path) -> None:
    for mode in ((), ("rotate",)):
        assert run(*mode).returncode == 0
    assert [len(good(tmp_path, name)) for name in KEYS] == [2, 2, 2]


def test_a_key_that_leaked_is_good_for_nothing(run: Run, tmp_path: Path) -> None:
    for mode in ((), ("rotate",), ("rotate",)):
        run(*mode)
    before = good(tmp_path, "consent-state-key")
    done = run("withdraw", "consent-state-key")
    assert done.returncode == 0, done.stderr
    assert "make new consent links" in done.stdout
    (new,) = good(tmp_path, "consent-state-key")
    assert new not in before
    assert len(good(tmp_path, "webhook-key")) == 3


def test_a_withdrawal_that_is_not_done_is_said(run: Run, tmp_path: Path) -> None:
    run()
    (tmp_path / "deaf").touch()
    done = run("withdraw", "webhook-key")
    assert done.returncode != 0
    assert "made anew" not in done.stdout


@pytest.mark.parametrize("arguments", [("withdraw",), ("withdraw", "other"), ("turn",)])
def test_what_it_does_not_know_is_refused(
    run: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments).returncode == 1
    assert (tmp_path / "vault.json").read_text() == "{}"
