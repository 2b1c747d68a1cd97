"""A few hundred faults of Graph; `benchmarks.trouble` injects ten thousand."""

import logging

import pytest

from benchmarks.trouble import run_under_faults


async def test_no_event_is_duplicated_and_no_caller_waits_too_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.CRITICAL, "mentor_calendar"):
        findings = await run_under_faults(250, silent=False)
    assert findings.is_clean, findings.as_text()
    assert findings.answers["book done"] > 20
