"""The retry decision, and the Retry-After header."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.graph.retry import (
    LEAST_LEFT_SECONDS,
    LONGEST_PAUSE_SECONDS,
    next_delay,
    retry_after_seconds,
)

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        (" ", None),
        ("0", 0.0),
        ("5", 5.0),
        (" 5 ", 5.0),
        ("2.128", 2.128),
        ("-3", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("Sun, 01 Mar 2026 09:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 09:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 10:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 08:00:00 GMT", 0.0),
        ("Sun, 99 Mar 2026 08:00:00 GMT", None),
    ],
)
def test_reads_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@given(st.text())
def test_any_header_is_a_wait_or_none(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or seconds >= 0


def test_there_is_one_more_try() -> None:
    assert next_delay(1, None, left_seconds=9) is not None
    assert next_delay(2, None, left_seconds=9) is None


def test_a_short_wait_is_kept_to() -> None:
    assert next_delay(1, 1.5, left_seconds=9) == 1.5


def test_a_long_wait_is_left_to_others() -> None:
    assert next_delay(1, 30, left_seconds=60) is None


@given(
    attempt=st.integers(1, 5),
    asked=st.none() | st.floats(0, 1e6),
    left=st.floats(-10, 60),
)
def test_never_waits_beyond_what_is_left(attempt: int, asked: float | None, left: float) -> None:
    delay = next_delay(attempt, asked, left_seconds=left)
    if delay is not None:
        assert 0 <= delay <= LONGEST_PAUSE_SECONDS
        assert delay + LEAST_LEFT_SECONDS <= left
        assert asked is None or delay >= asked
