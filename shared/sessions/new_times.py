"""The new times of a reschedule: the target of each date, and the order that dates keep. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

from shared.availability.model import Buffers
from shared.availability.working_hours import zone_of
from shared.errors import Invalid
from shared.sessions.model import Session, SessionState
from shared.sessions.recurrence import Frequency, follows_pattern, shift_like
from shared.sessions.requests import RescheduleRequest
from shared.sessions.scopes import ScopedSessions
from shared.sessions.series import Series
from shared.timespan import TimeSpan


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
) -> None:
    """Raise Invalid if a session would pass another one's present or new time, with *buffers*.

    Exchange refuses an occurrence that crosses its neighbour (`ErrorOccurrenceCrossingBoundary`).

    Source: https://learn.microsoft.com/graph/api/event-update
    """
    if scoped.series is None:
        return  # for a single date Outlook refuses the move itself
    first = moving[0].occurrence
    alive = [s for s in scoped.known if s.state is not SessionState.CANCELLED]
    before = [s.span for s in alive if s.occurrence < first]
    timeline = [*before[-1:], *(spans[s.occurrence] for s in moving)]
    passes_new = any(one.end > other.start for one, other in pairwise(timeline))
    # Dates are moved one after the other: a date may not meet the old time of its neighbour either.
    gap = max(buffers.before, buffers.after)
    passes_old = any(
        spans[s.occurrence].end + gap > t.span.start or s.span.end + gap > spans[t.occurrence].start
        for s, t in pairwise(moving)
    )
    if passes_new or passes_old:
        raise Invalid(
            "body.start",
            "Sessions of a series are moved by less than the time to the next one.",
        )


def preserves_pattern(
    scoped: ScopedSessions, series: Series, moving: Sequence[Session], time_zone: str
) -> bool:
    """Return whether moving the series itself leads to exactly the new times of *moving*.

    Three conditions: *moving* has every date of the series, because a new pattern removes the
    exceptions and so restores cancelled dates; the new dates follow the same pattern, which monthly
    dates do only if their days stay the same; and the clocks in *time_zone* do not change during
    one of them.

    Source: https://learn.microsoft.com/graph/api/event-update
    """
    is_whole = len(moving) == len(series.recurring_dates) and scoped.is_whole_series(moving)
    by_number = {p.number: p for p in series.planned}
    zone = zone_of(moving[0].time_zone)

    def days(session: Session) -> timedelta:
        to = session.pending_span or session.span
        since = by_number[session.occurrence].span.start.astimezone(zone).date()
        return to.start.astimezone(zone).date() - since

    keeps_days = series.frequency is not Frequency.MONTHLY or not any(days(s) for s in moving)
    to_zone = zone_of(time_zone)
    spans = [s.pending_span or s.span for s in moving]
    wall = spans[0].start.astimezone(to_zone).time()
    return is_whole and keeps_days and all(follows_pattern(s, wall, to_zone) for s in spans)
