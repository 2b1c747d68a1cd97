"""The host's operations on one storage queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""The limit of a stored message, base64 included."""


class QueueFailed(Exception):
    """The storage service refused or did not answer."""


@dataclass(frozen=True, slots=True)
class TakenMessage:
    """A message that is hidden from other workers while it is handled."""

    id: str
    pop_receipt: str
    content: str
    """As stored: not decoded."""
    dequeue_count: int
    inserted_at: datetime
    expires_at: datetime
    visible_at: datetime
    """The time at which it appears again unless it is deleted."""


class Queue(Protocol):
    """One queue. Every method raises QueueFailed."""

    async def create(self) -> None:
        """Create the queue unless it exists."""

    async def receive(self, most: int, hidden_for: timedelta) -> Sequence[TakenMessage]:
        """Return up to *most* visible messages, hidden for that time; none without a queue."""

    async def extend_visibility(self, message: TakenMessage, hidden_for: timedelta) -> TakenMessage:
        """Set when *message* appears again. Return it with its new receipt."""

    async def delete(self, message: TakenMessage) -> None:
        """Delete *message*. It is no error if it is gone, or another worker has taken it."""

    async def send(self, content: str) -> None:
        """Add a message with exactly this *content*."""
