"""A few thousand racing bookings; `benchmarks.races` runs a hundred thousand."""

import random
import tempfile
import time
from pathlib import Path

import pytest

import shared.sessions.ledger
from benchmarks.races import addresses, checked, on_emulator, open_session_ports, race, work
from benchmarks.shared_world import World, serving


async def test_nothing_is_sold_twice() -> None:
    report = await race(3_000)
    assert report.is_clean, report.as_text()
    assert not report.counts["unanswered"] + report.counts["series unanswered"], report.as_text()
    assert report.counts["booked"] > 300
    assert report.refusals > 1_000


async def test_nothing_is_sold_twice_on_the_emulator() -> None:
    report = await on_emulator(400)
    assert report.is_clean, report.as_text()
    assert report.counts["booked"] > 30


async def test_the_books_would_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that ignores holds books a time twice, and the benchmark finds it."""
    monkeypatch.setattr(shared.sessions.ledger, "conflicting_hold", lambda *_: None)
    world = World(addresses(), lag=1.0, chance=random.Random(1))
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "world"
        async with serving(world, socket):
            found = [await work(0, 300, socket, None)]
            async with open_session_ports(socket, None) as (_, ports):
                report = await checked(found, world, ports, time.monotonic())
    assert report.double_bookings > 0
    assert not report.is_clean
