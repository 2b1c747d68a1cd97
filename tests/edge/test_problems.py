"""Errors as problem+json: the table, the documents, and the facts that never leave."""

import logging
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest

from functions._problem_types import ALL, PROBLEMS
from shared import errors
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    ConsentMissing,
    MailboxUnusable,
    Misconfigured,
    SchedulingError,
    SignInAgain,
    StoreUnavailable,
)
from tests.edge.api import Api, body_of

DOCUMENTED = Path(__file__).parents[2] / "docs" / "problems.md"


def test_every_problem_is_documented_and_none_besides() -> None:
    rows = [line for line in DOCUMENTED.read_text().splitlines() if line.startswith("| `/api/")]
    expected = {f"| `{p.type}` | {p.status} | {p.when} | {p.action} |" for p in ALL}
    assert set(rows) == expected
    assert len(rows) == len({p.name for p in ALL})


async def test_the_type_of_a_problem_leads_to_its_page(api: Api) -> None:
    for problem in ALL:
        reply = await api.call("GET", problem.type.removeprefix("/api/"), who=None)
        assert reply.status_code == 200
        assert reply.mimetype == "text/html"
        page = reply.get_body().decode()
        assert f"<h1>{escape(problem.title)}</h1>" in page
        assert f"<td>{problem.status}</td>" in page
        assert "`" not in page
    assert (await api.call("GET", "problems/nothing")).status_code == 404


def test_every_error_of_ours_has_a_problem() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    ours = [each for each in kinds if issubclass(each, SchedulingError)]
    # The base class stands for errors without a row of their own.
    specific = set(PROBLEMS) - {SchedulingError}
    assert [each for each in ours if not specific & set(each.__mro__)] == [SchedulingError]


class Raising:
    """A port whose every method raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _: str) -> Any:
        async def refuse(*_: object, **__: object) -> None:
            raise self._error

        return refuse


async def met(api: Api, error: Exception) -> Any:
    api.adapters.__dict__["pairings"] = Raising(error)
    return await api.call("GET", "pairings")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SignInAgain("more", claims='{"access_token":{}}'), 401),
        (ConsentMissing("no", aadsts=65001), 403),
        (StoreUnavailable("down"), 503),
        (CalendarUnavailable("down"), 503),
        (Misconfigured("The setting X is missing."), 503),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_every_error_is_answered_by_the_table(
    api: Api, error: Exception, status: int
) -> None:
    response = await met(api, error)
    assert response.status_code == status
    assert body_of(response)["status"] == status
    assert response.headers["x-trace-id"] == body_of(response)["trace_id"]


async def test_retry_after_is_in_whole_seconds_and_never_too_short(api: Api) -> None:
    api.adapters.__dict__["schedules"] = Raising(CalendarThrottled("w", retry_after_seconds=1.2))
    response = await api.call(
        "GET",
        f"pairings/{api.env.pairing.id}/availability",
        query=[("from", "2026-03-03T08:00:00Z"), ("to", "2026-03-03T17:00:00Z")],
    )
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            CalendarRefused("no", code="ErrorX", request_id="r-1"),
            {"code": "ErrorX", "request_id": "r-1"},
        ),
        (
            MailboxUnusable("no", code="MailboxNotEnabledForRESTAPI"),
            {"code": "MailboxNotEnabledForRESTAPI"},
        ),
    ],
)
async def test_microsofts_words_go_along(api: Api, error: Any, words: dict[str, str]) -> None:
    api.adapters.__dict__["schedules"] = Raising(error)
    response = await api.call(
        "GET",
        f"pairings/{api.env.pairing.id}/availability",
        query=[("from", "2026-03-03T08:00:00Z"), ("to", "2026-03-03T17:00:00Z")],
    )
    assert words.items() <= body_of(response).items()


async def test_an_unexpected_error_reveals_nothing_and_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        response = await met(api, RuntimeError("secret"))
    assert response.status_code == 500
    assert body_of(response)["type"] == "/api/problems/unexpected"
    assert b"secret" not in response.get_body()
    trace = response.headers["x-trace-id"]
    assert f"http.failed function=list_my_pairings trace_id={trace}" in caplog.text
    assert re.search(
        r"\nRuntimeError at .*functions/pairings\.py:\d+ list_my_pairings", caplog.text
    )
    assert "secret" not in caplog.text


async def test_a_request_is_one_line_without_a_person(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await api.call("GET", "pairings")
    (line,) = [r.message for r in caplog.records if r.message.startswith("http.replied")]
    assert re.fullmatch(
        r"http\.replied function=list_my_pairings status=200 duration_ms=\d+ trace_id=[0-9a-f]{32}",
        line,
    )
