"""Loaded by every Python that runs on another date: libfaketime refuses the sleeps of `time`.

It takes the absolute end of a sleep on the monotonic clock, which is not moved, for one of the wall
clock.
"""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep  # type: ignore[assignment]  # it takes whole numbers as well
