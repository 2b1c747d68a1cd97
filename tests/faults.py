"""The fault matrix: each way to hinder the following of Outlook, and the proof it survives."""

import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from local.graph.faults import FaultRule
from tests.rig import RECONCILED_WITHIN, Rig, a_rig, logged_exceptions

Hinder = Callable[[Rig, random.Random], None]


@dataclass(frozen=True)
class Outcome:
    """What one run of one fault came to."""

    fault: str
    seed: int
    sessions: int
    differences: list[str]
    unexplained: list[str]
    poison: int
    figures: dict[str, Any]


def _nothing(rig: Rig, rng: random.Random) -> None:
    """Leave Graph kind, duplicates aside."""


def _duplicates(rig: Rig, rng: random.Random) -> None:
    rig.cloud.graph.switches.duplicates = 3


def _reversed(rig: Rig, rng: random.Random) -> None:
    rig.cloud.graph.switches.reorder = True
    rig.cloud.graph.switches.notification_spread_seconds = 120


def _lost(share: float) -> Hinder:
    def hinder(rig: Rig, rng: random.Random) -> None:
        rig.cloud.graph.switches.drop_share = share
        rig.cloud.graph.switches.tell_missed = False

    return hinder


def _missed(rig: Rig, rng: random.Random) -> None:
    rig.cloud.graph.switches.drop_share = 0.5


def _late(rig: Rig, rng: random.Random) -> None:
    rig.cloud.graph.switches.late_share = 1.0


def _webhook_down(rig: Rig, rng: random.Random) -> None:
    rig.trouble.webhook_down = True


def _storage_down(rig: Rig, rng: random.Random) -> None:
    rig.trouble.storage_down = True


def _worker_dies(rig: Rig, rng: random.Random) -> None:
    rig.trouble.dies_with = 0.03


def _two_workers(rig: Rig, rng: random.Random) -> None:
    rig.twice = True


def _subscription_ends(*, tell: bool) -> Hinder:
    def hinder(rig: Rig, rng: random.Random) -> None:
        notifier = rig.cloud.graph.site.notifier
        for subscription in list(rig.cloud.graph.site.subscriptions.all()):
            notifier.end(subscription, tell=tell)

    return hinder


def _throttled(retry_after: float | None) -> Hinder:
    def hinder(rig: Rig, rng: random.Random) -> None:
        rig.cloud.graph.faults.add(
            FaultRule(
                method="GET",
                path=".*/events/.*",
                behaviour="status",
                status=429,
                retry_after=retry_after,
                probability=0.5,
            )
        )

    return hinder


def _unavailable(rig: Rig, rng: random.Random) -> None:
    rig.cloud.graph.faults.add(
        FaultRule(
            method="GET", path=".*/events/.*", behaviour="status", status=503, probability=0.5
        )
    )


def _restarted(rig: Rig, rng: random.Random) -> None:
    rig.start_anew()


FAULTS: dict[str, Hinder] = {
    "nothing": _nothing,
    "duplicates x3": _duplicates,
    "reversed order": _reversed,
    "5 % lost": _lost(0.05),
    "20 % lost": _lost(0.2),
    "100 % lost": _lost(1.0),
    "half missed, told": _missed,
    "an hour late": _late,
    "webhook down 10 min": _webhook_down,
    "storage down": _storage_down,
    "worker killed": _worker_dies,
    "two workers": _two_workers,
    "subscription removed, told": _subscription_ends(tell=True),
    "subscription removed, untold": _subscription_ends(tell=False),
    "429 with Retry-After": _throttled(7.5),
    "429 without": _throttled(None),
    "503": _unavailable,
    "restarted": _restarted,
}
_PASSING = {"webhook down 10 min", "storage down"}
"""They end by themselves after ten minutes and one."""


async def run(fault: str, *, sessions: int, acts: int, seed: int, folder: Path) -> Outcome:
    """Book, let people act while *fault* holds, let one reconciliation period pass, compare."""
    rng = random.Random(seed)
    with logged_exceptions() as logged:
        async with a_rig(folder, seed) as rig:
            await rig.book(sessions, rng)
            await rig.pass_time(timedelta(minutes=3))
            rig.cloud.graph.requests.reset()
            await _hinder(rig, fault, acts, rng)
            _heal(rig)
            await rig.pass_time(RECONCILED_WITHIN)
            figures = await rig.seen()
            calls = rig.cloud.graph.requests.count("GET", "{mailbox}/events/{event}")
            figures["calls_per_change"] = round(calls / max(1, figures["changes"]), 2)
            return Outcome(
                fault,
                seed,
                len(rig.booked),
                await rig.differences(),
                _unexplained(fault, rig.failures, logged),
                len(rig.queues.poison),
                figures,
            )


def seed_to_use(default: int) -> int:
    """Return the seed to run with: FAULT_SEED replays a failure."""
    return int(os.environ.get("FAULT_SEED", default))


async def _hinder(rig: Rig, fault: str, acts: int, rng: random.Random) -> None:
    hinder = FAULTS[fault]
    if fault != "restarted" and not fault.startswith("subscription"):
        hinder(rig, rng)
    for number in range(acts):
        rig.act(rng)
        if number == acts // 2 and fault.startswith("subscription"):
            hinder(rig, rng)
        if fault == "restarted" and rng.random() < 0.3:
            hinder(rig, rng)
        await rig.pass_time(timedelta(minutes=1))
        if fault in _PASSING and number == (1 if fault == "storage down" else 10):
            _heal(rig)


def _heal(rig: Rig) -> None:
    rig.trouble.webhook_down = rig.trouble.storage_down = False
    rig.trouble.dies_with = 0.0
    rig.cloud.graph.faults.clear()
    rig.cloud.graph.switches.drop_share = 0.0
    rig.cloud.graph.switches.late_share = 0.0


def _unexplained(fault: str, failures: list[str], logged: list[str]) -> list[str]:
    """Return exceptions that the fault does not explain."""
    expected = {
        "storage down": {"StoreUnavailable"},
        "503": {"CalendarUnavailable"},
        "429 with Retry-After": {"CalendarThrottled"},
        "429 without": {"CalendarThrottled"},
    }.get(fault, set())
    told = [each for each in failures if each not in expected]
    told += [each for each in logged if each.rsplit(": ", 1)[-1] not in expected]
    return told


_Run = Callable[..., Awaitable[Outcome]]
