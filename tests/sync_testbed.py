"""The complete sync with Outlook on simulated time: days pass in seconds.

The functions, every use-case, and the Graph and Entra adapters are real, over TLS to the
simulators. Tables and queues are in memory, because a few hundred sessions times many faults make
tens of thousands of storage operations. The contract tests hold these fakes to the real adapters.
"""

import asyncio
import base64
import logging
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from aiohttp import web

import shared.wiring
from functions import jobs, notifications, reconciliation, subscriptions
from local.clock import CloudClock
from local.cloud import NO_LIMITS, LocalCloud
from local.graph.errors import GraphError
from local.graph.mailbox import Event
from local.graph.outlook import NoSuchEvent
from local.host.configuration import read_options
from local.seed import (
    CONTOSO_ID,
    SeededPairing,
    SeededParticipant,
    seeded_id,
    seeded_pairings,
    seeded_world,
)
from local.serving import serving, take_address
from local.world import Person, World
from shared.adapters.queues import JOBS, NOTIFICATIONS, StorageJobQueue
from shared.administration.consent_monitor import ConsentMonitor
from shared.changes.model import Change
from shared.errors import SchedulingError, StoreUnavailable
from shared.ids import ObjectId, OrganizationId, PairingId, TenantId
from shared.organizations.model import (
    ActingUser,
    Caller,
    ConsentState,
    Organization,
    OrganizationSettings,
)
from shared.pairings.model import Pairing, Participant, ParticipantRole
from shared.sessions.booking import book
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import BookingRequest
from shared.settings import Settings
from shared.timespan import TimeSpan
from shared.wiring import Wiring
from tests.fakes import (
    InMemoryChanges,
    InMemoryDue,
    InMemoryLostMailboxes,
    InMemoryOrganizations,
    InMemoryPairings,
    InMemorySessions,
    InMemorySubscriptions,
)
from tests.feed import assert_feed_matches
from tests.outlook_acts import OutlookActs
from tests.outlook_oracle import differences_of, read_event

MONDAY = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
RECONCILED_WITHIN = timedelta(hours=6, minutes=10)
"""The longest rhythm, and a tick of the timer."""
STEP = timedelta(seconds=10)
MINUTE = timedelta(minutes=1)
_QUEUES = read_options(Path(__file__).parents[1], {}).queues
_LOGGER = "mentor_calendar"
_process: ContextVar[Wiring] = ContextVar("process")
"""The worker process that handles the current message; otherwise the testbed's first."""


class SimulatedCrash(BaseException):
    """The worker process crashed."""


@dataclass
class Faults:
    """The app's own current faults."""

    random: random.Random
    webhook_down: bool = False
    storage_down: bool = False
    dies_with: float = 0.0
    """Chance that the worker dies while it handles a message."""
    lives_for: int | None = None
    """Effects of the current message until the worker dies."""

    def check(self) -> None:
        """Raise the fault that is due at an effect."""
        if self.storage_down:
            raise StoreUnavailable("The storage is away.")
        if self.lives_for is not None:
            self.lives_for -= 1
            if self.lives_for < 0:
                raise SimulatedCrash

    def draw(self) -> None:
        """Decide whether the worker dies at the message it begins: early as often as late.

        Other work never dies, since an HTTP caller would see it.
        """
        dies = self.dies_with and self.random.random() < self.dies_with
        self.lives_for = int(2 ** self.random.uniform(0, 7)) - 1 if dies else None


class FaultyPort:
    """A store whose every call may meet a fault, before or after its effect."""

    def __init__(self, store: Any, trouble: Faults) -> None:
        self._store, self._trouble = store, trouble

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name in {"due", "of_tenant"}:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._trouble.check()
            result = await method(*args, **kwargs)
            self._trouble.check()
            return result

        return call


@dataclass
class Message:
    """A message on a queue."""

    queue: str
    body: bytes
    visible_at: datetime
    attempts: int = 0


@dataclass
class FakeQueues:
    """Storage queues on simulated time."""

    clock: CloudClock
    trouble: Faults
    waiting: list[Message] = field(default_factory=list)
    poison: list[Message] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    async def send(self, queue: str, message: bytes, delay: timedelta = timedelta()) -> None:
        """Add a message, as the real adapter passes it."""
        self.trouble.check()
        self.sent[queue] += 1
        self.waiting.append(Message(queue, message, self.clock.now() + delay))

    async def aclose(self) -> None:
        """Do nothing."""

    async def poisoned(self) -> dict[str, int]:
        """Count the messages in poison queues."""
        counts = Counter(message.queue for message in self.poison)
        return {queue: counts[queue] for queue in (NOTIFICATIONS, JOBS)}

    def take_visible(self) -> list[Message]:
        """Return the visible messages, and hide them from other workers."""
        now = self.clock.now()
        visible = [m for m in self.waiting if m.visible_at <= now]
        self.waiting = [m for m in self.waiting if m.visible_at > now]
        return visible


class RigWiring(Wiring):
    """Production's wiring, on simulated time, with tables and queues in memory."""

    def __init__(self, settings: Settings, rig: "SyncTestbed") -> None:
        super().__init__(settings, rig.clock)
        self._rig = rig

    @cached_property
    def queues(self) -> Any:
        return self._rig.queues

    @cached_property
    def organizations(self) -> Any:
        return self._rig.organizations

    @cached_property
    def pairings(self) -> Any:
        return self._rig.pairings

    @cached_property
    def sessions(self) -> Any:
        return FaultyPort(self._rig.sessions, self._rig.trouble)

    @cached_property
    def subscriptions(self) -> Any:
        return FaultyPort(self._rig.subscriptions, self._rig.trouble)

    @cached_property
    def lost_mailboxes(self) -> Any:
        return FaultyPort(self._rig.lost_mailboxes, self._rig.trouble)

    @cached_property
    def consent_monitor(self) -> ConsentMonitor:
        return ConsentMonitor(
            organizations=lambda: self.organizations,
            probes=lambda: self.probes,
            changes=lambda: self.changes,
            clock=self.clock,
            monotonic=lambda: self.clock.now().timestamp(),
        )

    @cached_property
    def due(self) -> Any:
        return FaultyPort(self._rig.due, self._rig.trouble)

    @cached_property
    def changes(self) -> Any:
        return FaultyPort(self._rig.changes, self._rig.trouble)

    @cached_property
    def jobs(self) -> Any:
        return StorageJobQueue(self._rig.queues)  # type: ignore[arg-type]  # stands in for Queues


@dataclass
class SyncTestbed:
    """A running system on simulated time."""

    cloud: LocalCloud
    settings: Settings
    trouble: Faults
    queues: FakeQueues
    organization: Organization
    pairs: list[tuple[Pairing, str, str]]
    """Each pairing with the keys of its mentee (the organizer) and mentor."""
    sessions: InMemorySessions = field(init=False)
    subscriptions: InMemorySubscriptions = field(default_factory=InMemorySubscriptions)
    lost_mailboxes: InMemoryLostMailboxes = field(default_factory=InMemoryLostMailboxes)
    due: InMemoryDue = field(default_factory=InMemoryDue)
    changes: InMemoryChanges = field(default_factory=InMemoryChanges)
    organizations: InMemoryOrganizations = field(default_factory=InMemoryOrganizations)
    pairings: InMemoryPairings = field(default_factory=InMemoryPairings)
    acted: Counter[str] = field(default_factory=Counter)
    """What people did, as often as it could be done."""
    twice: bool = False
    """Whether two workers handle every message at once."""
    booked: list[tuple[Session, str, str]] = field(default_factory=list)
    parts: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    """By series: the iCalUId of what a split made of the dates from a number on."""
    _wirings: list[Wiring] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Exceptions that reached the host, by kind."""

    def __post_init__(self) -> None:
        changes: Any = FaultyPort(self.changes, self.trouble)
        self.sessions = InMemorySessions(changes)

    @property
    def clock(self) -> CloudClock:
        """Return the one clock."""
        return self.cloud.world.clock

    def start_anew(self) -> Wiring:
        """Start a new worker process, which keeps only stored state."""
        self.wiring, self.second = RigWiring(self.settings, self), RigWiring(self.settings, self)
        self._wirings += (self.wiring, self.second)
        return self.wiring

    async def aclose(self) -> None:
        """Close what every worker process left open."""
        for wiring in self._wirings:
            await wiring.aclose()

    # --- the platform's side

    async def book(self, count: int, rng: random.Random, *, series: float = 0.0) -> None:
        """Book *count* sessions at free times of the next two weeks.

        *series*: the share of bookings that are series, of three weekly dates each.
        """
        number, weekly = 0, Repeat(Frequency.WEEKLY, count=3)
        while len(self.booked) < count:
            number += 1
            pairing, mentee, mentor = rng.choice(self.pairs)
            start = MONDAY + timedelta(days=rng.randint(1, 12), minutes=30 * rng.randint(4, 20))
            person = self.cloud.world.person(mentee)
            acting = ActingUser(
                pairing.mailbox(pairing.participants[1]) or _never(),
                self.cloud.entra.token_for(person),
            )
            request = BookingRequest(
                key=f"key-{number}",
                fingerprint=f"{number}",
                start=start,
                duration=timedelta(minutes=30),
                time_zone="UTC",
                repeat=weekly if series and rng.random() < series else None,
            )
            try:
                booked = await book(
                    Caller(self.organization, acting),
                    pairing,
                    request,
                    ports=self.wiring.session_ports,
                )
            except SchedulingError as error:  # taken slots and injected refusals
                if number > count * 30:
                    raise AssertionError("no room for so many sessions") from error
                continue
            self.booked += [(session, mentee, mentor) for session in booked.sessions]

    # --- Outlook's side

    def act(self, rng: random.Random) -> None:
        """Perform a random act of a person in Outlook on one of the sessions, if it is possible."""
        session, mentee, mentor = rng.choice(self.booked)
        which, on = self.where(session)
        stranger = self.cloud.world.person(rng.choice(self.pairs)[1]).address

        def split_off(new: Event) -> None:
            if session.series_id and session.occurrence:
                self.parts[session.series_id][session.occurrence] = new.ical_uid

        acts = OutlookActs(self.cloud, mentee, mentor, stranger, which, on, MONDAY, rng, split_off)
        name, steps = acts.draw(lambda: self._sharing_people(session, rng))
        try:
            for step in steps:
                step()
        except (GraphError, NoSuchEvent) as error:  # a declined copy is gone, a cancelled event too
            logging.getLogger(__name__).debug("not possible: %r", error)
        else:
            self.acted[name] += 1

    def where(self, session: Session) -> tuple[str, date | None]:
        """Return what names the event of *session* in Outlook, and its date by the pattern."""
        if session.series_id is None:
            return session.id, None
        series = self.sessions.ledgers[session.organizer].series[session.series_id]
        planned = {each.number: each.span.start for each in series.planned}
        parts = {0: session.series_id} | self.parts[session.series_id]
        begins = max(number for number in parts if number <= session.occurrence)
        return parts[begins], planned[session.occurrence].date()

    def find(self, who: str, session: Session) -> Event:
        """Return a person's copy of the event of *session*. Raises NoSuchEvent."""
        which, on = self.where(session)
        return self.cloud.graph.outlook.find(who, which, on=on)

    def _sharing_people(self, session: Session, rng: random.Random) -> datetime:
        """Return when another session with one of *session*'s people starts in Outlook."""
        theirs = [
            (other, mentee)
            for other, mentee, _ in self.booked
            if other.id != session.id and set(other.mailboxes) & set(session.mailboxes)
        ]
        if not theirs:
            raise NoSuchEvent("these people have one session only")
        other, mentee = rng.choice(theirs)
        return self.find(mentee, other).start_at

    # --- time

    async def pass_time(self, by: timedelta, *, then: Callable[[], None] | None = None) -> None:
        """Let *by* pass in steps of ten seconds, with mail, notifications, queues and timers."""
        for _ in range(by // STEP):
            await self.cloud.graph.advance(STEP)
            await self.work()
            if self.clock.now().second < STEP.seconds:
                await self._tick()
            if then:
                then()

    async def work(self) -> None:
        """Handle visible messages until none is left."""
        while found := self.queues.take_visible():
            for message in found:
                await self._handle(message)

    async def _handle(self, message: Message) -> None:
        message.attempts += 1
        processes = [self.wiring, self.second] if self.twice else [self.wiring]
        workers = [self._run(message, process) for process in processes]
        self.trouble.draw()
        outcomes = await asyncio.gather(*map(_lived, workers))
        self.trouble.lives_for = None
        errors = [outcome for outcome in outcomes if outcome is not None]
        self.failures += [type(error).__name__ for error in errors if not _is_death(error)]
        if any(map(_is_death, errors)):
            self.start_anew()
        if not errors:
            return
        if message.attempts >= _QUEUES.max_dequeue_count:
            self.queues.poison.append(message)
        else:
            message.visible_at = self.clock.now() + _QUEUES.visibility_timeout
            self.queues.waiting.append(message)

    async def _run(self, message: Message, process: Wiring) -> None:
        _process.set(process)  # each has a task, and so a context, of its own
        body = func.QueueMessage(id="1", body=base64.b64decode(base64.b64encode(message.body)))
        name = notifications.follow_outlook if message.queue == NOTIFICATIONS else jobs.do_job
        await _function(name)(body)

    async def _tick(self) -> None:
        minute = self.clock.now().minute
        timer: Any = type("Timer", (), {"past_due": False})()
        for function, every, at in (
            (reconciliation.reconcile_sessions, 5, 0),
            (subscriptions.renew_subscriptions, 15, 7),
        ):
            if minute % every == at % every:
                try:
                    await _function(function)(timer)
                except StoreUnavailable:
                    self.failures.append("StoreUnavailable")
        await self.work()

    # --- the final checks

    async def differences(self) -> list[str]:
        """Return every difference between a session and the organizer's calendar."""
        found = [*await self._wrong_holds(), *self._wrong_conflicts(), *await self._wrong_feed()]
        for session, mentee, mentor in self.booked:
            stored = self.sessions.find(session.organizer, session.id)
            assert stored is not None
            try:
                event = self.find(mentee, session)
            except NoSuchEvent:
                event = None
            if event is None or event.is_cancelled:
                if stored.state is not SessionState.CANCELLED:
                    found.append(f"{session.id}: gone in Outlook, {stored.state} here")
                continue
            if stored.state is SessionState.CANCELLED and self._is_cancelled_for(mentor, session):
                continue  # restored for the organizer alone
            shown = read_event(event, session, self.cloud)
            found += [f"{session.id}: {each}" for each in differences_of(stored, shown)]
        return found

    def _is_cancelled_for(self, who: str, session: Session) -> bool:
        """Return whether a person's copy of *session* is cancelled."""
        try:
            return self.find(who, session).is_cancelled
        except NoSuchEvent:
            return False

    async def _wrong_holds(self) -> list[str]:
        """Return the mailboxes whose holds differ from the times of their sessions."""
        found = []
        year = TimeSpan(MONDAY - timedelta(days=30), MONDAY + timedelta(days=60))
        for session, _, _ in self.booked:
            stored = await self.sessions.get(session.organizer, session.id)
            is_on = stored.state is SessionState.SCHEDULED
            for mailbox in stored.mailboxes:
                holds = await self.sessions.holds(mailbox, year, self.clock.now())
                held = {hold.span for hold in holds if hold.session_id == stored.id}
                is_held = is_on and not stored.span.is_empty and stored.holds_time_of(mailbox)
                if held != ({stored.span} if is_held else set()):
                    found.append(f"{session.id}: {len(held)} wrong holds")
        return found

    def _wrong_conflicts(self) -> Iterator[str]:
        """Yield the sessions whose recorded overlaps are wrong."""
        stored = [self.sessions.find(s.organizer, s.id) for s, _, _ in self.booked]
        scheduled = [s for s in stored if s and s.state is SessionState.SCHEDULED]
        for session in scheduled:
            overlapping = {
                other.id
                for other in scheduled
                if other.id != session.id
                and other.span.overlaps(session.span)
                and set(other.mailboxes) & set(session.mailboxes)
            }
            if set(session.conflicts_with) != overlapping:
                yield (
                    f"{session.id}: overlaps {sorted(overlapping)}, "
                    f"says {sorted(session.conflicts_with)}"
                )

    async def _wrong_feed(self) -> list[str]:
        """Return each difference between the change feed and the stored sessions."""
        feed, _ = await self.changes.after(self.organization.id, None, 100_000)
        stored = [await self.sessions.get(s.organizer, s.id) for s, _, _ in self.booked]
        try:
            ids = {session.id for session in stored}
            assert_feed_matches([change for change in feed if change.session_id in ids], stored)
        except AssertionError as error:
            return [f"the feed: {error}"]
        return []

    async def seen(self) -> dict[str, Any]:
        """Return how changes were found: counts and lags by cause, and the reads of events."""
        feed, _ = await self.changes.after(self.organization.id, None, 100_000)
        push = [change for change in feed if change.cause is Cause.OUTLOOK]
        reconciliation = [change for change in feed if change.cause is Cause.RECONCILIATION]
        requests = self.cloud.graph.requests
        calls = requests.count("GET", "{mailbox}/events/{event}")
        in_batch = requests.in_batch["GET", "{mailbox}/events/{event}"]
        return {
            "changes": len(push) + len(reconciliation),
            "push": len(push),
            "push_lags": _lags(push),
            "reconciliation": len(reconciliation),
            "reconciliation_lags": _lags(reconciliation),
            "calls_by_push": calls - in_batch,
            "calls_by_reconciliation": in_batch,
            "batches": requests.count("POST", "$batch"),
        }


def _lags(changes: Sequence[Change]) -> tuple[float, float]:
    """Return the median and the 99th percentile in seconds, of changes with a lag."""
    lags = sorted(c.lag_ms / 1000 for c in changes if c.lag_ms is not None)
    return (lags[len(lags) // 2], lags[int(len(lags) * 0.99)]) if lags else (0.0, 0.0)


async def _lived(work: Awaitable[None]) -> BaseException | None:
    """Run *work* as the host does: its exceptions do not end the host."""
    try:
        await work
    except BaseException as error:  # noqa: BLE001  # a death of the worker too
        return error
    return None


def _function(builder: Any) -> Any:
    return builder._function.get_user_function()


def _is_death(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_death(each) for each in error.exceptions)
    return isinstance(error, SimulatedCrash)


def _never() -> Any:
    raise AssertionError("everybody here has a mailbox")


@asynccontextmanager
async def a_rig(folder: Path, seed: int = 0, *, strangers: int = 0) -> AsyncIterator[SyncTestbed]:
    """Run cloud and app on simulated time until the block ends.

    *strangers*: the number of pairs of people besides the seeded ones.
    """
    clock = CloudClock(MONDAY)
    world = seeded_world(clock)
    pairs = list(_strangers(world, strangers))
    rigs: list[SyncTestbed] = []

    async def receive(request: web.Request) -> web.Response:
        rig = rigs[0]
        if rig.trouble.webhook_down:
            return web.Response(status=503)
        function = (
            notifications.receive_lifecycle
            if request.path.endswith("lifecycle")
            else notifications.receive_notifications
        )
        reply = await _function(function)(
            func.HttpRequest(
                "POST",
                str(request.url),
                headers=dict(request.headers),
                params=dict(request.query),
                body=await request.read(),
            )
        )
        return web.Response(
            status=reply.status_code, body=reply.get_body(), content_type="text/plain"
        )

    async with AsyncExitStack() as stack:
        cloud = LocalCloud(folder=folder, world=world, background=False, settings=NO_LIMITS)
        # Kept from here on: another process may take a port that is given back for a moment.
        address = take_address()
        stack.callback(address.taken.close)
        cloud.public_url = f"https://localhost:{address.port}"
        await stack.enter_async_context(cloud)
        app = web.Application(client_max_size=10_000_000)
        app.router.add_post("/api/graph/{kind}", receive)
        over_tls = replace(address, tls=cloud.certificate.server_context())
        await stack.enter_async_context(serving(app, over_tls))
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in cloud.environment.items():
            patched.setenv(name, value)
        rig = _rig(cloud, Faults(random.Random(seed)), pairs)
        rigs.append(rig)
        rig.start_anew()
        for module in (shared.wiring, jobs, reconciliation, subscriptions):
            patched.setattr(module, "wiring", lambda: _process.get(None) or rig.wiring)
        cloud.graph.switches.endpoint_states = False
        # Without it a later edit can leave no mark by which the series belong together.
        cloud.graph.switches.split_copies_properties = True
        await rig.organizations.create(rig.organization)
        for pairing, _, _ in rig.pairs:
            await rig.pairings.put(pairing)
        try:
            yield rig
        finally:
            await rig.aclose()


def _strangers(world: World, count: int) -> Iterator[SeededPairing]:
    """Add people without meetings to the world; yield their pairings."""
    tenant = world.tenants[CONTOSO_ID]
    for number in range(count):
        people = [
            Person(
                key=(key := f"{role}{number}"),
                object_id=seeded_id(f"person {key}"),
                tenant_id=tenant.tenant_id,
                name=key,
                address=f"{key}@{tenant.domain}",
                zone="UTC",
            )
            for role in ("mentor", "mentee")
        ]
        tenant.people += people
        yield SeededPairing(
            "-".join(person.key for person in people),
            "contoso",
            tenant.tenant_id,
            tuple(
                SeededParticipant(person.key.rstrip("0123456789"), person.object_id, person.address)
                for person in people
            ),
        )


def _rig(cloud: LocalCloud, trouble: Faults, strangers: list[SeededPairing]) -> SyncTestbed:
    seeds = [p for p in seeded_pairings(cloud.world) if p.organization_id == "contoso"]
    wanted = {"ada-ben", "ada-priya", "dana-tashi", "layla-misaki"}
    organization = Organization(
        OrganizationId("contoso"),
        TenantId(seeds[0].tenant_id),
        MONDAY,
        ConsentState.GRANTED,
        settings=OrganizationSettings(minimum_notice=timedelta()),
    )
    pairs = [
        (
            Pairing(
                PairingId(seed.id),
                organization.id,
                TenantId(seed.tenant_id),
                tuple(
                    Participant(
                        ParticipantRole(p.role),
                        p.address.lower(),
                        ObjectId(p.object_id) if p.object_id else None,
                    )
                    for p in seed.participants
                ),
            ),
            seed.id.split("-")[1],
            seed.id.split("-")[0],
        )
        for seed in [*(seed for seed in seeds if seed.id in wanted), *strangers]
    ]
    return SyncTestbed(
        cloud,
        Settings.from_environment(cloud.environment),
        trouble,
        FakeQueues(cloud.world.clock, trouble),
        organization,
        pairs,
    )


@contextmanager
def logged_exceptions() -> Iterator[list[str]]:
    """Collect every traceback that the app logs while the block runs."""
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[0]:
                found.append(f"{record.getMessage()}: {record.exc_info[0].__name__}")

    listener = Listener()
    logging.getLogger(_LOGGER).addHandler(listener)
    try:
        yield found
    finally:
        logging.getLogger(_LOGGER).removeHandler(listener)
