"""The conversion of values to those of rows and back."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.tables import values
from shared.adapters.tables.values import SCHEMA
from shared.errors import Invalid, Misconfigured

instants = st.datetimes(timezones=st.just(UTC))


@given(instants)
def test_an_instant_is_read_as_it_was_written(at: datetime) -> None:
    read = values.moment(values.instant(at))
    assert read == at
    assert read.tzinfo is UTC


@given(st.text(alphabet="abc", max_size=10), st.integers(0, 200_000))
def test_a_long_text_is_cut_and_joined(text: str, length: int) -> None:
    written = (text * (length // max(len(text), 1)))[:length]
    properties = values.long_text("notes", written)
    # One property has at most 64 KiB of UTF-16.
    assert all(len(part) <= 32 * 1024 for part in properties.values())
    assert values.read_long_text("notes", {"other": 1, **properties}) == written


def test_none_is_absent_and_the_schema_is_written() -> None:
    assert values.present({"a": None, "b": 0, "c": ""}) == {"schema": SCHEMA, "b": 0, "c": ""}


def test_a_later_schema_is_refused() -> None:
    values.check_schema({})
    values.check_schema({"schema": SCHEMA})
    with pytest.raises(Misconfigured):
        values.check_schema({"schema": SCHEMA + 1})


@given(st.text(max_size=100))
def test_a_cursor_is_read_as_it_was_written(text: str) -> None:
    given_out = values.cursor(text)
    if len(given_out) > values._CURSOR_LIMIT:
        return
    assert values.read_cursor(given_out) == text
    assert given_out.replace("-", "").replace("_", "").isalnum() or not text


@pytest.mark.parametrize("given_out", ["%", "a", "é", "A" * 1000, "gICA", "a b"])
def test_another_cursor_is_invalid(given_out: str) -> None:
    with pytest.raises(Invalid):
        values.read_cursor(given_out)
