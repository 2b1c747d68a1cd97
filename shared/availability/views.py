"""Reads a schedule's view: one digit per cell of the window, as getSchedule writes it. Pure.

Source: https://learn.microsoft.com/graph/api/resources/scheduleinformation
"""

import re
from dataclasses import replace
from typing import Final

from shared.availability.masks import cell_count, overlapping_cells, span_of_cells
from shared.availability.model import BusySpan, BusyStatus, Schedule, Unknown, UnknownReason
from shared.timespan import TimeSpan

_DIGITS: Final = {BusyStatus.TENTATIVE: b"1", BusyStatus.BUSY: b"2", BusyStatus.OUT_OF_OFFICE: b"3"}
"""In the order of their strength."""
_STATUSES: Final = {"1": BusyStatus.TENTATIVE, "3": BusyStatus.OUT_OF_OFFICE}
_OURS: Final = str.maketrans("12", "00")
"""A session shows as busy, or as tentative until it is accepted."""
_BUSY_RUNS: Final = re.compile("1+|3+|[^0134]+")


def busy_spans(schedule: Schedule, window: TimeSpan) -> list[BusySpan]:
    """Return the busy time of *schedule*, read for *window*, by start; nothing overlaps."""
    view = view_digits(schedule, window, cell_count(window))
    if view is None:
        return []
    return [
        BusySpan(
            span_of_cells(run.start(), run.end(), window),
            _STATUSES.get(run[0][0], BusyStatus.BUSY),
        )
        for run in _BUSY_RUNS.finditer(view)
    ]


def why_unknown(schedule: Schedule, window: TimeSpan) -> Unknown | None:
    """Return why nobody can tell whether *schedule* is free in *window*; None if it is known.

    A view that does not reach the window's end says nothing: which part is missing is anyone's
    guess.
    """
    return _why_unknown(schedule, cell_count(window))


def without_own_session(schedule: Schedule, span: TimeSpan, window: TimeSpan) -> Schedule:
    """Return *schedule* without the session of ours that takes *span*: it is to be moved.

    A view does not tell whose an entry is: what else somebody took on at that very time is not
    seen. Out of office is never ours, so it stays.
    """
    view = view_digits(schedule, window, cell_count(window))
    if view is None:
        return schedule
    cells = overlapping_cells(span, window)
    ours = view[cells.start : cells.stop].translate(_OURS)
    return replace(schedule, view=view[: cells.start] + ours + view[cells.stop :], items=())


def view_digits(schedule: Schedule, window: TimeSpan, cells: int) -> str | None:
    """Return a view, a digit for each of *window*'s *cells*; made of items if there is none.

    None: unknown. The strongest status that touches a cell is the cell's.
    """
    if _why_unknown(schedule, cells):
        return None
    if schedule.view is not None:
        return schedule.view[:cells]
    digits = bytearray(b"0") * cells
    for status, digit in _DIGITS.items():
        for item in schedule.items:
            if item.status is status:
                touched = overlapping_cells(item.span, window)
                digits[touched.start : touched.stop] = digit * len(touched)
    return digits.decode()


def _why_unknown(schedule: Schedule, cells: int) -> Unknown | None:
    if schedule.unknown is None and schedule.view is not None and len(schedule.view) < cells:
        return Unknown(UnknownReason.NO_ANSWER)
    return schedule.unknown
