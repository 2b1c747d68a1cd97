"""Processes that book, move, cancel and follow answers are killed while storage comes and goes.

Run with ``python -m benchmarks.chaos [seconds] [--seed N]``; two minutes by default. Their clocks
are apart. Calls to storage and to Outlook fail, half of them after their effect. In the end the
recovery jobs run and every session is reconciled once, as in production. Then every session, every
calendar, every hold and the change feed are compared.
"""

import argparse
import asyncio
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from ctypes import c_byte
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.races import (
    ORGANIZATION,
    Outcome,
    addresses,
    all_sessions,
    attempt,
    checked,
    open_session_ports,
    run_recovery_jobs,
)
from benchmarks.shared_world import Client, Meeting, SharedTables, World, serving
from shared.adapters.tables.changes import TableChanges
from shared.calendar_sync.reconciliation import reconcile_batch
from shared.calendar_sync.sync import sync_event
from shared.changes.model import Change
from shared.errors import EventGone, SchedulingError
from shared.jobs import Job, JobKind
from shared.sessions.model import ResponseState, Session, SessionState
from shared.sessions.ports import SessionPorts
from tests.feed import assert_feed_matches

SKEWS: Final = (timedelta(), timedelta(seconds=45))
"""How far the clock of each process is ahead."""
TROUBLE, FEED_TROUBLE = 0.01, 0.5
"""The shares of calls that fail, and of writes to the change feed."""
AT_ONCE: Final = 6
"""Concurrent attempts in each process."""
LIVES: Final = 1.5
"""Seconds that a process lives on average."""
ROUND: Final = 0.5
"""Seconds before all processes move on to other slots."""
_SOME: Final = 5
"""The meetings to wait for at the beginning, and the least number of kills."""
_MOST_SECONDS: Final = 120
_BATCH: Final = 20


@dataclass(frozen=True)
class Findings:
    """What a run came to."""

    kills: int
    outages: int
    sessions: Counter[SessionState]
    changes: int
    wrong: tuple[str, ...]
    """Every difference, in words."""

    def as_text(self) -> str:
        """Return the findings as text."""
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.sessions.items()))
        summary = (
            f"{self.kills} processes killed, storage away {self.outages} times;"
            f" sessions: {states}; {self.changes} changes in the feed; {len(self.wrong)} wrong"
        )
        return "\n".join([summary, *self.wrong])


async def chaos(seconds: float, seed: int) -> Findings:
    """Let two processes work for *seconds* while they are killed, then compare everything."""
    world = World(
        addresses(), chance=random.Random(seed), trouble=TROUBLE, feed_trouble=FEED_TROUBLE
    )
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "world"
        async with serving(world, socket):
            began_at = time.time()
            kills, outages = await _disturb(world, socket, seconds, random.Random(seed))
            world.trouble, world.feed_trouble, world.is_away = 0.0, 0.0, False
            ahead = timedelta(seconds=time.time() - began_at, minutes=20)
            async with open_session_ports(socket, None, ahead) as (client, ports):
                return await _compare(world, client, ports, kills, outages)


async def _disturb(
    world: World, socket: Path, seconds: float, chance: random.Random
) -> tuple[int, int]:
    """Run the processes, kill them and take storage away; return how often.

    For *seconds*, and until some were killed at work, however long a process takes to start.
    """
    context = multiprocessing.get_context("spawn")
    kills = outages = 0
    # Not an Event: a process that is killed while it looks would keep its lock for ever.
    is_over, began_at = context.RawValue("b", 0), time.time()

    def start(number: int) -> Any:  # noqa: ANN401 - a process of the context
        seed = chance.randrange(1 << 30)
        arguments = (seed, str(socket), began_at, is_over, SKEWS[number].total_seconds())
        process = context.Process(target=_process, args=arguments, daemon=True)
        process.start()
        return process

    running = [start(number) for number in range(len(SKEWS))]
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at or kills < _SOME:
        await asyncio.sleep(chance.uniform(0, LIVES / len(running)))
        if chance.random() < 0.3:
            outages += 1
            world.is_away = True
            await asyncio.sleep(chance.uniform(0.05, 0.5))
            world.is_away = False
        else:
            number = chance.randrange(len(running))
            if len(world.meetings) > _SOME:  # a process takes its time to start
                running[number].kill()
                running[number].join()
                running[number] = start(number)
                kills += 1
    is_over.value = 1
    for process in running:
        await asyncio.to_thread(process.join, _MOST_SECONDS)
        process.kill()
    return kills, outages


def _process(seed: int, socket: str, began_at: float, is_over: c_byte, skew: float) -> None:
    asyncio.run(_work(seed, Path(socket), began_at, is_over, skew))


async def _work(seed: int, socket: Path, began_at: float, is_over: c_byte, skew: float) -> None:
    """Book, move, cancel and follow, several at once, until it *is_over*."""
    chance = random.Random(seed)
    ahead = timedelta(seconds=time.time() - began_at + skew)
    async with open_session_ports(socket, None, ahead) as (client, ports):

        async def one_after_another(worker: int) -> None:
            number = 0
            while not is_over.value:
                number += 1
                turn = int((time.time() - began_at) / ROUND)
                key = f"{seed}-{worker}-{number}"
                with suppress(SchedulingError, BaseExceptionGroup):
                    await attempt(key, turn, 0, client, ports, Outcome())
                with suppress(SchedulingError, BaseExceptionGroup):
                    await _follow(chance, client, ports)

        await asyncio.gather(*(one_after_another(worker) for worker in range(AT_ONCE)))


async def _follow(chance: random.Random, client: Client, ports: SessionPorts) -> None:
    """Let the attendees of a recent meeting answer, and follow it like a notification."""
    recent = await client.call("ledger", max(0, client.events_known - 20))
    meetings = [meeting for meeting in recent if not meeting.is_master and not meeting.is_gone]
    if not meetings:
        return
    meeting = chance.choice(meetings)
    states = [ResponseState.ACCEPTED, ResponseState.TENTATIVE, ResponseState.DECLINED]
    with suppress(EventGone):
        await client.call("answer", meeting.seen.event_id, chance.choice(states))
    await sync_event(meeting.organizer, meeting.seen.event_id, None, ORGANIZATION, ports=ports)


async def _compare(
    world: World, client: Client, ports: SessionPorts, kills: int, outages: int
) -> Findings:
    await run_recovery_jobs(world, ports)
    sessions = list((await all_sessions(ports)).values())
    await _reconcile(sessions, ports)
    await run_recovery_jobs(world, ports)
    report = await checked([Outcome(Counter(attempts=1))], world, ports, 1.0)
    sessions = list((await all_sessions(ports)).values())
    feed = await _feed(TableChanges(SharedTables(client)))
    report = replace(report, double_bookings=0)  # they are looked at by themselves
    wrong = [] if report.is_clean else [report.as_text()]
    wrong += _unsaid_overlaps(world, sessions)
    wrong += _wrong_answers(world, sessions)
    for session in sessions:
        try:
            own = [change for change in feed if change.session_id == session.id]
            assert_feed_matches(own, [session])
        except AssertionError as error:
            told = [(str(change.kind), change.detail) for change in own]
            wrong.append(f"{session.id} ({session.state}) is told as {told}: {error}")
    strangers = {change.session_id for change in feed} - {session.id for session in sessions}
    wrong += [f"the feed tells of {session_id}, which does not exist" for session_id in strangers]
    states = Counter(session.state for session in sessions)
    return Findings(kills, outages, states, len(feed), tuple(wrong))


async def _reconcile(sessions: Sequence[Session], ports: SessionPorts) -> None:
    for start in range(0, len(sessions), _BATCH):
        batch = sessions[start : start + _BATCH]
        organizers, ids = tuple(s.organizer for s in batch), tuple(s.id for s in batch)
        job = Job(JobKind.RECONCILE, ORGANIZATION.id, organizers, ids)
        await reconcile_batch(job, ORGANIZATION, ports=ports)


async def _feed(changes: TableChanges) -> list[Change]:
    found: list[Change] = []
    cursor = None
    while page := await changes.after(ORGANIZATION.id, cursor, 500):
        entries, cursor = page
        if not entries:
            break
        found += entries
    return found


def _unsaid_overlaps(world: World, sessions: Sequence[Session]) -> list[str]:
    """Return the meetings of one person that overlap, unless both sessions say so.

    A process that dies between creating a series and cancelling a date that was to be skipped
    leaves the date in Outlook, which is authoritative. It becomes a session and a conflict.
    """
    found = []
    alive = [m for m in world.meetings if not (m.is_gone or m.is_master)]
    conflicts = {session.id: session.conflicts_with for session in sessions}
    for number, one in enumerate(alive):
        for other in alive[number + 1 :]:
            if not one.seen.span.overlaps(other.seen.span):
                continue
            is_said = other.session_id in conflicts.get(one.session_id, ())
            is_said &= one.session_id in conflicts.get(other.session_id, ())
            if _attending(one) & _attending(other) and not is_said:
                found.append(f"{one.session_id} and {other.session_id} overlap, and do not say so")
    return found


def _attending(meeting: Meeting) -> set[str]:
    declined = {
        a.address for a in meeting.seen.attendees if a.response.state is ResponseState.DECLINED
    }
    return set(meeting.addresses) - declined


def _wrong_answers(world: World, sessions: Sequence[Session]) -> list[str]:
    """Return the sessions whose answers are not those of their event."""
    by_event = {m.seen.event_id: m.seen for m in world.meetings if not m.is_gone}
    return [
        f"{session.id}: the answers differ"
        for session in sessions
        if session.state is SessionState.SCHEDULED and session.event_id in by_event
        if [a.response.state for a in by_event[session.event_id].attendees]
        != [a.response.state for a in session.attendees]
    ]


def main() -> None:
    """Run, print the findings; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    findings = asyncio.run(chaos(given.seconds, given.seed))
    print(findings.as_text())
    sys.exit(bool(findings.wrong))


if __name__ == "__main__":
    main()
