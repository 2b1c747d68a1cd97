"""What the worker does with one message."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import cast

import pytest

from shared.changes.model import ChangeKind
from shared.errors import CalendarThrottled, CalendarUnavailable
from shared.ids import EventId, Mailbox, ObjectId, SubscriptionId
from shared.notifications.dispatch import PutBack, dispatch
from shared.notifications.fairness import AT_ONCE, Turns
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.organizations.model import ConsentState
from shared.sessions.model import ResponseState, SeenEvent, Session
from shared.sessions.ports import JobKind
from shared.subscriptions.model import Subscription
from shared.subscriptions.ports import ClientStates, GraphSubscriptions
from shared.subscriptions.upkeep import Following
from tests.builders import a_mailbox
from tests.fakes import InMemoryOrganizations, InMemorySubscriptions
from tests.outlook import FakeCalendar
from tests.unit.sessions.conftest import Desk, a_desk, a_request, book_one


@dataclass
class Office:
    """A desk, and what follows mailboxes."""

    desk: Desk
    organizations: InMemoryOrganizations
    turns: Turns = field(default_factory=Turns)
    subscriptions: InMemorySubscriptions = field(default_factory=InMemorySubscriptions)

    async def handle(self, *changes: MailboxChanges) -> list[PutBack]:
        """Handle *changes* as one message."""
        desk = self.desk
        following = Following(
            graph=cast("GraphSubscriptions", None),
            subscriptions=self.subscriptions,
            states=cast("ClientStates", None),
            sessions=desk.sessions,
            due=desk.due,
            jobs=desk.jobs,
            clock=desk.clock,
        )
        return await dispatch(
            changes,
            desk.clock.now(),
            books=desk.books,
            following=following,
            organizations=self.organizations,
            turns=self.turns,
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
        await book_one(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)
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


@pytest.mark.parametrize("in_one", [True, False], ids=["one message", "two messages"])
async def test_one_mailbox_is_read_by_few_at_once(office: Office, *, in_one: bool) -> None:
    desk = office.desk
    sessions = []
    for hour in range(8, 16):
        request = a_request(f"key{hour}", hour)
        sessions.append(
            await book_one(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)
        )
    desk.calendar = crowded = _Crowded(desk.outlook)
    for event in desk.outlook.events:
        crowded.answered(event, desk.address(desk.mentor), ResponseState.ACCEPTED)
    ids = [str(each.event_id) for each in sessions]
    messages = [ids] if in_one else [ids[::2], ids[1::2]]
    await asyncio.gather(*(office.handle(said(desk.mentee, *each)) for each in messages))
    assert 1 < crowded.most <= AT_ONCE
    for each in sessions:
        stored = await desk.sessions.get(desk.mentee, each.id)
        assert stored.attendees[0].response.state is ResponseState.ACCEPTED


async def test_deliveries_of_one_change_are_read_once_and_told_once(office: Office) -> None:
    desk = office.desk
    session = await book_one(
        desk.acting(desk.mentee), desk.pairing, a_request("key", 10), books=desk.books
    )
    desk.calendar.answered(
        desk.outlook.events[0], desk.address(desk.mentor), ResponseState.ACCEPTED
    )
    (event,) = desk.outlook.events
    notice = MailboxChanges(
        desk.mentee,
        SubscriptionId("s"),
        (ChangedEvent(EventId(str(session.event_id)), event.seen.etag),),
    )
    desk.outlook.calls.clear()
    await asyncio.gather(*(office.handle(notice) for _ in range(3)))
    assert desk.outlook.calls.count("read") == 1
    told = [change.kind for change in await desk.changes.recent(desk.organization.id, 10)]
    assert told.count(ChangeKind.RESPONDED) == 1


class _Refusing(FakeCalendar):
    """Refuses what it is told to, and counts."""

    def __init__(self, desk: Desk, refusal: Exception, refused: Callable[[EventId], bool]) -> None:
        super().__init__(desk.outlook)
        self._refusal, self._refused = refusal, refused
        self.asked: list[EventId] = []

    async def read(self, organizer: Mailbox, event_id: EventId) -> SeenEvent:
        self.asked.append(event_id)
        if self._refused(event_id):
            raise self._refusal
        return await super().read(organizer, event_id)


async def two_organizers(office: Office) -> tuple[Session, Session]:
    """Let mentee and mentor book a session each; both are then accepted in Outlook."""
    desk = office.desk
    booked = [
        await book_one(
            desk.acting(who), desk.pairing, a_request(f"key{hour}", hour), books=desk.books
        )
        for hour, who in ((10, desk.mentee), (12, desk.mentor))
    ]
    for event, other in zip(desk.outlook.events, (desk.mentor, desk.mentee), strict=True):
        desk.calendar.answered(event, desk.address(other), ResponseState.ACCEPTED)
    return booked[0], booked[1]


async def is_accepted(office: Office, session: Session) -> bool:
    stored = await office.desk.sessions.get(session.organizer, session.id)
    return stored.attendees[0].response.state is ResponseState.ACCEPTED


async def test_a_throttled_mailbox_keeps_nobody_else_waiting(office: Office) -> None:
    desk = office.desk
    throttled, other = await two_organizers(office)
    desk.calendar = _Refusing(
        desk, CalendarThrottled("wait", retry_after_seconds=7), lambda e: e == throttled.event_id
    )
    (put_back,) = await office.handle(
        said(desk.mentee, "foreign", str(throttled.event_id)),
        said(desk.mentor, str(other.event_id)),
    )
    assert put_back.retry_after_seconds == 7
    assert put_back.changes.mailbox == desk.mentee
    assert [event.event_id for event in put_back.changes.events] == [throttled.event_id]
    assert await is_accepted(office, other)
    desk.calendar = FakeCalendar(desk.outlook)
    assert await office.handle(put_back.changes) == []
    assert await is_accepted(office, throttled)


async def test_who_is_asked_to_wait_is_not_asked_again_in_that_message(office: Office) -> None:
    desk = office.desk
    sessions = [
        await book_one(
            desk.acting(desk.mentee), desk.pairing, a_request(f"key{hour}", hour), books=desk.books
        )
        for hour in range(8, 16)
    ]
    desk.calendar = refusing = _Refusing(
        desk, CalendarThrottled("wait", retry_after_seconds=None), lambda _: True
    )
    ids = [str(each.event_id) for each in sessions]
    (put_back,) = await office.handle(said(desk.mentee, *ids))
    assert len(refusing.asked) <= AT_ONCE
    assert put_back.retry_after_seconds is None
    assert sorted(event.event_id for event in put_back.changes.events) == sorted(ids)


async def test_what_fails_is_told_when_the_rest_is_done(office: Office) -> None:
    desk = office.desk
    failing, other = await two_organizers(office)
    desk.calendar = _Refusing(desk, CalendarUnavailable("503"), lambda e: e == failing.event_id)
    with pytest.raises(CalendarUnavailable):
        await office.handle(
            said(desk.mentee, str(failing.event_id)), said(desk.mentor, str(other.event_id))
        )
    assert await is_accepted(office, other)


async def test_that_push_works_is_looked_up_once_a_minute(office: Office) -> None:
    asked: list[Mailbox] = []
    get = office.subscriptions.get

    async def counted(mailbox: Mailbox) -> Subscription | None:
        asked.append(mailbox)
        return await get(mailbox)

    office.subscriptions.get = counted  # type: ignore[method-assign]
    mentee, mentor = office.desk.mentee, office.desk.mentor
    for number in range(3):
        await office.handle(said(mentee, f"a{number}"), said(mentor, f"b{number}"))
    assert sorted(asked, key=str) == sorted([mentee, mentor], key=str)
    office.desk.clock.advance(timedelta(minutes=1))
    await office.handle(said(mentee, "c"))
    assert len(asked) == 3


async def test_who_took_the_approval_back_is_left_alone(office: Office) -> None:
    desk = office.desk
    session = await book_one(
        desk.acting(desk.mentee), desk.pairing, a_request("key", 10), books=desk.books
    )
    await office.organizations.save(replace(desk.organization, consent=ConsentState.WITHDRAWN))
    desk.outlook.calls.clear()
    await office.handle(said(desk.mentee, str(session.event_id)))
    assert desk.outlook.calls == []
