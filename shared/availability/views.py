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
"""From the weakest status to the strongest."""
_STATUSES: Final = {"1": BusyStatus.TENTATIVE, "3": BusyStatus.OUT_OF_OFFICE}
_OURS: Final = str.maketrans("12", "00")
"""Frees busy and tentative cells: a session shows as tentative until the attendee accepts."""
_BUSY_RUNS: Final = re.compile("1+|3+|[^0134]+")


def busy_spans(schedule: Schedule, window: TimeSpan) -> list[BusySpan]:
    """Return the busy time of *schedule*, read for *window*, by start and without overlaps."""
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
    """Return why *schedule* is unknown in *window*; None if it is known.

    A view that is shorter than the window counts as unknown: the missing part may be anywhere.
    """
    return _why_unknown(schedule, cell_count(window))


def without_own_session(schedule: Schedule, span: TimeSpan, window: TimeSpan) -> Schedule:
    """Return *schedule* without our session at *span*, which is about to be rescheduled.

    A view has no ids, so another entry of the same participant at *span* disappears with the
    session. Out of office stays: a session of ours never has that status.
    """
    view = view_digits(schedule, window, cell_count(window))
    if view is None:
        return schedule
    cells = overlapping_cells(span, window)
    ours = view[cells.start : cells.stop].translate(_OURS)
    return replace(schedule, view=view[: cells.start] + ours + view[cells.stop :], items=())


def joined(earlier: Schedule, first: TimeSpan, later: Schedule, rest: TimeSpan) -> Schedule:
    """Return one participant's schedule of two windows in a row; unknown if one of them is."""
    views = [
        view_digits(schedule, window, cell_count(window))
        for schedule, window in ((earlier, first), (later, rest))
    ]
    unknown = why_unknown(earlier, first) or why_unknown(later, rest)
    return Schedule(
        earlier.address,
        view=None if unknown else "".join(filter(None, views)),
        hours=earlier.hours or later.hours,
        unknown=unknown,
    )


def view_digits(schedule: Schedule, window: TimeSpan, cells: int) -> str | None:
    """Return the view, one digit for each of *window*'s *cells*; None if *schedule* is unknown.

    Without a view it is built from the items: a cell has the strongest status that touches it.
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
