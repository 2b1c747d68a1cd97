"""OData options of event lists: ``$select``, ``$expand``, ``$filter``, ``$orderby``, paging."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from local.graph.errors import GraphError, bad_request
from local.graph.mailbox import Event
from local.graph.rendering import (
    EVENT_PROPERTIES,
    EXTENSION_PREFIX,
    EventView,
    event_type,
    same_property,
)
from local.graph.times import parse_instant

Predicate = Callable[[Event], bool]

_KNOWN: Final = {name.casefold() for name in EVENT_PROPERTIES}
_EXPANDABLE: Final = {"singlevalueextendedproperties", "extensions", "exceptionoccurrences"}
_TAG: Final = re.compile(
    r"singleValueExtendedProperties/any\(\s*(\w+)\s*:\s*\1/id\s+eq\s+'((?:[^']|'')*)'"
    r"\s+and\s+\1/value\s+eq\s+'((?:[^']|'')*)'\s*\)",
    re.IGNORECASE,
)
_COMPARISON: Final = re.compile(
    r"([\w/]+)\s+(eq|ne|gt|ge|lt|le)\s+('(?:[^']|'')*'|true|false|null|-?\d+)", re.IGNORECASE
)
_MOST_AT_ONCE: Final = 1000
_USUAL_PAGE: Final = 10


def select_names(query: Mapping[str, str]) -> list[str]:
    """Return the names of ``$select``. GraphError 400 for one that no event has."""
    names = [name.strip() for name in query.get("$select", "").split(",") if name.strip()]
    for name in names:
        if name.casefold() not in _KNOWN:
            raise GraphError(
                400,
                "RequestBroker--ParseUri",
                f"Could not find a property named '{name}' on type 'Microsoft.OutlookServices."
                "Event'.",
            )
    return names


@dataclass(frozen=True, slots=True)
class Expansion:
    """The parts that ``$expand`` requests."""

    properties: Collection[str] = ()
    extensions: bool = False
    extension_name: str | None = None
    exceptions: bool = False

    @property
    def wants_more_than_basic(self) -> bool:
        """Whether ReadBasic is too little."""
        return bool(self.properties) or self.extensions


def expansion(query: Mapping[str, str]) -> Expansion:
    """Read ``$expand``. GraphError 400 for what is not expandable, or not filtered by id."""
    text = query.get("$expand", "").strip()
    if not text:
        return Expansion()
    names = {name.casefold() for name in re.findall(r"(?:^|,)\s*(\w+)", _outside_brackets(text))}
    if names - _EXPANDABLE:
        raise bad_request(f"Could not expand '{text}'.", "RequestBroker--ParseUri")
    wanted = re.findall(r"id\s+eq\s+'((?:[^']|'')*)'", text)
    ids = [one.replace("''", "'") for one in wanted]
    tags = [one for one in ids if "{" in one or " 0x" in one]
    if "singlevalueextendedproperties" in names and not tags:
        raise bad_request("Expanding extended properties needs a $filter on their id.")
    others = [one.removeprefix(EXTENSION_PREFIX) for one in ids if one not in tags]
    return Expansion(
        properties=tags,
        extensions="extensions" in names,
        extension_name=others[0] if others else None,
        exceptions="exceptionoccurrences" in names,
    )


def predicate(query: Mapping[str, str]) -> Predicate:
    """Read ``$filter``: comparisons and one kind of Any, joined by ``and``.

    Raises:
        GraphError: 400 for anything else, as for properties that cannot be filtered on.
    """
    text = query.get("$filter", "").strip()
    if not text:
        return lambda _: True
    tests: list[Predicate] = []

    def take_tag(match: re.Match[str]) -> str:
        tests.append(_tag_test(match[2].replace("''", "'"), match[3].replace("''", "'")))
        return "true"

    rest = _TAG.sub(take_tag, text)
    for part in re.split(r"\s+and\s+(?=(?:[^']*'[^']*')*[^']*$)", rest, flags=re.IGNORECASE):
        if part.strip(" ()") == "true" and tests:
            continue
        match = _COMPARISON.fullmatch(part.strip(" ()"))
        if not match:
            raise _invalid_filter(text)
        tests.append(_comparison(match[1], match[2].lower(), match[3], text))
    return lambda event: all(test(event) for test in tests)


def ordered(events: list[Event], query: Mapping[str, str]) -> list[Event]:
    """Apply ``$orderby``: start/dateTime, end/dateTime, subject, createdDateTime and others."""
    order = query.get("$orderby", "").strip()
    if not order:
        return events
    name, _, direction = order.split(",")[0].strip().partition(" ")
    keys: Mapping[str, Callable[[Event], datetime | str]] = {
        "start/datetime": lambda event: event.start_at,
        "end/datetime": lambda event: event.end_at,
        "subject": lambda event: event.details.subject.casefold(),
        "createddatetime": lambda event: event.created_at,
        "lastmodifieddatetime": lambda event: event.modified_at,
    }
    if name.casefold() not in keys:
        raise bad_request(f"Cannot order by '{name}'.", "ErrorInvalidUrlQuery")
    key = keys[name.casefold()]
    return sorted(events, key=lambda e: str(key(e)), reverse=direction.strip().lower() == "desc")


def page_bounds(query: Mapping[str, str], preferred: int | None) -> tuple[int, int]:
    """Return (skip, size) of the requested page. GraphError 400 for impossible numbers."""
    try:
        skip = int(query.get("$skip") or 0)
        size = int(query.get("$top") or preferred or _USUAL_PAGE)
    except ValueError:
        raise bad_request("Invalid value for '$top' or '$skip'.") from None
    if not 1 <= size <= _MOST_AT_ONCE or skip < 0:
        raise bad_request(f"'$top' must be from 1 to {_MOST_AT_ONCE}.", "ErrorInvalidUrlQuery")
    return skip, size


def _outside_brackets(text: str) -> str:
    depth, kept = 0, []
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        kept.append(letter if depth == 0 else " ")
    return "".join(kept)


def _tag_test(name: str, value: str) -> Predicate:
    # The name compares with case, the value without.
    return lambda event: any(
        same_property(known, name) and held.casefold() == value.casefold()
        for known, held in event.properties.items()
    )


_FILTERABLE: Final[Mapping[str, Callable[[Event], object]]] = {
    "icaluid": lambda event: event.ical_uid,
    "subject": lambda event: event.details.subject,
    "start/datetime": lambda event: event.start_at,
    "end/datetime": lambda event: event.end_at,
    "iscancelled": lambda event: event.is_cancelled,
    "isorganizer": lambda event: event.is_organizer,
    "isallday": lambda event: event.details.is_all_day,
    "isonlinemeeting": lambda event: event.details.is_online,
    "showas": lambda event: event.show_as,
    "sensitivity": lambda event: event.details.sensitivity,
    "type": lambda event: event_type(event, EventView()),
    "createddatetime": lambda event: event.created_at,
    "lastmodifieddatetime": lambda event: event.modified_at,
}
_TESTS: Final[Mapping[str, Callable[[int], bool]]] = {
    "eq": lambda order: order == 0,
    "ne": lambda order: order != 0,
    "gt": lambda order: order > 0,
    "ge": lambda order: order >= 0,
    "lt": lambda order: order < 0,
    "le": lambda order: order <= 0,
}


def _comparison(name: str, operator: str, literal: str, whole: str) -> Predicate:
    if name.casefold() not in _FILTERABLE:
        raise _invalid_filter(whole)
    value_of, test = _FILTERABLE[name.casefold()], _TESTS[operator]
    wanted: str | bool | None = {"true": True, "false": False, "null": None}.get(
        literal.lower(), literal.strip("'").replace("''", "'")
    )

    def holds(event: Event) -> bool:
        value = value_of(event)
        if isinstance(value, datetime):
            at = parse_instant(str(wanted), name)
            return test((value > at) - (value < at))
        if isinstance(value, bool) or not isinstance(wanted, str):
            return test(0 if value == wanted else 1)
        text, other = str(value).casefold(), wanted.casefold()
        return test((text > other) - (text < other))

    return holds


def _invalid_filter(text: str) -> GraphError:
    return GraphError(
        400, "ErrorInvalidUrlQueryFilter", f"The query filter '{text}' contains invalid parts."
    )
