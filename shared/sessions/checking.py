"""Checking whether dates are free, finding alternatives and resolving conflicts. Pure.

Every check uses snapshots: the participants' free/busy, read once, and the holds. A date is checked
once; alternatives are searched only for a refused date.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from shared.availability.model import MAX_WINDOW, SlotRules
from shared.availability.person_masks import HeldSpans
from shared.availability.snapshot import AvailabilitySnapshot
from shared.availability.working_hours import zone_of
from shared.errors import SlotTaken, SlotUnknown
from shared.organizations.model import OrganizationSettings
from shared.sessions.recurrence import cover_with_windows
from shared.sessions.requests import BookingRequest
from shared.sessions.series import OnConflict, Outcome, PlannedDate
from shared.timespan import TimeSpan

_ALTERNATIVES: Final = 5
_CANDIDATE_LIMIT: Final = 40
"""The number of nearest slots that are candidates for a date between its neighbours."""
_LOOK_BACK, _LOOK_AHEAD = timedelta(days=3), timedelta(days=7)
"""The search range for alternatives before and after a single date."""


@dataclass(frozen=True, slots=True)
class WindowSnapshot:
    """The participants' free/busy in one window, read once, and the spans that sessions hold."""

    availability: AvailabilitySnapshot
    held: HeldSpans = field(default_factory=dict)
    has_holds: bool = False
    """False: *held* was not read. Placing a hold finds a conflict as well, without this read."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The conditions for every date of a request."""

    rules: SlotRules
    accept_unknown: bool = False
    at_least: int | None = None
    """The organizer and so many participants in all must be free; None: all required ones."""


@dataclass(frozen=True, slots=True)
class CheckedDate:
    """One date with its attendance. A *refused* one is skipped and has alternatives."""

    planned: PlannedDate
    refused: SlotTaken | SlotUnknown | None = None


def windows_for(
    spans: Sequence[TimeSpan], rules: SlotRules, settings: OrganizationSettings
) -> list[TimeSpan]:
    """Return the windows to read for *spans* and the time near them, where alternatives may be."""
    if len(spans) > 1:
        longest = MAX_WINDOW - settings.buffer_before - settings.buffer_after
        return cover_with_windows(spans, longest - timedelta(minutes=10))
    (span,) = spans
    start = max(span.start - _LOOK_BACK, min(span.start, rules.earliest_start))
    return [TimeSpan(start, span.end + _LOOK_AHEAD)]


def check_dates(
    spans: Mapping[int, TimeSpan], snapshots: Sequence[WindowSnapshot], terms: Terms
) -> list[CheckedDate]:
    """Return each of *spans*, given by number, with its attendance or its refusal."""
    return [
        _check_date(PlannedDate(number, span), snapshots, terms) for number, span in spans.items()
    ]


def with_attendance(
    planned: PlannedDate, snapshots: Sequence[WindowSnapshot], terms: Terms
) -> PlannedDate:
    """Return *planned* with the addresses of busy attendees and of those with unknown free/busy.

    Raises SlotTaken, SlotUnknown.
    """
    if planned.booked is None:
        return planned
    snapshot = _snapshot_covering(planned.booked, snapshots)
    unknown, busy = snapshot.availability.require_bookable(
        planned.booked,
        terms.rules,
        accept_unknown=terms.accept_unknown,
        at_least=terms.at_least,
        held=snapshot.held,
    )
    return replace(planned, busy=busy, unknown_for=unknown)


def with_alternatives(
    checked: Sequence[CheckedDate], snapshots: Sequence[WindowSnapshot], terms: Terms
) -> list[CheckedDate]:
    """Return *checked* with alternatives for each refused date, nearest first."""
    spans = [each.planned.span for each in checked]

    def one(date: CheckedDate) -> CheckedDate:
        if date.refused is None:
            return date
        others = [span for span in spans if span != date.planned.span]
        found = _find_alternatives(date.planned.span, others, snapshots, terms)
        return replace(date, planned=replace(date.planned, alternatives=found))

    return [one(date) for date in checked]


def slot_error(checked: Sequence[CheckedDate]) -> SlotTaken | SlotUnknown | None:
    """Return the error that lists the refused dates with alternatives; None if there are none.

    Unknown free/busy comes first: such a date may be free, and the caller can accept it.
    """
    conflicts = [(c.planned, c.refused) for c in checked if c.refused is not None]
    if not conflicts:
        return None
    for planned, refused in conflicts:
        if isinstance(refused, SlotUnknown):
            return SlotUnknown(
                str(refused), unknown=refused.unknown, alternatives=_first(planned.alternatives)
            )
    planned, refused = conflicts[0]
    if len(checked) == 1:
        return SlotTaken(str(refused), alternatives=_first(planned.alternatives))
    return SlotTaken(
        f"{len(conflicts)} of {len(checked)} dates are not free.",
        alternatives=_first(planned.alternatives),
        conflicts=[replace(p, alternatives=_first(p.alternatives)) for p, _ in conflicts],
    )


def slot_taken_after_race(
    spans: Mapping[int, TimeSpan], snapshots: Sequence[WindowSnapshot], terms: Terms
) -> SlotTaken | SlotUnknown:
    """Return the error for a lost race: *spans* were free when read, and taken before the hold.

    It lists the dates that are held now. If the winner has released them since, it offers the times
    nearest to the first date.
    """
    checked = with_alternatives(check_dates(spans, snapshots, terms), snapshots, terms)
    first, *_ = spans.values()
    return slot_error(checked) or SlotTaken(
        "Another request is booking the same time at this moment.",
        alternatives=_first(_find_alternatives(first, [*spans.values()], snapshots, terms)),
    )


def resolve_conflicts(
    checked: Sequence[CheckedDate],
    request: BookingRequest,
    snapshots: Sequence[WindowSnapshot],
    terms: Terms,
) -> tuple[PlannedDate, ...]:
    """Return the plan: each date booked, moved to an alternative or skipped.

    Raises:
        SlotTaken: a date is not free and the request refuses conflicts, or no date is left.
        SlotUnknown: free/busy of a date is unknown, independent of the request's `on_conflict`.
    """
    planned = [date.planned for date in checked]
    refused = slot_error(checked)
    if isinstance(refused, SlotUnknown) or (refused and request.on_conflict is OnConflict.REFUSE):
        raise refused
    if request.on_conflict is OnConflict.ALTERNATIVES:
        for date in checked:
            if date.refused is not None:
                moved = _move_to_alternative(planned, date.planned, request.time_zone)
                planned[date.planned.number] = with_attendance(moved, snapshots, terms)
    if refused and not any(p.booked for p in planned):
        raise refused
    return tuple(replace(p, alternatives=_first(p.alternatives)) for p in planned)


def _check_date(
    planned: PlannedDate, snapshots: Sequence[WindowSnapshot], terms: Terms
) -> CheckedDate:
    try:
        return CheckedDate(with_attendance(planned, snapshots, terms))
    except (SlotTaken, SlotUnknown) as refused:
        return CheckedDate(replace(planned, outcome=Outcome.SKIPPED), refused)


def _snapshot_covering(span: TimeSpan, snapshots: Sequence[WindowSnapshot]) -> WindowSnapshot:
    return next(each for each in snapshots if each.availability.window.covers(span))


def _find_alternatives(
    span: TimeSpan,
    avoiding: Sequence[TimeSpan],
    snapshots: Sequence[WindowSnapshot],
    terms: Terms,
) -> tuple[TimeSpan, ...]:
    """Return the free slots nearest to *span* that overlap none of *avoiding*."""
    snapshot = _snapshot_covering(span, snapshots)
    found = snapshot.availability.nearest_slots(
        span.start,
        terms.rules,
        held=snapshot.held,
        count=_CANDIDATE_LIMIT,
        include_unknown=terms.accept_unknown,
        at_least=terms.at_least,
    )
    return tuple(f for f in found if not any(f.overlaps(other) for other in avoiding))


def _first(alternatives: Sequence[TimeSpan]) -> tuple[TimeSpan, ...]:
    return tuple(alternatives[:_ALTERNATIVES])


def _move_to_alternative(
    planned: Sequence[PlannedDate], conflict: PlannedDate, time_zone: str
) -> PlannedDate:
    """Return *conflict* at the nearest alternative on a day between its neighbours'.

    Exchange refuses an occurrence on or beyond the day of its neighbour. Without such an
    alternative the date stays skipped.

    Source: https://learn.microsoft.com/graph/api/event-update
    """
    zone = zone_of(time_zone)

    def day(span: TimeSpan) -> int:
        return span.start.astimezone(zone).toordinal()

    before = planned[conflict.number - 1] if conflict.number else None
    after = planned[conflict.number + 1] if conflict.number + 1 < len(planned) else None
    for other in conflict.alternatives:
        is_later = before is None or day(before.booked or before.span) < day(other)
        is_earlier = after is None or day(other) < day(after.span)
        if is_later and is_earlier:
            return replace(conflict, outcome=Outcome.MOVED, moved_to=other)
    return conflict
