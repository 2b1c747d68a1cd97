"""Events as Graph writes them."""

import html
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from local.graph.errors import Json
from local.graph.mailbox import Attendee, Details, Event
from local.graph.switches import OriginalZoneNames
from local.graph.times import Moment, instant_text

BODY_PROPERTIES: Final = frozenset({"body", "bodyPreview"})
EVENT_PROPERTIES: Final = frozenset(
    [
        "id",
        "createdDateTime",
        "lastModifiedDateTime",
        "changeKey",
        "categories",
        "transactionId",
        "originalStartTimeZone",
        "originalEndTimeZone",
        "iCalUId",
        "uid",
        "reminderMinutesBeforeStart",
        "isReminderOn",
        "hasAttachments",
        "hideAttendees",
        "subject",
        "bodyPreview",
        "importance",
        "sensitivity",
        "isAllDay",
        "isCancelled",
        "isDraft",
        "isOrganizer",
        "responseRequested",
        "responseStatus",
        "seriesMasterId",
        "showAs",
        "type",
        "webLink",
        "onlineMeetingUrl",
        "isOnlineMeeting",
        "onlineMeetingProvider",
        "onlineMeeting",
        "allowNewTimeProposals",
        "body",
        "start",
        "end",
        "location",
        "locations",
        "recurrence",
        "attendees",
        "organizer",
        "originalStart",
        "cancelledOccurrences",
    ]
)
"""The names allowed in $select."""
EXTENSION_PREFIX: Final = "microsoft.graph.openTypeExtension."
_PREVIEW = 255


@dataclass(frozen=True, slots=True)
class EventView:
    """The caller's options for reading events."""

    immutable: bool = False
    zone: str | None = None
    text: bool = False
    """Bodies as plain text."""
    basic: bool = False
    """Without bodies, as ReadBasic permissions show them."""
    select: Collection[str] = ()
    properties: Collection[str] = ()
    """Extended properties asked for, by id."""
    extensions: bool = False
    extension_name: str | None = None
    exceptions: bool = False
    """Expand ``exceptionOccurrences``."""
    answers_make_exceptions: bool = True
    zone_names: OriginalZoneNames = "own"
    """What ``originalStartTimeZone`` says."""


def event_json(event: Event, look: EventView) -> Json:
    """Write *event* as *look* asks; ``@odata.etag`` and ``id`` are always there."""
    full = _all_properties(event, look)
    if look.basic:
        full = {name: value for name, value in full.items() if name not in BODY_PROPERTIES}
    if look.select:
        wanted = {name.casefold() for name in look.select}
        full = {name: value for name, value in full.items() if name.casefold() in wanted}
        if "cancelledoccurrences" in wanted and event.details.recurrence:
            full["cancelledOccurrences"] = _cancelled(event, look)
    shown = {"@odata.etag": event.etag, "id": event.id(immutable=look.immutable)} | full
    return shown | _expanded(event, look)


def plain_text(document: str) -> str:
    """Return the text of an HTML body."""
    inner = re.sub(r"<head>.*?</head>", "", document, flags=re.DOTALL | re.IGNORECASE)
    broken = re.sub(r"<br\s*/?>\s*|</(?:p|div)>\s*", "\r\n", inner, flags=re.IGNORECASE)
    # Only these characters behind a "<" begin a tag.
    return html.unescape(re.sub(r"<[A-Za-z/!?][^>]*>", "", broken)).strip()


def event_type(event: Event, look: EventView) -> str:
    """Return ``singleInstance``, ``seriesMaster``, ``occurrence`` or ``exception``."""
    if event.details.recurrence:
        return "seriesMaster"
    if event.master is None or event.occurrence_on is None:
        return "singleInstance"
    is_stored = event.occurrence_on in event.master.exceptions
    merely_answered = event.only_answers_differ and not look.answers_make_exceptions
    return "exception" if is_stored and not merely_answered else "occurrence"


def _all_properties(event: Event, look: EventView) -> Json:
    details = event.details
    master = event.master
    text = plain_text(details.body)
    body = text if look.text else details.body
    shown: Json = {
        "createdDateTime": instant_text(event.created_at),
        "lastModifiedDateTime": instant_text(event.modified_at),
        "changeKey": event.change_key,
        "categories": list(event.categories),
        "originalStartTimeZone": _original_zone(event, details.start, look),
        "originalEndTimeZone": _original_zone(event, details.end, look),
        "iCalUId": event.ical_uid,
        "reminderMinutesBeforeStart": event.reminder_minutes,
        "isReminderOn": event.is_reminder_on,
        "hasAttachments": False,
        "hideAttendees": details.hide_attendees,
        "subject": details.subject,
        "bodyPreview": text[:_PREVIEW],
        "importance": details.importance,
        "sensitivity": details.sensitivity,
        "isAllDay": details.is_all_day,
        "isCancelled": event.is_cancelled,
        "isDraft": False,
        "isOrganizer": event.is_organizer,
        "responseRequested": details.response_requested,
        "seriesMasterId": master.id(immutable=look.immutable) if master else None,
        "showAs": event.show_as,
        "type": event_type(event, look),
        "webLink": _web_link(event),
        "onlineMeetingUrl": None,
        "isOnlineMeeting": details.is_online,
        "onlineMeetingProvider": details.online_provider,
        "onlineMeeting": {"joinUrl": details.join_url} if details.join_url else None,
        "allowNewTimeProposals": details.allow_new_time_proposals,
        "responseStatus": {"response": event.response, "time": instant_text(event.responded_at)},
        "body": {"contentType": "text" if look.text else "html", "content": body},
        "start": _time(details, details.start, look),
        "end": _time(details, details.end, look),
        "location": _location(details.locations),
        "locations": details.locations,
        "recurrence": details.recurrence.as_json() if details.recurrence else None,
        "attendees": [_attendee(attendee, look) for attendee in details.attendees],
        "organizer": {
            "emailAddress": {
                "name": details.organizer_name,
                "address": details.organizer_address,
            }
        },
    }
    if event.transaction_id is not None:
        shown["transactionId"] = event.transaction_id
    if master and event.occurrence_on:
        at_first = master.details.start.on(event.occurrence_on)
        shown["originalStart"] = instant_text(at_first.instant)
    return shown


def _time(details: Details, at: Moment, look: EventView) -> Json:
    return at.date_json(look.zone) if details.is_all_day else at.as_json(look.zone)


def _original_zone(event: Event, at: Moment, look: EventView) -> str:
    if look.zone_names == "custom":
        return "tzone://Microsoft/Custom"
    return "UTC" if event.master and look.zone_names == "utc of occurrences" else at.zone


def _web_link(event: Event) -> str:
    item = quote(event.id(immutable=False), safe="")
    return f"https://outlook.office365.com/owa/?itemid={item}&exvsurl=1&path=/calendar/item"


def _location(locations: list[Json]) -> Json:
    if not locations:
        return {"displayName": "", "locationType": "default", "uniqueIdType": "unknown"}
    first = locations[0]
    return first | {"uniqueId": first["displayName"], "uniqueIdType": "private"}


def _attendee(attendee: Attendee, look: EventView) -> Json:
    shown: Json = {
        "type": attendee.kind,
        "status": {
            "response": attendee.response,
            "time": instant_text(attendee.answered_at),
        },
        "emailAddress": {"name": attendee.name, "address": attendee.address},
    }
    if attendee.proposed:
        start, end = attendee.proposed
        shown["proposedNewTime"] = {
            "start": start.as_json(look.zone),
            "end": end.as_json(look.zone),
        }
    return shown


def _expanded(event: Event, look: EventView) -> Json:
    shown: dict[str, Any] = {}
    if look.properties:
        # The name in the id is case-sensitive, the GUID is not.
        found = [
            {"id": wanted, "value": value}
            for wanted in look.properties
            for name, value in event.properties.items()
            if same_property(name, wanted)
        ]
        if found:
            shown["singleValueExtendedProperties"] = found
    if look.extensions:
        shown["extensions"] = [
            extension_json(name, extension)
            for name, extension in event.extensions.items()
            if look.extension_name in {None, name, f"{EXTENSION_PREFIX}{name}"}
        ]
    if look.exceptions and event.details.recurrence:
        inner = EventView(
            look.immutable, look.zone, look.text, look.basic, zone_names=look.zone_names
        )
        shown["exceptionOccurrences"] = [
            event_json(event.exceptions[day], inner) for day in sorted(event.exceptions)
        ]
    return shown


def extension_json(name: str, extension: Mapping[str, Any]) -> Json:
    """Write an open extension."""
    return {
        "@odata.type": "#microsoft.graph.openTypeExtension",
        "id": f"{EXTENSION_PREFIX}{name}",
        **extension,
    }


def same_property(one: str, other: str) -> bool:
    """Whether two property ids are the same: type and GUID without case, the name with it."""
    one_head, _, one_name = one.partition(" Name ")
    other_head, _, other_name = other.partition(" Name ")
    return one_head.casefold() == other_head.casefold() and one_name == other_name


def _cancelled(event: Event, look: EventView) -> list[str]:
    identifier = event.id(immutable=look.immutable)
    return [f"OID.{identifier}.{day.isoformat()}" for day in sorted(event.cancelled_on)]
