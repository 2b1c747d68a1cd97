"""Switches: documented, and typed."""

from dataclasses import fields
from pathlib import Path

import pytest

from local.graph.switches import BehaviorFlags

DOCS = Path(__file__).parents[3] / "docs" / "simulated-graph.md"


def test_every_switch_is_documented() -> None:
    text = DOCS.read_text()
    assert [f.name for f in fields(BehaviorFlags) if f"`{f.name}`" not in text] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry_after", None),
        ("retry_after", 2.5),
        ("retry_after", "date"),
        ("mail_delay_seconds", 3),
        ("rbac", {"t": ["Calendars.Read"]}),
        ("access_policy", ["t"]),
    ],
)
def test_values_that_fit(name: str, value: object) -> None:
    switches = BehaviorFlags()
    switches.set(name, value)
    assert switches.as_json()[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry_after", "soon"),
        ("retry_after", True),
        ("concurrency", 1.5),
        ("reorder", 1),
        ("rbac", ["t"]),
        ("etag_conflict_status", 400),
    ],
)
def test_values_that_do_not(name: str, value: object) -> None:
    with pytest.raises(TypeError):
        BehaviorFlags().set(name, value)
