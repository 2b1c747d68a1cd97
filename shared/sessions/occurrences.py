"""The sessions of a series, and the occurrences in Outlook that show them."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.concurrency import gather_limited
from shared.errors import CalendarUnavailable, EventGone, EventUnreadable, NotFound, StaleRow
from shared.ids import Mailbox, SessionId
from shared.sessions import reservations
from shared.sessions.calendar_events import CalendarEvent, UnreadableEvent
from shared.sessions.model import Session
from shared.sessions.ports import Calendar, SessionStore
from shared.sessions.series import Occurrence, Series, match_occurrences
from shared.timespan import TimeSpan

_SEARCH_MARGIN: Final = timedelta(days=180)
"""The search range before and after a series' planned dates: the organizer may have moved it in
Outlook. With a year of dates in between, the window is below Graph's limit of two years."""


async def load_sessions(series: Series, *, sessions: SessionStore) -> list[Session]:
    """Return the stored sessions of *series*, by number."""

    async def one(session_id: SessionId) -> Session | None:
        try:
            return await sessions.get(series.organizer, session_id)
        except NotFound:
            return None

    found = await gather_limited(one(session_id) for session_id in series.session_ids.values())
    return [session for session in found if session is not None]


async def list_instances(
    series: Series, *, calendar: Calendar, is_there: bool = False
) -> list[Occurrence]:
    """Return the occurrences of *series* in Outlook; an empty list if the series is gone.

    Each has the id of the master by which it was listed.

    *is_there*: Outlook has just shown the series, so it is not gone if its id is not found. Raises
    CalendarUnavailable then.
    """
    window = TimeSpan(
        series.planned[0].span.start - _SEARCH_MARGIN, series.planned[-1].span.end + _SEARCH_MARGIN
    )
    found: list[Occurrence] = []
    for master_id in series.master_ids:
        try:
            listed = await calendar.instances(series.organizer, master_id, window)
        except EventGone as gone:
            if is_there:
                text = "Outlook does not show the series at the moment."
                raise CalendarUnavailable(text) from gone
            continue
        found += [replace(each, series_master_id=master_id) for each in listed]
    return found


async def search_event(
    session: Session, *, calendar: Calendar, sessions: SessionStore
) -> CalendarEvent | None:
    """Search the organizer's calendar for the event of *session*, without its id.

    A date of a series is searched for in every part of it.
    """
    series = await _series(session.organizer, session, sessions)
    return await calendar.search(session, series.continued_by if series else ())


async def ensure_event_id(
    session: Session, *, calendar: Calendar, sessions: SessionStore
) -> Session:
    """Return *session* with its event's id, which for an occurrence is read after the booking.

    The id is saved in the row. A session without one is returned if Outlook does not show the date.
    """
    if session.event_id is not None or session.series_id is None:
        return session
    series = await sessions.get_series(session.organizer, session.series_id)
    if series is None:
        return session
    # With its siblings: dates at other hours than the pattern's are matched in turn.
    known = await load_sessions(series, sessions=sessions)
    instances = await list_instances(series, calendar=calendar)
    event = match_occurrences(series, known, instances).get(session.occurrence)
    if event is None:
        return session
    # Without the etag: this version's answers are not merged, so a later sync must not skip it.
    learned = replace(session, event_id=event.event_id)
    if isinstance(event, CalendarEvent):
        learned = replace(learned, ical_uid=event.ical_uid)
    try:
        return await reservations.save(sessions, learned)
    except StaleRow:
        return await sessions.get(session.organizer, session.id)


async def find_occurrence(
    session: Session, *, calendar: Calendar, sessions: SessionStore
) -> CalendarEvent | None:
    """Find the occurrence of *session* in its series: a moved series has new occurrence ids.

    None: Outlook does not show the date any more. Raises EventUnreadable.
    """
    series = await _series(session.organizer, session, sessions)
    if series is None:
        return None
    known = await load_sessions(series, sessions=sessions)
    instances = await list_instances(series, calendar=calendar)
    found = match_occurrences(series, known, instances).get(session.occurrence)
    if isinstance(found, UnreadableEvent):
        raise EventUnreadable("The date of the series cannot be read.")
    return found


async def _series(mailbox: Mailbox, session: Session, sessions: SessionStore) -> Series | None:
    return await sessions.get_series(mailbox, session.series_id) if session.series_id else None
