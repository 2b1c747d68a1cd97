"""Looking at mailboxes that refused a read: whose trouble it is, and how often it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from shared.administration.mailbox_looks import LOOK_INTERVAL, LookPorts, look_at_mailboxes
from shared.calendar_sync.unreadable import look_job
from shared.changes.model import Change, ChangeKind
from shared.errors import CalendarRefused, ConsentMissing
from shared.ids import EventId, Mailbox, SubscriptionId
from shared.jobs import DueKind, Job, JobKind, job_for_batch
from shared.organizations.issues import Issue
from shared.organizations.model import ActingUser, Organization
from shared.organizations.ports import Capability, ProbeResult
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.model import Session
from shared.subscriptions.maintenance import SubscriptionPorts
from tests.builders import a_mailbox, a_pairing
from tests.fake_outlook import FakeCalendar
from tests.fake_probes import FakeGraphSubscriptions, FakeProbes
from tests.fakes import (
    FakeClientStates,
    InMemoryLostMailboxes,
    InMemoryOrganizations,
    InMemoryPairings,
    InMemorySubscriptions,
)
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one

DENIED = ProbeResult(Capability.READ_EVENTS, ok=False, status=403, code="ErrorAccessDenied")
CLOSED = ProbeResult(
    Capability.READ_EVENTS, ok=False, status=404, code="MailboxNotEnabledForRESTAPI"
)
SILENT = ProbeResult(Capability.READ_EVENTS, ok=None, status=503)


class MailboxProbes(FakeProbes):
    """Every mailbox can be read, except those of *refusing*."""

    refusing: dict[Mailbox, ProbeResult]

    async def read_events(self, acting: ActingUser) -> ProbeResult:
        await super().read_events(acting)
        works = ProbeResult(Capability.READ_EVENTS, ok=True, status=200)
        return self.refusing.get(acting.mailbox, works)


class RefusingCalendar(FakeCalendar):
    """Graph refuses each event by itself."""

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        return [CalendarRefused("no", code="ErrorInvalidIdMalformed") for _ in events]


@dataclass
class LookEnv:
    """Several organizers, each with a session."""

    bookings: BookingEnv
    organization: Organization
    probes: MailboxProbes = field(default_factory=MailboxProbes)
    organizations: InMemoryOrganizations = field(default_factory=InMemoryOrganizations)
    pairings: InMemoryPairings = field(default_factory=InMemoryPairings)
    lost: InMemoryLostMailboxes = field(default_factory=InMemoryLostMailboxes)
    subscriptions: InMemorySubscriptions = field(default_factory=InMemorySubscriptions)
    graph: FakeGraphSubscriptions = field(default_factory=FakeGraphSubscriptions)
    sessions: list[Session] = field(default_factory=list)

    @property
    def ports(self) -> LookPorts:
        bookings = self.bookings
        following = SubscriptionPorts(
            graph=self.graph,
            subscriptions=self.subscriptions,
            states=FakeClientStates(),
            sessions=bookings.sessions,
            due=bookings.due,
            jobs=bookings.jobs,
            clock=bookings.clock,
        )
        return LookPorts(
            organizations=self.organizations,
            pairings=self.pairings,
            lost=self.lost,
            changes=bookings.changes,
            probes=self.probes,
            sessions=bookings.ports,
            subscriptions=following,
        )

    async def look(self, *sessions: Session) -> None:
        """Look at the mailboxes of *sessions*, which were refused."""
        await self._run(look_job(sessions))

    async def tick(self) -> None:
        """Run the looks that are due."""
        async for items in self.bookings.due.due(DueKind.LOOK, self.bookings.clock.now()):
            await self._run(job_for_batch(JobKind.LOOK, items))

    async def _run(self, job: Job) -> None:
        organization = await self.organizations.get(self.organization.id)
        await look_at_mailboxes(job, organization, ports=self.ports)

    async def told(self) -> list[Change]:
        """Return the entries of trouble, and of its end."""
        kinds = {ChangeKind.TROUBLE, ChangeKind.RECOVERED}
        feed, _ = await self.bookings.changes.after(self.organization.id, None, 100)
        return [change for change in feed if change.kind in kinds]

    async def stored(self, session: Session) -> Session:
        return await self.bookings.sessions.get(session.organizer, session.id)


@pytest.fixture
async def env() -> LookEnv:
    bookings = a_booking_env()
    made = LookEnv(bookings, bookings.organization)
    made.probes.refusing = {}
    await made.organizations.create(bookings.organization)
    for number in range(4):
        mentor, mentee = (a_mailbox(bookings.mentee.tenant_id) for _ in range(2))
        pairing = a_pairing(mentor, mentee, organization_id=bookings.organization.id)
        for participant in pairing.participants:
            assert participant.object_id
            bookings.outlook.addresses[participant.address] = participant.object_id
        await made.pairings.put(pairing)
        made.sessions.append(
            await book_one(
                bookings.acting(mentee), pairing, a_request(f"{number}"), ports=bookings.ports
            )
        )
    bookings.jobs.put_jobs.clear()
    return made


def refuse(env: LookEnv, answer: ProbeResult, *sessions: Session) -> None:
    env.probes.refusing |= {session.organizer: answer for session in sessions}


async def test_a_mailbox_out_of_scope_is_told_once_with_its_remedy(env: LookEnv) -> None:
    mine, *_ = env.sessions
    refuse(env, DENIED, mine)
    for _ in range(3):
        await env.look(mine)
        await env.tick()
        env.bookings.clock.advance(LOOK_INTERVAL)
    (told,) = await env.told()
    assert (told.object_id, told.detail) == (mine.organizer.object_id, Issue.OUT_OF_SCOPE)
    assert mine.organizer.object_id in told.remedy
    assert (await env.stored(mine)).is_mailbox_lost
    assert (await env.organizations.get(env.organization.id)).denied_since is None


async def test_two_mailboxes_out_of_scope_are_two_troubles(env: LookEnv) -> None:
    first, second, *_ = env.sessions
    refuse(env, DENIED, first, second)
    await env.look(first, second)
    told = {change.object_id for change in await env.told()}
    assert told == {first.organizer.object_id, second.organizer.object_id}


async def test_all_mailboxes_denied_are_one_trouble_of_the_tenant(env: LookEnv) -> None:
    refuse(env, DENIED, *env.sessions)
    for session in env.sessions:
        await env.look(session)
    (told,) = await env.told()
    assert (told.object_id, told.detail) == (None, Issue.PERMISSION_MISSING)
    assert told.remedy


async def test_the_first_mailbox_that_is_back_has_the_others_looked_at(env: LookEnv) -> None:
    first, last = env.sessions[0], env.sessions[-1]
    refuse(env, DENIED, *env.sessions)
    await env.look(*env.sessions)
    env.probes.refusing = {last.organizer: DENIED}  # the scope was given back to the others only
    env.bookings.clock.advance(LOOK_INTERVAL + timedelta(minutes=1))
    await env.tick()
    await env.tick()
    kinds = [(change.kind, change.object_id) for change in await env.told()]
    assert kinds == [
        (ChangeKind.TROUBLE, None),
        (ChangeKind.RECOVERED, None),
        (ChangeKind.TROUBLE, last.organizer.object_id),
    ]
    assert not (await env.stored(first)).is_mailbox_lost
    assert (await env.stored(last)).is_mailbox_lost


async def test_a_mailbox_that_is_back_is_told_read_and_subscribed_to(env: LookEnv) -> None:
    mine, *_ = env.sessions
    refuse(env, CLOSED, mine)
    await env.look(mine)
    env.probes.refusing.clear()
    env.bookings.clock.advance(LOOK_INTERVAL)
    await env.tick()
    _, over = await env.told()
    assert (over.kind, over.detail) == (ChangeKind.RECOVERED, Issue.MAILBOX_NOT_HOSTED)
    read = [job.session_ids for job, _ in env.bookings.jobs.put_jobs]
    assert (mine.id,) in read
    assert await env.subscriptions.get(mine.organizer) is not None
    assert await env.lost.get(mine.organizer) is None


async def test_a_look_without_an_answer_decides_nothing_and_is_repeated(env: LookEnv) -> None:
    mine, *_ = env.sessions
    refuse(env, SILENT, mine)
    await env.look(mine)
    ((again, delay),) = env.bookings.jobs.put_jobs
    assert (again.kind, again.session_ids) == (JobKind.LOOK, (mine.id,))
    assert delay > timedelta(minutes=1)
    assert not await env.told()
    assert await env.lost.get(mine.organizer) is None


async def test_an_event_that_alone_is_refused_is_trouble_of_its_session(env: LookEnv) -> None:
    mine, *_ = env.sessions
    env.bookings.calendar = RefusingCalendar(env.bookings.outlook)
    for _ in range(2):
        await env.look(mine)
    (told,) = await env.told()
    assert (told.session_id, told.detail) == (mine.id, "refused")
    assert not (await env.stored(mine)).is_mailbox_lost


async def test_a_refusal_that_has_passed_is_no_trouble(env: LookEnv) -> None:
    mine, *_ = env.sessions
    await env.look(mine)
    assert not await env.told()
    ((read, _),) = env.bookings.jobs.put_jobs
    assert (read.kind, read.session_ids) == (JobKind.RECONCILE, (mine.id,))


async def test_of_a_mailbox_that_refuses_now_and_then_only_what_it_refused_is_read_again(
    env: LookEnv,
) -> None:
    """All of its sessions would be refused in part again, and be looked at without an end."""
    mine, *_ = env.sessions
    pairing = await env.pairings.get(env.organization.id, mine.pairing_id)
    acting = env.bookings.acting(mine.organizer)
    await book_one(acting, pairing, a_request("other", hour=14), ports=env.bookings.ports)
    env.bookings.jobs.put_jobs.clear()
    await env.look(mine)
    jobs = [job for job, _ in env.bookings.jobs.put_jobs if job.kind is JobKind.RECONCILE]
    assert [job.session_ids for job in jobs] == [(mine.id,)]


async def test_a_lost_mailbox_without_upcoming_sessions_is_not_looked_at(env: LookEnv) -> None:
    refuse(env, DENIED, *env.sessions)
    await env.look(*env.sessions)
    env.bookings.clock.advance(timedelta(days=3))
    await env.tick()
    tried = len(env.probes.tried)
    env.bookings.clock.advance(LOOK_INTERVAL)
    await env.tick()
    assert len(env.probes.tried) == tried
    assert (await env.organizations.get(env.organization.id)).denied_since is None


class DenyingGraph(FakeGraphSubscriptions):
    """Graph refuses to subscribe, as it may for a while after access returned."""

    async def create(self, *_: object) -> tuple[SubscriptionId, object]:  # type: ignore[override]
        raise ConsentMissing("not yet")


async def test_a_subscription_refused_at_the_return_does_not_hold_up_the_rest(
    env: LookEnv,
) -> None:
    mine, *_ = env.sessions
    refuse(env, DENIED, mine)
    await env.look(mine)
    env.graph = DenyingGraph()
    env.probes.refusing.clear()
    env.bookings.clock.advance(LOOK_INTERVAL)
    await env.tick()
    assert await env.lost.get(mine.organizer) is None
    row = await env.subscriptions.get(mine.organizer)
    assert row is not None
    assert row.failure == "ConsentMissing"
