"""Finds the series that goes on where another one ends: Outlook splits one by making a new one.

The new series says nothing of the old one, unless Outlook copied the app's property. Without it the
new one is of the same organizer, with at least one participant, not older than the loss of the
dates, and has dates near them. Of three marks it needs two: the same days, the same attendees, and
that it was made when the old one was ended. A series that was split twice goes on in several.

No document describes what Outlook does. (To settle it: split a tagged series in Outlook on the web,
and read both.)
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from shared.adapters.graph.client import GraphSession
from shared.adapters.graph.event_parsing import parse_event, parse_listed
from shared.adapters.graph.event_requests import (
    SELECT,
    calendar_view_request,
    read_event_request,
)
from shared.adapters.graph.event_search import ANY_DAY, list_tagged
from shared.adapters.graph.instances import list_instances
from shared.adapters.graph.listings import list_items
from shared.adapters.graph.times import read_instant
from shared.availability.working_hours import zone_of
from shared.errors import CalendarUnavailable, EventGone
from shared.ids import EventId, SessionId
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.model import Session
from shared.sessions.series import Continuation, Series
from shared.timespan import TimeSpan

_SAME_ACT: Final = timedelta(minutes=2)
"""Between the end of the old series and the beginning of the new one, which are one act."""
_MARKS_NEEDED: Final = 2
_DAY: Final = timedelta(days=1)
_PAUSE: Final = timedelta(days=35)
"""How far the dates of a new series may be put off that does not have the app's property."""
_VIEW_SELECT: Final = [*SELECT, "isOrganizer", "createdDateTime"]


@dataclass(slots=True)
class _Candidate:
    """A series of the organizer that has dates near the missing ones."""

    created_at: datetime
    people: frozenset[str]
    """The addresses of its attendees; of a participant the one that the session has."""
    spans: list[TimeSpan] = field(default_factory=list)
    days: set[date] = field(default_factory=set)


async def find_continuations(
    graph: GraphSession, series: Series, missing: Sequence[Session]
) -> list[Continuation]:
    """Return the series that may go on with the *missing* dates of *series*."""
    near = _near(series, missing)
    whole = TimeSpan(near.start, max(session.span.end for session in missing) + ANY_DAY)
    tagged = [event.event_id async for event in list_tagged(graph, SessionId(series.id))]
    new = [each for each in dict.fromkeys(tagged) if each not in series.master_ids]
    spans = {each: await _spans(graph, each, whole) for each in new}
    if by_property := [_continuation(each, spans[each]) for each in new if spans[each]]:
        return by_property
    candidates = await _list_candidates(graph, series, missing, near)
    if not candidates:
        return []
    ended = await _ended_at(graph, series)
    return [
        _continuation(master_id, each.spans)
        for master_id, each in candidates.items()
        if _goes_on(each, missing, ended)
    ]


def _continuation(master_id: EventId, spans: Sequence[TimeSpan]) -> Continuation:
    begins, ends = min(span.start for span in spans), max(span.end for span in spans)
    return Continuation(master_id, TimeSpan(begins, ends))


def _goes_on(candidate: _Candidate, missing: Sequence[Session], ended: Sequence[datetime]) -> bool:
    """Return whether *candidate* has two of the three marks."""
    has_days = candidate.days <= {_day(session, session) for session in missing}
    has_people = candidate.people in {_invited(session) for session in missing}
    is_same_act = any(abs(candidate.created_at - at) <= _SAME_ACT for at in ended)
    return has_days + has_people + is_same_act >= _MARKS_NEEDED


def _day(dated: CalendarEvent | Session, session: Session) -> date:
    if dated.dates is not None:
        return dated.dates.first_on
    return dated.span.start.astimezone(zone_of(session.time_zone)).date()


def _near(series: Series, missing: Sequence[Session]) -> TimeSpan:
    """Return the time in which the new series begins: around the first date, or after a pause."""
    first = min((session.span for session in missing), key=lambda span: span.start)
    starts = sorted(planned.span.start for planned in series.planned)
    gap = max(min((b - a for a, b in pairwise(starts)), default=_DAY), _DAY)
    # A day more shows a date of the new series a gap before, at whatever hour.
    return first.widened(gap + _DAY, max(gap, _PAUSE))


async def _spans(graph: GraphSession, master_id: EventId, window: TimeSpan) -> list[TimeSpan]:
    """Return the times of the dates that can be read; none of a series that is gone."""
    try:
        found = await list_instances(graph, master_id, window)
    except EventGone:
        return []
    return [each.span for each in found if isinstance(each, CalendarEvent)]


async def _list_candidates(
    graph: GraphSession, series: Series, missing: Sequence[Session], window: TimeSpan
) -> dict[EventId, _Candidate]:
    """Return the series of the organizer with dates in *window* that may be the new one, by id."""
    since = max(s.event_modified_at or s.created_at for s in missing) - _SAME_ACT
    found: dict[EventId, _Candidate] = {}
    async for payload in list_items(graph, calendar_view_request(graph, window, _VIEW_SELECT)):
        event = parse_listed(payload)
        if not isinstance(event, CalendarEvent) or not _is_own_series(payload, event, series):
            continue
        created_at = _created_at(payload)
        people = _people(event, missing)
        if created_at is None or created_at < since or not _has_participant(people, missing):
            continue
        master_id = EventId(event.series_master_id or "")
        candidate = found.setdefault(master_id, _Candidate(created_at, people))
        candidate.spans.append(event.span)
        candidate.days.add(_day(event, missing[0]))
    return found


def _is_own_series(payload: Mapping[str, Any], event: CalendarEvent, series: Series) -> bool:
    is_new = event.series_master_id is not None and event.series_master_id not in series.master_ids
    return is_new and not event.is_cancelled and payload.get("isOrganizer") is True


def _created_at(payload: Mapping[str, Any]) -> datetime | None:
    with suppress(CalendarUnavailable):
        return read_instant(payload.get("createdDateTime"))
    return None


def _people(event: CalendarEvent, missing: Sequence[Session]) -> frozenset[str]:
    names = {
        name: a.address for s in missing for a in s.attendees for name in (a.address, *a.known_as)
    }
    return frozenset(names.get(row.address, row.address) for row in event.attendees)


def _has_participant(people: frozenset[str], missing: Sequence[Session]) -> bool:
    return any(a.address in people for s in missing for a in s.attendees if a.object_id)


def _invited(session: Session) -> frozenset[str]:
    return frozenset(a.address for a in session.attendees if a.invited)


async def _ended_at(graph: GraphSession, series: Series) -> list[datetime]:
    """Return when each master of *series* was changed last."""
    found = []
    for master_id in series.master_ids:
        with suppress(EventGone):
            answer = await graph.call(read_event_request(graph, master_id), repeatable=True)
            found.append(parse_event(answer.json()).modified_at)
    return found
