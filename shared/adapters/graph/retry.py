"""Decides whether and when a failed call is retried. Pure.

A user waits for most calls, so there is one retry, and it is quick. The caller decides whether the
request may be repeated.
"""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

QUICK_SECONDS = 0.3
"""The pause before the retry if Graph sends no Retry-After."""
LONGEST_PAUSE_SECONDS = 2.0
LEAST_LEFT_SECONDS = 1.0
"""A retry needs at least this much of the time budget."""


def next_delay(
    attempt: int, retry_after_seconds: float | None, *, left_seconds: float
) -> float | None:
    """Return how many seconds to wait after failed *attempt* (from 1), or None to give up.

    *left_seconds*: the rest of the caller's time budget.
    """
    if attempt > 1:
        return None
    pause = QUICK_SECONDS if retry_after_seconds is None else retry_after_seconds
    if pause > LONGEST_PAUSE_SECONDS or pause + LEAST_LEFT_SECONDS > left_seconds:
        return None
    return pause


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """Parse a ``Retry-After`` header: seconds, perhaps with a fraction, or an HTTP date.

    Return seconds, at least 0; None if the header is absent, unreadable or not a finite number.
    """
    if header is None or not header.strip():
        return None
    try:
        seconds = float(header)
    except ValueError:
        return _until(header, now or datetime.now(UTC))
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _until(header: str, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return None
    # "-0000" gives a naive time; HTTP dates are GMT by definition.
    aware = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)
