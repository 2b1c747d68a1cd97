"""Converts values to those of a row and back: text, numbers and booleans that any tool reads."""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, TypeVar

from shared.errors import Invalid, Misconfigured
from shared.timespan import DateSpan, TimeSpan

SCHEMA: Final = 1
"""The schema version of the rows that this release writes."""
_CURSOR_LIMIT: Final = 400
_CHUNK: Final = 30_000
"""Characters of one text property, whose limit is 32 Ki UTF-16 units; our texts are ASCII.

Source: https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
"""


_T = TypeVar("_T")


def instant(at: datetime) -> str:
    """Return *at* as `2026-03-01T09:00:00Z`, with microseconds unless they are 0."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def moment(text: str) -> datetime:
    """Return the instant that `instant` wrote."""
    return datetime.fromisoformat(text)


def optional(make: Callable[[str], _T], value: str | None) -> _T | None:
    """Return *value* as *make* makes it; None stays None."""
    return None if value is None else make(value)


def optional_instant(at: datetime | None) -> str | None:
    """Return *at* as `instant` does; None stays None."""
    return instant(at) if at else None


def optional_moment(text: str | None) -> datetime | None:
    """Return the instant that `optional_instant` wrote."""
    return moment(text) if text else None


def instants(span: TimeSpan) -> list[str]:
    """Return start and end of *span*, as `instant` does."""
    return [instant(span.start), instant(span.end)]


def optional_span(start: str | None, end: str | None) -> TimeSpan | None:
    """Return the span that `instants` wrote; None without one."""
    return TimeSpan(moment(start), moment(end)) if start and end else None


def dates_text(dates: DateSpan) -> str:
    """Return *dates* as `2026-03-01/2026-03-02`, the end exclusive."""
    return f"{dates.first_on.isoformat()}/{dates.end_on.isoformat()}"


def optional_dates(text: str | None) -> DateSpan | None:
    """Return the dates that `dates_text` wrote; None without any."""
    return DateSpan(*map(date.fromisoformat, text.split("/"))) if text else None


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *values* with the schema version and without None: an absent property means None."""
    return {"schema": SCHEMA} | {k: v for k, v in values.items() if v is not None}


def check_schema(values: Mapping[str, Any]) -> None:
    """Raise Misconfigured if a later release wrote the row: this release might damage it."""
    if values.get("schema", SCHEMA) > SCHEMA:
        raise Misconfigured(
            f"A stored row has schema {values['schema']}; this release knows {SCHEMA}.",
            remedy="Finish the deployment of the later release, or restore its rows.",
        )


def compact(value: object) -> str:
    """Return *value* as ASCII JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def long_text(name: str, text: str) -> dict[str, str]:
    """Return properties *name*, *name*1, … that hold *text* together, each within the limit."""
    parts = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)] or [""]
    return {f"{name}{n or ''}": part for n, part in enumerate(parts)}


def long_texts(**values: object) -> dict[str, Any]:
    """Return each of *values* as JSON in properties of its name, as `long_text` splits them."""
    payload: dict[str, Any] = {}
    for name, value in values.items():
        payload |= long_text(name, compact(value))
    return payload


def read_long_text(name: str, values: Mapping[str, Any]) -> str:
    """Return the text that `long_text` split."""
    parts = [values[name]]
    while (more := values.get(f"{name}{len(parts)}")) is not None:
        parts.append(more)
    return "".join(parts)


def cursor(text: str) -> str:
    """Encode *text* as an opaque cursor that needs no escaping in a URL."""
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(given: str) -> str:
    """Decode a cursor that `cursor` encoded, or raise Invalid."""
    try:
        if len(given) <= _CURSOR_LIMIT:
            return b64decode(
                given + "=" * (-len(given) % 4), altchars=b"-_", validate=True
            ).decode()
    except ValueError:
        pass
    raise Invalid("query.cursor", "This cursor was not given out here.")
