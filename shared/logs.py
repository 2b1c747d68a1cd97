"""One log line per event, with fields that cannot hold personal data."""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypedDict, Unpack

from shared.tracing import trace_id

_LOGGER = logging.getLogger("mentor_calendar")
_CODES: Final = ("code", "status", "aadsts", "request_id")
"""Attributes of errors that a log line may have."""
_CODE: Final = re.compile(r"[\w.\-]{1,64}", re.ASCII)


class LogFields(TypedDict, total=False):
    """The fields that a log line may have: ids, states, counts, durations. Never names or texts."""

    function: str
    status: int
    duration_ms: int
    problem: str
    organization_id: str
    tenant_id: str
    object_id: str
    pairing_id: str
    session_id: str
    subscription_id: str
    state: str
    cause: str
    action: str
    lag_ms: int
    queue: str
    job: str
    attempt: int
    count: int
    accepted: int
    dropped: int
    put_off: int
    messages: int
    due: int
    renewed: int
    recreated: int
    failed: int
    overdue: int
    removed: int
    purged: int
    days_left: int
    code: str
    request_id: str
    aadsts: int
    operation: str
    retry_after_ms: int
    reason: str


Observer = Callable[[str, Mapping[str, object]], None]

_observers: list[Observer] = []


def add_event_observer(observer: Observer) -> Callable[[], None]:
    """Call *observer* with every event and its fields; return a function that removes it."""
    _observers.append(observer)
    return lambda: _observers.remove(observer)


def log_event(event: str, **facts: Unpack[LogFields]) -> None:
    """Write one line: ``session.booked session_id=… state=… trace_id=…``."""
    _LOGGER.info("%s", _line(event, facts))
    for observe in _observers:
        observe(event, facts)


def log_warning(event: str, **facts: Unpack[LogFields]) -> None:
    """Write one warning line, and below it the origin of the exception being handled, if any."""
    lines = [_line(event, facts), *_origins(sys.exception())]
    _LOGGER.warning("%s", "\n".join(lines))


def _origins(error: BaseException | None) -> Iterator[str]:
    """Yield class, codes and place of *error* and of those it came from, and no text of any.

    Entra's, Graph's and the SDKs' messages name people, tenants and addresses.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        error = waiting.pop(0)
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{'/'.join(Path(f.filename).parts[-2:])}:{f.lineno} {f.name}" for f in frames]
        yield " ".join([type(error).__name__, *_codes(error), "at", ", ".join(places)])
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        waiting.append(
            error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        )


def _codes(error: BaseException) -> Iterator[str]:
    for name in _CODES:
        value = str(getattr(error, name, None) or "")
        if _CODE.fullmatch(value):
            yield f"{name}={value}"


def _line(event: str, facts: LogFields) -> str:
    parts = [event, *(f"{key}={value}" for key, value in facts.items())]
    if (trace := trace_id()) is not None:
        parts.append(f"trace_id={trace}")
    return " ".join(parts)
