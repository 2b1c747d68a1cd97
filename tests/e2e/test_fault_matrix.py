"""Every fault, a few sessions, simulated time; `benchmarks/fault_matrix.py` runs the larger one."""

from pathlib import Path

import pytest

from tests.faults import FAULTS, run, seed_to_use


@pytest.mark.parametrize("fault", FAULTS)
async def test_in_the_end_every_session_is_what_the_calendar_says(
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
    if fault == "nothing":
        assert outcome.figures["reconciliation"] == 0
