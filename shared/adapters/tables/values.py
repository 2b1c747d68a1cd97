"""How values are written into rows: text, numbers and booleans that any tool can read."""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from shared.errors import Invalid, Misconfigured

SCHEMA: Final = 1
"""Version of the rows written by this release."""
_CURSOR_LIMIT: Final = 400
_CHUNK: Final = 30_000
"""A text property holds 32 Ki UTF-16 units; ours are ASCII."""


def instant(at: datetime) -> str:
    """Return *at* as `2026-03-01T09:00:00Z`, with microseconds where it has some."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def moment(text: str) -> datetime:
    """Return the instant that `instant` wrote."""
    return datetime.fromisoformat(text)


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *values* with the schema version and without what is None: absent says it."""
    return {"schema": SCHEMA} | {k: v for k, v in values.items() if v is not None}


def check_schema(values: Mapping[str, Any]) -> None:
    """Raise Misconfigured if a row was written by a later release, which this one may break."""
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


def read_long_text(name: str, values: Mapping[str, Any]) -> str:
    """Return the text that `long_text` took apart."""
    parts = [values[name]]
    while (more := values.get(f"{name}{len(parts)}")) is not None:
        parts.append(more)
    return "".join(parts)


def cursor(text: str) -> str:
    """Return *text* as an opaque cursor that needs no escaping in a URL."""
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(given: str) -> str:
    """Return what `cursor` hid, or raise Invalid."""
    try:
        if len(given) <= _CURSOR_LIMIT:
            return b64decode(
                given + "=" * (-len(given) % 4), altchars=b"-_", validate=True
            ).decode()
    except ValueError:
        pass
    raise Invalid("query.cursor", "This cursor was not given out here.")
