"""That one mailbox's flood leaves room for the others: in the queue, and in a worker.

Both live as long as their process: what they know need not outlive it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakValueDictionary

from shared.clock import Clock
from shared.ids import EventId, Mailbox

MAX_EVENTS_PER_MINUTE: Final = 1_000
"""What one mailbox may have queued event by event: as many requests as Exchange takes of it.
https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits"""
MAX_CONCURRENT_EVENTS: Final = 4
"""Events of one mailbox looked at together: as many requests as Exchange takes of one mailbox.
https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits"""
_MINUTE: Final = timedelta(minutes=1)
_REMEMBERED: Final = 10_000


class NotificationLimiter:
    """How many events each mailbox had queued in the present minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_at: datetime | None = None
        self._events: Counter[Mailbox] = Counter()
        self._put_off: set[Mailbox] = set()

    def try_acquire(self, mailbox: Mailbox, events: int) -> bool:
        """Count *events*; tell whether *mailbox* may have them queued one by one."""
        self._turn_the_minute()
        self._events[mailbox] += events
        return self._events[mailbox] <= MAX_EVENTS_PER_MINUTE

    def is_deferred(self, mailbox: Mailbox) -> bool:
        """Tell whether *mailbox* is queued already to be read when the minute is over."""
        self._turn_the_minute()
        return mailbox in self._put_off

    def defer(self, mailbox: Mailbox) -> None:
        """Note that *mailbox* is queued to be read when the minute is over."""
        self._put_off.add(mailbox)

    def time_to_reset(self) -> timedelta:
        """Return how long it is until everything put off in this minute has happened."""
        return self._turn_the_minute() - self._clock.now() + timedelta(seconds=1)

    def _turn_the_minute(self) -> datetime:
        now = self._clock.now()
        if self._ends_at is None or not self._ends_at - _MINUTE <= now < self._ends_at:
            self._ends_at = now + _MINUTE
            self._events.clear()
            self._put_off.clear()
        return self._ends_at


class MailboxLimiter:
    """Who waits for whom in one process: a few events of a mailbox at a time, each of them once.

    Deliveries of one change that arrive together are thus read together once: the later ones find
    the row as the first has left it. Between processes the row's etag decides.
    """

    def __init__(self) -> None:
        self._mailboxes: WeakValueDictionary[Mailbox, asyncio.Semaphore] = WeakValueDictionary()
        self._events: WeakValueDictionary[tuple[Mailbox, EventId], asyncio.Lock] = (
            WeakValueDictionary()
        )

    @asynccontextmanager
    async def slot(self, mailbox: Mailbox, event_id: EventId) -> AsyncIterator[None]:
        """Wait until it is this event's turn, and keep it while the block runs."""
        event = self._events.setdefault((mailbox, event_id), asyncio.Lock())
        place = self._mailboxes.setdefault(mailbox, asyncio.Semaphore(MAX_CONCURRENT_EVENTS))
        async with event, place:
            yield


class PushSeenThrottle:
    """Keeps one process from noting more than once a minute that push works for a mailbox."""

    def __init__(self) -> None:
        self._noted: dict[Mailbox, datetime] = {}

    def allow(self, mailbox: Mailbox, at: datetime) -> bool:
        """Tell whether nobody here noted within the minute before *at* that push works for it.

        Looking that up costs as much as a foreign event does, and most events are foreign.
        """
        noted = self._noted.get(mailbox)
        if noted is not None and abs(at - noted) < _MINUTE:
            return False
        if len(self._noted) >= _REMEMBERED:
            self._noted.clear()
        self._noted[mailbox] = at
        return True
