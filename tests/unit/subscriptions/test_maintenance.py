"""Subscriptions that die without a word, and rows that two write at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.ids import SubscriptionId, TenantId
from shared.jobs import Job, JobKind
from shared.sessions.model import ResponseState
from shared.subscriptions.maintenance import renew_if_stale
from shared.subscriptions.model import Subscription
from tests.unit.notifications.test_crash_recovery import FakeGraph, Office, an_office


async def _row(office: Office) -> Subscription:
    row = await office.subscriptions.get(office.desk.mentee)
    assert row is not None
    return row


async def _answered_unheard(office: Office) -> None:
    """Let the mentor answer and nobody say so; the clock has the session read again."""
    desk = office.desk
    desk.calendar.answered(office.event(), desk.address(desk.mentor), ResponseState.ACCEPTED)
    session = office.sessions[0]
    await office.run(
        [Job(JobKind.RECONCILE, session.organization_id, (desk.mentee,), (session.id,))]
    )


async def test_a_subscription_lost_without_a_word_is_made_anew_when_push_missed_something() -> None:
    office = await an_office()
    office.graph.alive.clear()
    office.desk.clock.advance(timedelta(hours=1))
    await _answered_unheard(office)
    row = await _row(office)
    assert row.id in office.graph.alive
    stored = await office.desk.sessions.get(office.desk.mentee, office.sessions[0].id)
    assert stored.attendees[0].response.state is ResponseState.ACCEPTED


async def test_push_that_was_only_late_costs_a_renewal_an_hour_at_most() -> None:
    office = await an_office()
    office.desk.clock.advance(timedelta(hours=1))
    made = await _row(office)
    for minute in (0, 30, 59):
        office.desk.clock.advance(timedelta(minutes=minute) / 59)
        await renew_if_stale(office.desk.mentee, office.desk.organization, ports=office.following())
    row = await _row(office)
    assert row.id == made.id
    assert office.graph.renewals == 1


@dataclass
class _Pushing(FakeGraph):
    """A push is noted while Graph renews."""

    office: Office | None = None

    async def renew(
        self, tenant_id: TenantId, ids: Sequence[SubscriptionId], expires_at: datetime
    ) -> list[datetime | Exception]:
        assert self.office
        row = await _row(self.office)
        await self.office.subscriptions.save(
            replace(row, last_push_at=self.office.desk.clock.now())
        )
        return await super().renew(tenant_id, ids, expires_at)


async def test_a_push_that_is_noted_meanwhile_does_not_undo_a_renewal() -> None:
    office = await an_office()
    office.graph = _Pushing(office.graph.alive, office=office)
    office.desk.clock.advance(timedelta(hours=1))
    made = await _row(office)
    await renew_if_stale(office.desk.mentee, office.desk.organization, ports=office.following())
    row = await _row(office)
    assert made.expires_at is not None
    assert row.expires_at == made.expires_at + timedelta(hours=1, minutes=5)
    assert row.last_push_at == office.desk.clock.now()
