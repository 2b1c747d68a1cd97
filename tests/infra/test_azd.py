"""What `azd up` runs: in turn, with the built package, and with a page that knows its API."""

import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.infra.scripts import put_program

ROOT: Final = Path(__file__).parents[2]
AZD: Final[dict[str, Any]] = yaml.safe_load((ROOT / "azure.yaml").read_text())
CLIENT: Final = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


def test_the_page_is_configured_when_the_address_of_the_app_is_known() -> None:
    assert AZD["workflows"]["up"] == [
        {"azd": "provision"},
        {"azd": "package --all"},
        {"azd": "deploy --all"},
    ]


def test_the_package_is_deployed_as_it_was_built() -> None:
    api = AZD["services"]["api"]
    assert api["remoteBuild"] is False
    assert f"--unpack {api['dist']}" in api["hooks"]["prepackage"]["run"]
    # Versions that do not know remoteBuild ignore it.
    assert AZD["requiredVersions"]["azd"] == ">= 1.23.5"


def test_all_that_the_environment_can_set_is_a_parameter() -> None:
    template = (ROOT / "infra/main.bicep").read_text()
    given = yaml.safe_load((ROOT / "infra/main.parameters.json").read_text())["parameters"]
    assert [name for name in given if f"\nparam {name} " not in template] == []


@pytest.fixture
def page(tmp_path: Path) -> Any:
    """Provide a run of the page's hook; it returns what node was called with."""
    for name in ("npm", "node"):
        put_program(tmp_path, name, f'#!/bin/sh\necho {name} "$@"\n')

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", AZD["services"]["web"]["hooks"]["prepackage"]["run"]],
            env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_page_gets_what_the_environment_has(page: Any) -> None:
    settings = {"apiUrl": "https://host.example", "APP_CLIENT_ID": CLIENT}
    (least,) = page(**settings).stdout.splitlines()[-1:]
    assert least.endswith(f"--api https://host.example/api --client-id {CLIENT}")
    parent, token = "https://platform.example", "https://platform.example/token"
    done = page(**settings, PAGE_PARENT=parent, PAGE_PLATFORM_TOKEN=token)
    assert done.stdout.strip().endswith(f"--parent {parent} --platform-token {token}")


@pytest.mark.parametrize("missing", ["apiUrl", "APP_CLIENT_ID"])
def test_a_page_that_would_lead_nowhere_is_not_made(page: Any, missing: str) -> None:
    settings = {"apiUrl": "https://host.example", "APP_CLIENT_ID": CLIENT}
    done = page(**{name: value for name, value in settings.items() if name != missing})
    assert done.returncode != 0
    assert "azd" in done.stderr
    assert "node" not in done.stdout
