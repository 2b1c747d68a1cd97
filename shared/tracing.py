"""Traces a request over queues and processes by W3C trace context.

A span has an operation's name, duration and success; like a log line it can hold no personal data.
Without a recorder a span costs next to nothing.

Source: https://www.w3.org/TR/trace-context/
"""

import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16

Value = str | int | bool


class SpanKind(StrEnum):
    """Whether a span is work of this process or a call to another service."""

    INTERNAL = "internal"
    CLIENT = "client"
    """A call to another service."""


@dataclass(slots=True)
class Span:
    """One operation of a trace. Times are nanoseconds since 1970, ids lower-case hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    """The operation, without the ids of users or events: ``GET /users/{user-id}/events``."""
    kind: SpanKind
    started_ns: int
    ended_ns: int = 0
    is_ok: bool = True
    facts: dict[str, Value] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()
    """Spans of other traces that this one is about, by trace id and span id."""


Recorder = Callable[[Span], None]

_current: ContextVar[Span | None] = ContextVar("span", default=None)
_recorders: list[Recorder] = []


def add_span_recorder(recorder: Recorder) -> Callable[[], None]:
    """Call *recorder* with every span that ends; return a function that removes it."""
    _recorders.append(recorder)
    return lambda: _recorders.remove(recorder)


def trace_id() -> str | None:
    """Return the trace id of the current span, or None."""
    span = _current.get()
    return span.trace_id if span else None


def traceparent() -> str | None:
    """Return the current span as a `traceparent`, for a header or a queue message, or None."""
    span = _current.get()
    return f"00-{span.trace_id}-{span.span_id}-01" if span else None


@contextmanager
def traced(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    parent: str | None = None,
    linked: str | None = None,
) -> Iterator[Span]:
    """Run the block as a span: a child of the current span, else of *parent*, else a root span.

    *parent*: a traceparent of this app. *linked*: the caller's own, which must not become the id
    of our trace: it could be that of another request. An invalid one is ignored. A span
    whose block raises is not ok. The block adds further fields to `Span.facts`.
    """
    current = _current.get()
    above = (current.trace_id, current.span_id) if current else _ids_in(parent)
    trace, parent_id = above or (secrets.token_hex(16), None)
    other = _ids_in(linked)
    links = (other,) if other else ()
    span = Span(trace, secrets.token_hex(8), parent_id, name, kind, time.time_ns(), links=links)
    token = _current.set(span)
    try:
        yield span
    except BaseException:
        span.is_ok = False
        raise
    finally:
        _current.reset(token)
        if _recorders:
            span.ended_ns = time.time_ns()
            for record in _recorders:
                record(span)


def _ids_in(traceparent: str | None) -> tuple[str, str] | None:
    """Return the trace id and the span id of a valid *traceparent*."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found and found[1] != _NO_TRACE and found[2] != _NO_SPAN:
        return found[1], found[2]
    return None
