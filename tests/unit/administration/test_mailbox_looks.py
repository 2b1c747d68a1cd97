"""Looking at mailboxes that refused a read: whose trouble it is, and how often it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from shared.administration.look_ports import LookPorts
from shared.administration.mailbox_looks import LOOK_INTERVAL, look_at_mailboxes
from shared.calendar_sync.accounts import look_at_gone_accounts
from shared.calendar_sync.unreadable import look_job
from shared.changes.model import Change, ChangeKind
from shared.errors import CalendarRefused, ConsentMissing, ForeignId
from shared.ids import EventId, Mailbox, SubscriptionId
from shared.jobs import DueKind, Job, JobKind, job_for_batch
from shared.organizations.issues import Issue
from shared.organizations.model import ActingUser, Organization
from shared.organizations.ports import Capability, ProbeResult
from shared.pairings.ports import Person
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.model import Session
from shared.subscriptions.maintenance import SubscriptionPorts
from tests.builders import a_mailbox, a_pairing
from tests.fake_outlook import FakeCalendar
from tests.fake_probes import FakeDirectory, FakeGraphSubscriptions, FakeProbes
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
GONE = ProbeResult(Capability.READ_EVENTS, ok=False, status=404, code="ErrorInvalidUser")
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


class ForeignCalendar(FakeCalendar):
    """Exchange takes the events of *foreign* for those of another mailbox."""

    foreign: set[EventId | None]

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        found = await super().read_many(events)
        return [
            ForeignId("no", code="ErrorInvalidMailboxItemId") if id_ in self.foreign else event
            for (_, id_), event in zip(events, found, strict=True)
        ]


@dataclass
class LookEnv:
    """Several organizers, each with a session."""

    bookings: BookingEnv
    organization: Organization
    probes: MailboxProbes = field(default_factory=MailboxProbes)
    organizations: InMemoryOrganizations = field(default_factory=InMemoryOrganizations)
    pairings: InMemoryPairings = field(default_factory=InMemoryPairings)
    directory: FakeDirectory = field(default_factory=FakeDirectory)
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
            directory=self.directory,
            lost=self.lost,
            changes=bookings.changes,
            probes=self.probes,
            sessions=bookings.ports,
            subscriptions=following,
        )

    async def look(self, *sessions: Session) -> None:
        """Look at the mailboxes of *sessions*, which were refused."""
        await self._run(look_job(sessions))

    async def reconcile(self, session: Session) -> None:
        """Ask the directory for the attendees of *session*, and look at those who are gone."""
        jobs = self.bookings.jobs
        jobs.put_jobs.clear()
        calendar, organization = self.bookings.calendar, self.organization
        await look_at_gone_accounts([session], organization, calendar=calendar, jobs=jobs)
        for job, _ in list(jobs.put_jobs):
            await self._run(job)

    def delete_account(self, mailbox: Mailbox) -> None:
        addresses = self.bookings.outlook.addresses
        for address in [a for a, owner in addresses.items() if owner == mailbox.object_id]:
            del addresses[address]
        known = self.directory.known
        self.directory.known = [each for each in known if each[1].object_id != mailbox.object_id]

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
            person = Person(participant.object_id, participant.address, "Somebody")
            made.directory.known.append((pairing.tenant_id, person))
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


def attendee_of(session: Session) -> tuple[Mailbox, str]:
    (attendee,) = session.attendees
    assert attendee.object_id
    return Mailbox(session.tenant_id, attendee.object_id), attendee.address


async def test_an_attendee_s_account_that_is_gone_and_created_anew_is_told_once_each(
    env: LookEnv,
) -> None:
    mine, *_ = env.sessions
    attendee, address = attendee_of(mine)
    await env.reconcile(mine)
    assert not env.bookings.jobs.put_jobs
    env.delete_account(attendee)
    for _ in range(3):
        await env.reconcile(mine)
    env.directory.add(mine.tenant_id, address)
    for _ in range(3):
        env.bookings.clock.advance(LOOK_INTERVAL)
        await env.tick()
        await env.reconcile(mine)
    told = [(change.kind, change.object_id, change.detail) for change in await env.told()]
    assert told == [
        (ChangeKind.TROUBLE, attendee.object_id, Issue.ACCOUNT_GONE),
        (ChangeKind.TROUBLE, attendee.object_id, Issue.ACCOUNT_RECREATED),
    ]
    stored = await env.stored(mine)
    assert (stored.is_mailbox_lost, stored.unreadable_since) == (False, None)


@pytest.mark.parametrize("how", ["restored", "registered anew"])
async def test_an_account_that_is_restored_or_registered_anew_has_recovered(
    env: LookEnv, how: str
) -> None:
    mine, *_ = env.sessions
    attendee, address = attendee_of(mine)
    env.delete_account(attendee)
    owner = env.directory.add(mine.tenant_id, address)
    await env.reconcile(mine)
    if how == "restored":
        env.directory.known.append((mine.tenant_id, Person(attendee.object_id, address, "")))
    else:
        pairing = await env.pairings.get(env.organization.id, mine.pairing_id)
        participants = tuple(
            replace(p, object_id=owner.object_id) if p.address == address else p
            for p in pairing.participants
        )
        await env.pairings.put(replace(pairing, participants=participants))
    for _ in range(3):
        env.bookings.clock.advance(LOOK_INTERVAL)
        await env.tick()
        await env.reconcile(mine)
    told = [(change.kind, change.detail) for change in await env.told()]
    assert told == [
        (ChangeKind.TROUBLE, Issue.ACCOUNT_RECREATED),
        (ChangeKind.RECOVERED, Issue.ACCOUNT_RECREATED),
    ]
    assert await env.lost.get(attendee) is None


async def test_an_account_without_upcoming_sessions_is_not_looked_at(env: LookEnv) -> None:
    mine, *_ = env.sessions
    attendee, _ = attendee_of(mine)
    env.delete_account(attendee)
    await env.reconcile(mine)
    env.bookings.clock.advance(timedelta(days=3))
    await env.tick()
    assert await env.lost.get(attendee) is None
    assert len(await env.told()) == 1


async def test_a_directory_that_does_not_answer_says_nothing_of_an_account(env: LookEnv) -> None:
    mine, *_ = env.sessions
    attendee, _ = attendee_of(mine)
    env.delete_account(attendee)
    env.directory.error = ConsentMissing("no")
    await env.reconcile(mine)
    assert not await env.told()


async def test_an_organizer_s_account_that_is_created_anew_later_is_told_as_well(
    env: LookEnv,
) -> None:
    mine, *_ = env.sessions
    pairing = await env.pairings.get(env.organization.id, mine.pairing_id)
    organizer = pairing.participant(mine.organizer.object_id)
    assert organizer
    env.delete_account(mine.organizer)
    refuse(env, GONE, mine)
    await env.look(mine)
    env.directory.add(mine.tenant_id, organizer.address)
    for _ in range(2):
        env.bookings.clock.advance(LOOK_INTERVAL)
        await env.tick()
    told = [(change.object_id, change.detail) for change in await env.told()]
    assert told == [
        (mine.organizer.object_id, Issue.ACCOUNT_GONE),
        (mine.organizer.object_id, Issue.ACCOUNT_RECREATED),
    ]
    assert (await env.stored(mine)).is_mailbox_lost


async def test_foreign_ids_are_one_trouble_of_their_mailbox(env: LookEnv) -> None:
    mine, *_ = env.sessions
    pairing = await env.pairings.get(env.organization.id, mine.pairing_id)
    acting = env.bookings.acting(mine.organizer)
    others = [
        await book_one(acting, pairing, a_request(f"{hour}", hour=hour), ports=env.bookings.ports)
        for hour in (14, 15)
    ]
    calendar = ForeignCalendar(env.bookings.outlook)
    calendar.foreign = {mine.event_id, others[0].event_id}
    env.bookings.calendar = calendar
    for _ in range(2):
        await env.look(mine)
        await env.look(others[0])
    (told,) = await env.told()
    assert (told.object_id, told.detail) == (mine.organizer.object_id, Issue.FOREIGN_IDS)
    assert told.remedy
    stored = [await env.stored(each) for each in (mine, *others)]
    # Whatever can be read is followed.
    assert [each.is_mailbox_lost for each in stored] == [True, True, False]

    calendar.foreign = {mine.event_id}
    env.bookings.clock.advance(LOOK_INTERVAL)
    await env.tick()
    stored = [await env.stored(each) for each in (mine, *others)]
    assert [each.is_mailbox_lost for each in stored] == [True, False, False]
    assert len(await env.told()) == 1

    calendar.foreign.clear()
    env.bookings.clock.advance(LOOK_INTERVAL)
    await env.tick()
    *_, over = await env.told()
    assert (over.kind, over.detail) == (ChangeKind.RECOVERED, Issue.FOREIGN_IDS)
    assert not (await env.stored(mine)).is_mailbox_lost
