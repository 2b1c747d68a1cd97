"""Each participant's time as masks: busy, held, kept free by buffers, and at work. Pure.

A mask has one bit for each cell of the window (`shared.availability.masks`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from shared.availability.masks import busy_mask, cell_count, mask_touched, runs, unknown_mask
from shared.availability.model import SLOT_GRID, HeldSpan, Obstacle, Schedule, SlotRules
from shared.availability.views import view_digits
from shared.availability.working_hours import assumed_zone, working_mask
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

    def starts_in(self, mask: int) -> int:
        """Return the starts whose slot lies in *mask* and in the window, with its buffers."""
        return runs(mask & self.everything, self.before + self.length + self.after) << self.before


class PersonMasks(NamedTuple):
    """One participant's time, in masks of cells."""

    address: str
    unknown: int
    """The cells of which it is not known whether the participant is free; perhaps all."""
    busy: int
    held: int
    kept: int
    """The cells of *held*, and those that the buffers of these sessions keep free around them."""
    working: int

    def bookable_starts(self, shape: SlotShape) -> int:
        """Return the starts without an obstacle for this participant."""
        free = ~(self.unknown | self.busy | self.kept)
        return shape.starts_in(free) & runs(self.working & shape.everything, shape.length)

    def known_starts(self, shape: SlotShape) -> int:
        """Return the starts at which it is known whether this participant is free."""
        return shape.starts_in(~self.unknown)

    def obstacles(self, shape: SlotShape) -> dict[Obstacle, int]:
        """Return for each obstacle the starts that it blocks for this participant."""
        everything, length = shape.everything, shape.length
        free = everything & ~(self.busy | self.kept)
        unread = everything & ~shape.starts_in(everything)
        quiet = everything & ~unread
        if shape.before:
            quiet &= runs(free, shape.before) << shape.before
        if shape.after:
            quiet &= runs(free, shape.after) >> length
        held = everything & ~runs(everything & ~self.held, length)
        quiet &= held | runs(everything & ~self.kept, length)
        return {
            Obstacle.BUSY: everything & ~runs(everything & ~self.busy, length),
            Obstacle.HELD: held,
            Obstacle.BUFFER: everything & ~quiet & ~unread,
            Obstacle.WORKING_HOURS: everything & ~runs(self.working & everything, length),
            Obstacle.UNKNOWN: everything & ~self.known_starts(shape),
        }


def combine(people: Iterable[PersonMasks]) -> PersonMasks:
    """Return the common time of *people*: free and at work where all of them are."""
    unknown, busy, held, kept, working = 0, 0, 0, 0, -1
    for person in people:
        busy |= person.busy
        held |= person.held
        kept |= person.kept
        working &= person.working
        unknown |= person.unknown
    return PersonMasks("", unknown, busy, held, kept, working)


def person_masks(
    schedules: Sequence[Schedule],
    window: TimeSpan,
    rules: SlotRules,
    held: HeldSpans,
    shape: SlotShape,
) -> list[PersonMasks]:
    """Return the masks of each of *schedules*, in their order, with what sessions hold."""
    people: list[PersonMasks] = []
    assumed = assumed_zone(schedules, rules.zone)
    for schedule in schedules:
        address, view = schedule.address, view_digits(schedule, window, shape.cells)
        taken = held.get(address, ())
        hours = schedule.hours if view is not None else None
        people.append(
            PersonMasks(
                address,
                shape.everything if view is None else unknown_mask(view),
                busy_mask(view, tentative_is_busy=rules.tentative_is_busy) if view else 0,
                mask_touched((one.span for one in taken), window),
                mask_touched((_kept_free(one, rules) for one in taken), window),
                working_mask(hours, hours.zone or assumed, window) if hours else shape.everything,
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
