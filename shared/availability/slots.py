"""Finds the slots that can be booked, and the obstacles where a start cannot. Pure functions.

A slot starts on a step (counted from the full hour in the rules' zone), lies wholly in the
requested window, and starts between notice and horizon. Every participant of the quorum is known
to be free of events and other sessions from the buffer before the slot to the buffer after it, and
is at work during the slot itself. Time that was not read is unknown, and unknown is not free.

Every condition is a mask of cells or of starts (`shared.availability.masks`): a bit where it holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import groupby
from operator import or_

from shared.availability.masks import (
    cells_of,
    labelled_cells,
)
from shared.availability.model import (
    SLOT_GRID,
    Obstacle,
    Obstacles,
    Quorum,
    Schedule,
    Slot,
    SlotRules,
    SpanEvaluation,
    UnavailableStart,
)
from shared.availability.person_masks import (
    NO_HOLDS,
    HeldSpans,
    PersonMasks,
    SlotShape,
    combine,
    person_masks,
)
from shared.availability.working_hours import step_mask
from shared.timespan import TimeSpan


def find_slots(
    schedules: Sequence[Schedule],
    window: TimeSpan,
    rules: SlotRules,
    *,
    within: TimeSpan | None = None,
    quorum: Quorum | None = None,
    held: HeldSpans = NO_HOLDS,
) -> list[Slot]:
    """Return the slots, sorted by start. Slots may overlap each other.

    *window*: the window that the schedules were read for, on the grid. *within*: the part in which
    slots lie, by default all of it. *quorum*: by default every participant is required.
    """
    offer = _offer(schedules, window, rules, within, quorum, held)
    found = offer.slots()
    duration, start = rules.duration, window.start
    return [
        Slot(TimeSpan.lasting(start + index * SLOT_GRID, duration), confirmed, unknown)
        for (index, confirmed), (_, unknown) in zip(
            labelled_cells(found, offer.confirmed()),
            labelled_cells(found, offer.unknown()),
            strict=True,
        )
    ]


def explain_unavailable(
    schedules: Sequence[Schedule],
    window: TimeSpan,
    rules: SlotRules,
    *,
    within: TimeSpan | None = None,
    quorum: Quorum | None = None,
    held: HeldSpans = NO_HOLDS,
) -> list[UnavailableStart]:
    """Return every start on a step that `find_slots` does not offer, with all its obstacles.

    Obstacles name the required participants, and every participant where *at_least* fails. A start
    whose session would end after the window is no candidate and is left out.
    """
    offer = _offer(schedules, window, rules, within, quorum, held)
    refused = offer.candidates & ~offer.slots()
    rows: list[tuple[tuple[Obstacle, str], int]] = [
        ((Obstacle.NOTICE, ""), refused & offer.too_soon),
        ((Obstacle.HORIZON, ""), refused & offer.too_far),
    ]
    for person, blocked in zip(offer.people, offer.unavailable_masks(), strict=True):
        for obstacle, mask in person.obstacles(offer.shape).items():
            rows.append(((obstacle, person.address), blocked & mask))
    return [
        UnavailableStart(window.start + index * SLOT_GRID, obstacles)
        for labels, found in groupby(labelled_cells(refused, rows), key=lambda one: one[1])
        for obstacles in [_by_obstacle(labels)]
        for index, _ in found
    ]


def evaluate_span(
    schedules: Sequence[Schedule],
    window: TimeSpan,
    span: TimeSpan,
    rules: SlotRules,
    *,
    quorum: Quorum | None = None,
    held: HeldSpans = NO_HOLDS,
) -> SpanEvaluation:
    """Return the obstacles of *span*, which has the rules' duration and lies on the grid.

    Working hours are reported but do not block: they steer the offered slots, while participants
    may agree to meet early. Step, notice and horizon are not checked.
    Raises ValueError if *span* has another duration or lies outside *window*.
    """
    if span.duration != rules.duration or not window.covers(span):
        raise ValueError("a span of the rules' duration inside the window can be checked")
    shape = SlotShape.of(window, rules)
    people = person_masks(schedules, window, rules, held, shape)
    required = (quorum or _everybody(schedules)).required
    start = (span.start - window.start) // SLOT_GRID
    found: list[tuple[Obstacle, str]] = [
        (obstacle, person.address)
        for person in people
        for obstacle, mask in person.obstacles(shape).items()
        if mask >> start & 1
    ]
    forbidding = (Obstacle.BUSY, Obstacle.HELD, Obstacle.BUFFER)
    unknown = [address for obstacle, address in found if obstacle is Obstacle.UNKNOWN]
    return SpanEvaluation(
        obstacles=_by_obstacle([o for o in found if o[0] in forbidding and o[1] in required]),
        unknown_for=tuple(unknown),
        unknown_required=tuple(address for address in unknown if address in required),
        outside_hours=tuple(a for obstacle, a in found if obstacle is Obstacle.WORKING_HOURS),
    )


def nearest_to(slots: Iterable[Slot], start: datetime, count: int) -> list[Slot]:
    """Return the *count* slots nearest to *start*, nearest first; of two as near the earlier first.

    A slot at *start* itself is left out, because it is no alternative.
    """
    others = (slot for slot in slots if slot.span.start != start)
    return sorted(others, key=lambda slot: (abs(slot.span.start - start), slot.span.start))[:count]


@dataclass(frozen=True, slots=True)
class _Offer:
    """A search for slots: its participants, and its conditions as masks of starts."""

    shape: SlotShape
    people: list[PersonMasks]
    quorum: Quorum
    candidates: int
    """Starts on a step whose session lies in the window."""
    too_soon: int
    too_far: int

    def slots(self) -> int:
        """Return the starts that are offered."""
        timely = self.candidates & ~self.too_soon & ~self.too_far
        common = combine(self._required_people())
        allowed = self._enough_is_known() & self._quorum_mask()
        return timely & common.bookable_starts(self.shape) & allowed

    def confirmed(self) -> list[tuple[str, int]]:
        """Return the participants, each with the starts that are known to suit them."""
        return [(person.address, person.bookable_starts(self.shape)) for person in self.people]

    def unknown(self) -> list[tuple[str, int]]:
        """Return the participants, each with the starts at which they are unknown."""
        everything = self.shape.everything
        return [(p.address, everything & ~p.known_starts(self.shape)) for p in self.people]

    def unavailable_masks(self) -> list[int]:
        """Return for each of *people* the starts at which their obstacles are reported."""
        always = {person.address: person for person in self._required_people()}
        everything, enough = self.shape.everything, self._enough_is_known()
        too_few = everything & ~self._quorum_mask()
        missed = [
            everything & ~(always[person.address].bookable_starts(self.shape) & enough)
            if person.address in always
            else 0
            for person in self.people
        ]
        return [
            mask | too_few & ~person.bookable_starts(self.shape)
            for person, mask in zip(self.people, missed, strict=True)
        ]

    def _required_people(self) -> list[PersonMasks]:
        """Return the participants who must be free at every slot.

        With *include_unknown* their unknown time counts as free: only what is known blocks it.
        """
        required = [p for p in self.people if p.address in self.quorum.required]
        if self.quorum.include_unknown:
            return [person._replace(unknown=0) for person in required]
        return required

    def _enough_is_known(self) -> int:
        """Return the starts at which a required participant is known, if others need not be."""
        if not self.quorum.include_unknown:
            return self.shape.everything
        required = (p for p in self.people if p.address in self.quorum.required)
        return reduce(or_, (person.known_starts(self.shape) for person in required))

    def _quorum_mask(self) -> int:
        """Return the starts at which at least `quorum.at_least` participants are free."""
        wanted = self.quorum.at_least or 0
        reached = [self.shape.everything] + [0] * wanted
        if wanted:
            for person in self.people:
                bookable_starts = person.bookable_starts(self.shape)
                for count in range(wanted, 0, -1):
                    reached[count] |= reached[count - 1] & bookable_starts
        return reached[wanted]


def _offer(
    schedules: Sequence[Schedule],
    window: TimeSpan,
    rules: SlotRules,
    within: TimeSpan | None,
    quorum: Quorum | None,
    held: HeldSpans,
) -> _Offer:
    shape = SlotShape.of(window, rules)
    return _Offer(
        shape=shape,
        people=person_masks(schedules, window, rules, held, shape),
        quorum=quorum or _everybody(schedules),
        candidates=_candidates(window, within or window, rules, shape),
        too_soon=(1 << _cells_before(rules.earliest_start, window, shape)) - 1,
        too_far=_after(rules.latest_start, window, shape),
    )


def _everybody(schedules: Sequence[Schedule]) -> Quorum:
    return Quorum(frozenset(schedule.address for schedule in schedules))


def _candidates(window: TimeSpan, within: TimeSpan, rules: SlotRules, shape: SlotShape) -> int:
    inside = cells_of(within, window)
    count = max(0, len(inside) - shape.length + 1)
    return step_mask(rules.zone, rules.step, window) & (((1 << count) - 1) << inside.start)


def _cells_before(instant: datetime, window: TimeSpan, shape: SlotShape) -> int:
    """Return how many cells of *window* start before *instant*."""
    return min(shape.cells, max(0, -((window.start - instant) // SLOT_GRID)))


def _after(instant: datetime, window: TimeSpan, shape: SlotShape) -> int:
    """Return the cells of *window* that start after *instant*."""
    count = min(shape.cells, max(0, (instant - window.start) // SLOT_GRID + 1))
    return shape.everything >> count << count


def _by_obstacle(found: Iterable[tuple[Obstacle, str]]) -> Obstacles:
    """Group *found* by obstacle, in the order of `Obstacle`."""
    by_obstacle: dict[Obstacle, list[str]] = {}
    for obstacle, address in found:
        by_obstacle.setdefault(obstacle, []).extend([address] if address else [])
    return tuple((o, tuple(by_obstacle[o])) for o in Obstacle if o in by_obstacle)
