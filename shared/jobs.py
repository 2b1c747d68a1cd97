"""Jobs: the work that a queue carries, what comes due and when, and in which batches."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from shared.clock import Clock
from shared.ids import Mailbox, OrganizationId, SessionId, TenantId

_PAGE: Final = 2_000
_SPACING: Final = timedelta(milliseconds=500)
"""Between two batches: 120 requests a minute to Graph are this work's own budget, so that it never
crowds users out."""
_BATCHES_PER_TICK: Final = 600
"""What a tick of five minutes has room for at that pace: 12,000 sessions."""


class JobKind(StrEnum):
    """What the `jobs` queue carries."""

    VERIFY = "verify"
    """See whether a booking got through; finish it or undo it."""
    SETTLE = "settle"
    """See whether a reschedule or a cancellation got through; finish it or undo it."""
    SERIES = "series"
    """See whether a change of a series got through; finish it or undo it."""
    FOLLOW_SERIES = "follow_series"
    """Read a series' occurrences: their ids, and what people did to them."""
    LINK = "link"
    """Look for the link of an online meeting that comes late."""
    SUBSCRIBE = "subscribe"
    """Make sure that a mailbox has a subscription."""
    RENEW = "renew"
    RECONCILE = "reconcile"
    PURGE = "purge"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Job:
    """Work for later: ids only."""

    kind: JobKind
    organization_id: OrganizationId
    mailboxes: tuple[Mailbox, ...]
    session_ids: tuple[SessionId, ...] = ()
    """As many as *mailboxes*, pairwise, or empty."""
    due_ats: tuple[datetime, ...] = ()
    """When each came due: these rows of `Due` are removed once the work is done."""
    attempt: int = 0


class JobQueue(Protocol):
    """The `jobs` queue."""

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:
        """Queue *job*, to be seen after *delay*. Raises StoreUnavailable."""
        ...


class DueKind(StrEnum):
    """Why something comes due."""

    RENEWAL = "renewal"
    """A subscription reaches half of its life; *key* is empty."""
    RECONCILIATION = "reconciliation"
    """A session is to be read again; *key* is the session id."""
    PURGE = "purge"
    """An ended session's retention is over; *key* is the session id."""


@dataclass(frozen=True, slots=True, order=True)
class DueItem:
    """One thing to do at *due_at*. A hint: who does it looks whether it is still wanted."""

    due_at: datetime
    kind: DueKind
    organization_id: OrganizationId
    mailbox: Mailbox
    key: str = ""


class DueStore(Protocol):
    """The work that comes due. Writing the same item twice is one item."""

    async def put(self, items: Iterable[DueItem]) -> None:
        """Write *items*.

        Raises:
            StoreUnavailable
        """
        ...

    def due(self, kind: DueKind, now: datetime, *, page: int = 100) -> AsyncIterator[list[DueItem]]:
        """Yield what of *kind* is due at *now*, earliest first, in pages; reads nothing else."""
        ...

    async def remove(self, items: Iterable[DueItem]) -> None:
        """Remove *items*; absent ones are no error."""
        ...

    async def oldest(self, kind: DueKind) -> DueItem | None:
        """Return the earliest item of *kind*, due or not, for health figures."""
        ...


BATCH: Final = 20
"""Requests in one `$batch` of Graph."""


def batch_due_items(items: Sequence[DueItem]) -> list[list[DueItem]]:
    """Return *items* in groups of one organization and at most 20."""
    grouped: dict[tuple[str, TenantId], list[DueItem]] = {}
    for item in items:
        grouped.setdefault((item.organization_id, item.mailbox.tenant_id), []).append(item)
    return [
        group[start : start + BATCH]
        for group in grouped.values()
        for start in range(0, len(group), BATCH)
    ]


def job_for_batch(kind: JobKind, batch: Sequence[DueItem]) -> Job:
    """Return the job that does *batch*."""
    return Job(
        kind,
        batch[0].organization_id,
        tuple(item.mailbox for item in batch),
        tuple(SessionId(item.key) for item in batch if item.key),
        due_ats=tuple(item.due_at for item in batch),
    )


def due_items(kind: DueKind, job: Job) -> list[DueItem]:
    """Return the `Due` items that *job* was made of."""
    keys: Sequence[str] = job.session_ids or ("",) * len(job.mailboxes)
    return [
        DueItem(at, kind, job.organization_id, mailbox, key)
        for at, mailbox, key in zip(job.due_ats, job.mailboxes, keys, strict=False)
    ]


def postpone(items: Iterable[DueItem], until: datetime) -> list[DueItem]:
    """Return *items* due *until* at the earliest, on the minute: several who put them off agree."""
    on_the_minute = until.replace(second=0, microsecond=0)
    later = on_the_minute if on_the_minute == until else on_the_minute + timedelta(minutes=1)
    return [replace(item, due_at=later) for item in items]


async def enqueue_due_items(
    kind: DueKind, job: JobKind, *, jobs: JobQueue, due: DueStore, clock: Clock
) -> int:
    """Queue a job of kind *job* for each batch of what is due; return how many items.

    A tick queues at most `_BATCHES_PER_TICK` jobs, spaced by `_SPACING`: what is left stays due.
    """
    count = number = 0
    async for page in due.due(kind, clock.now(), page=_PAGE):
        for batch in batch_due_items(page):
            if number == _BATCHES_PER_TICK:
                return count  # the rest is still due at the next tick: no stampede
            await jobs.put(job_for_batch(job, batch), delay=number * _SPACING)
            count += len(batch)
            number += 1
    return count
