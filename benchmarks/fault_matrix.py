"""The fault matrix in a larger size: what each fault costs, and that it loses nothing.

Simulated time in steps of a minute, which is the resolution of the lags. ``SESSIONS``, ``ACTS`` and
``FAULT_SEED`` in the environment change its size.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from tests.faults import FAULTS, Outcome, run, seed_to_use

SESSIONS, ACTS = int(os.environ.get("SESSIONS", "60")), int(os.environ.get("ACTS", "150"))


def main() -> None:
    """Print a line per fault."""
    print(f"{SESSIONS} sessions, {ACTS} acts in Outlook, one reconciliation period afterwards")
    print(
        f"{'fault':30}{'changes':>8}{'push':>6}{'recon':>6}{'lag p50 s':>10}{'p99 s':>8}"
        f"{'calls/change':>13}{'wrong':>6}{'errors':>7}{'poison':>7}"
    )
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            outcome = asyncio.run(
                run(
                    fault,
                    sessions=SESSIONS,
                    acts=ACTS,
                    seed=seed_to_use(1),
                    folder=Path(folder),
                )
            )
        print(_line(outcome), flush=True)


def _line(outcome: Outcome) -> str:
    f = outcome.figures
    return (
        f"{outcome.fault:30}{f['changes']:>8}{f['push']:>6}{f['reconciliation']:>6}"
        f"{f['lag_p50']:>10.0f}{f['lag_p99']:>8.0f}{f['calls_per_change']:>13}"
        f"{len(outcome.differences):>6}{len(outcome.unexplained):>7}{outcome.poison:>7}"
    )


if __name__ == "__main__":
    main()
