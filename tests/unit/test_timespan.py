from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.timespan import DateSpan, TimeSpan, merge, subtract

_ZERO = datetime(2026, 3, 1, tzinfo=UTC)


def span(start: int, end: int) -> TimeSpan:
    return TimeSpan(_ZERO + timedelta(minutes=start), _ZERO + timedelta(minutes=end))


def spans() -> st.SearchStrategy[list[TimeSpan]]:
    one = st.tuples(st.integers(0, 200), st.integers(1, 60)).map(lambda p: span(p[0], p[0] + p[1]))
    return st.lists(one, max_size=12)


def minutes(found: list[TimeSpan]) -> set[int]:
    return {
        minute
        for one in found
        for minute in range(
            int((one.start - _ZERO).total_seconds() // 60),
            int((one.end - _ZERO).total_seconds() // 60),
        )
    }


@given(free=spans(), busy=spans())
def test_subtract_is_set_difference(free: list[TimeSpan], busy: list[TimeSpan]) -> None:
    assert minutes(subtract(free, busy)) == minutes(free) - minutes(busy)


@given(spans())
def test_merging_keeps_every_minute_and_leaves_gaps(found: list[TimeSpan]) -> None:
    merged = merge(found)
    assert minutes(merged) == minutes(found)
    assert all(a.end < b.start for a, b in pairwise(merged))


def test_a_span_that_ends_before_it_starts_cannot_exist() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        span(1, 0)


def test_an_empty_span_shares_no_instant_with_any_other() -> None:
    empty = span(30, 30)
    assert empty.is_empty
    for other in (span(0, 60), span(30, 60), span(0, 30), empty):
        assert not empty.overlaps(other)
        assert not other.overlaps(empty)
    assert (empty.days(), span(0, 0).days()) == ([], [])
    assert merge([empty, span(0, 10)]) == [span(0, 10)]
    assert subtract([span(0, 60)], [empty]) == [span(0, 60)]
    assert empty.cut(span(0, 60)) is None


def test_a_span_in_another_zone_cannot_exist() -> None:
    elsewhere = _ZERO.astimezone(timezone(timedelta(hours=1)))
    with pytest.raises(ValueError, match="UTC"):
        TimeSpan(elsewhere, elsewhere + timedelta(hours=1))


def test_touching_spans_do_not_overlap() -> None:
    assert not span(0, 30).overlaps(span(30, 60))
    assert span(0, 31).overlaps(span(30, 60))


def test_a_span_over_midnight_touches_two_days() -> None:
    assert [d.day for d in span(23 * 60 + 30, 24 * 60 + 30).days()] == [1, 2]
    assert [d.day for d in span(23 * 60, 24 * 60).days()] == [1]


@given(st.dates(date(2020, 1, 1), date(2035, 1, 1)), st.integers(1, 5))
def test_a_date_lies_in_what_it_means_anywhere(first: date, days: int) -> None:
    dates = DateSpan(first, first + timedelta(days=days))
    for name in available_timezones() - {"localtime", "Factory"}:
        zone = ZoneInfo(name)
        span = dates.span_in(zone)
        assert dates.span_anywhere().covers(span), name
        inside, after = span.start.astimezone(zone).date(), span.end.astimezone(zone).date()
        assert (inside, after) == (first, dates.end_on), name


def test_days_whose_midnight_is_skipped_begin_with_their_first_instant() -> None:
    havana = ZoneInfo("America/Havana")
    day = DateSpan(date(2026, 3, 8), date(2026, 3, 9))
    assert day.span_in(havana).start.astimezone(havana).hour == 1
    assert day.span_in(havana).duration == timedelta(hours=23)


def test_dates_end_after_they_start() -> None:
    day = date(2026, 3, 8)
    assert DateSpan(day, day + timedelta(days=2)).last_on == day + timedelta(days=1)
    with pytest.raises(ValueError, match="ends after"):
        DateSpan(day, day)
