"""The common parts of the API's models: instants, texts, bodies and replies."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from shared.clock import rfc3339
from shared.timespan import TimeSpan

Step = Literal[5, 10, 15, 30, 60]


_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)


_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _parsed(value: object) -> datetime:
    """Parse an instant into UTC. Pydantic alone would accept numbers and naive times as well."""
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper().replace(",", ".")).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValueError("is no time that exists") from None
        if not _EARLIEST <= moment <= _LATEST:
            raise ValueError("must be between the years 2000 and 2200")
        return moment
    raise ValueError("must be RFC 3339 text with an offset, such as 2026-03-02T09:00:00+01:00")


RequestInstant = Annotated[
    datetime,
    BeforeValidator(_parsed),
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant in a request: RFC 3339 with an offset."""


ResponseInstant = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant in a reply: RFC 3339 with `Z`."""


def _known_zone(name: str) -> str:
    from shared.availability.working_hours import zone_of

    try:
        zone_of(name)
    except ValueError:
        raise ValueError("is not a time zone: use an IANA or Windows name") from None
    return name


ZoneName = Annotated[str, Field(max_length=64), AfterValidator(_known_zone)]


_LONGEST_LINE = 255
_INVISIBLE = frozenset({"Cf", "Zs"})
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
"""Control characters but tabs and line ends, and two that XML cannot have: Exchange uses it."""
_BREAKS = re.compile("[\n\r\t\x85\u2028\u2029]")
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Embeddings, overrides and isolates: they show a text in another order than it has, so that it may
look like another one. The marks U+200E, U+200F and U+061C only set the direction of their
neighbours, which some names need.

Source: https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing
"""


def _clean(text: str) -> str:
    if _CONTROLS.search(text):
        raise ValueError("must not contain control characters")
    return text


def _line(text: str) -> str:
    line = text.strip()
    # First of all: the checks of each character are for a text of modest length.
    if (units := len(line.encode("utf-16-le")) // 2) > _LONGEST_LINE:
        raise ValueError(
            f"must have at most {_LONGEST_LINE} UTF-16 units, as Outlook counts, and has {units}:"
            " most characters count as one, and an emoji as two or more"
        )
    if _BREAKS.search(text):
        raise ValueError("must be a single line")
    _clean(text)
    if all(unicodedata.category(c) in _INVISIBLE for c in line):
        raise ValueError("must have at least 1 character that shows")
    if _REORDERING.search(line):
        raise ValueError(
            "must not contain characters that reorder text (U+202A to U+202E, U+2066 to U+2069):"
            " remove them, or use the marks U+200E, U+200F and U+061C instead"
        )
    return line


Line = Annotated[
    str,
    AfterValidator(_line),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _LONGEST_LINE}),
]
"""A line of at most 255 UTF-16 units: Exchange cuts a longer subject."""


Text = Annotated[
    str, AfterValidator(lambda text: _clean(text.replace("\r\n", "\n").replace("\r", "\n")))
]


class Body(BaseModel):
    """A body of our API. An unknown field is an error."""

    model_config = ConfigDict(extra="forbid", defer_build=True, frozen=True)


class Reply(BaseModel):
    """A reply of our API."""

    model_config = ConfigDict(defer_build=True, frozen=True)


class SpanBody(Reply):
    """A half-open span of time."""

    start: ResponseInstant
    end: ResponseInstant

    @classmethod
    def of(cls, span: TimeSpan) -> Self:
        """Return the body of *span*."""
        return cls(start=span.start, end=span.end)


class PageQuery(Body):
    """The page of a list."""

    cursor: str | None = Field(default=None, max_length=512)
    limit: int = Field(default=50, ge=1, le=100)


def _on_grid(start: datetime) -> datetime:
    if start.minute % 5 or start.second or start.microsecond:
        raise ValueError("must be on a multiple of five minutes")
    return start


GridInstant = Annotated[RequestInstant, AfterValidator(_on_grid)]
"""An instant on a multiple of five minutes."""


_GUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


_ADDRESS = r"^[^@\s<>,;]+@[^@\s<>,;]+$"


Guid = Annotated[str, Field(pattern=_GUID), AfterValidator(str.lower)]


Address = Annotated[str, Field(pattern=_ADDRESS, max_length=320), AfterValidator(str.lower)]
