"""The cost of renewals: real tables, and many rows that are not due."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from benchmarks.renewals import run
from shared.adapters.tables.client import Row, Tables
from shared.adapters.tables.due import TableDue
from shared.adapters.tables.keys import DUE
from shared.ids import OrganizationId
from shared.jobs import DueItem, DueKind
from shared.subscriptions.maintenance import SubscriptionPorts, enqueue_renewals
from tests.builders import NOW, a_mailbox, a_tenant
from tests.fakes import FakeClock, InMemoryJobs

DUE_NOW, LATER = 60, 600


async def test_only_what_is_due_is_read(
    tables: Tables, stored_due: TableDue, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, due, jobs = FakeClock(NOW + timedelta(days=500)), stored_due, InMemoryJobs()
    tenant = a_tenant()
    organization = OrganizationId("organization")

    def items(count: int, at: datetime) -> list[DueItem]:
        return [DueItem(at, DueKind.RENEWAL, organization, a_mailbox(tenant)) for _ in range(count)]

    await due.put(items(DUE_NOW, clock.now() - timedelta(minutes=1)))
    await due.put(items(LATER, clock.now() + timedelta(hours=3)))
    read: Counter[str] = Counter()
    pages = tables.pages

    async def counted(table: str, *arguments: Any, **options: Any) -> Any:
        async for page in pages(table, *arguments, **options):
            rows: Sequence[Row] = page
            read[table] += len(rows)
            yield page

    monkeypatch.setattr(tables, "pages", counted)
    nothing = cast("Any", None)
    following = SubscriptionPorts(
        graph=nothing, subscriptions=nothing, states=nothing, sessions=nothing,
        due=due, jobs=jobs, clock=clock,
    )  # fmt: skip
    assert await enqueue_renewals(ports=following) == DUE_NOW
    assert read[DUE] == DUE_NOW
    assert [len(job.mailboxes) for job, _ in jobs.put_jobs] == [20, 20, 20]


async def test_twenty_are_renewed_in_a_request_and_memory_stays_flat() -> None:
    rows, _, _, small = await run(2_000)
    assert rows.calls["requests to Graph"] == 100
    assert rows.calls["subscription rows read"] == 2_000
    _, _, _, large = await run(8_000)
    # Only this process's list of ids to renew grows.
    assert large - small < 8
