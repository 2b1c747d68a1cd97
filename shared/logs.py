"""One log line per event, with fields that cannot hold personal data."""

import logging
from collections.abc import Callable, Mapping
from typing import TypedDict, Unpack

from shared.tracing import trace_id

_LOGGER = logging.getLogger("mentor_calendar")


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
    """Write one warning line, with the traceback of the exception being handled, if any."""
    import sys

    _LOGGER.warning("%s", _line(event, facts), exc_info=sys.exc_info()[0] is not None)


def _line(event: str, facts: LogFields) -> str:
    parts = [event, *(f"{key}={value}" for key, value in facts.items())]
    if (trace := trace_id()) is not None:
        parts.append(f"trace_id={trace}")
    return " ".join(parts)
