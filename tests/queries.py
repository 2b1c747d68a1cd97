"""Every KQL query of the repository: of the alerts, the workbook and the documents."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
ALERTS: Final = ROOT / "infra" / "alerts" / "alerts.json"
WORKBOOK: Final = ROOT / "infra" / "workbook" / "workbook.json"
_BLOCK: Final = re.compile(r"^ *```(?:kusto|kql)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`((?:App[A-Z]\w+|Usage|AzureMetrics) \\?\|[^`]*)`")
_ANY_TRACE: Final = "4f1c…"
"""Where a document has a trace id of the reader's."""
TRACE_ID: Final = "4f1c0000000000000000000000000000"


def queries() -> dict[str, str]:
    """Return all queries by where they are."""
    return {**alert_queries(), **workbook_queries(), **document_queries()}


def alert_queries() -> dict[str, str]:
    """Return the queries of the alerts."""
    return {f"alert {each['name']}": each["query"] for each in json.loads(ALERTS.read_text())}


def workbook_queries() -> dict[str, str]:
    """Return the workbook's queries. Its only parameter in them is the grain of a chart."""
    found = {
        f"workbook {item['name']}": item["content"]["query"].replace("{TimeRange:grain}", "1h")
        for item in workbook_items()
        if item["type"] == 3
    }
    assert not [name for name, query in found.items() if "{" in query]
    return found


def workbook_items() -> list[dict[str, Any]]:
    """Return the parts of the workbook."""
    items: list[dict[str, Any]] = json.loads(WORKBOOK.read_text())["items"]
    return items


def document_queries() -> dict[str, str]:
    """Return the queries of the documents, in blocks and in sentences."""
    return {
        f"{page.relative_to(ROOT)} {number}": query.replace(_ANY_TRACE, TRACE_ID)
        for page in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
        for number, query in enumerate(_queries_of(page.read_text()), start=1)
    }


def _queries_of(text: str) -> Iterator[str]:
    blocks = _BLOCK.findall(text)
    yield from (" ".join(block.split()) for block in blocks)
    # A table's cell has its bars escaped.
    yield from (found.replace(r"\|", "|") for found in _INLINE.findall(_BLOCK.sub("", text)))
