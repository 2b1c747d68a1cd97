"""Health: which dependencies answer, without the reason of a failure."""

import tomllib
from pathlib import Path
from types import SimpleNamespace

from shared.errors import StoreUnavailable
from tests.edge.api import Api, body_of


async def test_all_is_well(api: Api) -> None:
    response = await api.call("GET", "health", who=None)
    assert response.status_code == 200
    assert body_of(response)["status"] == "ok"
    assert set(body_of(response)["checks"].values()) == {"ok"}


async def test_the_version_is_the_one_in_pyproject(api: Api) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert body_of(await api.call("GET", "health", who=None))["version"] == project["version"]


async def test_a_part_that_does_not_answer_is_named(api: Api) -> None:
    async def refuse() -> None:
        raise StoreUnavailable("account mentorcal123 is down")

    api.adapters.__dict__["tables"] = SimpleNamespace(ping=refuse)
    response = await api.call("GET", "health", who=None)
    assert response.status_code == 503
    assert body_of(response)["checks"]["tables"] == "StoreUnavailable"
    assert b"mentorcal123" not in response.get_body()
