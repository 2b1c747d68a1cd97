"""The new times of a reschedule: where each date goes, and in which order dates stay. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

from shared.availability.working_hours import zone_of
from shared.errors import Invalid
from shared.sessions.model import Session, SessionState
from shared.sessions.recurrence import Frequency, shift_like
from shared.sessions.requests import RescheduleRequest
from shared.sessions.scopes import ScopedSessions
from shared.sessions.series import Series
from shared.timespan import TimeSpan


def target_spans(
    scoped: ScopedSessions, meant: Sequence[Session], request: RescheduleRequest
) -> dict[int, TimeSpan]:
    """Return where each goes: from its date by the pattern by as many days as the named one."""
    # The named one goes to the very instant that was said, also in an hour that comes twice.
    named = {scoped.named.occurrence: request.span}
    if scoped.series is None:
        return named
    zone = zone_of(request.time_zone)
    by_pattern = {p.number: p.span for p in scoped.series.planned}
    moved_from = by_pattern[scoped.named.occurrence].start
    spans = {
        s.occurrence: shift_like(by_pattern[s.occurrence], moved_from, request.span, zone)
        for s in meant
    }
    return spans | named


def require_order(
    scoped: ScopedSessions, meant: Sequence[Session], spans: Mapping[int, TimeSpan]
) -> None:
    """Raise Invalid if one would pass another one, as it is now or as it will be."""
    if scoped.series is None:
        return  # of one date Outlook says so itself
    first = meant[0].occurrence
    alive = [s for s in scoped.known if s.state is not SessionState.CANCELLED]
    before = [s.span for s in alive if s.occurrence < first]
    row = [*before[-1:], *(spans[s.occurrence] for s in meant)]
    passes_new = any(one.end > other.start for one, other in pairwise(row))
    # One after the other is moved: on the way none may meet the old time of the next one.
    passes_old = any(
        spans[s.occurrence].end > t.span.start or s.span.end > spans[t.occurrence].start
        for s, t in pairwise(meant)
    )
    if passes_new or passes_old:
        raise Invalid(
            "body.start",
            "Sessions of a series are moved by less than the time to the next one.",
        )


def preserves_pattern(scoped: ScopedSessions, series: Series, moving: Sequence[Session]) -> bool:
    """Tell whether moving the series itself does just what is wanted.

    It does if every date there ever was is meant, for dates that were taken out would come back;
    and if the new dates make the same pattern, as those of a month do only on the same days.
    """
    is_whole = len(moving) == len(series.recurring_dates) and scoped.is_whole_series(moving)
    by_number = {p.number: p for p in series.planned}
    zone = zone_of(moving[0].time_zone)

    def days(session: Session) -> timedelta:
        to = session.pending_span or session.span
        since = by_number[session.occurrence].span.start.astimezone(zone).date()
        return to.start.astimezone(zone).date() - since

    return is_whole and (
        series.frequency is not Frequency.MONTHLY or not any(days(s) for s in moving)
    )
