"""What taking in notifications needs from outside."""

from collections.abc import Sequence
from typing import Protocol

from shared.ids import Mailbox
from shared.notifications.model import MailboxChanges


class Outbox(Protocol):
    """The `notifications` queue."""

    async def put(self, changes: Sequence[MailboxChanges], received_at: str) -> int:
        """Queue *changes* as few messages within the size limit; return how many messages.

        Raises:
            StoreUnavailable: nothing may be acknowledged, though some may be queued.
        """
        ...


class ClientStates(Protocol):
    """Makes and checks the secret that a notification must echo: `v1.{object id}.{nonce}.{mac}`."""

    async def make(self, mailbox: Mailbox, nonce: str) -> str:
        """Return the client state of *mailbox*: at most 128 characters."""
        ...

    async def verify(self, tenant_id: str, client_state: str) -> Mailbox | None:
        """Return whose it is, or None if it is not ours. Constant time; current and previous key."""
        ...
