"""The messages between host and worker, and the objects of an invocation that functions see."""

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import azure.functions as func
from azure.functions.meta import Datum

thread_local: Final = threading.local()


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an invocation, in the form that the worker sends to the host."""

    returned: Datum | None
    outputs: Mapping[str, Datum]


@dataclass(frozen=True, slots=True)
class RetryContext:
    """The attempt of a retry policy; all zero at the first, and without one."""

    retry_count: int = 0
    max_retry_count: int = 0
    exception: str = ""

    def __repr__(self) -> str:
        return (
            f"RetryContext(retry_count={self.retry_count},"
            f" max_retry_count={self.max_retry_count}, rpc_exception={self.exception})"
        )


@dataclass(frozen=True, slots=True)
class Call:
    """The host's message to the worker for one invocation."""

    function: str
    data: Datum
    metadata: Mapping[str, Datum] = field(default_factory=dict)
    trace_parent: str = ""
    trace_state: str = ""
    retry: RetryContext = RetryContext()
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Out:
    """The value of a function's ``func.Out`` parameter."""

    def __init__(self) -> None:
        """Start without a value."""
        self._value: Any = None

    def set(self, val: Any) -> None:  # noqa: ANN401  # azure.functions.Out's own signature
        """Keep *val* for the binding."""
        self._value = val

    def get(self) -> Any:  # noqa: ANN401
        """Return the value that was set, or None."""
        return self._value


@dataclass(frozen=True, slots=True)
class TraceContext:
    """W3C trace context of an invocation, under the worker's names and those of its interface."""

    trace_parent: str
    trace_state: str
    attributes: dict[str, str] = field(default_factory=dict)

    Traceparent = property(lambda self: self.trace_parent)
    Tracestate = property(lambda self: self.trace_state)
    Attributes = property(lambda self: self.attributes)


class Context(func.Context):
    """The value of a parameter named ``context``."""

    def __init__(self, call: Call, directory: str) -> None:
        """Describe *call* of a function in *directory*."""
        self._call = call
        self._directory = directory

    @property
    def invocation_id(self) -> str:
        """The invocation's GUID."""
        return self._call.id

    @property
    def thread_local_storage(self) -> Any:  # noqa: ANN401  # a threading.local
        """Set its ``invocation_id`` in a thread of the app's own, to keep its log lines."""
        return thread_local

    @property
    def function_name(self) -> str:
        """The registered name."""
        return self._call.function

    @property
    def function_directory(self) -> str:
        """The folder of the function's file."""
        return self._directory

    @property
    def trace_context(self) -> Any:  # noqa: ANN401  # shaped as azure.functions.TraceContext
        """The trace context, empty without Application Insights."""
        return TraceContext(self._call.trace_parent, self._call.trace_state)

    @property
    def retry_context(self) -> Any:  # noqa: ANN401  # shaped as azure.functions.RetryContext
        """The current attempt."""
        return self._call.retry
