"""Which request a piece of work belongs to, over queues and processes: W3C trace context.

A span says what was done, for how long, and whether it went well; like a log line it can hold no
personal data. Spans cost next to nothing until somebody records them. Source of the format:
https://www.w3.org/TR/trace-context/
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
    """On which side of a border the work is done."""

    INTERNAL = "internal"
    CLIENT = "client"
    """Somebody else was asked."""


@dataclass(slots=True)
class Span:
    """A piece of work. Times are nanoseconds since 1970, ids lower-case hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    """What is done, without anybody's ids: ``GET /users/{user-id}/events``."""
    kind: SpanKind
    started_ns: int
    ended_ns: int = 0
    is_ok: bool = True
    facts: dict[str, Value] = field(default_factory=dict)


Recorder = Callable[[Span], None]

_current: ContextVar[Span | None] = ContextVar("span", default=None)
_recorders: list[Recorder] = []


def add_span_recorder(recorder: Recorder) -> Callable[[], None]:
    """Have every span given to *recorder* when it ends; return what stops that."""
    _recorders.append(recorder)
    return lambda: _recorders.remove(recorder)


def trace_id() -> str | None:
    """Return the id that all work for the present request shares, if there is one."""
    span = _current.get()
    return span.trace_id if span else None


def traceparent() -> str | None:
    """Return what carries the trace on: a header's value, or a part of a message."""
    span = _current.get()
    return f"00-{span.trace_id}-{span.span_id}-01" if span else None


@contextmanager
def traced(
    name: str, kind: SpanKind = SpanKind.INTERNAL, *, parent: str | None = None
) -> Iterator[Span]:
    """Do the block's work as a span: part of the present one, else of *parent*, else of none.

    *parent* is a traceparent; what is none is ignored. A span that ends with an exception is not
    ok; what more there is to say goes into its facts.
    """
    trace, above = _belongs_to(parent)
    span = Span(trace, secrets.token_hex(8), above, name, kind, time.time_ns())
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


def _belongs_to(parent: str | None) -> tuple[str, str | None]:
    if (current := _current.get()) is not None:
        return current.trace_id, current.span_id
    found = _TRACEPARENT.fullmatch(parent or "")
    if found and found[1] != _NO_TRACE and found[2] != _NO_SPAN:
        return found[1], found[2]
    return secrets.token_hex(16), None
