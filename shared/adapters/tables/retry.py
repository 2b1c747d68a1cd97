"""Optimistic concurrency: a read and its conditional write, repeated after an ETag conflict."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from shared.errors import StaleRow, StoreUnavailable

TRIES: Final = 12
"""Attempts of one change that other writers keep overtaking."""
UNSURE_TRIES: Final = 3
"""Attempts of one change that the service does not answer."""

_T = TypeVar("_T")


class ConcurrencyConflict(StaleRow):
    """An ETag conflict: a row changed after it was read. Internal to the adapters."""


class OutcomeUnknown(ConcurrencyConflict):
    """The write's outcome is unknown, after a timeout: re-read first. Internal to the adapters."""


async def retry_on_conflict(attempt: Callable[[int], Awaitable[_T]]) -> _T:
    """Repeat *attempt*, which reads and then writes, while it raises ConcurrencyConflict.

    The argument of *attempt* is the number of earlier attempts with an unknown outcome: their
    writes may be stored.

    Raises:
        StoreUnavailable: every attempt failed.
    """
    unsure = 0
    for tried in range(TRIES):
        try:
            return await attempt(unsure)
        except OutcomeUnknown as error:
            unsure += 1
            if unsure == UNSURE_TRIES:
                raise StoreUnavailable(str(error)) from error
        except ConcurrencyConflict:
            pass
        # Jitter, so that two writers that collided do not collide again.
        await asyncio.sleep(random.uniform(0, min(0.005 * 2**tried, 0.25)))  # noqa: S311
    raise StoreUnavailable("Too many changes at once in one mailbox or organization.")


@contextmanager
def as_retryable() -> Iterator[None]:
    """Turn StaleRow and StoreUnavailable into the errors that `retry_on_conflict` retries."""
    try:
        yield
    except StaleRow as error:
        raise ConcurrencyConflict(str(error)) from error
    except StoreUnavailable as error:
        raise OutcomeUnknown(str(error)) from error
