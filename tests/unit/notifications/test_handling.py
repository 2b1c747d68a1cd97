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
from shared.jobs import JobKind
from shared.notifications.handling import DeferredChanges, handle_notifications
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.notifications.rate_limiting import (
    MAX_CONCURRENT_EVENTS,
    MailboxLimiter,
    PushSeenThrottle,
)
from shared.organizations.model import ConsentState
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.model import ResponseState, Session
from shared.subscriptions.maintenance import SubscriptionPorts
from shared.subscriptions.model import Subscription
from shared.subscriptions.ports import ClientStateSigner, GraphSubscriptions
from tests.builders import a_mailbox
from tests.fake_outlook import FakeCalendar
from tests.fakes import InMemoryOrganizations, InMemorySubscriptions
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one


@dataclass
class NotificationEnv:
    """A booking environment, and the handling of its notifications."""

    bookings: BookingEnv
    organizations: InMemoryOrganizations
    limiter: MailboxLimiter = field(default_factory=MailboxLimiter)
    push_seen: PushSeenThrottle = field(default_factory=PushSeenThrottle)
    subscriptions: InMemorySubscriptions = field(default_factory=InMemorySubscriptions)

    async def handle(self, *changes: MailboxChanges) -> list[DeferredChanges]:
        """Handle *changes* as one message."""
        bookings = self.bookings
        following = SubscriptionPorts(
            graph=cast("GraphSubscriptions", None),
            subscriptions=self.subscriptions,
            states=cast("ClientStateSigner", None),
            sessions=bookings.sessions,
            due=bookings.due,
            jobs=bookings.jobs,
            clock=bookings.clock,
        )
        return await handle_notifications(
            changes,
            bookings.clock.now(),
            ports=bookings.ports,
            subscription_ports=following,
            organizations=self.organizations,
            limiter=self.limiter,
            push_seen=self.push_seen,
        )


@pytest.fixture
async def env() -> NotificationEnv:
    bookings, organizations = a_booking_env(), InMemoryOrganizations()
    stored = await organizations.create(bookings.organization)
    bookings.organization = stored
    return NotificationEnv(bookings, organizations)


def said(mailbox: Mailbox, *events: str, lifecycle: tuple[str, ...] = ()) -> MailboxChanges:
    return MailboxChanges(
        mailbox,
        SubscriptionId("s"),
        tuple(ChangedEvent(EventId(each), "new", deleted=False) for each in events),
        lifecycle,
    )


async def test_missed_has_every_session_read_again_once(env: NotificationEnv) -> None:
    bookings = env.bookings
    for hour in (10, 12):
        request = a_request(f"key{hour}", hour)
        await book_one(
            bookings.acting(bookings.mentee),
            bookings.pairing,
            request,
            ports=bookings.ports,
        )
    bookings.jobs.put_jobs.clear()
    await env.handle(said(bookings.mentee, lifecycle=("missed",)))
    ((job, delay),) = bookings.jobs.put_jobs
    assert (job.kind, len(job.session_ids), delay) == (JobKind.RECONCILE, 2, timedelta())


async def test_other_peoples_meetings_cost_no_call(env: NotificationEnv) -> None:
    bookings = env.bookings
    await env.handle(said(bookings.mentee, *(f"event-{n}" for n in range(50))))
    assert bookings.outlook.calls == []


async def test_a_tenant_is_looked_up_once_a_message(env: NotificationEnv) -> None:
    bookings, asked = env.bookings, []
    of_tenant = env.organizations.of_tenant

    async def counted(tenant_id: object) -> object:
        asked.append(tenant_id)
        return await of_tenant(tenant_id)  # type: ignore[arg-type]

    env.organizations.of_tenant = counted  # type: ignore[method-assign,assignment]
    people = [Mailbox(bookings.mentee.tenant_id, ObjectId(f"person-{n}")) for n in range(9)]
    await env.handle(*(said(person, "event") for person in people), said(a_mailbox(), "event"))
    assert len(asked) == 2


class ThrottledCalendar(FakeCalendar):
    """Counts how many reads go on at once."""

    now = most = 0

    async def read(self, organizer: Mailbox, event_id: EventId) -> CalendarEvent:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            return await super().read(organizer, event_id)
        finally:
            self.now -= 1


@pytest.mark.parametrize("in_one", [True, False], ids=["one message", "two messages"])
async def test_one_mailbox_is_read_by_few_at_once(env: NotificationEnv, *, in_one: bool) -> None:
    bookings = env.bookings
    sessions = []
    for hour in range(8, 16):
        request = a_request(f"key{hour}", hour)
        sessions.append(
            await book_one(
                bookings.acting(bookings.mentee),
                bookings.pairing,
                request,
                ports=bookings.ports,
            )
        )
    bookings.calendar = crowded = ThrottledCalendar(bookings.outlook)
    for event in bookings.outlook.events:
        crowded.answered(event, bookings.address(bookings.mentor), ResponseState.ACCEPTED)
    ids = [str(each.event_id) for each in sessions]
    messages = [ids] if in_one else [ids[::2], ids[1::2]]
    await asyncio.gather(*(env.handle(said(bookings.mentee, *each)) for each in messages))
    assert 1 < crowded.most <= MAX_CONCURRENT_EVENTS
    for each in sessions:
        stored = await bookings.sessions.get(bookings.mentee, each.id)
        assert stored.attendees[0].response.state is ResponseState.ACCEPTED


async def test_deliveries_of_one_change_are_read_once_and_told_once(env: NotificationEnv) -> None:
    bookings = env.bookings
    session = await book_one(
        bookings.acting(bookings.mentee),
        bookings.pairing,
        a_request("key", 10),
        ports=bookings.ports,
    )
    bookings.calendar.answered(
        bookings.outlook.events[0],
        bookings.address(bookings.mentor),
        ResponseState.ACCEPTED,
    )
    (event,) = bookings.outlook.events
    notice = MailboxChanges(
        bookings.mentee,
        SubscriptionId("s"),
        (ChangedEvent(EventId(str(session.event_id)), event.seen.etag),),
    )
    bookings.outlook.calls.clear()
    await asyncio.gather(*(env.handle(notice) for _ in range(3)))
    assert bookings.outlook.calls.count("read") == 1
    told = [change.kind for change in await bookings.changes.recent(bookings.organization.id, 10)]
    assert told.count(ChangeKind.RESPONDED) == 1


class _Refusing(FakeCalendar):
    """Refuses what it is told to, and counts."""

    def __init__(
        self, bookings: BookingEnv, refusal: Exception, refused: Callable[[EventId], bool]
    ) -> None:
        super().__init__(bookings.outlook)
        self._refusal, self._refused = refusal, refused
        self.asked: list[EventId] = []

    async def read(self, organizer: Mailbox, event_id: EventId) -> CalendarEvent:
        self.asked.append(event_id)
        if self._refused(event_id):
            raise self._refusal
        return await super().read(organizer, event_id)


async def two_organizers(env: NotificationEnv) -> tuple[Session, Session]:
    """Let mentee and mentor book a session each; both are then accepted in Outlook."""
    bookings = env.bookings
    booked = [
        await book_one(
            bookings.acting(who),
            bookings.pairing,
            a_request(f"key{hour}", hour),
            ports=bookings.ports,
        )
        for hour, who in ((10, bookings.mentee), (12, bookings.mentor))
    ]
    for event, other in zip(
        bookings.outlook.events, (bookings.mentor, bookings.mentee), strict=True
    ):
        bookings.calendar.answered(event, bookings.address(other), ResponseState.ACCEPTED)
    return booked[0], booked[1]


async def is_accepted(env: NotificationEnv, session: Session) -> bool:
    stored = await env.bookings.sessions.get(session.organizer, session.id)
    return stored.attendees[0].response.state is ResponseState.ACCEPTED


async def test_a_throttled_mailbox_keeps_nobody_else_waiting(env: NotificationEnv) -> None:
    bookings = env.bookings
    throttled, other = await two_organizers(env)
    bookings.calendar = _Refusing(
        bookings,
        CalendarThrottled("wait", retry_after_seconds=7),
        lambda e: e == throttled.event_id,
    )
    (put_back,) = await env.handle(
        said(bookings.mentee, "foreign", str(throttled.event_id)),
        said(bookings.mentor, str(other.event_id)),
    )
    assert put_back.retry_after_seconds == 7
    assert put_back.changes.mailbox == bookings.mentee
    assert [event.event_id for event in put_back.changes.events] == [throttled.event_id]
    assert await is_accepted(env, other)
    bookings.calendar = FakeCalendar(bookings.outlook)
    assert await env.handle(put_back.changes) == []
    assert await is_accepted(env, throttled)


async def test_throttled_mailbox_is_not_asked_again_in_that_message(
    env: NotificationEnv,
) -> None:
    bookings = env.bookings
    sessions = [
        await book_one(
            bookings.acting(bookings.mentee),
            bookings.pairing,
            a_request(f"key{hour}", hour),
            ports=bookings.ports,
        )
        for hour in range(8, 16)
    ]
    bookings.calendar = refusing = _Refusing(
        bookings, CalendarThrottled("wait", retry_after_seconds=None), lambda _: True
    )
    ids = [str(each.event_id) for each in sessions]
    (put_back,) = await env.handle(said(bookings.mentee, *ids))
    assert len(refusing.asked) <= MAX_CONCURRENT_EVENTS
    assert put_back.retry_after_seconds is None
    assert sorted(event.event_id for event in put_back.changes.events) == sorted(ids)


async def test_failure_is_raised_after_the_other_mailboxes(env: NotificationEnv) -> None:
    bookings = env.bookings
    failing, other = await two_organizers(env)
    bookings.calendar = _Refusing(
        bookings, CalendarUnavailable("503"), lambda e: e == failing.event_id
    )
    with pytest.raises(CalendarUnavailable):
        await env.handle(
            said(bookings.mentee, str(failing.event_id)),
            said(bookings.mentor, str(other.event_id)),
        )
    assert await is_accepted(env, other)


async def test_that_push_works_is_looked_up_once_a_minute(env: NotificationEnv) -> None:
    asked: list[Mailbox] = []
    get = env.subscriptions.get

    async def counted(mailbox: Mailbox) -> Subscription | None:
        asked.append(mailbox)
        return await get(mailbox)

    env.subscriptions.get = counted  # type: ignore[method-assign]
    mentee, mentor = env.bookings.mentee, env.bookings.mentor
    for number in range(3):
        await env.handle(said(mentee, f"a{number}"), said(mentor, f"b{number}"))
    assert sorted(asked, key=str) == sorted([mentee, mentor], key=str)
    env.bookings.clock.advance(timedelta(minutes=1))
    await env.handle(said(mentee, "c"))
    assert len(asked) == 3


async def test_organization_without_consent_is_skipped(env: NotificationEnv) -> None:
    bookings = env.bookings
    session = await book_one(
        bookings.acting(bookings.mentee),
        bookings.pairing,
        a_request("key", 10),
        ports=bookings.ports,
    )
    await env.organizations.save(replace(bookings.organization, consent=ConsentState.WITHDRAWN))
    bookings.outlook.calls.clear()
    await env.handle(said(bookings.mentee, str(session.event_id)))
    assert bookings.outlook.calls == []
