"""The edge of queues and timers: traces a function, ends it in time, raises no text of others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from shared.errors import SchedulingError
from shared.logs import log_warning
from shared.tracing import Span, traced

FUNCTION_SECONDS: Final = 120.0
"""How long a function works; its message then comes back. Shorter than host.json's limit.

At that limit the host kills the worker, and every other invocation of it hangs until its own limit:
a participant would wait for minutes, for an empty 500.
"""


class FunctionFailed(Exception):
    """A function failed by an error that is not one of ours; the message is its class."""


@asynccontextmanager
async def background(name: str, *, parent: str | None = None) -> AsyncIterator[Span]:
    """Run the block as the function *name*. The host prints what it raises, and tries again.

    A block that does not end in time is ended as by a crash, which every use case survives.

    Raises:
        SchedulingError: the block's own, without the errors that it came from.
        FunctionFailed: in place of any other error; `TimeoutError` if it did not end in time.
    """
    with traced(name, parent=parent) as span:
        try:
            async with asyncio.timeout(FUNCTION_SECONDS):
                yield span
        except SchedulingError as error:
            log_warning("function.failed", function=name)
            raise error.with_traceback(None) from None
        except Exception as error:  # noqa: BLE001  # the edge's last resort
            log_warning("function.failed", function=name)
            raise FunctionFailed(type(error).__name__) from None
