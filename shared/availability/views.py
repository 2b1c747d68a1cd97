"""Reads a schedule's view: one digit per cell of the window, as getSchedule writes it. Pure.

Source: https://learn.microsoft.com/graph/api/resources/scheduleinformation
"""

import re
from dataclasses import replace
from typing import Final

from shared.availability.masks import cell_count, overlapping_cells, span_of_cells
from shared.availability.model import BusySpan, BusyStatus, Schedule, Unknown, UnknownReason
from shared.timespan import TimeSpan

UNKNOWN: Final = "5"
"""The digit of Exchange's own list for no data; here it stands for every unknown cell."""
_KNOWN: Final = bytes(c if c in b"01234" else ord(UNKNOWN) for c in range(256))
_OVER: Final = {
    BusyStatus.TENTATIVE: bytes.maketrans(b"04", b"11"),
    BusyStatus.BUSY: bytes.maketrans(b"0145", b"2222"),
    BusyStatus.OUT_OF_OFFICE: bytes.maketrans(b"01245", b"33333"),
}
"""What an item makes of a cell: the stronger one stays. Unknown is stronger than tentative, which
may count as free."""
_STATUSES: Final = {"1": BusyStatus.TENTATIVE, "3": BusyStatus.OUT_OF_OFFICE}
_SESSION_STATUSES: Final = frozenset({BusyStatus.TENTATIVE, BusyStatus.BUSY})
_OURS: Final = str.maketrans("12", "00")
"""Frees busy and tentative cells: a session shows as tentative until the attendee accepts."""
_BUSY_RUNS: Final = re.compile("1+|2+|3+")
_UNKNOWN_RUNS: Final = re.compile(f"{UNKNOWN}+")


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


def unknown_spans(schedule: Schedule, window: TimeSpan) -> list[TimeSpan]:
    """Return the parts of *window* in which a known *schedule* says nothing, by start."""
    view = view_digits(schedule, window, cell_count(window))
    runs = _UNKNOWN_RUNS.finditer(view or "")
    return [span_of_cells(run.start(), run.end(), window) for run in runs]


def why_unknown(schedule: Schedule, window: TimeSpan) -> Unknown | None:
    """Return why *schedule* is unknown in all of *window*; None if a part of it is known."""
    view = view_digits(schedule, window, cell_count(window))
    if view is not None and view.count(UNKNOWN) == len(view):
        return Unknown(UnknownReason.NO_ANSWER)
    return schedule.unknown


def whole_view(view: str, cells: int) -> str:
    """Return *view* with exactly *cells* digits, of which every one that is not known is 5."""
    known = view[:cells].encode("ascii", "replace").translate(_KNOWN).decode()
    return known.ljust(cells, UNKNOWN)


def without_own_session(
    schedule: Schedule, span: TimeSpan, window: TimeSpan, *, is_all_day: bool = False
) -> Schedule:
    """Return *schedule* without our session at *span*, which is about to be rescheduled.

    A view has no ids, so without items another entry of the same participant at *span* disappears
    with the session. That of an all-day session would be a day full of entries: it stays in its own
    way instead. Out of office stays: a session of ours never has that status.
    """
    others = [*schedule.items]
    own = next((i for i in others if i.span == span and i.status in _SESSION_STATUSES), None)
    if own is not None:
        others.remove(own)
    elif is_all_day:
        return schedule
    known = schedule if own is None else replace(schedule, items=())
    view = view_digits(known, window, cell_count(window))
    if view is None:
        return schedule
    cells = overlapping_cells(span, window)
    ours = view[cells.start : cells.stop].translate(_OURS)
    return replace(
        schedule,
        view=view[: cells.start] + ours + view[cells.stop :],
        items=() if own is None else tuple(others),
    )


def joined(earlier: Schedule, first: TimeSpan, later: Schedule, rest: TimeSpan) -> Schedule:
    """Return one participant's schedule of two windows in a row; unknown if one of them is.

    A window that is known in part is so in the result.
    """
    views = [
        view_digits(schedule, window, cell_count(window))
        for schedule, window in ((earlier, first), (later, rest))
    ]
    unknown = earlier.unknown or later.unknown
    return Schedule(
        earlier.address,
        view=None if unknown else "".join(filter(None, views)),
        hours=earlier.hours or later.hours,
        unknown=unknown,
    )


def view_digits(schedule: Schedule, window: TimeSpan, cells: int) -> str | None:
    """Return a digit from 0 to 5 for each of *window*'s *cells*; None if *schedule* is unknown.

    A cell has the strongest status that touches it, of the view and of the items.
    """
    if schedule.unknown is not None:
        return None
    view = "0" * cells if schedule.view is None else whole_view(schedule.view, cells)
    if not schedule.items:
        return view
    digits = bytearray(view.encode())
    for item in schedule.items:
        touched = overlapping_cells(item.span, window)
        part = slice(touched.start, touched.stop)
        digits[part] = digits[part].translate(_OVER[item.status])
    return digits.decode()
