"""The edge of queues and timers: traces a function, and raises no text of others."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import SchedulingError
from shared.logs import log_warning
from shared.tracing import Span, traced


class FunctionFailed(Exception):
    """A function failed by an error that is not one of ours; the message is its class."""


@contextmanager
def background(name: str, *, parent: str | None = None) -> Iterator[Span]:
    """Run the block as the function *name*. The host prints what it raises, and tries again.

    Raises:
        SchedulingError: the block's own, without the errors that it came from.
        FunctionFailed: in place of any other error.
    """
    with traced(name, parent=parent) as span:
        try:
            yield span
        except SchedulingError as error:
            log_warning("function.failed", function=name)
            raise error.with_traceback(None) from None
        except Exception as error:  # noqa: BLE001  # the edge's last resort
            log_warning("function.failed", function=name)
            raise FunctionFailed(type(error).__name__) from None
