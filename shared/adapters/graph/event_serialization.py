"""Serializes a draft into Graph's event: its models, its recurrence, its body."""

import html
import re
from collections.abc import Mapping
from typing import Any, Final

from msgraph.generated.models.attendee import Attendee as AttendeeModel
from msgraph.generated.models.attendee_type import AttendeeType
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.event import Event
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.location import Location
from msgraph.generated.models.online_meeting_provider_type import OnlineMeetingProviderType
from msgraph.generated.models.single_value_legacy_extended_property import (
    SingleValueLegacyExtendedProperty,
)

from shared.adapters.graph.times import to_date_time_zone, to_local_time, zone_name
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.calendar_events import EventDraft
from shared.sessions.model import Attendee
from shared.sessions.recurrence import Frequency, MonthlyBy, Pattern

PROPERTY_ID: Final = "String {66f5a359-4659-4830-9070-00040ec6ac6e} Name mentoringSessionId"
"""The extended property that tags our events with the session's id. Its GUID may never change.

Source: https://learn.microsoft.com/graph/api/resources/singlevaluelegacyextendedproperty
"""

_PROVIDERS: Final[Mapping[OnlineMeetingChoice, OnlineMeetingProviderType | None]] = {
    # Without a provider Graph takes the calendar's default, so booking needs no call to read it.
    OnlineMeetingChoice.AUTO: None,
    OnlineMeetingChoice.TEAMS: OnlineMeetingProviderType.TeamsForBusiness,
    OnlineMeetingChoice.SKYPE: OnlineMeetingProviderType.SkypeForBusiness,
}

_MARKUP: Final = re.compile(r"<(?=[A-Za-z/!?])|&(?=[A-Za-z#])")
_WEEKS: Final = ("first", "second", "third", "fourth", "last")


def to_graph_event(draft: EventDraft) -> Event:
    """Serialize *draft*; the session's id is its ``transactionId`` and the value of our tag."""
    event = Event(
        subject=" ".join(draft.title.split()),
        start=to_date_time_zone(draft.span.start, draft.time_zone),
        end=to_date_time_zone(draft.span.end, draft.time_zone),
        attendees=[_attendee(attendee) for attendee in draft.attendees],
        transaction_id=draft.session_id,
        single_value_extended_properties=[
            SingleValueLegacyExtendedProperty(id=PROPERTY_ID, value=draft.session_id)
        ],
    )
    if draft.pattern:
        event.start = to_local_time(draft.span.start, draft.time_zone)
        event.end = to_local_time(draft.span.end, draft.time_zone)
        # As JSON: the SDK's models of a recurrence would load eight more modules for six values.
        event.additional_data = {"recurrence": to_graph_recurrence(draft.pattern, draft.time_zone)}
    if draft.agenda:
        event.body = ItemBody(content_type=BodyType.Html, content=agenda_html(draft.agenda))
    if draft.location:
        event.location = Location(display_name=draft.location)
    if draft.online_meeting is not OnlineMeetingChoice.NONE:
        event.is_online_meeting = True
        event.online_meeting_provider = _PROVIDERS[draft.online_meeting]
    return event


def to_graph_recurrence(pattern: Pattern, time_zone: str) -> dict[str, Any]:
    """Serialize *pattern* as Graph's ``patternedRecurrence``.

    Source: https://learn.microsoft.com/graph/api/resources/patternedrecurrence
    """
    day = pattern.anchor.strftime("%A").lower()
    payload: dict[str, Any]
    if pattern.frequency is not Frequency.MONTHLY:
        interval = 1 if pattern.frequency is Frequency.WEEKLY else 2
        payload = {"type": "weekly", "interval": interval, "daysOfWeek": [day]}
    elif pattern.monthly_by is MonthlyBy.DAY_OF_MONTH:
        payload = {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": pattern.anchor.day}
    else:
        week = _WEEKS[pattern.week_of_month - 1]
        payload = {"type": "relativeMonthly", "interval": 1, "daysOfWeek": [day], "index": week}
    return {
        "pattern": payload,
        "range": {
            "type": "numbered",
            "startDate": pattern.first_on.isoformat(),
            "numberOfOccurrences": pattern.count,
            "recurrenceTimeZone": zone_name(time_zone),
        },
    }


def agenda_html(agenda: str) -> str:
    """Return plain text as HTML that shows the same lines; markup in it is escaped.

    HTML instead of Graph's content type `text`, because Exchange converts the body to HTML when it
    adds the online meeting's block, and how it then converts line breaks is not documented.
    """
    lines = agenda.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "<div>" + "<br>".join(html.escape(line) for line in lines) + "</div>"


def comment_text(comment: str) -> str:
    """Return plain text that reads the same whether Outlook shows it as text or as HTML.

    Graph does not document which it is. A zero-width space behind ``<`` and ``&``, where HTML would
    begin a tag or a character reference, makes them ordinary characters.

    Source: https://html.spec.whatwg.org/multipage/parsing.html#tag-open-state
    """
    return _MARKUP.sub(lambda found: found[0] + "\u200b", comment)


def _attendee(attendee: Attendee) -> AttendeeModel:
    return AttendeeModel(
        email_address=EmailAddress(address=attendee.address),
        type=AttendeeType.Required if attendee.required else AttendeeType.Optional,
    )
