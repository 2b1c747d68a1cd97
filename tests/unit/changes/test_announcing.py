"""The delivery of a change is queued once the feed has it."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from shared.adapters.webhooks import NotifyingChangeStore
from shared.changes.model import Change
from shared.errors import StoreUnavailable
from shared.ids import OrganizationId
from shared.jobs import Job, JobKind
from tests.builders import a_change, a_uuid
from tests.fakes import InMemoryChanges, InMemoryJobs


class Watched(InMemoryChanges):
    """A feed that notes what was queued when it was written to, and may fail."""

    def __init__(self, jobs: InMemoryJobs) -> None:
        super().__init__()
        self.jobs, self.queued, self.fails = jobs, list[int](), False

    async def append(self, changes: Iterable[Change]) -> None:
        """Append, unless it is to fail."""
        if self.fails:
            raise StoreUnavailable("No answer.")
        await super().append(changes)
        self.queued.append(len(self.jobs.put_jobs))


class NoQueue(InMemoryJobs):
    """A queue that does not answer."""

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:
        """Fail."""
        raise StoreUnavailable("No answer.")


async def test_a_delivery_is_queued_after_the_feed_has_the_change() -> None:
    jobs = InMemoryJobs()
    feed, organization_id = Watched(jobs), OrganizationId(a_uuid())
    store = NotifyingChangeStore(feed, jobs)
    changes = [a_change(organization_id), a_change(organization_id)]
    await store.append(changes)
    assert feed.queued == [0]
    assert [job.kind for job, _ in jobs.put_jobs] == [JobKind.DELIVER]
    assert list(await store.recent(organization_id, 5)) == changes


async def test_what_the_feed_did_not_take_is_not_announced() -> None:
    jobs = InMemoryJobs()
    feed = Watched(jobs)
    feed.fails = True
    with pytest.raises(StoreUnavailable):
        await NotifyingChangeStore(feed, jobs).append([a_change(OrganizationId(a_uuid()))])
    assert jobs.put_jobs == []


async def test_a_queue_that_is_away_keeps_no_change_from_the_feed() -> None:
    feed, organization_id = InMemoryChanges(), OrganizationId(a_uuid())
    change = a_change(organization_id)
    await NotifyingChangeStore(feed, NoQueue()).append([change])
    assert list(await feed.recent(organization_id, 5)) == [change]
