"""Death before and after every outside effect of following Outlook, found by running it.

A worker dies; its message comes again, as the queue has it; an hour later reconciliation looks.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.attendees.reconciliation import enqueue_purges, enqueue_reconciliations
from shared.due import DueKind
from shared.errors import EventGone
from shared.ids import Mailbox, SubscriptionId, TenantId
from shared.notifications.dispatch import dispatch
from shared.notifications.fairness import Turns
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.sessions.model import AttendeeResponse, ResponseState, SeenAttendee, Session
from shared.sessions.ports import Books, Job, JobKind
from shared.sessions.rhythm import purge_item
from shared.subscriptions.upkeep import Following, enqueue_renewals
from shared.timespan import TimeSpan
from shared.work import do
from tests.builders import a_span, at
from tests.fakes import FakeClientStates, InMemoryOrganizations, InMemorySubscriptions
from tests.outlook import FakeEvent
from tests.unit.sessions.conftest import Desk, a_desk, a_request, book_one
from tests.unit.sessions.test_crash_recovery import Doomed, Fate, Killed

Message = MailboxChanges | Job
WINDOW = TimeSpan(at(0), at(0, day=60))


@dataclass
class FakeGraph:
    """Graph's subscriptions."""

    alive: dict[SubscriptionId, datetime] = field(default_factory=dict)
    made: int = 0
    renewals: int = 0

    async def create(
        self, mailbox: Mailbox, client_state: str, expires_at: datetime
    ) -> tuple[SubscriptionId, datetime]:
        """Subscribe."""
        self.made += 1
        subscription_id = SubscriptionId(f"subscription-{self.made}")
        self.alive[subscription_id] = expires_at
        return subscription_id, expires_at

    async def renew(
        self, tenant_id: TenantId, ids: Sequence[SubscriptionId], expires_at: datetime
    ) -> list[datetime | Exception]:
        """Renew those that are there."""
        self.renewals += 1
        known = [each for each in ids if each in self.alive]
        self.alive |= dict.fromkeys(known, expires_at)
        return [expires_at if each in known else EventGone("no more") for each in ids]

    async def delete(self, tenant_id: TenantId, subscription_id: SubscriptionId) -> None:
        """End it."""
        self.alive.pop(subscription_id, None)


@dataclass
class Office:
    """A desk with two sessions of the same people, and what follows their calendars."""

    desk: Desk
    organizations: InMemoryOrganizations = field(default_factory=InMemoryOrganizations)
    subscriptions: InMemorySubscriptions = field(default_factory=InMemorySubscriptions)
    graph: FakeGraph = field(default_factory=FakeGraph)
    sessions: list[Session] = field(default_factory=list)

    async def handle(self, message: Message, fate: Fate | None = None) -> None:
        """Do what the queue hands out, once; the worker meets its *fate* at an effect."""
        desk, books = self.desk, self._books(fate)
        following = Following(
            graph=_met(self.graph, fate),
            subscriptions=_met(self.subscriptions, fate),
            states=FakeClientStates(),
            sessions=books.sessions,
            due=books.due,
            jobs=books.jobs,
            clock=desk.clock,
        )
        if isinstance(message, Job):
            await do(message, desk.organization, books=books, following=following)
        else:
            await dispatch(
                [message],
                desk.clock.now(),
                books=books,
                following=following,
                organizations=_met(self.organizations, fate),
                turns=Turns(),
            )

    async def run(self, messages: Iterable[Message], fate: Fate | None = None) -> None:
        """Handle *messages* and what they lead to; a worker that dies leaves its message there."""
        waiting = [*self._put(), *messages]
        while waiting:
            try:
                await self.handle(waiting[0], fate)
            except (Killed, BaseExceptionGroup):
                if fate is None:
                    raise
                fate = None
            else:
                waiting.pop(0)
            waiting += self._put()

    def _put(self) -> list[Job]:
        put = [job for job, _ in self.desk.jobs.put_jobs]
        self.desk.jobs.put_jobs.clear()
        return put

    async def time_passes(self) -> None:
        """Let an hour pass, then the timers and what they queue run."""
        desk = self.desk
        desk.clock.advance(timedelta(hours=1, minutes=1))
        await enqueue_reconciliations(books=desk.books)
        await enqueue_purges(books=desk.books)
        await enqueue_renewals(following=self.following())
        await self.run([])

    def following(self) -> Following:
        """Return what follows mailboxes, undisturbed."""
        desk = self.desk
        return Following(
            graph=self.graph,
            subscriptions=self.subscriptions,
            states=FakeClientStates(),
            sessions=desk.sessions,
            due=desk.due,
            jobs=desk.jobs,
            clock=desk.clock,
        )

    def _books(self, fate: Fate | None) -> Books:
        books = self.desk.books
        return replace(
            books,
            calendar=_met(books.calendar, fate),
            sessions=_met(books.sessions, fate),
            jobs=_met(books.jobs, fate),
            changes=_met(books.changes, fate),
            due=_Due(books.due, fate) if fate else books.due,
        )

    # --- what Outlook does, and what is said of it

    def event(self, number: int = 0) -> FakeEvent:
        return self.desk.outlook.events[number]

    def said(self, number: int = 0, *lifecycle: str, deleted: bool = False) -> MailboxChanges:
        seen = self.event(number).seen
        event = ChangedEvent(seen.event_id, seen.etag, deleted=deleted)
        return replace(self.told(*lifecycle), events=(event,))

    def told(self, *lifecycle: str) -> MailboxChanges:
        return MailboxChanges(
            self.desk.mentee, SubscriptionId("subscription-1"), lifecycle=lifecycle
        )

    # --- what it came to

    async def picture(self) -> dict[str, Any]:
        """Return all that must be the same, whoever died on the way."""
        desk, ids = self.desk, [each.id for each in self.sessions]
        due = desk.due._items
        changes, _ = await desk.changes.after(desk.organization.id, None, 1000)
        rows = [desk.sessions.find(desk.mentee, each) for each in ids]
        subscription = await self.subscriptions.get(desk.mentee)
        return {
            "rows": [
                row
                and (
                    row.state,
                    row.span,
                    [(a.response.state, a.forwarded) for a in row.attendees],
                    [ids.index(each) for each in row.conflicts_with],
                )
                for row in rows
            ],
            "holds": [
                {(ids.index(hold.session_id), hold.span) for hold in held}
                for held in [
                    await desk.sessions.holds(mailbox, WINDOW, desk.clock.now())
                    for mailbox in (desk.mentor, desk.mentee)
                ]
            ],
            "read again": [
                any(item.key == each and item.kind is DueKind.RECONCILIATION for item in due)
                for each in ids
            ],
            "purged in time": [
                row is None or purge_item(row, desk.organization.settings) in due for row in rows
            ],
            "told": {(c.kind, ids.index(c.session_id)) for c in changes if c.session_id},
            "subscribed": subscription is not None and subscription.id in self.graph.alive,
        }


class _Due(Doomed):
    """Doomed, but for what is no coroutine."""

    def due(self, *args: Any, **kwargs: Any) -> Any:
        return self._port.due(*args, **kwargs)


def _met(port: Any, fate: Fate | None) -> Any:
    return Doomed(port, fate) if fate else port


async def an_office() -> Office:
    office = Office(a_desk())
    desk = office.desk
    desk.organization = await office.organizations.create(desk.organization)
    for hour in (10, 14):
        request = a_request(f"key-{hour}", hour)
        office.sessions.append(
            await book_one(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)
        )
    await office.run([])
    desk.clock.advance(timedelta(minutes=5))
    return office


Act = Callable[[Office], Awaitable[Message]]


async def _answered(office: Office) -> Message:
    desk = office.desk
    desk.calendar.answered(office.event(), desk.address(desk.mentor), ResponseState.ACCEPTED)
    return office.said()


async def _moved(office: Office) -> Message:
    office.desk.calendar.moved(office.event(), a_span(at(16, day=1)))
    return office.said()


async def _moved_onto_the_other(office: Office) -> Message:
    office.desk.calendar.moved(office.event(), a_span(at(14, 15, day=1)))
    return office.said()


async def _moved_away_again(office: Office) -> Message:
    await office.run([await _moved_onto_the_other(office)])
    office.desk.clock.advance(timedelta(minutes=1))
    return await _moved(office)


async def _gone(office: Office) -> Message:
    office.event().is_gone = True
    return office.said(deleted=True)


async def _gone_from_under_the_other(office: Office) -> Message:
    await office.run([await _moved_onto_the_other(office)])
    return await _gone(office)


async def _forwarded(office: Office) -> Message:
    event = office.event()
    more = SeenAttendee("friend@elsewhere.example", AttendeeResponse())
    office.desk.calendar._write(event, replace(event.seen, attendees=(*event.seen.attendees, more)))
    return office.said()


async def _missed(office: Office) -> Message:
    await _answered(office)
    return office.told("missed")


async def _removed(office: Office) -> Message:
    await _answered(office)
    office.graph.alive.clear()
    return office.told("subscriptionRemoved")


async def _to_be_reauthorized(office: Office) -> Message:
    return office.told("reauthorizationRequired")


async def _reconciled(office: Office) -> Message:
    await _moved_onto_the_other(office)
    ids = tuple(each.id for each in office.sessions)
    organization = office.desk.organization
    return Job(JobKind.RECONCILE, organization.id, (office.desk.mentee,) * len(ids), ids)


async def _renewed(office: Office) -> Message:
    (row,) = office.subscriptions._subscriptions.values()
    soon = office.desk.clock.now() + timedelta(minutes=10)
    await office.subscriptions.save(replace(row, expires_at=soon))
    return Job(JobKind.RENEW, office.desk.organization.id, (office.desk.mentee,))


async def _subscribed(office: Office) -> Message:
    await office.subscriptions.delete(office.desk.mentee)
    return Job(JobKind.SUBSCRIBE, office.desk.organization.id, (office.desk.mentee,))


async def _purged(office: Office) -> Message:
    office.desk.clock.advance(timedelta(days=40))
    ids = tuple(each.id for each in office.sessions)
    organization = office.desk.organization
    return Job(JobKind.PURGE, organization.id, (office.desk.mentee,) * len(ids), ids)


ACTS: dict[str, Act] = {
    "answered": _answered,
    "moved": _moved,
    "moved onto the other": _moved_onto_the_other,
    "moved away again": _moved_away_again,
    "gone": _gone,
    "gone from under the other": _gone_from_under_the_other,
    "forwarded": _forwarded,
    "missed": _missed,
    "subscription removed": _removed,
    "to be reauthorized": _to_be_reauthorized,
    "reconciled": _reconciled,
    "renewed": _renewed,
    "subscribed": _subscribed,
    "purged": _purged,
}


async def _come_to(name: str, fate: Fate) -> dict[str, Any]:
    office = await an_office()
    message = await ACTS[name](office)
    await office.run([message], fate)
    await office.time_passes()
    return await office.picture()


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_whoever_dies_following_outlook_loses_nothing(name: str, *, is_after: bool) -> None:
    whole = Fate()
    meant = await _come_to(name, whole)
    assert len(whole.names) > 1
    for number, effect in enumerate(whole.names):
        found = await _come_to(name, Fate(number, is_after))
        died = f"died {'after' if is_after else 'before'} {effect} ({number})"
        for what, state in meant.items():
            assert found[what] == state, f"{what}: {died}"
