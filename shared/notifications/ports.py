"""What taking in notifications needs from outside."""

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
        """Queue *changes* as few messages within the size limit; return how many messages.

        They are seen after *delay*. *received_at*: RFC 3339.

        Raises:
            StoreUnavailable: nothing may be acknowledged, though some may be queued.
        """
        ...
