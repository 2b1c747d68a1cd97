"""Every KQL query, read by Microsoft's own language service, which knows the tables' columns."""

import json
import re
import subprocess

import pytest

from shared.logs import LogFields
from tests.queries import ROOT, alert_queries, document_queries, queries, workbook_items

KQL = ROOT / "infra" / "kql"
SERVICE = KQL / "node_modules" / "@kusto" / "language-service-next"

WRONG = {
    "AppTraces | where Messag startswith 'a'": "'Messag' does not refer to any known column",
    "AppTrace | take 1": "'AppTrace' does not refer to any known table",
    "AppTraces | summarise count()": "summarise",
    "AppTraces | summarize sum(Message)": "must be summable",
    "AppTraces | extend n = extract('a', 1, Message) | where n > 5": "not defined",
    "AppTraces | where Message startswith 'a' |": "expected",
}
"""Queries with an error each, and what is said of it."""


@pytest.fixture(scope="module")
def faults() -> dict[str, list[str]]:
    """Return what the language service finds wrong in each query. Its start costs seconds."""
    if not SERVICE.exists():
        pytest.skip("Microsoft's language service for KQL is not installed: make unit")
    asked = queries() | {query: query for query in WRONG}
    done = subprocess.run(
        ["node", KQL / "check.mjs"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    assert found.keys() == asked.keys()
    return found


def test_every_query_is_one_for_microsofts_parser(faults: dict[str, list[str]]) -> None:
    assert {name: faults[name] for name in queries() if faults[name]} == {}


@pytest.mark.parametrize("query", WRONG)
def test_a_query_with_an_error_is_found(faults: dict[str, list[str]], query: str) -> None:
    assert any(WRONG[query] in fault for fault in faults[query]), faults[query]


def test_no_query_is_left_out() -> None:
    found = queries()
    assert all(query.strip() for query in found.values())
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    text = "".join(page.read_text() for page in documents)
    for table in json.loads((KQL / "tables.json").read_text())["tables"]:
        written = len(re.findall(rf"\b{table}\s*\\?\|\s*[a-z]", text))
        assert written == sum(q.startswith(table) for q in document_queries().values()), table


def test_a_query_asks_for_fields_that_can_be_logged() -> None:
    for name, query in queries().items():
        for field in re.findall(r"\(\?:\^\| \)(\w+)=", query):
            assert field in {*LogFields.__annotations__, "trace_id"}, name


def test_an_alert_names_all_fields_that_its_query_extracts() -> None:
    alerts = json.loads((ROOT / "infra" / "alerts" / "alerts.json").read_text())
    for alert in alerts:
        named = {field for source in alert["events"] for field in source["fields"]}
        query = alert_queries()[f"alert {alert['name']}"]
        assert set(re.findall(r"\(\?:\^\| \)(\w+)=", query)) <= named, alert["name"]


def test_the_workbook_has_what_the_portal_needs() -> None:
    items = workbook_items()
    assert len({item["name"] for item in items}) == len(items)
    for item in items:
        if item["type"] == 3:
            assert item["content"]["timeContextFromParameter"] == "TimeRange", item["name"]
            assert item["content"]["title"], item["name"]
    (parameters,) = [item["content"]["parameters"] for item in items if item["type"] == 9]
    assert [each["name"] for each in parameters] == ["TimeRange"]
    template = (ROOT / "infra" / "modules" / "workbook.bicep").read_text()
    assert "replace(loadTextContent('../workbook/workbook.json'), 'WORKSPACE_ID'" in template


def test_every_figure_of_the_workbook_is_explained() -> None:
    guide = (ROOT / "docs" / "operate.md").read_text()
    section = guide.partition("\n## Workbook\n")[2].partition("\n## ")[0]
    headings = [
        line.removeprefix("## ")
        for item in workbook_items()
        if item["type"] == 1 and (line := str(item["content"]["json"])).startswith("## ")
    ]
    assert len(headings) > 4
    assert [heading for heading in headings if f"| {heading} |" not in section] == []
