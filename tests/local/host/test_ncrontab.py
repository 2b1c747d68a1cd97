from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.ncrontab import Ncrontab

NOW = datetime(2026, 11, 23, 8, 59, 30, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 * * * * *", datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)),
        ("*/15 * * * * *", datetime(2026, 11, 23, 8, 59, 45, tzinfo=UTC)),
        ("30 59 8 * * *", datetime(2026, 11, 24, 8, 59, 30, tzinfo=UTC)),
        ("0 0 9-17/4 * * mon-fri", datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)),
        ("0 30 9 * * 0,6", datetime(2026, 11, 28, 9, 30, 0, tzinfo=UTC)),
        ("0 0 0 1 jan *", datetime(2027, 1, 1, tzinfo=UTC)),
        ("0 0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
        ("0 5/20 * * * *", datetime(2026, 11, 23, 9, 5, 0, tzinfo=UTC)),
        # Day and weekday must both fit: the next Friday the 13th.
        ("0 0 0 13 * 5", datetime(2027, 8, 13, tzinfo=UTC)),
    ],
)
def test_the_next_occurrence(text: str, expected: datetime) -> None:
    assert Ncrontab.parse(text).after(NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["* * * *", "", "60 * * * * *", "* * * 0 * *", "* * * * * 7", "*/0 * * * * *", "x * * * * *",
     "5-1 * * * * *", "00:05:00", "1,, * * * * *"],
)  # fmt: skip
def test_bad_schedules_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Ncrontab.parse(text)


def test_a_day_that_never_comes_is_an_error() -> None:
    with pytest.raises(ValueError, match="never"):
        Ncrontab.parse("0 0 0 31 2 *").after(NOW)


@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    minute=st.integers(0, 59),
    weekday=st.integers(0, 6),
)
def test_an_occurrence_is_later_and_fits(moment: datetime, minute: int, weekday: int) -> None:
    found = Ncrontab.parse(f"7 {minute} */6 * * {weekday}").after(moment)
    assert found > moment
    assert (found.second, found.minute, found.hour % 6) == (7, minute, 0)
    assert found.isoweekday() % 7 == weekday
    assert (found - moment).days <= 7
