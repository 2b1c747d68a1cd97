"""Jobs of the queue, due items, and the batches that make jobs of due items."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from shared.clock import Clock
from shared.ids import Mailbox, OrganizationId, SessionId, TenantId

_PAGE: Final = 2_000
_SPACING: Final = timedelta(milliseconds=500)
"""The time between two batches: background work has a budget of 120 requests a minute to Graph, so
that it leaves room for the requests of users."""
_BATCHES_PER_TICK: Final = 600
"""The batches that fit into a tick of five minutes with that spacing: 12,000 sessions."""


class JobKind(StrEnum):
    """The kind of a job."""

    VERIFY = "verify"
    """Check whether a booking reached Outlook; finish it or undo it."""
    SETTLE = "settle"
    """Check whether a reschedule or a cancellation reached Outlook; finish it or undo it."""
    SERIES = "series"
    """Check whether a change of a series reached Outlook; finish it or undo it."""
    FOLLOW_SERIES = "follow_series"
    """Read a series' occurrences: their ids, and the changes made in Outlook."""
    LINK = "link"
    """Read the join link of an online meeting, which Graph creates asynchronously."""
    SUBSCRIBE = "subscribe"
    """Create a mailbox's subscription if it has none."""
    RENEW = "renew"
    RECONCILE = "reconcile"
    LOOK = "look"
    """Check whether mailboxes that refused a read can be read."""
    PURGE = "purge"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Job:
    """Work for the queue worker. Ids and times only."""

    kind: JobKind
    organization_id: OrganizationId
    mailboxes: tuple[Mailbox, ...]
    session_ids: tuple[SessionId, ...] = ()
    """As many as *mailboxes*, pairwise, or empty."""
    due_ats: tuple[datetime, ...] = ()
    """The due time of each mailbox's item: these due items are removed when the work is done."""
    attempt: int = 0


class JobQueue(Protocol):
    """The `jobs` queue."""

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:
        """Queue *job*, visible after *delay*. Raises StoreUnavailable."""
        ...


class DueKind(StrEnum):
    """The kind of a due item."""

    RENEWAL = "renewal"
    """A subscription reaches half of its life; *key* is empty."""
    RECONCILIATION = "reconciliation"
    """A session must be read again; *key* is the session id."""
    LOOK = "look"
    """A lost mailbox must be looked at again; *key* is empty."""
    PURGE = "purge"
    """An ended session's retention is over; *key* is the session id."""


@dataclass(frozen=True, slots=True, order=True)
class DueItem:
    """Work due at *due_at*. Only a hint: the worker checks whether it is still needed."""

    due_at: datetime
    kind: DueKind
    organization_id: OrganizationId
    mailbox: Mailbox
    key: str = ""


class DueStore(Protocol):
    """The store of due items. Writing the same item twice stores one item."""

    async def put(self, items: Iterable[DueItem]) -> None:
        """Write *items*.

        Raises:
            StoreUnavailable
        """
        ...

    def due(self, kind: DueKind, now: datetime, *, page: int = 100) -> AsyncIterator[list[DueItem]]:
        """Yield the items of *kind* due at *now*, earliest first, in pages; reads no other rows."""
        ...

    async def remove(self, items: Iterable[DueItem]) -> None:
        """Remove *items*; an absent item is no error."""
        ...

    def of_organization(self, organization_id: OrganizationId) -> AsyncIterator[list[DueItem]]:
        """Yield all items of an organization, due or not, in pages; reads every item there is."""
        ...

    async def oldest(self, kind: DueKind) -> DueItem | None:
        """Return the earliest item of *kind*, due or not, for health figures."""
        ...


BATCH: Final = 20
"""The most requests in one `$batch` of Graph.

Source: https://learn.microsoft.com/graph/json-batching
"""


def batch_due_items(items: Sequence[DueItem]) -> list[list[DueItem]]:
    """Group *items* into batches of one organization and at most 20 items."""
    grouped: dict[tuple[str, TenantId], list[DueItem]] = {}
    for item in items:
        grouped.setdefault((item.organization_id, item.mailbox.tenant_id), []).append(item)
    return [
        group[start : start + BATCH]
        for group in grouped.values()
        for start in range(0, len(group), BATCH)
    ]


def job_for_batch(kind: JobKind, batch: Sequence[DueItem]) -> Job:
    """Return the job of *batch*."""
    return Job(
        kind,
        batch[0].organization_id,
        tuple(item.mailbox for item in batch),
        tuple(SessionId(item.key) for item in batch if item.key),
        due_ats=tuple(item.due_at for item in batch),
    )


def due_items(kind: DueKind, job: Job) -> list[DueItem]:
    """Return the due items that *job* was made of."""
    keys: Sequence[str] = job.session_ids or ("",) * len(job.mailboxes)
    return [
        DueItem(at, kind, job.organization_id, mailbox, key)
        for at, mailbox, key in zip(job.due_ats, job.mailboxes, keys, strict=False)
    ]


def postpone(items: Iterable[DueItem], until: datetime) -> list[DueItem]:
    """Return *items* due at *until* or later, rounded up to the minute.

    The rounding lets several workers that postpone the same item write the same row.
    """
    on_the_minute = until.replace(second=0, microsecond=0)
    later = on_the_minute if on_the_minute == until else on_the_minute + timedelta(minutes=1)
    return [replace(item, due_at=later) for item in items]


async def enqueue_due_items(
    kind: DueKind, job: JobKind, *, jobs: JobQueue, due: DueStore, clock: Clock
) -> int:
    """Queue a job of kind *job* for each batch of due items; return the number of items.

    A tick queues at most `_BATCHES_PER_TICK` jobs, spaced by `_SPACING`; the rest stays due.
    """
    count = number = 0
    async for page in due.due(kind, clock.now(), page=_PAGE):
        for batch in batch_due_items(page):
            if number == _BATCHES_PER_TICK:
                return count  # the rest stays due for the next tick, without a flood of jobs
            await jobs.put(job_for_batch(job, batch), delay=number * _SPACING)
            count += len(batch)
            number += 1
    return count
