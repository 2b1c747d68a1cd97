"""The Makefile on a machine that has nothing yet: what it installs, and what it says is missing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TOOLS = ("bash", "cat", "find", "grep", "ls", "make", "mkdir", "rm", "sed", "touch")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a folder with the few programs that any machine has."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    return folder


def put(tools: Path, name: str, script: str) -> None:
    """Put a program into *tools*."""
    (tools / name).write_text(f"#!{shutil.which('bash')}\n{script}\n")
    (tools / name).chmod(0o755)


def make(tools: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `make` where nothing but *tools* is found and no variable is set."""
    return subprocess.run(
        [tools / "make", *arguments],
        cwd=ROOT,
        env={"PATH": str(tools), "HOME": str(tools), "PYENV_ROOT": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_chromium_is_installed_where_it_is_missing(tools: Path) -> None:
    log = tools / "log"
    put(tools, "id", "echo 0")
    put(tools, "apt-get", f'echo "$@" >> {log}')
    done = make(tools, "chromium")
    assert done.returncode == 0, done.stderr
    assert log.read_text().splitlines() == ["update -qq", "install -y -qq chromium"]


def test_chromium_is_asked_for_where_it_cannot_be_installed(tools: Path) -> None:
    put(tools, "id", "echo 1000")
    done = make(tools, "chromium")
    assert done.returncode != 0
    assert done.stdout == "Chromium is needed. Run: sudo apt-get install chromium\n"


@pytest.mark.parametrize("name", ["CHROMIUM=/opt/chrome", None])
def test_chromium_that_is_there_is_taken(tools: Path, name: str | None) -> None:
    if name is None:
        put(tools, "chromium", "true")
    done = make(tools, "chromium", *([name] if name else []))
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("version", "says"), [("3.10", "is 3.10"), (None, "does not run")])
def test_unsuitable_python_is_refused_in_one_line(
    tools: Path, version: str | None, says: str
) -> None:
    if version:
        put(tools, "other-python", f"echo {version}")
    done = make(tools, "setup", "PYTHON=other-python", f"VENV={tools / 'venv'}")
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("Python 3.11 to 3.14 is needed")
    assert says in line
    assert line.endswith("Name one: make setup PYTHON=python3.13")


def test_the_audit_looks_at_every_lock_file(tools: Path) -> None:
    log = tools / "log"
    put(tools, "npm", f'echo "$@" >> {log}')
    # pip-audit itself reads the arguments and the pins, and asks nobody.
    done = make(
        tools, "-o", "setup", "audit", f"VENV={sys.prefix}", "ARGS=--dry-run", "KNOWN=CVE-1"
    )
    assert done.returncode == 0, done.stderr
    pins = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-dev.txt").read_text()
    found = re.search(r"would have audited (\d+) packages", done.stderr)
    assert found
    assert 100 < int(found[1]) <= len(set(re.findall(r"^(\S+)==", pins, re.MULTILINE)))
    page, *others = log.read_text().splitlines()
    assert page == "audit --prefix web --package-lock-only --omit dev"
    locks = {str(f.parent.relative_to(ROOT)) for f in ROOT.glob("*/package-lock.json")}
    for below in (".github", "infra"):
        locks |= {
            str(f.parent.relative_to(ROOT)) for f in ROOT.glob(f"{below}/*/package-lock.json")
        }
    assert {each.split()[2] for each in others} == locks


def test_the_audit_fails_with_any_of_its_parts(tools: Path) -> None:
    put(tools, "npm", '[[ "$*" != *local* ]]')
    done = make(tools, "-o", "setup", "audit", f"VENV={sys.prefix}", "ARGS=--dry-run")
    assert done.returncode != 0
