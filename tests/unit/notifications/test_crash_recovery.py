"""Death before and after every outside effect of following Outlook, found by running it.

A worker dies; its message comes again, as the queue has it; an hour later reconciliation looks.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.administration.job_runner import run_job
from shared.calendar_sync.reconciliation import enqueue_reconciliations
from shared.errors import EventGone, StoreUnavailable
from shared.ids import Mailbox, SubscriptionId, TenantId
from shared.jobs import DueKind, Job, JobKind
from shared.notifications.handling import handle_notifications
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.notifications.rate_limiting import MailboxLimiter, PushSeenThrottle
from shared.sessions.calendar_events import CalendarAttendee
from shared.sessions.model import AttendeeResponse, ResponseState, Session
from shared.sessions.ports import SessionPorts
from shared.sessions.reconciliation_schedule import purge_due_item
from shared.sessions.retention import enqueue_purges
from shared.subscriptions.maintenance import SubscriptionPorts, enqueue_renewals
from shared.timespan import TimeSpan
from tests.builders import a_span, at
from tests.fake_outlook import FakeEvent
from tests.fakes import FakeClientStates, InMemoryOrganizations, InMemorySubscriptions
from tests.feed import assert_feed_matches
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one
from tests.unit.sessions.test_crash_recovery import (
    NO_LOOK_PORTS,
    CrashingPort,
    CrashPlan,
    SimulatedCrash,
)

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
class WorkerEnv:
    """Two sessions of the same people in a booking environment, and the sync of their calendars."""

    bookings: BookingEnv
    organizations: InMemoryOrganizations = field(default_factory=InMemoryOrganizations)
    subscriptions: InMemorySubscriptions = field(default_factory=InMemorySubscriptions)
    graph: FakeGraph = field(default_factory=FakeGraph)
    sessions: list[Session] = field(default_factory=list)

    async def handle(self, message: Message, plan: CrashPlan | None = None) -> None:
        """Do what the queue hands out, once; the worker meets its *fate* at an effect."""
        bookings, ports = self.bookings, self._ports(plan)
        bookings.sessions.changes = _met(bookings.changes, plan)
        following = SubscriptionPorts(
            graph=_met(self.graph, plan),
            subscriptions=_met(self.subscriptions, plan),
            states=FakeClientStates(),
            sessions=ports.sessions,
            due=ports.due,
            jobs=ports.jobs,
            clock=bookings.clock,
        )
        if isinstance(message, Job):
            await run_job(
                message,
                bookings.organization,
                ports=ports,
                subscription_ports=following,
                look_ports=NO_LOOK_PORTS,
            )
        else:
            await handle_notifications(
                [message],
                bookings.clock.now(),
                ports=ports,
                subscription_ports=following,
                organizations=_met(self.organizations, plan),
                limiter=MailboxLimiter(),
                push_seen=PushSeenThrottle(),
            )

    async def run(self, messages: Iterable[Message], plan: CrashPlan | None = None) -> None:
        """Handle *messages* and what they lead to; a worker that dies leaves its message there."""
        waiting = [*self._put(), *messages]
        while waiting:
            try:
                await self.handle(waiting[0], plan)
            except (SimulatedCrash, StoreUnavailable, BaseExceptionGroup):
                if plan is None:
                    raise
                plan = None
            else:
                waiting.pop(0)
            waiting += self._put()

    def _put(self) -> list[Job]:
        put = [job for job, _ in self.bookings.jobs.put_jobs]
        self.bookings.jobs.put_jobs.clear()
        return put

    async def time_passes(self) -> None:
        """Let an hour pass, then the timers and what they queue run."""
        bookings = self.bookings
        bookings.clock.advance(timedelta(hours=1, minutes=1))
        await enqueue_reconciliations(
            jobs=bookings.ports.jobs, due=bookings.ports.due, clock=bookings.ports.clock
        )
        await enqueue_purges(
            jobs=bookings.ports.jobs, due=bookings.ports.due, clock=bookings.ports.clock
        )
        await enqueue_renewals(ports=self.following())
        await self.run([])

    def following(self) -> SubscriptionPorts:
        """Return what follows mailboxes, undisturbed."""
        bookings = self.bookings
        return SubscriptionPorts(
            graph=self.graph,
            subscriptions=self.subscriptions,
            states=FakeClientStates(),
            sessions=bookings.sessions,
            due=bookings.due,
            jobs=bookings.jobs,
            clock=bookings.clock,
        )

    def _ports(self, plan: CrashPlan | None) -> SessionPorts:
        ports = self.bookings.ports
        return replace(
            ports,
            calendar=_met(ports.calendar, plan),
            sessions=_met(ports.sessions, plan),
            jobs=_met(ports.jobs, plan),
            due=_Due(ports.due, plan) if plan else ports.due,
        )

    # --- what Outlook does, and what is said of it

    def event(self, number: int = 0) -> FakeEvent:
        return self.bookings.outlook.events[number]

    def said(self, number: int = 0, *lifecycle: str, deleted: bool = False) -> MailboxChanges:
        seen = self.event(number).seen
        event = ChangedEvent(seen.event_id, seen.etag, deleted=deleted)
        return replace(self.told(*lifecycle), events=(event,))

    def told(self, *lifecycle: str) -> MailboxChanges:
        return MailboxChanges(
            self.bookings.mentee, SubscriptionId("subscription-1"), lifecycle=lifecycle
        )

    # --- what it came to

    async def picture(self) -> dict[str, Any]:
        """Return all that must be the same, whoever died on the way."""
        bookings, ids = self.bookings, [each.id for each in self.sessions]
        due = bookings.due._items
        changes, _ = await bookings.changes.after(bookings.organization.id, None, 1000)
        rows = [bookings.sessions.find(bookings.mentee, each) for each in ids]
        if all(rows):
            assert_feed_matches(changes, filter(None, rows))
        subscription = await self.subscriptions.get(bookings.mentee)
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
                    await bookings.sessions.holds(mailbox, WINDOW, bookings.clock.now())
                    for mailbox in (bookings.mentor, bookings.mentee)
                ]
            ],
            "read again": [
                any(item.key == each and item.kind is DueKind.RECONCILIATION for item in due)
                for each in ids
            ],
            "purged in time": [
                row is None or purge_due_item(row, bookings.organization.settings) in due
                for row in rows
            ],
            "told": [
                [(change.kind, change.detail) for change in changes if change.session_id == each]
                for each in ids
            ],
            "subscribed": subscription is not None and subscription.id in self.graph.alive,
        }


class _Due(CrashingPort):
    """Doomed, but for what is no coroutine."""

    def due(self, *args: Any, **kwargs: Any) -> Any:
        return self._port.due(*args, **kwargs)


def _met(port: Any, plan: CrashPlan | None) -> Any:
    return CrashingPort(port, plan) if plan else port


async def an_office() -> WorkerEnv:
    env = WorkerEnv(a_booking_env())
    bookings = env.bookings
    bookings.organization = await env.organizations.create(bookings.organization)
    for hour in (10, 14):
        request = a_request(f"key-{hour}", hour)
        env.sessions.append(
            await book_one(
                bookings.acting(bookings.mentee),
                bookings.pairing,
                request,
                ports=bookings.ports,
            )
        )
    await env.run([])
    bookings.clock.advance(timedelta(minutes=5))
    return env


Act = Callable[[WorkerEnv], Awaitable[Message]]


async def _answered(env: WorkerEnv) -> Message:
    bookings = env.bookings
    bookings.calendar.answered(
        env.event(), bookings.address(bookings.mentor), ResponseState.ACCEPTED
    )
    return env.said()


async def _moved(env: WorkerEnv) -> Message:
    env.bookings.calendar.moved(env.event(), a_span(at(16, day=1)))
    return env.said()


async def _moved_onto_the_other(env: WorkerEnv) -> Message:
    env.bookings.calendar.moved(env.event(), a_span(at(14, 15, day=1)))
    return env.said()


async def _moved_away_again(env: WorkerEnv) -> Message:
    await env.run([await _moved_onto_the_other(env)])
    env.bookings.clock.advance(timedelta(minutes=1))
    return await _moved(env)


async def _gone(env: WorkerEnv) -> Message:
    env.event().is_gone = True
    return env.said(deleted=True)


async def _gone_from_under_the_other(env: WorkerEnv) -> Message:
    await env.run([await _moved_onto_the_other(env)])
    return await _gone(env)


async def _forwarded(env: WorkerEnv) -> Message:
    event = env.event()
    more = CalendarAttendee("friend@elsewhere.example", AttendeeResponse())
    env.bookings.calendar._write(
        event, replace(event.seen, attendees=(*event.seen.attendees, more))
    )
    return env.said()


async def _missed(env: WorkerEnv) -> Message:
    await _answered(env)
    return env.told("missed")


async def _removed(env: WorkerEnv) -> Message:
    await _answered(env)
    env.graph.alive.clear()
    return env.told("subscriptionRemoved")


async def _to_be_reauthorized(env: WorkerEnv) -> Message:
    return env.told("reauthorizationRequired")


async def _reconciled(env: WorkerEnv) -> Message:
    await _moved_onto_the_other(env)
    ids = tuple(each.id for each in env.sessions)
    organization = env.bookings.organization
    return Job(JobKind.RECONCILE, organization.id, (env.bookings.mentee,) * len(ids), ids)


async def _renewed(env: WorkerEnv) -> Message:
    (row,) = env.subscriptions._subscriptions.values()
    soon = env.bookings.clock.now() + timedelta(minutes=10)
    await env.subscriptions.save(replace(row, expires_at=soon))
    return Job(JobKind.RENEW, env.bookings.organization.id, (env.bookings.mentee,))


async def _subscribed(env: WorkerEnv) -> Message:
    await env.subscriptions.delete(env.bookings.mentee)
    return Job(JobKind.SUBSCRIBE, env.bookings.organization.id, (env.bookings.mentee,))


async def _purged(env: WorkerEnv) -> Message:
    env.bookings.clock.advance(timedelta(days=40))
    ids = tuple(each.id for each in env.sessions)
    organization = env.bookings.organization
    return Job(JobKind.PURGE, organization.id, (env.bookings.mentee,) * len(ids), ids)


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


async def _come_to(name: str, plan: CrashPlan) -> dict[str, Any]:
    env = await an_office()
    message = await ACTS[name](env)
    await env.run([message], plan)
    await env.time_passes()
    return await env.picture()


@pytest.mark.parametrize("crash", [SimulatedCrash, StoreUnavailable])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ACTS)
async def test_crash_while_syncing_loses_nothing(
    name: str, crash: type[BaseException], *, is_after: bool
) -> None:
    whole = CrashPlan()
    meant = await _come_to(name, whole)
    assert len(whole.names) > 1
    for number, effect in enumerate(whole.names):
        if crash is StoreUnavailable and not effect.startswith("InMemory"):
            continue  # Graph and the queues fail in other ways
        found = await _come_to(name, CrashPlan(number, is_after, crash))
        died = f"died {'after' if is_after else 'before'} {effect} ({number})"
        for what, state in meant.items():
            assert found[what] == state, f"{what}: {died}"
