"""The fault matrix in a larger size: the cost of each fault, and the proof that it loses nothing.

Time is simulated in steps of ten seconds, so that is the resolution of the lags. ``SESSIONS``,
``ACTS``, ``FAULTS`` (separated by semicolons) and ``FAULT_SEED`` in the environment change its
size.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults import FAULTS, Outcome, run, seed_to_use

SESSIONS, ACTS = int(os.environ.get("SESSIONS", "300")), int(os.environ.get("ACTS", "600"))
WANTED = os.environ.get("FAULTS", ";".join(FAULTS)).split(";")
_SHOWN = 5
"""The most differences and exceptions printed of one run."""


def main() -> None:
    """Print a line per fault; exit with 1 if anything was lost or is unexplained."""
    seed, began, acted = seed_to_use(1), time.monotonic(), Counter[str]()
    outcomes = []
    print(
        f"{SESSIONS} sessions, {ACTS} acts in Outlook, one reconciliation period afterwards; "
        f"seed {seed}\n"
        f"{'fault':30}{'changes':>8}{'push':>6}{'p50 s':>7}{'p99 s':>7}{'calls each':>11}"
        f"{'recon':>7}{'p50 s':>7}{'p99 s':>7}{'calls':>7}{'$batch':>8}"
        f"{'wrong':>7}{'errors':>7}{'poison':>7}"
    )
    for fault in WANTED:
        with tempfile.TemporaryDirectory() as folder:
            outcome = asyncio.run(
                run(fault, sessions=SESSIONS, acts=ACTS, seed=seed, folder=Path(folder))
            )
        print(_line(outcome), flush=True)
        for each in [*outcome.differences[:_SHOWN], *outcome.unexplained[:_SHOWN]]:
            print(f"    {each}")
        outcomes.append(outcome)
        acted += outcome.acted
    print(", ".join(f"{name} {count}" for name, count in acted.most_common()))
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(any(outcome.differences or outcome.unexplained for outcome in outcomes))


def _line(outcome: Outcome) -> str:
    f = outcome.figures
    (push_p50, push_p99), (later_p50, later_p99) = f["push_lags"], f["reconciliation_lags"]
    each = f["calls_by_push"] / f["push"] if f["push"] else 0.0
    return (
        f"{outcome.fault:30}{f['changes']:>8}"
        f"{f['push']:>6}{push_p50:>7.0f}{push_p99:>7.0f}{each:>11.2f}"
        f"{f['reconciliation']:>7}{later_p50:>7.0f}{later_p99:>7.0f}"
        f"{f['calls_by_reconciliation']:>7}{f['batches']:>8}"
        f"{len(outcome.differences):>7}{len(outcome.unexplained):>7}{outcome.poison:>7}"
    )


if __name__ == "__main__":
    main()
