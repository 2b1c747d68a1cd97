"""Slots from masks, from views and from the body of an answer, each compared with a plain way.

Run with ``python -m benchmarks.slots``. The plain way is a sweep over the sorted busy spans of all
people, in whole minutes. Ratios are the median of rounds in which both ran.
"""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from statistics import median
from time import perf_counter_ns
from zoneinfo import ZoneInfo

from shared.adapters.graph.schedules import schedules_of
from shared.availability.masks import busy_mask, cell_count, indices, runs
from shared.availability.model import SLOT_GRID, Schedule, SlotRules, WorkingHours
from shared.availability.slots import explain_unavailable, find_slots
from shared.availability.working_hours import step_mask, working_mask
from shared.timespan import TimeSpan

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WINDOW = TimeSpan.lasting(MONDAY, timedelta(days=7))
BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = WorkingHours(frozenset(range(5)), time(9), time(17), BERLIN, "W. Europe Standard Time")
RULES = SlotRules(
    duration=timedelta(hours=1),
    step=timedelta(minutes=15),
    earliest_start=WINDOW.start,
    latest_start=MONDAY + timedelta(days=90),
)
GRID_MINUTES, LENGTH, STEP = 5, 60, 15
Busy = list[tuple[int, int]]
"""Start and end, in minutes of the window, in any order."""


def busy_week(chance: random.Random) -> Busy:
    """Return about 25 meetings of half an hour to two hours in the working week."""
    found = []
    for _ in range(25):
        start = chance.randrange(5) * 1440 + 480 + chance.randrange(16) * 30
        found.append((start, start + chance.choice((30, 30, 60, 60, 120))))
    return found


def view_of(busy: Busy) -> str:
    """Return the availabilityView of Exchange."""
    digits = ["0"] * cell_count(WINDOW)
    for start, end in busy:
        for cell in range(start // GRID_MINUTES, end // GRID_MINUTES):
            digits[cell] = "2"
    return "".join(digits)


def body_of(people: list[Busy], weeks: int = 1) -> bytes:
    """Return getSchedule's answer with views, items and working hours, as Graph writes it.

    Every one of *weeks* is like the first.
    """

    def moment(minutes: int) -> dict[str, str]:
        instant = WINDOW.start + timedelta(minutes=minutes)
        return {"dateTime": f"{instant:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}

    return json.dumps(
        {
            "value": [
                {
                    "scheduleId": f"p{n}@contoso.com",
                    "availabilityView": view_of(busy) * weeks,
                    "scheduleItems": [
                        {
                            "status": "busy",
                            "start": moment(week * 10080 + start),
                            "end": moment(week * 10080 + end),
                        }
                        for week in range(weeks)
                        for start, end in sorted(busy)
                    ],
                    "workingHours": {
                        "daysOfWeek": ["monday", "tuesday", "wednesday", "thursday", "friday"],
                        "startTime": "09:00:00.0000000",
                        "endTime": "17:00:00.0000000",
                        "timeZone": {"name": OFFICE.zone_name},
                    },
                }
                for n, busy in enumerate(people)
            ]
        }
    ).encode()


def swept(people: list[Busy], working: Busy) -> list[int]:
    """Return the starts by a sweep over all busy spans, sorted."""
    taken = sorted(span for busy in people for span in busy)
    starts: list[int] = []
    for begin, end in working:
        free_from = begin
        for start, stop in [*taken, (end, end)]:
            if free_from >= end:
                break
            if start >= free_from:
                first = -(-free_from // STEP) * STEP
                starts.extend(range(first, min(start, end) - LENGTH + 1, STEP))
            free_from = max(free_from, stop)
    return starts


def from_masks(masks: list[int], working: int, steps: int) -> int:
    """Return the starts from given masks: the cost of finding alone."""
    everything = (1 << cell_count(WINDOW)) - 1
    taken = 0
    for mask in masks:
        taken |= mask
    return runs(everything & ~taken & working, LENGTH // GRID_MINUTES) & steps


def compare(name: str, ours: Callable[[], object], plain: Callable[[], object], of: str) -> None:
    """Print the time of both, and the ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(15):
        for work, found in zip((ours, plain), times, strict=True):
            repeats = 10
            begin = perf_counter_ns()
            for _ in range(repeats):
                work()
            found.append((perf_counter_ns() - begin) / repeats / 1000)
    ratio = median(a / b for a, b in zip(*times, strict=True))
    mine, other = median(times[0]), median(times[1])
    print(f"  {name:<44} {mine:>9.1f} µs   {ratio:>6.2f} times {of} ({other:.1f} µs)")


def main() -> None:
    """Print the figures."""
    chance = random.Random(1)
    people = [busy_week(chance) for _ in range(501)]
    working_spans = [(day * 1440 + 480, day * 1440 + 960) for day in range(5)]
    working = working_mask(OFFICE, BERLIN, WINDOW)
    steps = step_mask(UTC, RULES.step, WINDOW)
    views = [view_of(busy) for busy in people]
    masks = [busy_mask(view, tentative_is_busy=True) for view in views]
    schedules = [
        Schedule(f"p{n}@contoso.com", view=view, hours=OFFICE) for n, view in enumerate(views)
    ]
    able = [from_masks([mask], working, steps) for mask in masks]
    for count in (1, 2, 20):
        found = [5 * index for index in indices(from_masks(masks[:count], working, steps))]
        if found != swept(people[:count], working_spans):
            raise AssertionError("masks and sweep disagree")
        starts = [
            (s.span.start - WINDOW.start) // timedelta(minutes=1)
            for s in find_slots(schedules[:count], WINDOW, RULES)
        ]
        if starts != found:
            raise AssertionError("slots and masks disagree")

    print(
        f"Slots: a week on the {SLOT_GRID // timedelta(minutes=1)}-minute grid, 1 hour every 15 min"
    )
    for name, count in (("pair", 2), ("20 people", 20)):
        of = f"{name}: masks → starts"
        compare(
            of,
            lambda count=count: from_masks(masks[:count], working, steps),  # type: ignore[misc]
            lambda count=count: swept(people[:count], working_spans),  # type: ignore[misc]
            "sorted sweep",
        )
    compare(
        "1 against 500, each pair: masks → starts",
        lambda: [able[0] & other for other in able[1:]],
        lambda: [swept([people[0], other], working_spans) for other in people[1:]],
        "sorted sweep",
    )
    for name, count in (("pair", 2), ("20 people", 20)):
        compare(
            f"{name}: views → slots with whom they suit",
            lambda count=count: find_slots(schedules[:count], WINDOW, RULES),  # type: ignore[misc]
            lambda count=count: swept(people[:count], working_spans),  # type: ignore[misc]
            "sorted sweep of ready spans",
        )
        compare(
            f"{name}: views → every refusal explained",
            lambda count=count: explain_unavailable(schedules[:count], WINDOW, RULES),  # type: ignore[misc]
            lambda count=count: find_slots(schedules[:count], WINDOW, RULES),  # type: ignore[misc]
            "finding the slots",
        )
    for name, count, weeks in (("pair", 2, 1), ("20 people", 20, 1), ("20 people", 20, 6)):
        body, addresses = body_of(people[:count], weeks), [s.address for s in schedules[:count]]
        window = TimeSpan.lasting(MONDAY, timedelta(weeks=weeks))
        compare(
            f"{name}, {weeks} week(s): body of {len(body) // 1024} KiB → slots",
            lambda body=body, addresses=addresses, window=window: find_slots(  # type: ignore[misc]
                schedules_of(json.loads(body), addresses, window), window, RULES
            ),
            lambda body=body: json.loads(body),  # type: ignore[misc]
            "json.loads of that body",
        )
    compare(
        "working hours of a week, not kept",
        lambda: working_mask.__wrapped__(OFFICE, BERLIN, WINDOW),
        lambda: working_mask(OFFICE, BERLIN, WINDOW),
        "the same, kept",
    )


if __name__ == "__main__":
    main()
