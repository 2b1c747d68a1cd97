"""A few seconds of what `benchmarks.chaos` does for minutes."""

import random

from benchmarks.chaos import chaos
from shared.sessions.model import SessionState


async def test_nothing_is_lost_or_told_twice_though_processes_die_and_storage_goes_away() -> None:
    seed = random.randrange(1 << 30)
    findings = await chaos(8, seed)
    assert findings.wrong == (), f"seed {seed}: {findings.as_text()}"
    assert findings.kills > 1
    assert findings.sessions[SessionState.SCHEDULED] > 5
    assert findings.changes > findings.sessions[SessionState.SCHEDULED]
