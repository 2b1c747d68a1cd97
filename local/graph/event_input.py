"""Reads an event from a request body, with Graph's leniency and with its strictness."""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any, Final

from local.graph.errors import GraphError, Json, bad_request, invalid_property
from local.graph.mailbox import Attendee, Details, Event
from local.graph.series import parse_recurrence
from local.graph.times import Moment

MOST_ATTENDEES: Final = 500
_LONGEST_SUBJECT: Final = 255
_LONGEST: Final = timedelta(days=5 * 366)
_SHOW_AS: Final = ("free", "tentative", "busy", "oof", "workingElsewhere", "unknown")
_SENSITIVITIES: Final = ("normal", "personal", "private", "confidential")
_PROVIDERS: Final = ("unknown", "skypeForBusiness", "skypeForConsumer", "teamsForBusiness")

READ_ONLY: Final = frozenset(
    [
        "id",
        "iCalUId",
        "changeKey",
        "createdDateTime",
        "lastModifiedDateTime",
        "organizer",
        "isOrganizer",
        "isCancelled",
        "isDraft",
        "responseStatus",
        "type",
        "seriesMasterId",
        "webLink",
        "onlineMeeting",
        "originalStart",
        "originalStartTimeZone",
        "originalEndTimeZone",
        "bodyPreview",
        "hasAttachments",
        "onlineMeetingUrl",
        "cancelledOccurrences",
        "exceptionOccurrences",
        "instances",
        "calendar",
        "attachments",
        "multiValueExtendedProperties",
        "uid",
    ]
)
"""Ignored in bodies."""
WRITABLE: Final = frozenset(
    [
        "subject",
        "body",
        "start",
        "end",
        "attendees",
        "location",
        "locations",
        "isOnlineMeeting",
        "onlineMeetingProvider",
        "transactionId",
        "allowNewTimeProposals",
        "responseRequested",
        "hideAttendees",
        "sensitivity",
        "importance",
        "showAs",
        "categories",
        "reminderMinutesBeforeStart",
        "isReminderOn",
        "isAllDay",
        "recurrence",
        "singleValueExtendedProperties",
        "extensions",
    ]
)
SENT_TO_ATTENDEES: Final = frozenset(
    [
        "subject",
        "body",
        "start",
        "end",
        "location",
        "locations",
        "isOnlineMeeting",
        "onlineMeetingProvider",
        "isAllDay",
        "recurrence",
        "sensitivity",
        "importance",
        "hideAttendees",
        "allowNewTimeProposals",
        "responseRequested",
    ]
)
"""A change of these sends an update to every attendee."""


def fold_keys(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the body with lower-camel-case keys: older clients send ``Start``, ``DateTime``."""
    if isinstance(value, dict):
        return {f"{key[:1].lower()}{key[1:]}": fold_keys(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [fold_keys(inner) for inner in value]
    return value


def check_names(body: Mapping[str, object]) -> None:
    """Refuse names that no event has. GraphError 400, as Graph's own parser does."""
    for name in body:
        if name not in WRITABLE | READ_ONLY and "@odata" not in name:
            raise bad_request(
                f"The property '{name}' does not exist on type 'microsoft.graph.event'.",
                code="RequestBodyRead",
            )


def read_details(details: Details, body: Json) -> set[str]:
    """Apply *body* to *details*; return the names of the properties whose value changed.

    Raises:
        GraphError: 400 for values that an event cannot have.
    """
    before = details.copy()
    for name, read in _READERS.items():
        # For a flag or an enumeration, null means "unchanged".
        if name in body and (body[name] is not None or not isinstance(read, _Flag | _Choice)):
            read(details, body[name])
    if body.get("recurrence") is not None:
        details.recurrence = parse_recurrence(
            body["recurrence"], details.start.wall.date(), details.start.zone
        )
    elif "recurrence" in body:
        details.recurrence = None
    elif details.recurrence and "start" in body:
        details.recurrence = details.recurrence.starting_on(details.start.wall.date())
    _check(details)
    fields = {name: field for name, field in _FIELDS.items() if name in body}
    return {name for name, field in fields.items() if _differ(before, details, field)}


def read_personal(event: Event, body: Json) -> set[str]:
    """Apply the personal properties of this copy's owner; return the names that *body* has."""
    if "showAs" in body:
        event.show_as = _one_of(_SHOW_AS, body["showAs"], "showAs")
    if "categories" in body:
        event.categories = [str(name) for name in body["categories"] or []]
    if "reminderMinutesBeforeStart" in body:
        event.reminder_minutes = _integer(body["reminderMinutesBeforeStart"], "reminder")
    if "isReminderOn" in body:
        event.is_reminder_on = _boolean(body["isReminderOn"], "isReminderOn")
    for extended in body.get("singleValueExtendedProperties") or []:
        name, value = extended.get("id"), extended.get("value")
        if not isinstance(name, str) or not _PROPERTY_ID.fullmatch(name):
            raise bad_request("PropertyId values may only be in one of the following formats…")
        event.properties[name] = str(value)
    for extension in body.get("extensions") or []:
        add_extension(event, extension)
    personal = {
        "showAs",
        "categories",
        "reminderMinutesBeforeStart",
        "isReminderOn",
        "singleValueExtendedProperties",
        "extensions",
    }
    return personal & body.keys()


def add_extension(event: Event, extension: Json) -> str:
    """Keep an open extension; return its name. GraphError 400 without a name."""
    name = extension.get("extensionName")
    if not isinstance(name, str) or not name:
        raise bad_request("The extensionName of an open extension is required.")
    event.extensions[name] = {
        key: value for key, value in extension.items() if not key.startswith("@odata")
    }
    return name


def read_proposal(value: object) -> tuple[Moment, Moment]:
    """Read a ``timeSlot``. GraphError 400 if it is none."""
    if not isinstance(value, dict):
        raise invalid_property("proposedNewTime")
    start = Moment.parse(value.get("start"), "proposedNewTime")
    end = Moment.parse(value.get("end"), "proposedNewTime")
    if end.instant < start.instant:
        raise invalid_property("proposedNewTime")
    return start, end


def read_recipients(value: object, field: str) -> list[tuple[str, str]]:
    """Read ``[{emailAddress: {address, name}}]`` as (address, name). GraphError 400 otherwise."""
    found = []
    for recipient in value if isinstance(value, list) else [None]:
        mail = recipient.get("emailAddress") if isinstance(recipient, dict) else None
        if not isinstance(mail, dict) or "@" not in str(mail.get("address")):
            raise invalid_property(field)
        found.append((str(mail["address"]), str(mail.get("name") or mail["address"])))
    return found


def cut_subject(subject: str) -> str:
    """Return a subject as Exchange keeps it: at most 255 UTF-16 units, a longer one ends in "...".

    Source: https://learn.microsoft.com/exchange/client-developer/web-service-reference/subject
    """
    units = subject.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * _LONGEST_SUBJECT:
        return subject
    return units[: 2 * (_LONGEST_SUBJECT - 3)].decode("utf-16-le", "replace") + "..."


def exchange_html(content: str, *, is_text: bool) -> str:
    """Return a body as Exchange keeps it: always a whole document."""
    inner = re.search(r"<body[^>]*>(.*)</body>", content, re.DOTALL | re.IGNORECASE)
    if is_text:
        lines = html.escape(content, quote=False).replace("\n", "<br>\r\n")
        shown = f'<div class="PlainText">{lines}</div>' if content else ""
    else:
        shown = inner[1].strip() if inner else content
    return (
        '<html>\r\n<head>\r\n<meta http-equiv="Content-Type" content="text/html; '
        f'charset=utf-8">\r\n</head>\r\n<body>\r\n{shown}\r\n</body>\r\n</html>\r\n'
    )


_PROPERTY_ID = re.compile(
    r"[A-Za-z]+ (\{[0-9a-fA-F-]{36}\} (Name .+|Id 0x[0-9A-Fa-f]+)|0x[0-9A-Fa-f]+)"
)


@dataclass(frozen=True, slots=True)
class _Flag:
    field: str
    name: str

    def __call__(self, details: Details, value: object) -> None:
        setattr(details, self.field, _boolean(value, self.name))


@dataclass(frozen=True, slots=True)
class _Choice:
    field: str
    name: str
    choices: tuple[str, ...]

    def __call__(self, details: Details, value: object) -> None:
        setattr(details, self.field, _one_of(self.choices, value, self.name))


def _read_subject(details: Details, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise invalid_property("subject")
    details.subject = cut_subject(value or "")


def _read_body(details: Details, value: object) -> None:
    if value is not None and not isinstance(value, dict):
        raise invalid_property("body")
    body = value or {}
    content = body.get("content") or ""
    kind = _one_of(("text", "html"), body.get("contentType") or "text", "body")
    if not isinstance(content, str):
        raise invalid_property("body")
    details.body = exchange_html(content, is_text=kind == "text")


def _read_start(details: Details, value: object) -> None:
    details.start = Moment.parse(value, "start")


def _read_end(details: Details, value: object) -> None:
    details.end = Moment.parse(value, "end")


def _read_location(details: Details, value: object) -> None:
    details.locations = [_location(value)] if value else []


def _read_locations(details: Details, value: object) -> None:
    if not isinstance(value, list):
        raise invalid_property("locations")
    details.locations = [_location(location) for location in value]


def _location(value: object) -> Json:
    if not isinstance(value, dict) or not isinstance(value.get("displayName") or "", str):
        raise invalid_property("location")
    name = value.get("displayName") or ""
    return {**value, "displayName": name, "locationType": value.get("locationType") or "default"}


def _read_attendees(details: Details, value: object) -> None:
    recipients = read_recipients(value or [], "attendees")
    if len(recipients) > MOST_ATTENDEES:
        raise GraphError(
            400, "ErrorTooManyAttendees", f"An event has at most {MOST_ATTENDEES} attendees."
        )
    given = value if isinstance(value, list) else []
    attendees = []
    for (address, name), entry in zip(recipients, given, strict=True):
        kind = _one_of(
            ("required", "optional", "resource"), entry.get("type") or "required", "attendees"
        )
        known = details.attendee(address)
        if known:
            known.kind = kind
        attendees.append(known or Attendee(address, name, kind))
    details.attendees = attendees


_READERS: Final[Mapping[str, Callable[[Details, object], None]]] = {
    "subject": _read_subject,
    "body": _read_body,
    "start": _read_start,
    "end": _read_end,
    "isAllDay": _Flag("is_all_day", "isAllDay"),
    "location": _read_location,
    "locations": _read_locations,
    "attendees": _read_attendees,
    "allowNewTimeProposals": _Flag("allow_new_time_proposals", "allowNewTimeProposals"),
    "responseRequested": _Flag("response_requested", "responseRequested"),
    "hideAttendees": _Flag("hide_attendees", "hideAttendees"),
    "importance": _Choice("importance", "importance", ("low", "normal", "high")),
    "sensitivity": _Choice("sensitivity", "sensitivity", _SENSITIVITIES),
    "isOnlineMeeting": _Flag("is_online", "isOnlineMeeting"),
    "onlineMeetingProvider": _Choice("online_provider", "onlineMeetingProvider", _PROVIDERS),
}

_FIELDS: Final = {
    "subject": "subject",
    "body": "body",
    "start": "start",
    "end": "end",
    "isAllDay": "is_all_day",
    "location": "locations",
    "locations": "locations",
    "attendees": "attendees",
    "allowNewTimeProposals": "allow_new_time_proposals",
    "responseRequested": "response_requested",
    "hideAttendees": "hide_attendees",
    "importance": "importance",
    "sensitivity": "sensitivity",
    "isOnlineMeeting": "is_online",
    "onlineMeetingProvider": "online_provider",
    "recurrence": "recurrence",
}


def _differ(before: Details, after: Details, field: str) -> bool:
    if field in {"start", "end"}:
        old, new = getattr(before, field), getattr(after, field)
        return bool(old.instant != new.instant)
    return bool(getattr(before, field) != getattr(after, field))


def _check(details: Details) -> None:
    # An event of zero minutes is one: https://github.com/microsoftgraph/microsoft-graph-docs/issues/4497
    if details.end.instant < details.start.instant:
        raise invalid_property("end")
    if details.end.instant - details.start.instant > _LONGEST:
        raise GraphError(
            400, "ErrorCalendarDurationIsTooLong", "The event lasts longer than five years."
        )
    midnight = time()
    if details.is_all_day and (
        details.start.wall.time() != midnight
        or details.end.wall.time() != midnight
        or details.start.zone != details.end.zone
    ):
        raise invalid_property("isAllDay")


def _one_of(choices: tuple[str, ...], value: object, field: str) -> str:
    for choice in choices:
        if isinstance(value, str) and choice.casefold() == value.casefold():
            return choice
    raise invalid_property(field)


def _boolean(value: object, field: str) -> bool:
    # Microsoft's own samples send "true".
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.casefold() in {"true", "false"}:
        return value.casefold() == "true"
    raise invalid_property(field)


def _integer(value: object, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise invalid_property(field)
