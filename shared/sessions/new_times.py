"""The new times of a reschedule: the target of each date, and the order that dates keep. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

from shared.availability.model import Buffers
from shared.availability.working_hours import zone_of
from shared.errors import Invalid
from shared.sessions.model import Session, SessionState
from shared.sessions.recurrence import Frequency, follows_pattern, shift_like
from shared.sessions.requests import RescheduleRequest
from shared.sessions.scopes import ScopedSessions
from shared.timespan import TimeSpan

_NO_GAP: Final = timedelta()


def target_spans(
    scoped: ScopedSessions, moving: Sequence[Session], request: RescheduleRequest
) -> dict[int, TimeSpan]:
    """Return the target of each session by number: as many days and the same hour.

    The shift starts from the date in the series' pattern, not from where a date was moved before.
    """
    # The named session goes to the requested instant itself, also in an hour that occurs twice.
    named = {scoped.named.occurrence: request.span}
    if scoped.series is None:
        return named
    zone = zone_of(request.time_zone)
    by_pattern = {p.number: p.span for p in scoped.series.planned}
    moved_from = by_pattern[scoped.named.occurrence].start
    spans = {
        s.occurrence: shift_like(by_pattern[s.occurrence], moved_from, request.span, zone)
        for s in moving
    }
    return spans | named


def require_order(
    scoped: ScopedSessions,
    moving: Sequence[Session],
    spans: Mapping[int, TimeSpan],
    buffers: Buffers,
    *,
    by_day: bool,
) -> None:
    """Raise Invalid if a session would pass another one's present or new time, with *buffers*.

    *by_day*: the dates are moved each by itself, and none may come to the day of another one. For
    Exchange refuses an occurrence on or beyond its neighbour's day
    (`ErrorOccurrenceCrossingBoundary`).

    Source: https://learn.microsoft.com/graph/api/event-update
    """
    if scoped.series is None:
        return  # for a single date Outlook refuses the move itself
    zone = zone_of(scoped.series.time_zone)

    def passes(one: TimeSpan, other: TimeSpan, gap: timedelta = _NO_GAP) -> bool:
        days = (one.start.astimezone(zone).date(), other.start.astimezone(zone).date())
        return one.end + gap > other.start or (by_day and days[0] >= days[1])

    first = moving[0].occurrence
    alive = [s for s in scoped.known if s.state is not SessionState.CANCELLED]
    before = [s.span for s in alive if s.occurrence < first]
    timeline = [*before[-1:], *(spans[s.occurrence] for s in moving)]
    passes_new = any(passes(one, other) for one, other in pairwise(timeline))
    # Dates are moved one after the other: a date may not meet the old time of its neighbour either.
    gap = max(buffers.before, buffers.after)
    passes_old = any(
        passes(spans[s.occurrence], t.span, gap) or passes(s.span, spans[t.occurrence], gap)
        for s, t in pairwise(moving)
    )
    if passes_new or passes_old:
        raise Invalid(
            "body.start",
            "Sessions of a series are moved by less than the time to the next one, and to no day "
            "of another one.",
        )


def preserves_pattern(
    scoped: ScopedSessions,
    moving: Sequence[Session],
    spans: Mapping[int, TimeSpan],
    time_zone: str,
) -> bool:
    """Return whether moving the series itself leads to exactly the new *spans* of *moving*.

    Three conditions: *moving* has every date of the series, because a new pattern removes the
    exceptions and so restores cancelled dates; the new dates follow the same pattern, which monthly
    dates do only if their days stay the same; and the clocks in *time_zone* do not change during
    one of them.

    Source: https://learn.microsoft.com/graph/api/event-update
    """
    series = scoped.series
    if series is None:
        return False
    is_whole = len(moving) == len(series.recurring_dates) and scoped.is_whole_series(moving)
    by_number = {p.number: p for p in series.planned}
    zone = zone_of(moving[0].time_zone)

    def days(session: Session) -> timedelta:
        since = by_number[session.occurrence].span.start.astimezone(zone).date()
        return spans[session.occurrence].start.astimezone(zone).date() - since

    keeps_days = series.frequency is not Frequency.MONTHLY or not any(days(s) for s in moving)
    to_zone = zone_of(time_zone)
    to = [spans[s.occurrence] for s in moving]
    wall = to[0].start.astimezone(to_zone).time()
    return is_whole and keeps_days and all(follows_pattern(span, wall, to_zone) for span in to)
