"""The function of the jobs queue, on fakes."""

from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest

from functions import jobs
from shared.adapters.queues import job_message
from shared.jobs import Job, JobKind
from tests.builders import a_change
from tests.edge.api import Api


async def _run(job: Job) -> None:
    builder: Any = jobs.do_job
    handler = builder._function.get_user_function()
    await handler(func.QueueMessage(id="1", body=job_message(job)))


@pytest.mark.parametrize(("kind", "left"), [(JobKind.PURGE, [1, 2]), (JobKind.DELIVER, [0, 1, 2])])
async def test_a_purge_removes_changes_older_than_the_retention(
    api: Api, kind: JobKind, left: list[int]
) -> None:
    organization = api.env.organization
    end_of_retention = api.clock.now() - organization.settings.retention
    ages = [timedelta(seconds=-1), timedelta(), timedelta(seconds=1)]
    changes = [
        a_change(organization.id, id=str(number), at=end_of_retention + age)
        for number, age in enumerate(ages)
    ]
    await api.env.changes.append(changes)
    await _run(Job(kind, organization.id, ()))
    kept, _ = await api.env.changes.after(organization.id, None, 10)
    assert kept == [changes[number] for number in left]
