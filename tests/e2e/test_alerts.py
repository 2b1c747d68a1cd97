"""The alerts' queries over real log lines: silent on a good day, raised by a fault."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from local.graph.faults import FaultRule
from shared.jobs import DueKind
from tests import kql
from tests.e2e.conftest import AppUnderTest, a_stage, wiring_of
from tests.e2e.packaged import ROOT

ALERTS: Final[dict[str, dict[str, Any]]] = {
    each["name"]: each
    for each in json.loads((ROOT / "infra" / "alerts" / "alerts.json").read_text())
}
_OF_THE_HOST: Final = {"failed-functions"}
"""Alerts on the Functions host's own records of invocations."""
_EVENT: Final = re.compile(r"^(?:.* mentor_calendar: )?(?P<line>[a-z_]+\.[a-z_]+(?: \w+=.*)?)$")


def fires(name: str, lines: list[str], requests: list[kql.Row] | None = None) -> bool:
    """Return whether Azure would raise the alert."""
    alert = ALERTS[name]
    tables = {"AppTraces": [{"Message": line} for line in lines], "AppRequests": requests or []}
    rows = kql.run(alert["query"], tables)
    measured = [row[alert["measure"]] for row in rows] if "measure" in alert else [len(rows)]
    compare: dict[str, Callable[[float, float], bool]] = {
        "GreaterThan": lambda a, b: a > b,
        "LessThan": lambda a, b: a < b,
    }
    return any(
        compare[alert["operator"]](value, alert["threshold"])
        for value in measured
        if value is not None
    )


async def _a_good_day(stage: AppUnderTest) -> list[str]:
    """Return the app's log lines of a day on which every act succeeds."""
    session = await stage.book()
    await stage.settled()
    stage.cloud.graph.outlook.accept("ada", session["id"])
    await stage.settled()
    for timer in ("renew_subscriptions", "reconcile_sessions"):
        await stage.host.invoke_timer(timer)
    await stage.settled()
    return events(stage.lines)


def events(lines: list[str]) -> list[str]:
    """Return the app's own lines, without the host's prefix."""
    return [found["line"] for line in lines if (found := _EVENT.match(line))]


async def test_on_a_good_day_no_alert_is_raised(stage: AppUnderTest) -> None:
    said = await _a_good_day(stage)
    raised = [name for name in ALERTS if fires(name, said)]
    assert raised == []


async def test_every_field_that_an_alert_asks_for_is_really_written(tmp_path: Path) -> None:
    async with a_stage(tmp_path, credential="certificate") as stage:
        stage.cloud.graph.faults.add(
            FaultRule(method="GET", path="/events/", status=429, retry_after=1, count=1)
        )
        await _a_good_day(stage)
        await _renewals_due(stage)
        said = events(stage.lines)
    for alert in ALERTS.values():
        for source in alert["events"]:
            written = [line for line in said if line.startswith(f"{source['event']} ")]
            assert written, source["event"]
            for line in written:
                names = set(re.findall(r" (\w+)=", line))
                assert set(source["fields"]) <= names, line


async def _renewals_due(stage: AppUnderTest) -> None:
    """Have the one subscription come due now: the app's clock is this machine's."""
    async with wiring_of(stage.cloud) as adapters:
        item = await adapters.due.oldest(DueKind.RENEWAL)
        assert item is not None
        await adapters.due.put([replace(item, due_at=datetime.now(UTC) - timedelta(minutes=1))])
    await stage.host.invoke_timer("renew_subscriptions")
    await stage.settled()


ILL: Final = {
    "server-errors": ["http.replied function=me status=503 duration_ms=3"] * 1
    + ["http.replied function=me status=200 duration_ms=3"] * 19,
    "webhook-slow": ["webhook.acknowledged accepted=1 dropped=0 messages=1 duration_ms=2500"],
    "poison-messages": ["poison.counted queue=jobs count=1"],
    "renewals-silent": [],
    "renewals-failing": ["renewal.ran due=20 renewed=0 recreated=0 removed=0 failed=20"] * 2,
    "push-missing": ["change.seen session_id=s action=a cause=reconciliation lag_ms=9"] * 10
    + ["change.seen session_id=s action=a cause=outlook lag_ms=9"] * 10,
    "credential-expiring": ["credential.checked days_left=20"],
    "throttled": ["graph.throttled operation=GET /users/{user} retry_after_ms=1000"] * 101,
}


@pytest.mark.parametrize("name", ILL)
def test_an_alert_is_raised_when_it_should_be(name: str) -> None:
    assert fires(name, ILL[name])


@pytest.mark.parametrize("name", ILL)
def test_other_troubles_do_not_raise_it(name: str) -> None:
    others = [line for other, lines in ILL.items() if other != name for line in lines]
    well = ["renewal.queued due=0 overdue=0", "credential.checked days_left=300"]
    assert not fires(name, [line for line in others if not line.startswith("credential")] + well)


def test_failing_functions_are_the_hosts_to_tell() -> None:
    failed = {"Success": False, "ResultCode": "0"}
    refused = {"Success": False, "ResultCode": "404"}
    assert fires("failed-functions", [], [failed] * 6)
    assert not fires("failed-functions", [], [failed] * 5 + [refused] * 50)


def test_every_alert_is_tried() -> None:
    assert ILL.keys() | _OF_THE_HOST == ALERTS.keys()
