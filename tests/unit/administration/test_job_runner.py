"""Jobs of organizations that took their approval back, are leaving, or are gone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from shared.administration.job_runner import discard_job, requeue_job, run_job
from shared.jobs import DueItem, DueKind, Job, JobKind, job_for_batch
from shared.organizations.model import ConsentState, Organization
from shared.subscriptions.maintenance import SubscriptionPorts
from tests.builders import a_due_item, a_mailbox, an_organization
from tests.fakes import InMemoryDue
from tests.unit.sessions.conftest import BookingEnv, a_booking_env

WAITING = [JobKind.VERIFY, JobKind.SETTLE, JobKind.SUBSCRIBE, JobKind.LOOK]
COMING_BACK = [JobKind.RENEW, JobKind.RECONCILE]


def a_job(kind: JobKind) -> Job:
    return Job(kind, an_organization().id, (a_mailbox(),))


async def done(env: BookingEnv, kind: JobKind, organization: Organization) -> list[Any]:
    """Do a job, which must not touch anything; return what was put back."""
    await run_job(
        a_job(kind),
        organization,
        ports=env.ports,
        subscription_ports=cast("SubscriptionPorts", None),
        look_ports=cast("Any", None),
    )
    return env.jobs.put_jobs


@pytest.mark.parametrize("kind", WAITING)
async def test_unrepeated_jobs_wait_for_consent(kind: JobKind) -> None:
    (put,) = await done(a_booking_env(), kind, an_organization(consent=ConsentState.WITHDRAWN))
    job, delay = put
    assert job.kind is kind
    assert job.attempt == 1
    assert delay.total_seconds() == 3600


@pytest.mark.parametrize("kind", COMING_BACK)
async def test_recurring_jobs_are_dropped_without_consent(kind: JobKind) -> None:
    assert not await done(a_booking_env(), kind, an_organization(consent=ConsentState.WITHDRAWN))


@pytest.mark.parametrize("kind", [*WAITING, *COMING_BACK])
async def test_nothing_is_begun_for_an_organization_that_leaves(kind: JobKind) -> None:
    assert not await done(a_booking_env(), kind, an_organization(is_closing=True))


@pytest.mark.parametrize(
    ("kind", "due_kind"),
    [
        (JobKind.RENEW, DueKind.RENEWAL),
        (JobKind.RECONCILE, DueKind.RECONCILIATION),
        (JobKind.LOOK, DueKind.LOOK),
        (JobKind.PURGE, DueKind.PURGE),
    ],
)
async def test_reminders_of_an_organization_that_is_gone_are_removed(
    kind: JobKind, due_kind: DueKind
) -> None:
    item: DueItem = a_due_item(
        kind=due_kind, key="" if kind in {JobKind.RENEW, JobKind.LOOK} else "session"
    )
    other = replace(item, mailbox=a_mailbox())
    due = InMemoryDue()
    await due.put([item, other])
    await discard_job(job_for_batch(kind, [item]), due=due)
    assert await due.oldest(due_kind) == other


async def test_other_jobs_of_an_organization_that_is_gone_are_forgotten() -> None:
    due, reminder = InMemoryDue(), a_due_item()
    await due.put([reminder])
    await discard_job(a_job(JobKind.VERIFY), due=due)
    assert await due.oldest(reminder.kind) == reminder


@pytest.mark.parametrize("kind", COMING_BACK)
async def test_throttled_items_are_postponed_to_one_due_time(kind: JobKind) -> None:
    env = a_booking_env()
    due_kind = {JobKind.RENEW: DueKind.RENEWAL, JobKind.RECONCILE: DueKind.RECONCILIATION}[kind]
    one = a_due_item(env.clock.now(), kind=due_kind)
    items = [one, replace(one, mailbox=a_mailbox(one.mailbox.tenant_id))]
    if kind is JobKind.RECONCILE:
        items = [replace(item, key=key) for item, key in zip(items, "ab", strict=True)]
    await env.due.put(items)
    job = job_for_batch(kind, items)
    for _ in range(2):
        env.clock.advance(timedelta(seconds=1))
        await requeue_job(
            job,
            timedelta(seconds=90),
            jobs=env.jobs,
            due=env.due,
            clock=env.clock,
        )
    assert env.jobs.put_jobs == []
    later = {replace(item, due_at=env.clock.now() + timedelta(seconds=118)) for item in items}
    assert env.due._items == later


async def test_other_throttled_jobs_wait_as_messages() -> None:
    env, job = a_booking_env(), a_job(JobKind.VERIFY)
    await requeue_job(job, timedelta(seconds=90), jobs=env.jobs, due=env.due, clock=env.clock)
    assert env.jobs.put_jobs == [(replace(job, attempt=1), timedelta(seconds=90))]
