"""The load benchmark in small: whatever is acknowledged is handled, each thing once."""

import pytest

from benchmarks.webhook import run


@pytest.mark.timeout(120)
async def test_what_was_acknowledged_was_handled() -> None:
    outcome = await run(seconds=2, per_second=200)
    assert outcome.sent == 400
    assert outcome.statuses == {202: outcome.posts}
    assert (outcome.accepted, outcome.dropped) == (outcome.sent, 0)
    assert outcome.handled.total() == outcome.distinct
    assert outcome.handled["ours"] > 0
    assert outcome.handled["foreign"] > outcome.handled["ours"]
