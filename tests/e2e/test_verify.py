"""`scripts.verify` against the local cloud: each check that it can run, and what it says of faults."""

from pathlib import Path

from scripts.verify.document import read_checks
from tests.e2e.verifying import ALIAS, an_operator


async def test_all_checks(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        outlook = operator.app.cloud.graph.outlook
        done = await operator.run("--cold", "--alias", ALIAS)
        print(done.text, done.said)
        assert 0
