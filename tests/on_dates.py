"""Runs the suites with the clock on another day: ``python -m tests.on_dates``.

``make test-dates`` runs it. libfaketime moves the clock of every process that a suite starts,
except for Chromium: there the pages' clocks are moved. The machine's time zone moves as well.
Monotonic clocks stay as they are.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

_LIBRARY: Final = "faketime/libfaketime.so.1"
_PARALLEL: Final = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile")
_SUITES: Final = (
    (*_PARALLEL, "tests/unit", "tests/edge", "tests/contract", "tests/local", "tests/e2e"),
    ("tests/browser",),
)
MACHINE_ZONES: Final = ("UTC", "America/Los_Angeles", "Asia/Kolkata")


@dataclass(frozen=True, slots=True)
class Moment:
    """The start of the suites: *at* on the clocks of *zone*, by default of the machine."""

    name: str
    at: str
    zone: str | None = None

    def starts_at(self, machine_zone: str) -> datetime:
        """Return the instant."""
        return datetime.fromisoformat(self.at).replace(tzinfo=ZoneInfo(self.zone or machine_zone))


MOMENTS: Final = (
    Moment("Saturday", "2027-01-09 12:00"),
    Moment("Sunday 23:50", "2027-01-10 23:50"),
    Moment("31 December 23:55", "2027-12-31 23:55"),
    Moment("1 January", "2028-01-01 00:05"),
    Moment("28 February 2028", "2028-02-28 20:00"),
    Moment("29 February 2028", "2028-02-29 09:00"),
    Moment("clocks forward in Berlin", "2027-03-28 01:55", "Europe/Berlin"),
    Moment("clocks back in Berlin", "2027-10-31 01:55", "Europe/Berlin"),
    Moment("clocks forward in New York", "2027-03-14 01:55", "America/New_York"),
)

REPRESENTATIVE: Final = (
    (MOMENTS[1], "Asia/Kolkata"),
    (MOMENTS[2], "America/Los_Angeles"),
    (MOMENTS[5], "UTC"),
    (MOMENTS[7], "UTC"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every suite at every moment, print a table, return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.on_dates", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every moment in every time zone")
    parser.add_argument("--at", help='one moment alone, e.g. "2027-01-10 23:50"')
    parser.add_argument("--zone", help="the machine's time zone alone, for --all and --at")
    parser.add_argument("pytest", nargs="*", help="what pytest gets instead of the suites")
    options = parser.parse_args(arguments)
    library = _library()
    if library is None:
        print("libfaketime is needed. Run: apt-get install faketime", file=sys.stderr)
        return 1
    if options.at:
        chosen = [(Moment(options.at, options.at), options.zone or "UTC")]
    elif options.all:
        zones = [options.zone] if options.zone else MACHINE_ZONES
        chosen = [(moment, zone) for moment in MOMENTS for zone in zones]
    else:
        chosen = list(REPRESENTATIVE)
    suites = [options.pytest] if options.pytest else _SUITES
    runs = [(moment, zone, suite) for moment, zone in chosen for suite in suites]
    failed = 0
    for moment, zone, suite in runs:
        status, last = _run(moment, zone, library, suite)
        failed += status != 0
        print(f"{moment.name} | {zone} | {suite[-1]} | {last}", flush=True)
    print(f"{len(runs) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _run(moment: Moment, zone: str, library: Path, pytest: Sequence[str]) -> tuple[int, str]:
    """Return pytest's exit status and its last line. Failures are printed."""
    offset = round(moment.starts_at(zone).timestamp() - time.time())
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *pytest],
        env={
            **os.environ,
            "TZ": zone,
            "LD_PRELOAD": str(library),
            "PYTHONPATH": str(Path(__file__).parent / "under_faketime"),
            "FAKETIME": f"{offset:+d}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = process.stdout.strip().splitlines()
    if process.returncode:
        print(process.stdout)
    return process.returncode, lines[-1].strip("= ") if lines else "no output"


def _library() -> Path | None:
    folders = (Path("/usr/lib"), *sorted(Path("/usr/lib").glob("*-linux-gnu")))
    return next((each / _LIBRARY for each in folders if (each / _LIBRARY).exists()), None)


if __name__ == "__main__":
    sys.exit(main())
