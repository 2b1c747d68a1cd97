"""Limits per mailbox, in the queue and in a worker, so that a busy mailbox does not delay others.

The limiters keep their state in the process: losing it at a restart does no harm.
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
"""Events of one mailbox that are queued one by one: Exchange's limit of requests per mailbox.
Source: https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits"""
MAX_CONCURRENT_EVENTS: Final = 4
"""Events of one mailbox that are read concurrently: Exchange's limit of concurrent requests.
Source: https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits"""
_MINUTE: Final = timedelta(minutes=1)
_REMEMBERED: Final = 10_000


class NotificationLimiter:
    """Counts the events that each mailbox had queued in the present minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_at: datetime | None = None
        self._events: Counter[Mailbox] = Counter()
        self._put_off: set[Mailbox] = set()

    def try_acquire(self, mailbox: Mailbox, events: int) -> bool:
        """Count *events*; return whether *mailbox* may have them queued one by one."""
        self._turn_the_minute()
        self._events[mailbox] += events
        return self._events[mailbox] <= MAX_EVENTS_PER_MINUTE

    def is_deferred(self, mailbox: Mailbox) -> bool:
        """Return whether *mailbox* is queued already to be read when the minute is over."""
        self._turn_the_minute()
        return mailbox in self._put_off

    def defer(self, mailbox: Mailbox) -> None:
        """Record that *mailbox* is queued to be read when the minute is over."""
        self._put_off.add(mailbox)

    def time_to_reset(self) -> timedelta:
        """Return the time until the minute is over, plus one second."""
        return self._turn_the_minute() - self._clock.now() + timedelta(seconds=1)

    def _turn_the_minute(self) -> datetime:
        now = self._clock.now()
        if self._ends_at is None or not self._ends_at - _MINUTE <= now < self._ends_at:
            self._ends_at = now + _MINUTE
            self._events.clear()
            self._put_off.clear()
        return self._ends_at


class MailboxLimiter:
    """Per-process limiter: at most 4 concurrent events per mailbox, one worker per event.

    Concurrent deliveries of one change thus cost one read of the event: the later ones find the row
    that the first one saved. Between processes the row's ETag resolves the conflict.
    """

    def __init__(self) -> None:
        self._mailboxes: WeakValueDictionary[Mailbox, asyncio.Semaphore] = WeakValueDictionary()
        self._events: WeakValueDictionary[tuple[Mailbox, EventId], asyncio.Lock] = (
            WeakValueDictionary()
        )

    @asynccontextmanager
    async def slot(self, mailbox: Mailbox, event_id: EventId) -> AsyncIterator[None]:
        """Wait for a free slot of the mailbox and the event's lock; hold both during the block."""
        event = self._events.setdefault((mailbox, event_id), asyncio.Lock())
        place = self._mailboxes.setdefault(mailbox, asyncio.Semaphore(MAX_CONCURRENT_EVENTS))
        async with event, place:
            yield


class PushSeenThrottle:
    """Lets one process record at most once a minute that push works for a mailbox."""

    def __init__(self) -> None:
        self._noted: dict[Mailbox, datetime] = {}

    def allow(self, mailbox: Mailbox, at: datetime) -> bool:
        """Return whether this process recorded no push of *mailbox* within a minute of *at*.

        Without this check each message would cost one more row read, as much as a foreign event,
        and most events are foreign.
        """
        noted = self._noted.get(mailbox)
        if noted is not None and abs(at - noted) < _MINUTE:
            return False
        if len(self._noted) >= _REMEMBERED:
            self._noted.clear()
        self._noted[mailbox] = at
        return True
