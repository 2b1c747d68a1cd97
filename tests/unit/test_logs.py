"""Warnings about errors: what a log line says of them, and what it never does."""

import re

import pytest

from shared.errors import CalendarRefused
from shared.logs import log_warning

ADA = "AADSTS50020: User account 'ada@contoso.example' does not exist"


def _fail(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


def test_a_warning_says_class_code_and_place_of_an_error_and_none_of_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    try:
        _fail(
            CalendarRefused(ADA, code="AADSTS50020", request_id="0000aaaa-11bb"), RuntimeError(ADA)
        )
    except CalendarRefused:
        log_warning("thing.failed", count=1)
    first, second, third = caplog.text.splitlines()
    assert "thing.failed count=1" in first
    assert second.startswith("CalendarRefused code=AADSTS50020 request_id=0000aaaa-11bb at ")
    assert re.search(r" unit/test_logs\.py:\d+ _fail", second)
    assert third.startswith("RuntimeError at")
    assert "ada" not in caplog.text


def test_a_code_that_is_a_text_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    try:
        _fail(CalendarRefused("x", code="User ada@contoso.example", status=403))
    except CalendarRefused:
        log_warning("thing.failed")
    assert "ada" not in caplog.text


def test_errors_of_a_group_are_each_named(caplog: pytest.LogCaptureFixture) -> None:
    try:
        _fail(ExceptionGroup("ada", [ValueError("ben"), KeyError("ben")]))
    except ExceptionGroup:
        log_warning("thing.failed")
    assert "ValueError" in caplog.text
    assert "KeyError" in caplog.text
    assert "ben" not in caplog.text
