"""What the worker does with one message."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

import pytest

from shared.errors import CalendarThrottled
from shared.ids import EventId, Mailbox, ObjectId, SubscriptionId
from shared.notifications.dispatch import AT_ONCE, dispatch
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.organizations.model import ConsentState
from shared.sessions.booking import book
from shared.sessions.model import ResponseState, SeenEvent
from shared.sessions.ports import JobKind
from shared.subscriptions.ports import ClientStates, GraphSubscriptions
from shared.subscriptions.upkeep import Following
from tests.builders import a_mailbox
from tests.fakes import InMemoryOrganizations, InMemorySubscriptions
from tests.outlook import FakeCalendar
from tests.unit.sessions.conftest import Desk, a_desk, a_request


@dataclass
class Office:
    """A desk, and what follows mailboxes."""

    desk: Desk
    organizations: InMemoryOrganizations

    async def handle(self, *changes: MailboxChanges) -> None:
        """Handle *changes* as one message."""
        desk = self.desk
        following = Following(
            graph=cast("GraphSubscriptions", None),
            subscriptions=InMemorySubscriptions(),
            states=cast("ClientStates", None),
            sessions=desk.sessions,
            due=desk.due,
            jobs=desk.jobs,
            clock=desk.clock,
        )
        await dispatch(
            changes,
            desk.clock.now(),
            books=desk.books,
            following=following,
            organizations=self.organizations,
        )


@pytest.fixture
async def office() -> Office:
    desk, organizations = a_desk(), InMemoryOrganizations()
    stored = await organizations.create(desk.organization)
    desk.organization = stored
    return Office(desk, organizations)


def said(mailbox: Mailbox, *events: str, lifecycle: tuple[str, ...] = ()) -> MailboxChanges:
    return MailboxChanges(
        mailbox,
        SubscriptionId("s"),
        tuple(ChangedEvent(EventId(each), "new", deleted=False) for each in events),
        lifecycle,
    )


async def test_missed_has_every_session_read_again_once(office: Office) -> None:
    desk = office.desk
    for hour in (10, 12):
        request = a_request(f"key{hour}", hour)
        await book(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)
    desk.jobs.put_jobs.clear()
    await office.handle(said(desk.mentee, lifecycle=("missed",)))
    ((job, delay),) = desk.jobs.put_jobs
    assert (job.kind, len(job.session_ids), delay) == (JobKind.RECONCILE, 2, timedelta())


async def test_other_peoples_meetings_cost_no_call(office: Office) -> None:
    desk = office.desk
    await office.handle(said(desk.mentee, *(f"event-{n}" for n in range(50))))
    assert desk.outlook.calls == []


async def test_a_tenant_is_looked_up_once_a_message(office: Office) -> None:
    desk, asked = office.desk, []
    of_tenant = office.organizations.of_tenant

    async def counted(tenant_id: object) -> object:
        asked.append(tenant_id)
        return await of_tenant(tenant_id)  # type: ignore[arg-type]

    office.organizations.of_tenant = counted  # type: ignore[method-assign,assignment]
    people = [Mailbox(desk.mentee.tenant_id, ObjectId(f"person-{n}")) for n in range(9)]
    await office.handle(*(said(person, "event") for person in people), said(a_mailbox(), "event"))
    assert len(asked) == 2


class _Crowded(FakeCalendar):
    """Counts how many reads go on at once."""

    now = most = 0

    async def read(self, organizer: Mailbox, event_id: EventId) -> SeenEvent:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            return await super().read(organizer, event_id)
        finally:
            self.now -= 1


async def test_one_mailbox_is_read_by_few_at_once(office: Office) -> None:
    desk = office.desk
    sessions = []
    for hour in range(8, 16):
        request = a_request(f"key{hour}", hour)
        sessions.append(
            await book(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)
        )
    desk.calendar = crowded = _Crowded(desk.outlook)
    for event in desk.outlook.events:
        crowded.answered(event, desk.address(desk.mentor), ResponseState.ACCEPTED)
    await office.handle(said(desk.mentee, *(str(each.event_id) for each in sessions)))
    assert 1 < crowded.most <= AT_ONCE
    for each in sessions:
        stored = await desk.sessions.get(desk.mentee, each.id)
        assert stored.attendees[0].response.state is ResponseState.ACCEPTED


async def test_throttling_brings_the_whole_message_back(office: Office) -> None:
    desk = office.desk
    session = await book(
        desk.acting(desk.mentee), desk.pairing, a_request("key", 10), books=desk.books
    )

    class Throttled(FakeCalendar):
        async def read(self, organizer: Mailbox, event_id: EventId) -> SeenEvent:
            raise CalendarThrottled("wait", retry_after_seconds=7)

    desk.calendar = Throttled(desk.outlook)
    with pytest.raises(CalendarThrottled) as raised:
        await office.handle(said(desk.mentee, "foreign", str(session.event_id)))
    assert raised.value.retry_after_seconds == 7


async def test_who_took_the_approval_back_is_left_alone(office: Office) -> None:
    desk = office.desk
    session = await book(
        desk.acting(desk.mentee), desk.pairing, a_request("key", 10), books=desk.books
    )
    await office.organizations.save(replace(desk.organization, consent=ConsentState.WITHDRAWN))
    desk.outlook.calls.clear()
    await office.handle(said(desk.mentee, str(session.event_id)))
    assert desk.outlook.calls == []
