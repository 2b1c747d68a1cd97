"""Graph fails while people book, move, cancel and answer: no duplicate events, no long waits.

Run with ``python -m benchmarks.trouble [troubles]``; 10,000 by default. The use-cases and the Graph
and Entra adapters are real, over TLS. Graph and Entra are the simulators; tables and queues are in
memory. Requests are refused (429 with every kind of Retry-After, 500, 502, 503, 504), connections
break before or after the effect. A caller retries whenever the answer asks for it, with the same
key. At the end Graph recovers and time passes. In addition, some requests get no answer of Graph at
all; these wait in real time.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from functions._http import WAIT_SECONDS
from functions._problems import problem_headers, problem_of
from local.graph.faults import FaultRule
from shared.errors import SchedulingError, TookTooLong
from shared.organizations.model import ActingUser, Caller
from shared.pairings.model import Pairing
from shared.sessions.booking import book
from shared.sessions.cancelling import cancel
from shared.sessions.model import ResponseState, Session, SessionState
from shared.sessions.requests import BookingRequest, InvitationResponse, RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.responding import respond
from shared.timespan import TimeSpan
from tests.sync_testbed import MONDAY, SyncTestbed, a_rig

PER_WORLD: Final = 120
"""Bookings in one world. Then a new world begins, so that calendars stay realistically full."""
AT_ONCE: Final = 4
REPEATED: Final = 8
"""The retries of a caller before giving up."""
LOST_RESPONSE: Final = 12
"""Requests that get no answer of Graph."""
HALF_AN_HOUR: Final = timedelta(minutes=30)
_WRITES: Final = r"/events|/cancel|/accept|/decline|/tentativelyAccept"
_DEFINITE: Final = {409, 422, 502}


@dataclass
class Findings:
    """The results of a run."""

    troubles: Counter[str] = field(default_factory=Counter)
    """Broken requests, by fault."""
    answers: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0
    """The longest wait of a caller for one answer."""
    unclear: list[str] = field(default_factory=list)
    """Answers that are no result and give no advice on retrying."""
    duplicates: int = 0
    orphans: int = 0
    wrong: list[str] = field(default_factory=list)
    """Differences between calendars and tables."""

    @property
    def is_clean(self) -> bool:
        """Return whether no check failed."""
        wrong = (self.duplicates, self.orphans, self.unclear, self.wrong)
        return not any(wrong) and self.longest_seconds <= 10

    def as_text(self) -> str:
        """Return the results as text."""
        troubles = ", ".join(f"{name} {n:,}" for name, n in sorted(self.troubles.items()))
        answers = ", ".join(f"{name} {n:,}" for name, n in sorted(self.answers.items()))
        lines = (
            f"{sum(self.troubles.values()):,} troubles: {troubles}",
            f"answers: {answers}",
            f"duplicate events {self.duplicates}, events of nobody {self.orphans}",
            f"differences between calendars and tables {len(self.wrong)}",
            f"longest wait {self.longest_seconds:.1f} s, unclear answers {len(self.unclear)}",
        )
        return "\n".join([*lines, *self.wrong[:5], *self.unclear[:5]])


def rules() -> dict[str, FaultRule]:
    """Return the fault rules of Graph, by name."""
    refused = {
        "429": FaultRule(status=429, retry_after=1, probability=0.06),
        "429 with a fraction": FaultRule(status=429, retry_after=0.2, probability=0.06),
        "429 until a date": FaultRule(
            status=429, retry_after="date", retry_after_seconds=20, probability=0.03
        ),
        "429 without a word": FaultRule(status=429, probability=0.06),
        "500": FaultRule(status=500, probability=0.05),
        "502": FaultRule(status=502, probability=0.05),
        "503": FaultRule(status=503, probability=0.08),
        "504": FaultRule(status=504, probability=0.05),
        "reset": FaultRule(behaviour="reset", probability=0.08),
        "answer lost": FaultRule(behaviour="lost", probability=0.08),
    }
    return refused | {
        "write done, answer lost": FaultRule(
            method="POST|PATCH", path=_WRITES, behaviour="lost", probability=0.15
        )
    }


async def retried(
    act: Callable[[], Awaitable[Session]], findings: Findings, name: str
) -> Session | None:
    """Retry *act* until it has a result or a definite refusal."""
    for _ in range(REPEATED):
        started = time.perf_counter()
        try:
            # The HTTP edge does the same.
            async with asyncio.timeout(WAIT_SECONDS):
                session = await act()
        except TimeoutError:
            error: SchedulingError = TookTooLong("cut off")
        except SchedulingError as failed:
            error = failed
        else:
            findings.answers[f"{name} done"] += 1
            _note(findings, started)
            return session
        _note(findings, started)
        status = problem_of(error).status
        if status == 503 and "Retry-After" in problem_headers(error, ""):
            findings.answers["asked to repeat"] += 1
            continue
        findings.answers[f"{name}: {status}"] += 1
        if status not in _DEFINITE:
            findings.unclear.append(f"{name}: {error!r}")
        return None
    findings.answers["gave up"] += 1
    return None


def _note(findings: Findings, started: float) -> None:
    findings.longest_seconds = max(findings.longest_seconds, time.perf_counter() - started)


class Person:
    """A participant who books a session, then moves, answers or cancels it with the other one."""

    def __init__(self, rig: SyncTestbed, pairing: Pairing, mentee: str, mentor: str) -> None:
        self.rig, self.pairing, self.mentee, self.mentor = rig, pairing, mentee, mentor

    def acting(self, who: str) -> Caller:
        """Return the signed-in user."""
        person = self.rig.cloud.world.person(who)
        index = 1 if who == self.mentee else 0
        mailbox = self.pairing.mailbox(self.pairing.participants[index])
        if mailbox is None:
            raise ValueError("everybody here has a mailbox")
        acting = ActingUser(mailbox, self.rig.cloud.entra.token_for(person))
        return Caller(self.rig.organization, acting)

    async def use(self, number: int, chance: random.Random, findings: Findings) -> None:
        """Book, then perhaps move, answer, cancel."""
        start = _slot(number)
        request = BookingRequest(
            key=f"key-{number}",
            fingerprint=f"{number}",
            start=start.start,
            duration=HALF_AN_HOUR,
            time_zone="UTC",
        )
        ports = self.rig.wiring.session_ports

        async def book_it() -> Session:
            me = self.acting(self.mentee)
            return (await book(me, self.pairing, request, ports=ports)).sessions[0]

        session = await retried(book_it, findings, "book")
        if session is None:
            return
        session_id, organizer = session.id, session.organizer

        async def known() -> Session:
            return await self.rig.sessions.get(organizer, session_id)

        async def move() -> Session:
            later = TimeSpan(start.start + HALF_AN_HOUR, start.end + HALF_AN_HOUR)
            wanted = RescheduleRequest(later, "UTC")
            me = self.acting(self.mentee)
            (moved,) = await reschedule(me, self.pairing, await known(), wanted, ports=ports)
            return moved

        async def answer() -> Session:
            word = chance.choice((ResponseState.ACCEPTED, ResponseState.TENTATIVE))
            me = self.acting(self.mentor)
            (answered,) = await respond(me, await known(), InvitationResponse(word), ports=ports)
            return answered

        async def call_off() -> Session:
            me = self.acting(self.mentee)
            (cancelled,) = await cancel(me, await known(), "sorry", ports=ports)
            return cancelled

        if chance.random() < 0.5:
            await retried(move, findings, "move")
        if chance.random() < 0.4:
            await self.rig.cloud.graph.advance(timedelta(seconds=2))  # the invitation arrives
            await retried(answer, findings, "answer")
        if chance.random() < 0.3:
            await retried(call_off, findings, "cancel")


def _slot(number: int) -> TimeSpan:
    """Return a separate hour for each booking of a world. Its second half is for a move."""
    start = MONDAY + timedelta(days=14 + number // 12, hours=1.5 + number % 12)
    return TimeSpan.lasting(start, HALF_AN_HOUR)


async def one_world(seed: int, bookings: int, findings: Findings) -> None:
    """Let people book while Graph fails, then compare once Graph has recovered."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        async with a_rig(Path(folder), seed) as rig:
            troubles = rules()
            for rule in troubles.values():
                rig.cloud.graph.faults.add(rule)
            numbers = iter(range(bookings))

            async def somebody(seed: int) -> None:
                for number in numbers:
                    person = Person(rig, *rig.pairs[number % len(rig.pairs)])
                    await person.use(number, random.Random(seed * 1000 + number), findings)

            await asyncio.gather(*(somebody(chance.randrange(10**6)) for _ in range(AT_ONCE)))
            findings.troubles.update({name: rule.hits for name, rule in troubles.items()})
            rig.cloud.graph.faults.clear()
            await rig.pass_time(timedelta(minutes=20))
            await verify_consistency(rig, findings)


async def silence(findings: Findings) -> None:
    """Let requests get no answer of Graph, each at one of its calls."""
    with tempfile.TemporaryDirectory() as folder:
        async with a_rig(Path(folder)) as rig:

            async def somebody(number: int) -> None:
                person = Person(rig, *rig.pairs[number % len(rig.pairs)])
                await person.use(number, random.Random(number), findings)

            rule = FaultRule(behaviour="delay", delay_seconds=12, probability=0.25)
            rig.cloud.graph.switches.concurrency = 1000
            rig.cloud.graph.faults.add(rule)
            await asyncio.gather(*map(somebody, range(LOST_RESPONSE)))
            findings.troubles["no answer for 12 s"] += rule.hits
            rig.cloud.graph.faults.clear()
            await asyncio.sleep(13)  # late messages arrive
            await rig.pass_time(timedelta(minutes=20))
            await verify_consistency(rig, findings)


async def verify_consistency(rig: SyncTestbed, findings: Findings) -> None:
    """Compare calendars with tables."""
    for pairing, mentee, mentor in rig.pairs:
        organizer = pairing.mailbox(pairing.participants[1])
        if organizer is None:
            continue
        page, _ = await rig.sessions.list_by_mailbox(
            organizer, since=None, until=None, after=None, limit=10_000
        )
        mine = [s for s in page if s.pairing_id == pairing.id and s.organizer == organizer]
        rig.booked += [(s, mentee, mentor) for s in mine]
        findings.wrong += [f"{s.id}: still requested" for s in mine if s.state == "requested"]
    scheduled = {s.id for s, _, _ in rig.booked if s.state is SessionState.SCHEDULED}
    per_session: Counter[str] = Counter()
    for mailbox in rig.cloud.graph.backend.store.all():
        for event in mailbox.live():
            if event.is_organizer and event.transaction_id:
                per_session[event.transaction_id] += 1
    findings.duplicates += sum(count - 1 for count in per_session.values())
    findings.orphans += len(per_session.keys() - scheduled)
    findings.wrong += await rig.differences()


async def run_under_faults(troubles: int, *, silent: bool = True) -> Findings:
    """Run world after world until so many *troubles* were injected."""
    findings, seed = Findings(), 0
    while sum(findings.troubles.values()) < troubles:
        seed += 1
        left = troubles - sum(findings.troubles.values())
        await one_world(seed, min(PER_WORLD, max(8, left // 2)), findings)
    if silent:
        await silence(findings)
    return findings


def main() -> None:
    """Print the results; exit with 1 if a check failed."""
    import logging

    logging.disable(logging.CRITICAL)
    wanted: Any = sys.argv[1:] or ["10000"]
    started = time.perf_counter()
    findings = asyncio.run(run_under_faults(int(wanted[0])))
    print(f"{findings.as_text()}\nin {time.perf_counter() - started:.0f} s")
    sys.exit(not findings.is_clean)


if __name__ == "__main__":
    main()
