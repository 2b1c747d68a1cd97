"""Functions without a caller: what they raise, which the host prints, has no text of others."""

import asyncio
import json
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from functions._background import FUNCTION_SECONDS, FunctionFailed, background
from functions._http import WAIT_SECONDS
from shared.administration.offboarding import TIME_BUDGET
from shared.errors import CalendarUnavailable

ADA = "AADSTS50020: User account 'ada@contoso.example' does not exist"


def _printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


async def _run(fail: Callable[[], None]) -> BaseException:
    try:
        async with background("do_job"):
            fail()
    except Exception as error:  # noqa: BLE001  # whatever it is
        return error
    raise AssertionError("it did not fail")


async def test_an_error_of_ours_is_raised_without_the_one_it_came_from() -> None:
    def fail() -> None:
        raise CalendarUnavailable("Entra gave no token.") from RuntimeError(ADA)

    error = await _run(fail)
    assert isinstance(error, CalendarUnavailable)
    assert "Entra gave no token." in _printed(error)
    assert "ada" not in _printed(error)


@pytest.mark.parametrize(
    "error", [RuntimeError(ADA), ExceptionGroup(ADA, [RuntimeError(ADA)])], ids=["one", "several"]
)
async def test_any_other_error_is_named_by_its_class(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    raised = await _run(fail)
    assert isinstance(raised, FunctionFailed)
    assert str(raised) == type(error).__name__
    assert "ada" not in _printed(raised)
    assert "function.failed function=do_job" in caplog.text
    assert "RuntimeError at " in caplog.text
    assert "ada" not in caplog.text


async def test_what_does_not_end_in_time_is_ended_and_comes_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions._background.FUNCTION_SECONDS", 0.01)
    with pytest.raises(FunctionFailed, match="TimeoutError"):
        async with background("do_job"):
            await asyncio.Event().wait()
    assert "function.failed function=do_job" in caplog.text


def test_nothing_reaches_the_limit_at_which_the_host_kills_the_worker() -> None:
    host = json.loads((Path(__file__).parents[2] / "host.json").read_text())
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))
    limit = timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    ends = [FUNCTION_SECONDS, WAIT_SECONDS, TIME_BUDGET.total_seconds()]
    # What is under way at the end of a time budget takes some seconds more.
    assert max(ends) + 30 < limit <= max(ends) + 60
