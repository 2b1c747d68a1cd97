"""Queries: the host's changes of them, and the refusals."""

import pytest

from tests.builders import at
from tests.edge.api import Api, body_of

FROM, TO = at(8, day=1).isoformat(), at(17, day=1).isoformat()
WINDOW = [("from", FROM), ("to", TO)]


async def asked(
    api: Api, *query: tuple[str, str], path: str = "availability"
) -> tuple[int, set[str]]:
    """Return the status and the named fields."""
    pairing = f"pairings/{api.env.pairing.id}/"
    response = await api.call("GET", pairing + path, query=query)
    return response.status_code, {e["field"] for e in body_of(response).get("errors", ())}


async def test_a_window_is_all_that_is_needed(api: Api) -> None:
    assert await asked(api, *WINDOW) == (200, set())


async def test_a_key_of_the_functions_host_disturbs_nothing(api: Api) -> None:
    """The portal puts it into its links, and some callers keep it."""
    assert await asked(api, *WINDOW, ("code", "a-function-key==")) == (200, set())


async def test_an_offset_counts_and_is_answered_in_utc(api: Api) -> None:
    response = await api.call(
        "GET",
        f"pairings/{api.env.pairing.id}/availability",
        query=[("from", "2026-03-03T09:00:00+01:00"), ("to", "2026-03-03T18:00:00+01:00")],
    )
    assert body_of(response)["start"] == "2026-03-03T08:00:00Z"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ([("to", TO)], "query.from"),
        ([("from", FROM)], "query.to"),
        # The host drops empty values and joins repeated ones with a comma.
        ([("from", ""), ("to", TO)], "query.from"),
        ([*WINDOW, ("step_minutes", "")], "query.step_minutes"),
        ([*WINDOW, ("at_least", ""), ("nonsense", "1")], "query.at_least"),
        ([("from", FROM), *WINDOW], "query.from"),
        (
            [*WINDOW, ("duration_minutes", "30"), ("duration_minutes", "45")],
            "query.duration_minutes",
        ),
        ([("from", "2026-03-03T10:00:00"), ("to", TO)], "query.from"),
        # A plus sign that was not escaped is a space.
        ([("from", "2026-03-03T10:00:00 01:00"), ("to", TO)], "query.from"),
        ([("from", "now"), ("to", TO)], "query.from"),
        ([("from", "1772532000"), ("to", TO)], "query.from"),
        ([("from", TO), ("to", FROM)], "query"),
        ([("from", FROM), ("to", FROM)], "query"),
        ([("from", FROM), ("to", at(8, day=44).isoformat())], "query"),
        ([("from", "\ud800"), ("to", TO)], "query.from"),
        ([("from", "\uff11\uff19\uff19\uff19-01-01T00:00:00Z"), ("to", TO)], "query.from"),
        ([*WINDOW, ("duration_minutes", "0")], "query.duration_minutes"),
        ([*WINDOW, ("duration_minutes", "31")], "query.duration_minutes"),
        ([*WINDOW, ("duration_minutes", "NaN")], "query.duration_minutes"),
        ([*WINDOW, ("duration_minutes", "9" * 5000)], "query.duration_minutes"),
        ([*WINDOW, ("duration_minutes", "1e2")], "query.duration_minutes"),
        ([*WINDOW, ("step_minutes", "7")], "query.step_minutes"),
        ([*WINDOW, ("step_minutes", "9" * 5000)], "query.step_minutes"),
        ([*WINDOW, ("step_minutes", "\u0665")], "query.step_minutes"),
        ([*WINDOW, ("step_minutes", "²")], "query.step_minutes"),
        ([*WINDOW, ("time_zone", "Nowhere")], "query.time_zone"),
        ([*WINDOW, ("time_zone", "\x00")], "query.time_zone"),
        ([*WINDOW, ("explain", "perhaps")], "query.explain"),
        ([*WINDOW, ("at_least", "21")], "query.at_least"),
        ([*WINDOW, ("unknown", "1")], "query.unknown"),
        ([*WINDOW, ("from_", FROM)], "query.from_"),
    ],
    ids=str,
)
async def test_a_wrong_value_is_named(api: Api, query: list[tuple[str, str]], field: str) -> None:
    assert await asked(api, *query) == (422, {field})


@pytest.mark.parametrize("path", ["pairings", "sessions"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cursor", "not a cursor"),
        ("cursor", "é"),
        ("cursor", "x" * 513),
        ("cursor", "\ud800"),
        ("cursor", "____"),
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "9" * 5000),
        ("limit", "ten"),
    ],
)
async def test_a_page_is_asked_for_properly(api: Api, path: str, name: str, value: str) -> None:
    response = await api.call("GET", path, query=[(name, value)])
    assert response.status_code == 422
    assert [e["field"] for e in body_of(response)["errors"]] == [f"query.{name}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("from", "2026-03-03T10:00:00"), ("to", "tomorrow"), ("state", "done"), ("order", "up")],
)
async def test_sessions_are_asked_for_properly(api: Api, name: str, value: str) -> None:
    response = await api.call("GET", "sessions", query=[(name, value)])
    assert response.status_code == 422
    assert [e["field"] for e in body_of(response)["errors"]] == [f"query.{name}"]


async def test_empty_values_are_refused_by_name(api: Api) -> None:
    fields = {"query.explain", "query.step_minutes"}
    assert await asked(api, *WINDOW, ("explain", ""), ("step_minutes", "")) == (422, fields)
