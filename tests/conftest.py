"""Rules for every suite."""

import sys
from collections.abc import Generator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.today import begin

# When it is imported, jsonschema compiles 39 grammars for the formats `iri` and `iri-reference`:
# 1.7 s of every test process. No description of ours or Graph's has these formats.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

# How long an example takes is the machine's business.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

ALLOWED_SKIPS: Final = ("the offline Bicep checker is not at hand",)
"""The allowed reasons for a skip. Any other skip is a failure, so that none is missed."""


def pytest_runtest_setup() -> None:
    """Note the day on which the test begins."""
    begin()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skips for a reason that is not allowed."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not hasattr(report, "wasxfail") and reason not in ALLOWED_SKIPS:
            report.outcome = "failed"
            report.longrepr = f"Skipped without leave: {reason}"
    return report
