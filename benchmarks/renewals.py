"""A hundred thousand subscriptions come due at once: the requests to Graph and to the tables.

``python -m benchmarks.renewals [COUNT]``. The use-cases are production's; tables and Graph are
stand-ins that make each row on request, count, and keep almost nothing, so that the measured memory
is the run's own. `tests/contract/test_renewals.py` holds the counts on real tables.
"""

import argparse
import asyncio
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

from shared.ids import Mailbox, ObjectId, OrganizationId, SubscriptionId, TenantId
from shared.jobs import DueItem, DueKind, Job
from shared.organizations.model import ConsentState, Organization
from shared.sessions.model import SessionState
from shared.subscriptions.maintenance import SubscriptionPorts, enqueue_renewals, renew_batch
from shared.subscriptions.model import SUBSCRIPTION_LIFETIME, Subscription, SubscriptionState
from tests.builders import NOW, a_session
from tests.fakes import FakeClock

TENANTS: Final = 50
_MAX_CONCURRENCY: Final = 16


class Counted:
    """Due rows, subscription rows, sessions and Graph, each made on request."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.calls: Counter[str] = Counter()
        self.largest = 0

    # --- tables

    async def due(
        self, kind: DueKind, now: datetime, *, page: int = 100
    ) -> AsyncIterator[list[DueItem]]:
        """Yield all due items."""
        for start in range(0, self.count, page):
            self.calls["pages of due rows"] += 1
            yield [
                DueItem(now, kind, organization_of(n), mailbox_of(n))
                for n in range(start, min(start + page, self.count))
            ]

    async def put(self, items: Iterable[DueItem]) -> None:
        """Count new due items."""
        self.calls["due rows written"] += len(list(items))

    async def remove(self, items: Iterable[DueItem]) -> None:
        """Count removed due items."""
        self.calls["due rows removed"] += len(list(items))

    async def get(self, mailbox: Mailbox) -> Subscription:
        """Return a subscription at half of its life."""
        self.calls["subscription rows read"] += 1
        return Subscription(
            OrganizationId("o"),
            mailbox,
            SubscriptionState.ACTIVE,
            "nonce",
            id=SubscriptionId(mailbox.object_id),
            expires_at=NOW + SUBSCRIPTION_LIFETIME / 2,
            version="1",
        )

    async def save(self, subscription: Subscription) -> Subscription:
        """Count a saved row."""
        self.calls["subscription rows written"] += 1
        return replace(subscription, version="2")

    async def list_by_mailbox(self, mailbox: Mailbox, **_: object) -> tuple[list[Any], None]:
        """Return one upcoming session."""
        self.calls["session pages read"] += 1
        return [a_session(organizer=mailbox, state=SessionState.SCHEDULED)], None

    # --- Graph

    async def renew(
        self, _: TenantId, ids: Sequence[SubscriptionId], expires_at: datetime
    ) -> list[datetime | Exception]:
        """Renew every subscription."""
        self.calls["requests to Graph"] += 1
        self.largest = max(self.largest, len(ids))
        return [expires_at] * len(ids)


class Queue:
    """The jobs queue; its jobs are handled as fast as they arrive."""

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:  # noqa: ARG002
        """Add a job."""
        self.jobs.append(job)


def organization_of(number: int) -> OrganizationId:
    """Return the organization of subscription *number*."""
    return OrganizationId(f"organization-{number % TENANTS}")


def mailbox_of(number: int) -> Mailbox:
    """Return the mailbox of subscription *number*."""
    return Mailbox(TenantId(str(organization_of(number))), ObjectId(f"person-{number}"))


async def run(count: int) -> tuple[Counted, float, float, float]:
    """Return the counts, the seconds, and the peak megabytes while queueing and in total."""
    rows, queue = Counted(count), Queue()
    anything = cast("Any", rows)
    following = SubscriptionPorts(
        graph=anything,
        subscriptions=anything,
        states=anything,
        sessions=anything,
        due=anything,
        jobs=queue,
        clock=FakeClock(NOW),
    )
    tracemalloc.start()
    began = time.perf_counter()
    await enqueue_renewals(ports=following)
    queueing = tracemalloc.get_traced_memory()[1] / 1e6
    messages = sum(len(job.mailboxes) for job in queue.jobs)
    assert messages == count

    async def work() -> None:
        while queue.jobs:
            job = queue.jobs.popleft()
            organization = Organization(
                job.organization_id, job.mailboxes[0].tenant_id, NOW, ConsentState.GRANTED
            )
            await renew_batch(job, organization, ports=following)

    await asyncio.gather(*(work() for _ in range(_MAX_CONCURRENCY)))
    seconds = time.perf_counter() - began
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return rows, seconds, queueing, peak


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    count = parser.parse_args().count
    rows, seconds, queueing, peak = asyncio.run(run(count))
    print(f"{count:,} subscriptions due, {seconds:.1f} s of our own work in one process")
    for name, calls in rows.calls.most_common():
        print(f"  {calls:>9,} {name}")
    print(f"  at most {rows.largest} in a request to Graph (goal: one request per 20)")
    print(
        f"  peak {queueing:.0f} MB while queueing, {peak:.0f} MB in all, the queue's own included"
    )


if __name__ == "__main__":
    main()
