"""The port of notifications: the queue between the webhook and the worker."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from shared.notifications.model import MailboxChanges


class NotificationQueue(Protocol):
    """The `notifications` queue."""

    async def put(
        self,
        changes: Sequence[MailboxChanges],
        received_at: str,
        *,
        delay: timedelta = timedelta(),
    ) -> int:
        """Queue *changes* in as few messages as the size limit allows; return their number.

        The messages become visible after *delay*. *received_at*: RFC 3339.

        Raises:
            StoreUnavailable: the webhook must not acknowledge, although some may be queued.
        """
        ...
