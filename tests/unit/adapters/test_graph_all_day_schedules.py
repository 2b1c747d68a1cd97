"""All-day entries in free/busy: their true instants, or dates; and what else is on the day."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.availability.model import BusyStatus
from shared.availability.views import busy_spans, view_digits
from shared.timespan import TimeSpan
from tests.unit.adapters.test_graph_all_day import midnight
from tests.unit.adapters.test_graph_schedules import one

WINDOW = TimeSpan(datetime(2026, 6, 30, 12, tzinfo=UTC), datetime(2026, 7, 2, 12, tzinfo=UTC))
HOURS = {
    "daysOfWeek": ["wednesday"],
    "startTime": "08:00:00.0000000",
    "endTime": "17:00:00.0000000",
    "timeZone": {"name": "W. Europe Standard Time"},
}


def absence(status: str = "oof", **changes: Any) -> dict[str, Any]:
    return {"status": status, "start": midnight("2026-07-01"), "end": midnight("2026-07-02")} | (
        changes
    )


def busy_hours(payload: dict[str, Any]) -> str:
    """Return a digit for each hour from noon to noon, two days later."""
    view = view_digits(one(payload, WINDOW), WINDOW, 48 * 12)
    assert view is not None
    return view[::12]


@pytest.mark.parametrize("has_view", [True, False])
def test_an_item_of_whole_days_is_busy_in_both_readings(*, has_view: bool) -> None:
    payload: dict[str, Any] = {"scheduleItems": [absence()], "workingHours": HOURS}
    if has_view:
        payload["availabilityView"] = "0" * 12 * 12 + "3" * 12 * 24 + "0" * 12 * 12
    assert busy_hours(payload) == "0" * 10 + "3" * 26 + "0" * 12
    del payload["workingHours"]
    assert busy_hours(payload) == "3" * 48


def test_the_view_stays_what_is_busy_beside_whole_days() -> None:
    view = "0" * 10 * 12 + "34012" * 24 + "0" * (38 * 12 - 120)
    busy = {"availabilityView": view, "scheduleItems": [absence("tentative")]}
    shown = one(busy | {"workingHours": HOURS}, WINDOW)
    digits = view_digits(shown, WINDOW, 48 * 12)
    assert digits is not None
    assert digits[120:125] == "31112"
    assert {item.status for item in shown.items} == {BusyStatus.TENTATIVE}


def test_what_else_is_on_a_day_is_read_beside_the_view() -> None:
    meeting = absence(
        "busy",
        start={"dateTime": "2026-07-01T09:00:00", "timeZone": "UTC"},
        end={"dateTime": "2026-07-01T10:00:00", "timeZone": "UTC"},
    )
    view = {"availabilityView": "0" * 48 * 12}
    assert len(one(view | {"scheduleItems": [meeting]}, WINDOW).items) == 1
    shown = one(view | {"scheduleItems": [meeting, absence()], "workingHours": HOURS}, WINDOW)
    assert [item.span.duration // timedelta(hours=1) for item in shown.items] == [1, 24, 24]
    broken = one(view | {"scheduleItems": [meeting, {"broken": True}]}, WINDOW)
    assert broken.items == ()
    # What can be read counts all the same.
    assert [busy.span for busy in busy_spans(broken, WINDOW)] == [shown.items[0].span]


@pytest.mark.parametrize(
    "item",
    [
        absence("free"),
        absence(end=midnight("2026-07-01")),
        {"broken": True},
    ],
)
def test_other_items_are_only_what_the_view_says(item: dict[str, Any]) -> None:
    payload = {"availabilityView": "0" * 48 * 12, "scheduleItems": [item]}
    assert busy_hours(payload | {"workingHours": HOURS}) == "0" * 48
