"""Functions without a caller: what they raise, which the host prints, has no text of others."""

import traceback
from collections.abc import Callable

import pytest

from functions._background import FunctionFailed, background
from shared.errors import CalendarUnavailable

ADA = "AADSTS50020: User account 'ada@contoso.example' does not exist"


def _printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _run(fail: Callable[[], None]) -> BaseException:
    try:
        with background("do_job"):
            fail()
    except Exception as error:  # noqa: BLE001  # whatever it is
        return error
    raise AssertionError("it did not fail")


def test_an_error_of_ours_is_raised_without_the_one_it_came_from() -> None:
    def fail() -> None:
        raise CalendarUnavailable("Entra gave no token.") from RuntimeError(ADA)

    error = _run(fail)
    assert isinstance(error, CalendarUnavailable)
    assert "Entra gave no token." in _printed(error)
    assert "ada" not in _printed(error)


@pytest.mark.parametrize(
    "error", [RuntimeError(ADA), ExceptionGroup(ADA, [RuntimeError(ADA)])], ids=["one", "several"]
)
def test_any_other_error_is_named_by_its_class(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    raised = _run(fail)
    assert isinstance(raised, FunctionFailed)
    assert str(raised) == type(error).__name__
    assert "ada" not in _printed(raised)
    assert "function.failed function=do_job" in caplog.text
    assert "RuntimeError at " in caplog.text
    assert "ada" not in caplog.text
