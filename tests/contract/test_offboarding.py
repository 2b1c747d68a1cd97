"""Offboarding removes all of an organization and nothing of another, and is idempotent."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.adapters.tables.client import Tables
from shared.adapters.tables.tenant_rows import TableTenantRows
from shared.administration.offboarding import TIME_BUDGET, OffboardingPorts, offboard
from shared.changes.ports import ChangeStore
from shared.errors import CalendarThrottled, Conflict, ConsentMissing, EventGone, NotFound
from shared.ids import EventId, Mailbox, ObjectId
from shared.jobs import DueItem, DueKind, DueStore
from shared.organizations.model import (
    AccessMode,
    ActingUser,
    ConsentState,
    Organization,
    OrganizationSettings,
)
from shared.organizations.ports import OrganizationStore
from shared.pairings.model import Pairing
from shared.pairings.ports import PairingStore
from shared.sessions import reservations
from shared.sessions.model import Session, SessionState
from shared.sessions.ports import SessionStore
from shared.sessions.reconciliation_schedule import purge_due_item
from shared.subscriptions.model import Subscription
from shared.subscriptions.ports import SubscriptionStore
from tests.builders import (
    a_change,
    a_pairing,
    a_session,
    a_span,
    a_subscription,
    a_uuid,
    an_event_id,
    an_organization,
    at,
)
from tests.fake_probes import FakeGraphSubscriptions, InMemoryTenantRows
from tests.fakes import FakeClock, InMemorySessions, InMemorySubscriptions

DELEGATED = OrganizationSettings()
APPLICATION = OrganizationSettings(access_mode=AccessMode.APPLICATION)


class FakeCalendar:
    """A calendar that cancels meetings, or raises *error* instead."""

    def __init__(self) -> None:
        self.cancelled: list[EventId] = []
        self.error: Exception | None = None

    async def cancel(self, acting: ActingUser, event_id: EventId, comment: str) -> None:
        assert acting.assertion is None
        assert comment
        if self.error is not None:
            raise self.error
        self.cancelled.append(event_id)


class SlowClock(FakeClock):
    """A clock that advances by a minute on each reading."""

    def now(self) -> Any:
        self.advance(timedelta(minutes=1))
        return super().now()


@pytest.fixture
def graph() -> FakeGraphSubscriptions:
    return FakeGraphSubscriptions()


@pytest.fixture
def calendar() -> FakeCalendar:
    return FakeCalendar()


@pytest.fixture
def leaving(
    on_storage: Tables | None,
    organizations: OrganizationStore,
    pairings: PairingStore,
    sessions: SessionStore,
    subscriptions: SubscriptionStore,
    changes: ChangeStore,
    due: DueStore,
    graph: FakeGraphSubscriptions,
    calendar: FakeCalendar,
) -> OffboardingPorts:
    if on_storage is not None:
        rows: Any = TableTenantRows(on_storage)
    else:
        assert isinstance(sessions, InMemorySessions)
        assert isinstance(subscriptions, InMemorySubscriptions)
        rows = InMemoryTenantRows(sessions, subscriptions)
    return OffboardingPorts(
        organizations,
        pairings,
        sessions,
        subscriptions,
        changes,
        due,
        rows,
        graph,
        calendar,  # type: ignore[arg-type]  # the one method that leaving needs
        FakeClock(),
    )


class Customer:
    """An organization with a pairing, a session, a subscription, reminders and a change."""

    def __init__(self, leaving: OffboardingPorts, settings: OrganizationSettings) -> None:
        self.leaving = leaving
        self.organization: Organization = an_organization(
            consent=ConsentState.GRANTED, settings=settings
        )
        tenant_id = self.organization.tenant_id
        assert tenant_id
        self.mentor = Mailbox(tenant_id, ObjectId(a_uuid()))
        self.mentee = Mailbox(tenant_id, ObjectId(a_uuid()))
        self.pairing: Pairing = a_pairing(
            self.mentor, self.mentee, organization_id=self.organization.id
        )
        self.session: Session = a_session(
            self.mentor,
            organizer=self.mentee,
            organization_id=self.organization.id,
            span=a_span(at(10, day=1)),
        )
        self.subscription: Subscription = a_subscription(
            organization_id=self.organization.id, mailbox=self.mentee
        )

    async def move_in(self) -> "Customer":
        ports, now = self.leaving, self.leaving.clock.now()
        self.organization = await ports.organizations.create(self.organization)
        self.pairing = await ports.pairings.put(self.pairing)
        opened = await reservations.create(ports.sessions, self.session, now)
        booked = replace(
            opened, state=SessionState.SCHEDULED, event_id=an_event_id(), held_until=None
        )
        self.session = await reservations.save(ports.sessions, booked)
        await reservations.sync_mailbox(ports.sessions, self.mentor, self.session)
        self.subscription = await ports.subscriptions.save(self.subscription)
        await ports.changes.append([a_change(self.organization.id)])
        await ports.due.put([purge_due_item(self.session, self.organization.settings)])
        return self

    async def is_untouched(self) -> bool:
        ports = self.leaving
        assert await ports.organizations.get(self.organization.id) == self.organization
        assert (await ports.sessions.get(self.mentor, self.session.id)).id == self.session.id
        assert await ports.subscriptions.get(self.mentee) == self.subscription
        assert await ports.pairings.get(self.organization.id, self.pairing.id) == self.pairing
        found, _ = await ports.changes.after(self.organization.id, None, 10)
        return len(found) == 2

    async def is_gone(self) -> bool:
        ports = self.leaving
        with pytest.raises(NotFound):
            await ports.organizations.get(self.organization.id)
        for mailbox in (self.mentor, self.mentee):
            with pytest.raises(NotFound):
                await ports.sessions.get(mailbox, self.session.id)
            own, _ = await ports.pairings.list_by_mailbox(
                self.organization.id, mailbox, after=None, limit=5
            )
            assert not own
        assert await ports.subscriptions.get(self.mentee) is None
        found, _ = await ports.changes.after(self.organization.id, None, 10)
        assert self.organization.tenant_id
        rows = [m async for m in ports.rows.mailboxes(self.organization.tenant_id)]
        return not found and not rows


async def a_customer(
    leaving: OffboardingPorts, settings: OrganizationSettings = DELEGATED
) -> Customer:
    return await Customer(leaving, settings).move_in()


async def test_nothing_is_left_and_nobody_else_is_touched(
    leaving: OffboardingPorts, graph: FakeGraphSubscriptions, calendar: FakeCalendar
) -> None:
    ours, theirs = await a_customer(leaving), await a_customer(leaving)
    removal = await offboard(ours.organization.id, cancel_sessions=False, ports=leaving)
    assert removal.is_complete
    assert (removal.subscriptions, removal.sessions, removal.pairings) == (1, 1, 1)
    assert (removal.mailboxes, removal.changes, removal.organizations) == (2, 2, 1)
    assert removal.rows["session"] == 2
    assert await ours.is_gone()
    assert await theirs.is_untouched()
    assert graph.ended == [ours.subscription.id]
    assert not calendar.cancelled


async def test_no_due_item_outlives_a_complete_removal(leaving: OffboardingPorts) -> None:
    ours, theirs = await a_customer(leaving), await a_customer(leaving)
    now = leaving.clock.now()
    due_at = purge_due_item(ours.session, ours.organization.settings).due_at
    # Put for a session that was moved since, for a mailbox that lost its rows, or postponed.
    left = [
        DueItem(due_at + timedelta(days=days), kind, ours.organization.id, ours.mentor, "s")
        for kind in DueKind
        for days in (-700, 0, 1, 400)
    ]
    stays = DueItem(now, DueKind.LOOK, theirs.organization.id, theirs.mentor)
    await leaving.due.put([*left, stays])
    removal = await offboard(ours.organization.id, cancel_sessions=False, ports=leaving)
    assert removal.is_complete
    assert removal.due == len(left) + 1
    found = [
        item
        for customer in (ours, theirs)
        async for page in leaving.due.of_organization(customer.organization.id)
        for item in page
    ]
    assert sorted(found) == sorted(
        [stays, purge_due_item(theirs.session, theirs.organization.settings)]
    )


async def test_due_items_that_take_too_long_to_find_leave_it_incomplete(
    leaving: OffboardingPorts,
) -> None:
    ours = await a_customer(leaving)
    items = [
        DueItem(ours.session.span.end, DueKind.LOOK, ours.organization.id, ours.mentor, str(n))
        for n in range(2_500)
    ]
    await leaving.due.put(items)
    slow = replace(leaving, clock=SlowClock())
    removal = await offboard(ours.organization.id, cancel_sessions=False, ports=slow)
    assert not removal.is_complete
    assert 0 < removal.due < len(items)
    while not removal.is_complete:
        removal = await offboard(ours.organization.id, cancel_sessions=False, ports=slow)
    assert await ours.is_gone()


async def test_leaving_twice_is_not_an_error(leaving: OffboardingPorts) -> None:
    ours = await a_customer(leaving)
    await offboard(ours.organization.id, cancel_sessions=False, ports=leaving)
    again = await offboard(ours.organization.id, cancel_sessions=False, ports=leaving)
    assert again.is_complete
    assert (again.organizations, again.mailboxes) == (0, 0)


async def test_sessions_of_pairings_that_are_gone_are_found(leaving: OffboardingPorts) -> None:
    ours = await a_customer(leaving)
    await leaving.pairings.delete(ours.organization.id, ours.pairing.id)
    removal = await offboard(ours.organization.id, cancel_sessions=False, ports=leaving)
    assert removal.sessions == 1
    assert await ours.is_gone()


async def test_the_tenant_may_come_back_elsewhere(leaving: OffboardingPorts) -> None:
    ours = await a_customer(leaving)
    await offboard(ours.organization.id, cancel_sessions=False, ports=leaving)
    again = an_organization(tenant_id=ours.organization.tenant_id)
    assert await leaving.organizations.create(again)


async def test_meetings_are_cancelled_only_when_asked(
    leaving: OffboardingPorts, calendar: FakeCalendar
) -> None:
    ours = await a_customer(leaving, APPLICATION)
    removal = await offboard(ours.organization.id, cancel_sessions=True, ports=leaving)
    assert removal.sessions_cancelled == 1
    assert calendar.cancelled == [ours.session.event_id]


async def test_people_who_write_themselves_must_cancel_themselves(
    leaving: OffboardingPorts,
) -> None:
    ours = await a_customer(leaving)
    with pytest.raises(Conflict):
        await offboard(ours.organization.id, cancel_sessions=True, ports=leaving)
    assert await ours.is_untouched()


@pytest.mark.parametrize(
    ("error", "not_cancelled"),
    [(ConsentMissing("denied"), 1), (EventGone("gone"), 0)],
    ids=["denied", "gone"],
)
async def test_a_meeting_that_cannot_be_cancelled_is_counted(
    leaving: OffboardingPorts, calendar: FakeCalendar, error: Exception, not_cancelled: int
) -> None:
    ours = await a_customer(leaving, APPLICATION)
    calendar.error = error
    removal = await offboard(ours.organization.id, cancel_sessions=True, ports=leaving)
    assert removal.sessions_not_cancelled == not_cancelled
    assert removal.sessions_cancelled == 0
    assert await ours.is_gone()


async def test_a_tenant_that_lets_us_in_no_more_can_still_leave(
    leaving: OffboardingPorts, graph: FakeGraphSubscriptions
) -> None:
    ours = await a_customer(leaving)
    graph.error = ConsentMissing("gone")
    removal = await offboard(ours.organization.id, cancel_sessions=False, ports=leaving)
    assert (removal.subscriptions, removal.subscriptions_left) == (0, 1)
    assert await ours.is_gone()


async def test_interrupted_offboarding_resumes(
    leaving: OffboardingPorts, graph: FakeGraphSubscriptions
) -> None:
    ours = await a_customer(leaving)
    graph.error = CalendarThrottled("wait")
    with pytest.raises(CalendarThrottled):
        await offboard(ours.organization.id, cancel_sessions=False, ports=leaving)
    assert (await leaving.organizations.get(ours.organization.id)).is_closing
    graph.error = None
    removal = await offboard(ours.organization.id, cancel_sessions=False, ports=leaving)
    assert removal.is_complete
    assert await ours.is_gone()


async def test_a_large_one_takes_several_requests(leaving: OffboardingPorts) -> None:
    ours = await a_customer(leaving)
    assert ours.organization.tenant_id
    for _ in range(20):
        mailbox = Mailbox(ours.organization.tenant_id, ObjectId(a_uuid()))
        await leaving.subscriptions.save(a_subscription(mailbox=mailbox))
    assert timedelta(minutes=2) > TIME_BUDGET
    slow = replace(leaving, clock=SlowClock())
    runs = 1
    while not (await offboard(ours.organization.id, cancel_sessions=False, ports=slow)).is_complete:
        runs += 1
        assert runs < 10
    assert runs == 2
    assert await ours.is_gone()


async def test_one_that_was_never_connected_can_leave(leaving: OffboardingPorts) -> None:
    organization = await leaving.organizations.create(an_organization(tenant_id=None))
    removal = await offboard(organization.id, cancel_sessions=False, ports=leaving)
    assert removal.is_complete
    assert removal.organizations == 1
