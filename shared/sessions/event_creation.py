"""Creating the event in Outlook, as an online meeting where the calendar offers one.

Booking sends as few requests as possible. It reads a calendar's offered providers (cached for an
hour by the adapter) in three cases only: the caller requested Skype, Outlook refused the event, or
Outlook created it without an online meeting.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.errors import CalendarRefused, SchedulingError
from shared.organizations.model import ActingUser, OnlineMeetingChoice
from shared.sessions.calendar_errors import raise_first_error
from shared.sessions.calendar_events import CalendarEvent, EventDraft
from shared.sessions.occurrences import list_instances
from shared.sessions.online_meeting import (
    OnlineMeeting,
    fallback_provider,
    missing_meeting_reason,
    resolve_skype,
)
from shared.sessions.ports import Calendar
from shared.sessions.series import Outcome, Series, match_occurrences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.timespan import TimeSpan


async def create_event(
    acting: ActingUser, draft: EventDraft, meeting: OnlineMeeting, *, calendar: Calendar
) -> tuple[CalendarEvent, OnlineMeeting]:
    """Create *draft*'s event; return it, and *meeting* with the reason for any other provider.

    Raises the errors of `Calendar.create`.
    """
    if draft.online_meeting is OnlineMeetingChoice.SKYPE:
        ask_for, reason = resolve_skype(await calendar.offered_meetings(acting))
        draft = replace(draft, online_meeting=ask_for)
        meeting = replace(meeting, reason=reason)
    try:
        event = await calendar.create(acting, draft)
    except CalendarRefused as refused:
        event = await _create_otherwise(acting, draft, refused, calendar)
    return event, await _with_reason(acting, meeting, event, calendar)


async def apply_exceptions(
    acting: ActingUser, series: Series, *, calendar: Calendar
) -> dict[int, CalendarEvent]:
    """Cancel the skipped dates in Outlook, and reschedule the moved and the irregular ones.

    Returns the known occurrences by number; an empty dict if the series has no exceptions, as then
    none was read.
    """
    if all(p.outcome is Outcome.BOOKED for p in series.recurring_dates) and not series.irregular:
        return {}
    instances = await list_instances(series, calendar=calendar, is_there=True)
    found = dict(match_occurrences(series, [], instances))
    skipped = [p.number for p in series.planned if p.booked is None and p.number in found]
    if skipped:
        gone = [found.pop(number).event_id for number in skipped]
        raise_first_error(await calendar.cancel_many(acting, gone, ""))
    moved: Mapping[int, TimeSpan] = {
        p.number: p.booked
        for p in series.planned
        if p.booked and p.number in found and found[p.number].span != p.booked
    }
    if moved:
        events = [(found[number].event_id, span) for number, span in moved.items()]
        answers = await calendar.reschedule_many(acting, events, series.time_zone)
        raise_first_error(answers)
        results = zip(moved, answers, strict=True)
        found |= {number: event for number, event in results if isinstance(event, CalendarEvent)}
    return {n: event for n, event in found.items() if isinstance(event, CalendarEvent)}


async def _create_otherwise(
    acting: ActingUser, draft: EventDraft, refused: CalendarRefused, calendar: Calendar
) -> CalendarEvent:
    """Create the event with another provider, or none, if the requested one is not offered.

    Raises *refused* if the provider was not the cause.
    """
    try:
        offered = await calendar.offered_meetings(acting)
    except SchedulingError:
        raise refused from None
    other = fallback_provider(draft.online_meeting, offered)
    if other is None:
        raise refused
    return await calendar.create(acting, replace(draft, online_meeting=other))


async def _with_reason(
    acting: ActingUser, meeting: OnlineMeeting, event: CalendarEvent, calendar: Calendar
) -> OnlineMeeting:
    """Return *meeting* with the reason why its event is no online meeting, if one was wanted."""
    if meeting.wanted is OnlineMeetingChoice.NONE or event.is_online_meeting:
        return meeting
    try:
        offered = await calendar.offered_meetings(acting)
    except SchedulingError:
        return meeting  # the booking stands; the reason stays unknown
    return replace(meeting, reason=missing_meeting_reason(meeting.wanted, offered))
