"""Raced bookings: several processes, few mentors, few slots, then a check of all rows and events.

Run with ``python -m benchmarks.races [attempts] [--azurite attempts]``; 100,000 by default. The
use-case and the table store are production's; under them are tables that keep Table Storage's
promises (`benchmarks.shared_world`), which are fast enough for so many attempts. A share of the
winners move or cancel at once; some book series and move or cancel parts of them. With
``--azurite`` that many more attempts run on the real emulator. Half of the time free/busy lags, as
Outlook's does. Then only the holds prevent a double booking.
"""

import argparse
import asyncio
import multiprocessing
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import aiohttp
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline.transport import AioHttpTransport

from benchmarks.shared_world import (
    NOW,
    Client,
    Meeting,
    SharedCalendar,
    SharedJobs,
    SharedSchedules,
    SharedTables,
    World,
    processes,
    serving,
)
from local.azurite import ACCOUNT, azurite
from local.certificate import ensure_certificate
from shared.adapters.tables.changes import TableChanges
from shared.adapters.tables.client import Tables, table_service
from shared.adapters.tables.sessions import TableSessions
from shared.adapters.tables.usages import TableUsages
from shared.administration.job_runner import run_job
from shared.errors import Conflict, SlotTaken, StaleRow, StoreUnavailable
from shared.ids import Mailbox, ObjectId, OrganizationId, PairingId, SessionId, TenantId
from shared.jobs import JobKind
from shared.limits.limiter import CallLimiter
from shared.limits.model import Limits
from shared.organizations.model import (
    ActingUser,
    Caller,
    ConsentState,
    Organization,
    OrganizationSettings,
)
from shared.pairings.model import Pairing, Participant, ParticipantRole
from shared.sessions.booking import book
from shared.sessions.cancelling import cancel
from shared.sessions.model import ResponseState, Session, SessionState
from shared.sessions.ports import Calendar, SessionPorts
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import BookingRequest, RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.series import Booking, OnConflict, Scope
from shared.timespan import TimeSpan
from tests.fakes import InMemoryDue

MENTORS, MENTEES = 4, 6
"""Mentees per mentor."""
SLOTS: Final = 6
"""Overlapping slots of half an hour, raced for at the same time."""
PER_ROUND: Final = 50
"""Attempts before all callers move on to other slots."""
DAYS, ROUNDS_A_DAY = 340, 6
AT_ONCE: Final = 12
"""Concurrent attempts in each process."""
TWICE: Final = 0.05
"""Share of requests that are sent twice at once, with the same key."""
MOVED, CANCELLED = 0.15, 0.07
"""Shares of winners that move or cancel at once."""
SERIES: Final = 0.04
"""Share of requests for a series of three weeks; many of them are moved or cancelled."""
SERIES_MOVED, SERIES_CANCELLED = 0.5, 0.25
LOOKING: Final = {JobKind.VERIFY, JobKind.SETTLE, JobKind.SERIES, JobKind.FOLLOW_SERIES}
THREE_WEEKS: Final = Repeat(Frequency.WEEKLY, count=3)
HALF_AN_HOUR: Final = timedelta(minutes=30)
KEY: Final = AzureNamedKeyCredential(
    ACCOUNT,
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)
"""The emulator's public key, the same on every machine."""
TENANT: Final = TenantId("84bd8158-6d4d-4958-8b9f-9d6445542f95")
ORGANIZATION: Final = Organization(
    OrganizationId("contoso"),
    TENANT,
    NOW,
    ConsentState.GRANTED,
    settings=OrganizationSettings(minimum_notice=timedelta(), horizon=timedelta(days=365)),
)


class OffsetClock:
    """A clock that runs from the world's Monday, in step with the real one, or *ahead* of it."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self._since = time.monotonic() - ahead.total_seconds()

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return NOW + timedelta(seconds=time.monotonic() - self._since)


@dataclass(frozen=True)
class Refusal:
    """A loser and the offered alternatives."""

    before: int
    """The number of events that surely existed when the attempt began."""
    whose: tuple[str, ...]
    offered: tuple[TimeSpan, ...]
    own: frozenset[SessionId] = frozenset()
    """The sessions to move: their own time is no obstacle."""


@dataclass
class Outcome:
    """The outcome of one process's attempts."""

    counts: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """The result of the check of rows and events."""

    attempts: int
    seconds: float
    counts: Counter[str]
    double_bookings: int
    lost_holds: int
    stray_holds: int
    orphaned_events: int
    orphaned_sessions: int
    refusals: int
    without_alternatives: int
    alternatives: int
    taken_alternatives: int

    @property
    def is_clean(self) -> bool:
        """Return whether no check failed. What had no answer in time is counted, not wrong."""
        wrong = (
            self.double_bookings,
            self.lost_holds,
            self.stray_holds,
            self.orphaned_events,
            self.orphaned_sessions,
            self.without_alternatives,
            self.taken_alternatives,
        )
        return not any(wrong)

    def as_text(self) -> str:
        """Return the report as text."""
        counts = ", ".join(f"{name} {number:,}" for name, number in sorted(self.counts.items()))
        return (
            f"{self.attempts:,} attempts in {self.seconds:.0f} s"
            f" ({self.attempts / self.seconds:,.0f}/s): {counts}\n"
            f"double bookings {self.double_bookings}, lost holds {self.lost_holds}, holds of nobody"
            f" {self.stray_holds}, orphaned events {self.orphaned_events}, sessions without an"
            f" event {self.orphaned_sessions}\n"
            f"{self.refusals:,} losers; without alternatives {self.without_alternatives};"
            f" {self.alternatives:,} alternatives offered, not free {self.taken_alternatives}"
        )


def pairings() -> list[Pairing]:
    """Return every mentor with each of their mentees."""

    def person(role: ParticipantRole, name: str) -> Participant:
        object_id = ObjectId(str(uuid.uuid5(uuid.NAMESPACE_DNS, name)))
        return Participant(role, f"{name}@contoso.example", object_id)

    found = []
    for m in range(MENTORS):
        mentor = person(ParticipantRole.MENTOR, f"mentor{m}")
        for n in range(MENTEES):
            # Every mentee has two mentors, so their own time is raced for as well.
            mentee = person(ParticipantRole.MENTEE, f"mentee{(m // 2) * MENTEES + n}")
            pairing_id = PairingId(f"{m}-{n}")
            found.append(Pairing(pairing_id, ORGANIZATION.id, TENANT, (mentor, mentee)))
    return found


def addresses() -> dict[Mailbox, str]:
    """Return the address of each mailbox."""
    people = {p for pairing in pairings() for p in pairing.participants}
    return {Mailbox(TENANT, p.object_id): p.address for p in people if p.object_id}


def slot(turn: int, number: int) -> TimeSpan:
    """Return one of the slots of a round; neighbours overlap by a quarter of an hour."""
    part, day = divmod(turn, DAYS)
    hour = timedelta(hours=3 + 3 * (part % ROUNDS_A_DAY))
    start = NOW.replace(hour=0) + timedelta(days=day + 1) + hour
    start += timedelta(minutes=15 * number)
    return TimeSpan.lasting(start, HALF_AN_HOUR)


@asynccontextmanager
async def open_session_ports(
    socket: Path, storage: str | None, ahead: timedelta = timedelta()
) -> AsyncIterator[tuple[Client, SessionPorts]]:
    """Provide the ports of one process."""
    client = Client()
    await client.connect(socket)
    schedules = SharedSchedules(client)
    # Typed: a method that is new in the port is missed by the type checker, not by a rare race.
    calendar: Calendar = SharedCalendar(client)
    async with _tables(client, storage) as tables:
        yield (
            client,
            SessionPorts(
                schedules=schedules,
                calendar=calendar,
                sessions=TableSessions(tables, TableChanges(tables)),
                jobs=SharedJobs(client),
                due=InMemoryDue(),
                limiter=CallLimiter(Limits(), TableUsages(tables), OffsetClock(ahead)),
                clock=OffsetClock(ahead),
            ),
        )
    await client.aclose()


@asynccontextmanager
async def _tables(client: Client, storage: str | None) -> AsyncIterator[Tables]:
    if storage is None:
        yield SharedTables(client)
        return
    url, folder = storage.split(" ", 1)
    connector = aiohttp.TCPConnector(ssl=ensure_certificate(Path(folder)).client_context())
    async with (
        aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
        table_service(url, KEY, AioHttpTransport(session=session, session_owner=False)) as service,
    ):
        yield Tables(service)


async def attempt(
    key: str, turn: int, number: int, client: Client, ports: SessionPorts, found: Outcome
) -> None:
    """Book a slot of round *turn* as a random mentee, with the retries that the answers ask for.

    *number*: the copy of a request that is sent twice at once. Each copy may move or cancel by
    itself.
    """
    chance, mind = random.Random(key), random.Random(f"{key} {number}")
    pairing = chance.choice(pairings_of_all)
    people = [m for p in pairing.participants if (m := pairing.mailbox(p))]
    me = people[chance.random() < 0.8]
    caller = Caller(ORGANIZATION, ActingUser(me, "token"))
    request = BookingRequest(
        key=key,
        fingerprint=key,
        start=slot(turn, chance.randrange(SLOTS)).start,
        duration=HALF_AN_HOUR,
        time_zone="UTC",
    )
    found.counts["attempts"] += 1
    if chance.random() < SERIES:
        request = replace(request, repeat=THREE_WEEKS, on_conflict=chance.choice(list(OnConflict)))
        await attempt_series(turn, mind, caller, pairing, request, client, ports, found)
        return
    before = client.events_known
    for _ in range(5):
        try:
            (session,) = (await book(caller, pairing, request, ports=ports)).sessions
        except SlotTaken as taken:
            found.refusals.append(refused(taken, before, pairing))
            found.counts["refused"] += 1
            return
        except StoreUnavailable:
            found.counts["asked to repeat"] += 1
            continue
        # Of a request sent twice, the other copy may get the answer first, and cancel.
        found.counts["unanswered" if session.state is SessionState.REQUESTED else "booked"] += 1
        await change_mind(turn, mind, caller, pairing, session, client, ports, found)
        return
    found.counts["unanswered"] += 1


async def change_mind(
    turn: int,
    chance: random.Random,
    caller: Caller,
    pairing: Pairing,
    session: Session,
    client: Client,
    ports: SessionPorts,
    found: Outcome,
) -> None:
    """Let the winner perhaps move the session to another slot of the round, or cancel it."""
    before, luck = client.events_known, chance.random()
    try:
        if luck < MOVED:
            to = RescheduleRequest(slot(turn, chance.randrange(SLOTS)), "UTC")
            await reschedule(caller, pairing, session, to, ports=ports)
            found.counts["moved"] += 1
        elif luck < MOVED + CANCELLED:
            await cancel(caller, session, "", ports=ports)
            found.counts["cancelled"] += 1
    except SlotTaken as taken:
        found.refusals.append(refused(taken, before, pairing, frozenset({session.id})))
        found.counts["not moved"] += 1
    except (StaleRow, Conflict, StoreUnavailable):
        # Both copies of a request may move or cancel; the job decides the outcome.
        found.counts["overtaken"] += 1


def refused(
    taken: SlotTaken, before: int, pairing: Pairing, own: frozenset[SessionId] = frozenset()
) -> Refusal:
    """Return a loser with all offered alternatives, of a series for each date."""
    dates = [span for date in taken.conflicts for span in date.alternatives]
    whose = tuple(p.address for p in pairing.participants)
    return Refusal(before, whose, tuple(dates or taken.alternatives), own)


async def attempt_series(
    turn: int,
    mind: random.Random,
    caller: Caller,
    pairing: Pairing,
    request: BookingRequest,
    client: Client,
    ports: SessionPorts,
    found: Outcome,
) -> None:
    """Book a series as a random mentee, with the retries that the answers ask for."""
    for _ in range(5):
        before = client.events_known
        try:
            booked = await book(caller, pairing, request, ports=ports)
        except SlotTaken as taken:
            found.refusals.append(refused(taken, before, pairing))
            found.counts["series refused"] += 1
            return
        except StoreUnavailable:
            found.counts["asked to repeat"] += 1
            continue
        found.counts["series booked"] += 1
        await change_mind_about(turn, mind, caller, pairing, booked, client, ports, found)
        return
    found.counts["series unanswered"] += 1


async def change_mind_about(
    turn: int,
    chance: random.Random,
    caller: Caller,
    pairing: Pairing,
    booked: Booking,
    client: Client,
    ports: SessionPorts,
    found: Outcome,
) -> None:
    """Let the winner of a series perhaps move or cancel one date of it, or several."""
    before, luck, scope = client.events_known, chance.random(), chance.choice(list(Scope))
    number = chance.choice([session.occurrence for session in booked.sessions])
    to = slot(turn, chance.randrange(SLOTS))
    week = timedelta(weeks=number)
    wanted = RescheduleRequest(TimeSpan(to.start + week, to.end + week), "UTC")
    session = next(s for s in booked.sessions if s.occurrence == number)
    try:
        session = await ports.sessions.get(session.organizer, session.id)
        if luck < SERIES_MOVED:
            await reschedule(caller, pairing, session, wanted, scope, ports=ports)
            found.counts[f"series moved, {scope}"] += 1
        elif luck < SERIES_MOVED + SERIES_CANCELLED:
            await cancel(caller, session, "", scope, ports=ports)
            found.counts[f"series cancelled, {scope}"] += 1
    except SlotTaken as taken:
        own = frozenset(s.id for s in booked.sessions)
        found.refusals.append(refused(taken, before, pairing, own))
        found.counts["series not moved"] += 1
    except (StaleRow, Conflict, StoreUnavailable):
        found.counts["overtaken"] += 1


pairings_of_all = pairings()


async def work(seed: int, attempts: int, socket: Path, storage: str | None) -> Outcome:
    """Make *attempts*, several at once."""
    chance, found = random.Random(seed), Outcome()
    async with open_session_ports(socket, storage) as (client, ports):
        numbers = iter(range(attempts))

        async def one_after_another() -> None:
            for each in numbers:
                turn = each * processes() // PER_ROUND
                key = f"{seed}-{each}"
                times = 2 if chance.random() < TWICE else 1
                await asyncio.gather(
                    *(attempt(key, turn, number, client, ports, found) for number in range(times))
                )

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return found


def _process(args: tuple[int, int, str, str | None]) -> Outcome:
    seed, attempts, socket, storage = args
    return asyncio.run(work(seed, attempts, Path(socket), storage))


async def race(attempts: int, *, storage: str | None = None) -> Report:
    """Let several processes make *attempts* together, then check rows and events."""
    world, started = World(addresses()), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "world"
        async with serving(world, socket):
            workers = processes()
            each = [(n, attempts // workers, str(socket), storage) for n in range(workers)]
            pool = multiprocessing.get_context("spawn").Pool(workers)
            with pool:
                found = await asyncio.to_thread(pool.map, _process, each, 1)
            seconds = time.perf_counter() - started
            # The recovery jobs run later, by the clock that all processes share.
            ahead = timedelta(seconds=seconds, minutes=5)
            async with open_session_ports(socket, storage, ahead) as (_, ports):
                return await checked(found, world, ports, seconds)


async def checked(
    found: Sequence[Outcome], world: World, ports: SessionPorts, seconds: float
) -> Report:
    """Return the report, after all recovery jobs have run."""
    counts: Counter[str] = Counter()
    for outcome in found:
        counts += outcome.counts
    losers = [r for outcome in found for r in outcome.refusals]
    await run_recovery_jobs(world, ports)
    alive = [m for m in world.meetings if not (m.is_gone or m.is_master)]
    sessions = await all_sessions(ports)
    scheduled = {s.id: s for s in sessions.values() if s.state is SessionState.SCHEDULED}
    held = await _held(ports)
    wanted = {
        (mailbox, s.id, s.span)
        for s in scheduled.values()
        for mailbox in s.mailboxes
        if s.holds_time_of(mailbox)
    }
    taken = _taken_alternatives(losers, world.meetings)
    return Report(
        attempts=counts.pop("attempts"),
        seconds=seconds,
        counts=counts,
        double_bookings=_double_bookings(alive),
        lost_holds=len(wanted - held),
        stray_holds=len(held - wanted),
        orphaned_events=sum(
            m.session_id not in scheduled
            or scheduled[m.session_id].event_id != m.seen.event_id
            or scheduled[m.session_id].span != m.seen.span
            for m in alive
        ),
        orphaned_sessions=len(scheduled.keys() - {m.session_id for m in alive}),
        refusals=len(losers),
        without_alternatives=sum(not loser.offered for loser in losers),
        alternatives=sum(len(loser.offered) for loser in losers),
        taken_alternatives=taken,
    )


async def run_recovery_jobs(world: World, ports: SessionPorts) -> None:
    """Run the recovery jobs of all processes, and those that they enqueue."""
    while world.jobs:
        job = world.jobs.pop(0)
        if job.kind in LOOKING:
            await run_job(
                job,
                ORGANIZATION,
                ports=ports,
                subscription_ports=cast("Any", None),
                look_ports=cast("Any", None),
            )


def _double_bookings(alive: Sequence[Meeting]) -> int:
    """Count pairs of meetings that one person has at the same time, and has not declined."""
    overlaps = 0
    by_person: dict[str, list[TimeSpan]] = {}
    for meeting in alive:
        declined = {
            a.address for a in meeting.seen.attendees if a.response.state is ResponseState.DECLINED
        }
        for address in set(meeting.addresses) - declined:
            by_person.setdefault(address, []).append(meeting.seen.span)
    for spans in by_person.values():
        spans.sort()
        overlaps += sum(a.end > b.start for a, b in pairwise(spans))
    return overlaps


def _taken_alternatives(
    losers: Sequence[Refusal],
    meetings: Sequence[Meeting],
) -> int:
    """Count alternatives that overlap a meeting created before the request."""
    by_day: dict[tuple[str, Any], list[Meeting]] = {}
    for meeting in meetings:
        for address in () if meeting.is_master else meeting.addresses:
            for day in meeting.seen.span.days():
                by_day.setdefault((address, day), []).append(meeting)
    return sum(
        any(
            # The time of a moved meeting at that moment is unknown.
            m.number < loser.before
            and m.session_id not in loser.own
            and m.seen.span.overlaps(span)
            and not (m.is_gone or m.was_moved)
            for address in loser.whose
            for day in span.days()
            for m in by_day.get((address, day), ())
        )
        for loser in losers
        for span in loser.offered
    )


async def all_sessions(ports: SessionPorts) -> dict[SessionId, Session]:
    """Return every session that any participant's time index lists."""
    found: dict[SessionId, Session] = {}
    for mailbox in addresses():
        cursor = None
        while True:
            page, cursor = await ports.sessions.list_by_mailbox(
                mailbox, since=None, until=None, after=cursor, limit=500
            )
            found |= {session.id: session for session in page}
            if cursor is None:
                break
    return found


async def _held(ports: SessionPorts) -> set[tuple[Mailbox, SessionId, TimeSpan]]:
    # Unconfirmed holds have expired an hour later.
    later = NOW + timedelta(hours=1)
    window = TimeSpan(NOW, NOW + timedelta(days=DAYS + 30))
    return {
        (mailbox, hold.session_id, hold.span)
        for mailbox in addresses()
        for hold in await ports.sessions.holds(mailbox, window, later)
    }


async def on_emulator(attempts: int) -> Report:
    """Race on the storage emulator, with its own certificate."""
    with tempfile.TemporaryDirectory() as folder:
        async with azurite(ensure_certificate(Path(folder))) as running:
            return await race(attempts, storage=f"{running.tables_url} {folder}")


def main() -> None:
    """Race and print the report; exit with 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.races")
    parser.add_argument("attempts", nargs="?", type=int, default=100_000)
    parser.add_argument("--azurite", type=int, default=0, metavar="ATTEMPTS")
    given = parser.parse_args()
    reports = {}
    if given.attempts:
        reports["shared tables"] = asyncio.run(race(given.attempts))
    if given.azurite:
        reports["Azurite"] = asyncio.run(on_emulator(given.azurite))
    for name, report in reports.items():
        print(f"[{name}, {processes()} processes] {report.as_text()}", flush=True)
    sys.exit(not all(report.is_clean for report in reports.values()))


if __name__ == "__main__":
    main()
