"""Health: anybody learns whether the deployment is up, the platform what is wrong with it."""

import platform
import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.errors import StoreUnavailable
from tests.edge.api import Api, body_of


def _tables(api: Api, answers: Callable[[], None]) -> list[str]:
    """Have the tables answer by *answers*; return the list of all checks of theirs."""
    checks: list[str] = []

    async def ping() -> None:
        checks.append("tables")
        answers()

    api.adapters.__dict__["tables"] = SimpleNamespace(ping=ping)
    return checks


def _refuse() -> None:
    raise StoreUnavailable("account mentorcal123 is down")


async def test_all_is_well(api: Api) -> None:
    response = await api.call("GET", "health", who=None)
    assert (response.status_code, body_of(response)) == (200, {"status": "ok"})


async def test_a_monitor_may_ask_without_a_body(api: Api) -> None:
    assert (await api.call("HEAD", "health", who=None)).status_code == 200
    _tables(api, _refuse)
    api.clock.advance(timedelta(seconds=10))
    assert (await api.call("HEAD", "health", who=None)).status_code == 503


async def test_anybody_learns_no_more_than_that_it_is_down(api: Api) -> None:
    _tables(api, _refuse)
    response = await api.call("GET", "health", who=None)
    assert (response.status_code, body_of(response)) == (503, {"status": "degraded"})


async def test_anybodys_requests_cost_one_check_in_some_seconds(api: Api) -> None:
    checks = _tables(api, lambda: None)
    for _ in range(20):
        await api.call("GET", "health", who=None)
    assert len(checks) == 1
    api.clock.advance(timedelta(seconds=10))
    await api.call("GET", "health", who=None)
    assert len(checks) == 2


async def test_the_platform_learns_the_part_that_does_not_answer(api: Api) -> None:
    _tables(api, _refuse)
    response = await api.call("GET", "health/details", who="platform")
    assert response.status_code == 503
    shown = body_of(response)
    assert shown["status"] == "degraded"
    assert shown["checks"] | {"tables": "ok"} == dict.fromkeys(shown["checks"], "ok")
    assert shown["checks"]["tables"] == "StoreUnavailable"
    assert b"mentorcal123" not in response.get_body()


async def test_the_platform_learns_the_version_in_pyproject_and_the_poison(api: Api) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    shown = body_of(await api.call("GET", "health/details", who="platform"))
    assert (shown["version"], shown["poison"]) == (project["version"], {})
    assert (shown["python"], shown["package"]) == (platform.python_version(), None)


@pytest.mark.parametrize("who", [None, "mentee"])
async def test_details_are_for_the_platform(api: Api, who: str | None) -> None:
    assert (await api.call("GET", "health/details", who=who)).status_code == 401
