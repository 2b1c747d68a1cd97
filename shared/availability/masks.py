"""Masks: whole numbers with one bit per cell of `SLOT_GRID`, the lowest at the window's start.

Pure functions.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Final, TypeVar

from shared.availability.model import SLOT_GRID
from shared.timespan import TimeSpan

_Label = TypeVar("_Label")

_BUSY: Final = bytes(49 if c in b"123" else 48 for c in range(256))
_BUSY_NOT_TENTATIVE: Final = bytes(49 if c in b"23" else 48 for c in range(256))
_UNKNOWN: Final = bytes(48 if c in b"01234" else 49 for c in range(256))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALIGNED: Final = "a window's ends are on multiples of 5 minutes"


def cell_count(window: TimeSpan) -> int:
    """Return how many cells *window* has, or raise ValueError if its ends are off the grid."""
    count, rest = divmod(window.duration, SLOT_GRID)
    if rest or window.start.minute % 5 or window.start.second or window.start.microsecond:
        raise ValueError(_ALIGNED)
    return count


def round_out_to_grid(span: TimeSpan) -> TimeSpan:
    """Return *span* rounded outward to the cells that it touches; an empty span touches none.

    An event in Outlook may start and end off the grid; free/busy is read in cells.
    """
    if span.is_empty:
        return span
    return TimeSpan(
        span.start - (span.start - _EPOCH) % SLOT_GRID, span.end + (_EPOCH - span.end) % SLOT_GRID
    )


def cells_of(span: TimeSpan, window: TimeSpan) -> range:
    """Return the cells of *window* that lie wholly in *span*."""
    first = max(0, -((window.start - span.start) // SLOT_GRID))
    return range(first, max(first, (min(span.end, window.end) - window.start) // SLOT_GRID))


def overlapping_cells(span: TimeSpan, window: TimeSpan) -> range:
    """Return the cells of *window* that share an instant with *span*; none with an empty span."""
    if span.is_empty:
        return range(0)
    first = max(0, (span.start - window.start) // SLOT_GRID)
    return range(first, max(first, -((window.start - min(span.end, window.end)) // SLOT_GRID)))


def span_of_cells(first: int, stop: int, window: TimeSpan) -> TimeSpan:
    """Return the span of the cells from *first* to the one before *stop*."""
    return TimeSpan(window.start + first * SLOT_GRID, window.start + stop * SLOT_GRID)


def mask_inside(spans: Iterable[TimeSpan], window: TimeSpan) -> int:
    """Return the cells that lie wholly in one of *spans*."""
    return _union(cells_of(span, window) for span in spans)


def mask_touched(spans: Iterable[TimeSpan], window: TimeSpan) -> int:
    """Return the cells that share an instant with any of *spans*."""
    return _union(overlapping_cells(span, window) for span in spans)


def busy_mask(view: str, *, tentative_is_busy: bool) -> int:
    """Return the cells in which a getSchedule *view* says that the person is not free.

    ``0`` and ``4`` (working elsewhere) are free, ``1`` to ``3`` are not.

    Source: https://learn.microsoft.com/graph/api/resources/scheduleinformation
    """
    return _mask(view, _BUSY if tentative_is_busy else _BUSY_NOT_TENTATIVE)


def unknown_mask(view: str) -> int:
    """Return the cells of which a *view* says nothing known: no data, or an undocumented digit."""
    return _mask(view, _UNKNOWN)


def runs(mask: int, length: int) -> int:
    """Return the cells at which *length* set cells in a row begin; *length* is at least 1."""
    done = 1
    while done < length:
        more = min(done, length - done)
        mask &= mask >> more
        done += more
    return mask


def indices(mask: int) -> Iterator[int]:
    """Yield the set cells in order."""
    digits = bin(mask)[:1:-1]
    index = digits.find("1")
    while index >= 0:
        yield index
        index = digits.find("1", index + 1)


def labelled_cells(
    at: int, rows: Sequence[tuple[_Label, int]]
) -> Iterator[tuple[int, tuple[_Label, ...]]]:
    """Yield each cell of *at* with the labels of the *rows* that have it, in the rows' order.

    Labels rarely change from one cell to the next, so they are collected only where they change.
    """
    rows = [(label, mask) for label, mask in rows if mask & at]
    # A row that has every cell of *at* never changes there.
    changes = reduce(or_, (mask ^ mask << 1 for _, mask in rows if ~mask & at), 0)
    edges = bin(changes)[:1:-1]
    last = -1
    labels: tuple[_Label, ...] = ()
    for index in indices(at):
        if last < 0 or edges.find("1", last + 1, index + 1) >= 0:
            labels = tuple(label for label, mask in rows if mask >> index & 1)
        last = index
        yield index, labels


def _mask(view: str, table: bytes) -> int:
    bits = view.encode("ascii", "replace").translate(table)
    # Most views have no unknown cell, and `int` takes half of the time of a search.
    return int(bits[::-1], 2) if b"1" in bits else 0


def _union(ranges: Iterable[range]) -> int:
    mask = 0
    for cells in ranges:
        mask |= ((1 << len(cells)) - 1) << cells.start
    return mask
