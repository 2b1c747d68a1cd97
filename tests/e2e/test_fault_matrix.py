"""Every fault, a few sessions, simulated time; `benchmarks/fault_matrix.py` runs the larger one."""

import random
from datetime import timedelta
from pathlib import Path

import pytest

from local.world import MailboxKind
from shared.changes.model import ChangeKind
from shared.sessions.model import Session
from tests.faults import FAULTS, run, seed_to_use
from tests.sync_testbed import MINUTE, RECONCILED_WITHIN, SyncTestbed, a_rig


@pytest.mark.parametrize("fault", FAULTS)
async def test_in_the_end_every_session_agrees_with_the_calendar(
    fault: str, tmp_path: Path
) -> None:
    outcome = await run(fault, sessions=12, acts=25, seed=seed_to_use(11), folder=tmp_path)
    replay = f"FAULT_SEED={outcome.seed} pytest tests/e2e/test_fault_matrix.py -k '{fault}'"
    assert outcome.differences == [], replay
    assert outcome.unexplained == [], replay
    assert outcome.poison == 0, replay
    assert outcome.figures["changes"] > 0
    if fault == "100 % lost":
        assert outcome.figures["push"] == 0
    if fault == "nothing" and not outcome.acted["other calendar"]:
        assert outcome.figures["reconciliation"] == 0


async def test_missing_mailbox_is_reported_once_and_others_still_sync(
    tmp_path: Path,
) -> None:
    rng = random.Random(seed_to_use(11))
    async with a_rig(tmp_path, strangers=2) as rig:
        await rig.book(16, rng)
        await rig.pass_time(3 * MINUTE)
        (_, owner, _), *_ = rig.booked
        whole = list(rig.booked)
        theirs = [each for each in whole if each[1] == owner]
        rig.cloud.world.person(owner).kind = MailboxKind.UNLICENSED
        rig.booked = [each for each in whole if each[1] != owner]
        for _ in range(20):
            rig.act(rng)
            await rig.pass_time(MINUTE)
        await rig.pass_time(RECONCILED_WITHIN)
        found = await rig.differences()
        assert not found, "\n".join(found)
        assert await _unreadable(rig, theirs) == len(theirs)
        assert await _troubles(rig) == [theirs[0][0].organizer.object_id]
        rig.cloud.world.person(owner).kind = MailboxKind.ONLINE
        await rig.pass_time(RECONCILED_WITHIN + timedelta(hours=1))
        rig.booked = whole
        found = await rig.differences()
        assert not found, "\n".join(found)
        assert await _unreadable(rig, theirs) == 0
        assert await _troubles(rig) == [theirs[0][0].organizer.object_id]
        assert rig.failures == []
        assert rig.queues.poison == []


async def _unreadable(rig: SyncTestbed, booked: list[tuple[Session, str, str]]) -> int:
    rows = [await rig.sessions.get(s.organizer, s.id) for s, _, _ in booked]
    return sum(row.unreadable_since is not None for row in rows)


async def _troubles(rig: SyncTestbed) -> list[str]:
    feed, _ = await rig.changes.after(rig.organization.id, None, 10_000)
    return [str(c.object_id) for c in feed if c.kind is ChangeKind.TROUBLE]
