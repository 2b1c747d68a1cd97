"""The port of limits: what has been spent is stored, so that it counts on every instance."""

from collections.abc import Callable
from typing import Protocol

from shared.limits.model import Spender, Usage


class UsageStore(Protocol):
    """The store of usage. It goes with the mailbox's or the organization's other rows."""

    async def update(self, spender: Spender, change: Callable[[Usage], Usage]) -> Usage:
        """Apply *change* to the usage of *spender*, a new one if there is none; return it.

        *change* must be pure: it is called again after an ETag conflict. Its errors are raised.
        Nothing is written if it changes nothing.

        Raises StoreUnavailable.
        """
        ...
