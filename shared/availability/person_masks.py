"""Each participant's time as masks: busy, held, kept free by buffers, and at work. Pure.

A mask has one bit for each cell of the window (`shared.availability.masks`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from shared.availability.masks import busy_mask, cell_count, mask_touched, runs
from shared.availability.model import SLOT_GRID, HeldSpan, Obstacle, Schedule, SlotRules
from shared.availability.views import view_digits
from shared.availability.working_hours import working_mask
from shared.timespan import TimeSpan

HeldSpans = Mapping[str, Sequence[HeldSpan]]
"""The spans that other sessions hold, by address."""
NO_HOLDS: Final[HeldSpans] = {}


@dataclass(frozen=True, slots=True)
class SlotShape:
    """The size of a slot and its buffers in cells, in a window of *cells*."""

    cells: int
    length: int
    before: int
    after: int
    everything: int
    """A mask of all cells."""

    @classmethod
    def of(cls, window: TimeSpan, rules: SlotRules) -> "SlotShape":
        """Return the shape of a slot by *rules* in *window*."""
        # A buffer that ends inside a cell takes the whole cell.
        before, after = (-(-b // SLOT_GRID) for b in (rules.buffer_before, rules.buffer_after))
        cells = cell_count(window)
        return cls(cells, rules.duration // SLOT_GRID, before, after, (1 << cells) - 1)

    @property
    def unread(self) -> int:
        """Return the starts whose buffers reach beyond the window."""
        read = self.cells - self.before - self.length - self.after + 1
        return self.everything & ~(((1 << max(0, read)) - 1) << self.before)


class PersonMasks(NamedTuple):
    """One participant's time, in masks of cells."""

    address: str
    is_known: bool
    busy: int
    held: int
    kept: int
    """The cells of *held*, and those that the buffers of these sessions keep free around them."""
    working: int

    def bookable_starts(self, shape: SlotShape) -> int:
        """Return the starts without an obstacle for this participant."""
        if not self.is_known:
            return 0
        free = shape.everything & ~(self.busy | self.kept)
        quiet = runs(free, shape.before + shape.length + shape.after) << shape.before
        return quiet & runs(self.working, shape.length)

    def obstacles(self, shape: SlotShape) -> dict[Obstacle, int]:
        """Return for each obstacle the starts that it blocks for this participant."""
        everything, length = shape.everything, shape.length
        free = everything & ~(self.busy | self.kept)
        quiet = everything & ~shape.unread
        if shape.before:
            quiet &= runs(free, shape.before) << shape.before
        if shape.after:
            quiet &= runs(free, shape.after) >> length
        held = everything & ~runs(everything & ~self.held, length)
        quiet &= held | runs(everything & ~self.kept, length)
        return {
            Obstacle.BUSY: everything & ~runs(everything & ~self.busy, length),
            Obstacle.HELD: held,
            Obstacle.BUFFER: everything & ~quiet & ~shape.unread,
            Obstacle.WORKING_HOURS: everything & ~runs(self.working, length),
            Obstacle.UNKNOWN: shape.unread if self.is_known else everything,
        }


def combine(people: Iterable[PersonMasks]) -> PersonMasks:
    """Return the common time of *people*: free and at work where all of them are."""
    busy, held, kept, working, is_known = 0, 0, 0, -1, True
    for person in people:
        busy |= person.busy
        held |= person.held
        kept |= person.kept
        working &= person.working
        is_known &= person.is_known
    return PersonMasks("", is_known, busy, held, kept, working)


def person_masks(
    schedules: Sequence[Schedule],
    window: TimeSpan,
    rules: SlotRules,
    held: HeldSpans,
    shape: SlotShape,
) -> list[PersonMasks]:
    """Return the masks of each of *schedules*, in their order, with what sessions hold."""
    people: list[PersonMasks] = []
    for schedule in schedules:
        address, view = schedule.address, view_digits(schedule, window, shape.cells)
        is_known, taken = view is not None, held.get(address, ())
        is_working = is_known and schedule.hours
        people.append(
            PersonMasks(
                address,
                is_known,
                busy_mask(view, tentative_is_busy=rules.tentative_is_busy) if view else 0,
                mask_touched((one.span for one in taken), window),
                mask_touched((_kept_free(one, rules) for one in taken), window),
                working_mask(schedule.hours, window) if is_working else shape.everything,
            )
        )
    return people


def _kept_free(held: HeldSpan, rules: SlotRules) -> TimeSpan:
    """Return the span in which a slot, with its own buffers, may not be.

    Between two sessions there is the longer one of their two buffers.
    """
    before = held.buffers.before - rules.buffer_after
    after = held.buffers.after - rules.buffer_before
    return held.span.widened(max(before, timedelta()), max(after, timedelta()))
