"""Optimistic concurrency: a read and its conditional write, repeated after an ETag conflict."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from shared.errors import StaleRow, StoreUnavailable

TRIES: Final = 12
"""How often a change is tried that others keep getting ahead of."""
UNSURE_TRIES: Final = 3
"""How often a change is tried that the service does not answer."""

_T = TypeVar("_T")


class ConcurrencyConflict(StaleRow):
    """Inside the adapters: a row changed between reading and writing; read again."""


class OutcomeUnknown(ConcurrencyConflict):
    """Inside the adapters: nobody said whether the change was made; read again."""


async def retry_on_conflict(attempt: Callable[[int], Awaitable[_T]]) -> _T:
    """Repeat *attempt*, which reads and writes anew, while it raises ConcurrencyConflict.

    Its argument: how many earlier attempts may have happened after all. Raises StoreUnavailable
    when it never ends.
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
        # Jitter: those who collided must not meet again.
        await asyncio.sleep(random.uniform(0, min(0.005 * 2**tried, 0.25)))  # noqa: S311
    raise StoreUnavailable("Too many changes at once in one mailbox or organization.")


@contextmanager
def as_retryable() -> Iterator[None]:
    """Turn a refused or unanswered change into what `retry_on_conflict` repeats."""
    try:
        yield
    except StaleRow as error:
        raise ConcurrencyConflict(str(error)) from error
    except StoreUnavailable as error:
        raise OutcomeUnknown(str(error)) from error
