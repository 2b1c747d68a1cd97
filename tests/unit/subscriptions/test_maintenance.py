"""Subscriptions that die without a word, and rows that two write at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.errors import ConsentMissing
from shared.ids import SubscriptionId, TenantId
from shared.jobs import DueItem, DueKind, Job, JobKind, job_for_batch
from shared.sessions.model import ResponseState
from shared.subscriptions.maintenance import enqueue_renewals, renew_batch, renew_if_stale
from shared.subscriptions.model import Subscription
from shared.subscriptions.renewal import renewal_due_at
from tests.unit.notifications.test_crash_recovery import FakeGraph, WorkerEnv, an_office


async def _row(env: WorkerEnv) -> Subscription:
    row = await env.subscriptions.get(env.bookings.mentee)
    assert row is not None
    return row


async def _answered_unheard(env: WorkerEnv) -> None:
    """Let the mentor answer and nobody say so; the clock has the session read again."""
    bookings = env.bookings
    bookings.calendar.answered(
        env.event(), bookings.address(bookings.mentor), ResponseState.ACCEPTED
    )
    session = env.sessions[0]
    await env.run(
        [Job(JobKind.RECONCILE, session.organization_id, (bookings.mentee,), (session.id,))]
    )


async def test_a_subscription_lost_without_a_word_is_made_anew_when_push_missed_something() -> None:
    env = await an_office()
    env.graph.alive.clear()
    env.bookings.clock.advance(timedelta(hours=1))
    await _answered_unheard(env)
    row = await _row(env)
    assert row.id in env.graph.alive
    stored = await env.bookings.sessions.get(env.bookings.mentee, env.sessions[0].id)
    assert stored.attendees[0].response.state is ResponseState.ACCEPTED


async def test_push_that_was_only_late_costs_a_renewal_an_hour_at_most() -> None:
    env = await an_office()
    env.bookings.clock.advance(timedelta(hours=1))
    made = await _row(env)
    for minute in (0, 30, 59):
        env.bookings.clock.advance(timedelta(minutes=minute) / 59)
        await renew_if_stale(env.bookings.mentee, env.bookings.organization, ports=env.following())
    row = await _row(env)
    assert row.id == made.id
    assert env.graph.renewals == 1


async def test_a_due_item_that_comes_early_does_not_take_the_next_renewal_away() -> None:
    env = await an_office()
    row = await _row(env)
    early = DueItem(env.bookings.clock.now(), DueKind.RENEWAL, row.organization_id, row.mailbox)
    later = replace(early, due_at=renewal_due_at(row) or early.due_at)
    due = env.following().due
    await due.remove([later])
    await due.put([early])
    job = job_for_batch(JobKind.RENEW, [early])
    done = await renew_batch(job, env.bookings.organization, ports=env.following())
    assert (done.renewed, env.graph.renewals) == (0, 0)
    assert await due.oldest(DueKind.RENEWAL) == later


@dataclass
class _Pushing(FakeGraph):
    """A push is noted while Graph renews."""

    env: WorkerEnv | None = None

    async def renew(
        self, tenant_id: TenantId, ids: Sequence[SubscriptionId], expires_at: datetime
    ) -> list[datetime | Exception]:
        assert self.env
        row = await _row(self.env)
        await self.env.subscriptions.save(replace(row, last_push_at=self.env.bookings.clock.now()))
        return await super().renew(tenant_id, ids, expires_at)


async def test_a_push_that_is_noted_meanwhile_does_not_undo_a_renewal() -> None:
    env = await an_office()
    env.graph = _Pushing(env.graph.alive, env=env)
    env.bookings.clock.advance(timedelta(hours=1))
    made = await _row(env)
    await renew_if_stale(env.bookings.mentee, env.bookings.organization, ports=env.following())
    row = await _row(env)
    assert made.expires_at is not None
    assert row.expires_at == made.expires_at + timedelta(hours=1, minutes=5)
    assert row.last_push_at == env.bookings.clock.now()


@dataclass
class _Denying(FakeGraph):
    """Graph lets the app neither renew nor delete anything."""

    async def renew(
        self, tenant_id: TenantId, ids: Sequence[SubscriptionId], expires_at: datetime
    ) -> list[datetime | Exception]:
        self.renewals += 1
        raise ConsentMissing("no")

    async def delete(self, tenant_id: TenantId, subscription_id: SubscriptionId) -> None:
        raise ConsentMissing("no")


async def test_a_subscription_that_graph_denies_is_kept_and_renewed_some_hours_later() -> None:
    env = await an_office()
    bookings, made = env.bookings, await _row(env)
    now = bookings.clock.now()
    row = await env.subscriptions.save(replace(made, expires_at=now + timedelta(days=1)))
    env.graph = _Denying(env.graph.alive)
    item = DueItem(now, DueKind.RENEWAL, row.organization_id, row.mailbox)
    await bookings.due.put([item])
    for _ in range(16):
        await enqueue_renewals(ports=env.following())
        await env.run([])
        bookings.clock.advance(timedelta(minutes=15))
    assert env.graph.renewals == 1
    assert (await _row(env)).id == made.id
    env.graph = FakeGraph(env.graph.alive)
    bookings.clock.advance(timedelta(hours=2))
    await enqueue_renewals(ports=env.following())
    await env.run([])
    assert env.graph.renewals == 1
    assert (await _row(env)).renewed_at == bookings.clock.now()


async def test_a_subscription_that_graph_does_not_let_the_app_delete_is_kept() -> None:
    env = await an_office()
    env.graph = _Denying(env.graph.alive)
    env.bookings.clock.advance(timedelta(days=4))  # no session is ahead any more
    await enqueue_renewals(ports=env.following())
    await env.run([])
    assert (await _row(env)).id in env.graph.alive
