"""JSON as the host's Newtonsoft.Json rewrites it.

The host parses strings that look like JSON and prints them again: objects indented, dates with
another zone or fewer digits. To send JSON unchanged, a function returns bytes.

Source: the host's `FunctionBinding.ReadAsEnumerable` and `HttpBinding.CreateResult` (4.1037).
"""

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

_DATE: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d{1,7})?(Z|[+-]\d{2}:?\d{2})?", re.ASCII
)
_ZONES: Final = {None: "", "Z": "Z"}


def looks_like_json(text: str) -> bool:
    """Return whether the host takes *text* for an object or an array."""
    text = text.strip()
    return text[:1] + text[-1:] in {"{}", "[]"} and len(text) > 1


def parse(text: str, *, rewrites_dates: bool = True) -> Any:  # noqa: ANN401  # any JSON
    """Return the JSON value *text*. ValueError if it is none."""
    value = json.loads(text)
    return _with_dates_rewritten(value) if rewrites_dates else value


def as_text(value: Any) -> str:  # noqa: ANN401  # any JSON
    """Return `JToken.ToString()` of *value*: strings bare, other values as indented JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_invariant_text(value: Any) -> str:  # noqa: ANN401  # a number, a truth value or a string
    """Return *value* as .NET converts it to a string: a date that it recognizes in its own form."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str) and (found := _DATE.fullmatch(value)):
        moment = _moment(found)
        return value if moment is None else f"{moment:%m/%d/%Y %H:%M:%S}"
    return str(value)


def compact(value: Any) -> str:  # noqa: ANN401  # any JSON
    """Return *value* as the host's HTTP formatter prints it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _with_dates_rewritten(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {name: _with_dates_rewritten(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_dates_rewritten(each) for each in value]
    if isinstance(value, str) and (found := _DATE.fullmatch(value)):
        return _rewritten(found)
    return value


def _rewritten(found: re.Match[str]) -> str:
    """Return a date as a host in UTC prints it: its own zone, no trailing zeros."""
    _, fraction, zone = found.groups()
    moment = _moment(found)
    if moment is None:
        return found[0]
    digits = (fraction or "").rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{digits}{_ZONES.get(zone, '+00:00')}"


def _moment(found: re.Match[str]) -> datetime | None:
    """Return the date in UTC, or as it stands if it has no zone; None if there is no such day."""
    seconds, _, zone = found.groups()
    try:
        moment = datetime.fromisoformat(seconds + (zone or ""))
    except ValueError:
        return None
    return moment.astimezone(UTC) if zone else moment
