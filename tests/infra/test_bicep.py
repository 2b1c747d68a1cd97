"""The templates, compared with the code, the docs and Microsoft's types."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.adapters.queues import QUEUES
from shared.adapters.tables.keys import TABLES
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
CHECKER = ROOT.parent / "shared" / "infra" / "check_bicep.py"
TEMPLATES = sorted(INFRA.rglob("*.bicep"))

# Read by the platform or by the telemetry library, so not by shared/settings.py.
_OF_THE_HOST = re.compile(
    r"(AzureWebJobsStorage|STORAGE)__\w+|AzureWebJobsDisableHomepage"
    r"|APPLICATIONINSIGHTS_\w+|PYTHON_THREADPOOL_THREAD_COUNT"
)
# Only for disconnected clouds and the local one, so a template for Azure does not set them.
_NOT_IN_AZURE = {"LOGIN_URL", "GRAPH_URL", "KEY_VAULT_VERIFY_CHALLENGE"}


def _text(name: str) -> str:
    return (INFRA / name).read_text()


def _names_read() -> set[str]:
    """Return every setting that shared/settings.py reads."""
    tree = ast.parse((ROOT / "shared" / "settings.py").read_text())
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if re.fullmatch(r"[A-Z]+(_[A-Z]+)+|CLOUD|TELEMETRY", text)}


def _names_set() -> set[str]:
    block = re.search(
        r"var settings = \{\n(.*?)\n\}", _text("modules/functionApp.bicep"), re.DOTALL
    )
    assert block
    return set(re.findall(r"^  (\w+):", block[1], re.MULTILINE))


def _names_documented() -> set[str]:
    rows = [
        line.split("|")[1]
        for line in (ROOT / "docs" / "settings.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    names = {name for row in rows for name in re.findall(r"`([\w]+)`", row)}
    return {name for name in names if name.upper() == name or _OF_THE_HOST.fullmatch(name)}


@pytest.mark.skipif(not CHECKER.exists(), reason="the offline Bicep checker is not at hand")
def test_the_checker_finds_nothing() -> None:
    checked = subprocess.run(
        [sys.executable, str(CHECKER), "--strict", "--policy", str(INFRA)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    assert " 0 errors, 0 warnings" in checked.stdout


def test_every_setting_the_code_reads_is_set() -> None:
    assert _names_read() - _NOT_IN_AZURE <= _names_set()


def test_no_unread_setting_is_set() -> None:
    assert {n for n in _names_set() if not _OF_THE_HOST.fullmatch(n)} <= _names_read()


def test_every_setting_is_documented_and_no_other() -> None:
    assert _names_documented() == _names_read() | _names_set()


PARAMETERS = {
    "APP_CREDENTIAL": "appCredential",
    "CLOUD": "cloud",
    "TELEMETRY": "telemetry",
    "WEBHOOK_URL": "webhookUrl",
}
"""Settings with a default that a parameter of the template sets."""
_NEEDED = {
    "STORAGE_TABLES_URL": "https://tables.example",
    "STORAGE_QUEUES_URL": "https://queues.example",
    "KEY_VAULT_URL": "https://vault.example",
    "MANAGED_IDENTITY_CLIENT_ID": "identity",
    "APP_CLIENT_ID": "app",
    "PLATFORM_TENANT_ID": "home",
    "PLATFORM_CLIENT_IDS": "backend",
    "PUBLIC_URL": "https://host.example",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=0",
}


@pytest.mark.parametrize("setting", PARAMETERS)
def test_a_default_is_the_same_in_template_document_example_and_code(setting: str) -> None:
    found = re.search(
        rf"^param {PARAMETERS[setting]} string = '(.*)'$", _text("main.bicep"), re.MULTILINE
    )
    assert found
    assert _documented_default(setting) == (f"`{found[1]}`" if found[1] else "empty")
    example = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
    assert example.get(setting, found[1]) == found[1]
    unset, named = Settings.from_environment(_NEEDED), {**_NEEDED, setting: found[1]}
    assert unset == Settings.from_environment(named)


def test_telemetry_that_is_not_the_default_is_another_setting_of_the_app() -> None:
    default = re.search(r"^param telemetry string = '(\w+)'$", _text("main.bicep"), re.MULTILINE)
    (other,) = {"logs", "traces"} - {default[1] if default else ""}
    unset = Settings.from_environment(_NEEDED)
    assert unset != Settings.from_environment({**_NEEDED, "TELEMETRY": other})
    # What a document says of production is what its parameters say.
    assert f"\nparam telemetry = '{other}'\n" in _text("prod.bicepparam")
    for name in ("settings.md", "operate.md"):
        said = (ROOT / "docs" / name).read_text()
        assert f"prod.bicepparam` asks for `{other}`" in said, name


def _documented_default(setting: str) -> str:
    lines = (ROOT / "docs" / "settings.md").read_text().splitlines()
    (row,) = [line for line in lines if line.startswith(f"| `{setting}` |")]
    return row.split("|")[2].strip()


def test_tables_and_queues_are_those_of_the_code() -> None:
    storage = _text("modules/storage.bicep")
    tables = re.search(r"var tableNames = \[(.*)\]", storage)
    queues = re.search(r"var queueNames = \[(.*)\]", storage)
    assert tables
    assert queues
    assert set(re.findall(r"'([^']+)'", tables[1])) == set(TABLES)
    poison = {f"{queue}-poison" for queue in QUEUES}
    assert set(re.findall(r"'([^']+)'", queues[1])) == set(QUEUES) | poison


def test_role_ids_are_microsofts() -> None:
    # https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
    known = {
        "blobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "queueDataContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
        "tableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
        "keyVaultSecretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
        "keyVaultSecretsOfficer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        "monitoringMetricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    }
    roles = _text("modules/roles.bicep")
    found = dict(re.findall(r"(\w+)(?::| =) '([0-9a-f]{8}-[0-9a-f-]{27})'", roles))
    assert found == known


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda p: p.name)
def test_nothing_is_a_secret(template: Path) -> None:
    declared = re.findall(r"^(?:param|var|output) (\w+)", template.read_text(), re.MULTILINE)
    secretive = re.compile(r"password|secretValue|accountKey|sasToken|apiKey", re.IGNORECASE)
    assert [name for name in declared if secretive.search(name)] == []
    assert "listKeys(" not in template.read_text()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda p: p.name)
def test_every_parameter_and_output_is_described(template: Path) -> None:
    lines = template.read_text().splitlines()
    for number, line in enumerate(lines):
        if not re.match(r"(param|output) ", line):
            continue
        above = []
        for earlier in reversed(lines[:number]):
            if not earlier.startswith(("@", "  ", "]")):
                break
            above.append(earlier)
        described = [a for a in above if a.startswith("@description('")]
        assert described, f"{template.name}: {line}"
        if line.startswith("param "):
            assert described[0].startswith(("@description('Required.", "@description('Optional."))


def test_no_route_is_one_of_the_hosts_own() -> None:
    document = json.loads((ROOT / "functions" / "openapi.json").read_text())
    assert not [p for p in document["paths"] if p.startswith(("/admin", "/runtime"))]


def test_every_alert_links_its_remedy() -> None:
    alerts = json.loads(_text("alerts/alerts.json"))
    guide = (ROOT / "docs" / "operate.md").read_text()
    for alert in alerts:
        anchor = re.search(r"docs/operate\.md#([\w-]+)", alert["description"])
        assert anchor, alert["name"]
        assert f'<a id="{anchor[1]}"></a>' in guide, alert["name"]


def test_every_alert_asks_for_fields_that_can_be_logged() -> None:
    from shared.logs import LogFields

    for alert in json.loads(_text("alerts/alerts.json")):
        for source in alert["events"]:
            assert source["event"] in alert["query"]
            assert set(source["fields"]) <= set(LogFields.__annotations__), alert["name"]


def test_every_event_an_alert_reads_is_written_somewhere() -> None:
    code = "".join(
        path.read_text()
        for folder in ("functions", "shared")
        for path in (ROOT / folder).rglob("*.py")
    )
    for alert in json.loads(_text("alerts/alerts.json")):
        for source in alert["events"]:
            assert f'"{source["event"]}"' in code, source["event"]


def test_what_alerts_read_is_never_sampled_away() -> None:
    logging = json.loads((ROOT / "host.json").read_text())["logging"]
    kept = logging["applicationInsights"]["samplingSettings"]["excludedTypes"].split(";")
    tables = {"AppTraces": "Trace", "AppRequests": "Request", "AppExceptions": "Exception"}
    for alert in json.loads(_text("alerts/alerts.json")):
        assert tables[alert["query"].split(" ")[0]] in kept, alert["name"]
    levels = logging["logLevel"]
    # The host's own SDKs write two lines at each poll of a queue; ours are of category Function.
    assert (levels["default"], levels["Function"]) == ("Warning", "Information")


def test_json_is_valid() -> None:
    ours = [each for each in INFRA.rglob("*.json") if "node_modules" not in each.parts]
    for path in (*ours, ROOT / "host.json"):
        assert json.loads(path.read_text()), path
