"""The health check: whether the services that a deployment depends on answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from shared.clock import Clock
from shared.errors import SchedulingError

_TIMEOUT_SECONDS: Final = 5.0
_KEPT: Final = timedelta(seconds=10)
"""The lifetime of an outcome for callers without a token: their requests cost no calls."""

HealthCheck = Callable[[], Awaitable[None]]


async def check_health(dependencies: Mapping[str, HealthCheck]) -> dict[str, str]:
    """Return for each dependency `ok`, `no answer` or the class of its error.

    Never raises the error of a dependency.
    """
    states = await asyncio.gather(*(_state(probe) for probe in dependencies.values()))
    return dict(zip(dependencies, states, strict=True))


def is_all_well(checks: Mapping[str, str]) -> bool:
    """Return whether each of the *checks* is `ok`."""
    return all(state == "ok" for state in checks.values())


class PublicHealth:
    """Whether all dependencies answer, checked at most once in some seconds."""

    def __init__(self, dependencies: Callable[[], Mapping[str, HealthCheck]], clock: Clock) -> None:
        self._dependencies = dependencies
        self._clock = clock
        self._is_well = False
        self._checked_at: datetime | None = None
        self._lock = asyncio.Lock()

    async def is_well(self) -> bool:
        """Return the outcome of the last check, or of a new one if it is old."""
        async with self._lock:
            now = self._clock.now()
            if self._checked_at is None or not now - self._checked_at < _KEPT:
                self._is_well = is_all_well(await check_health(self._dependencies()))
                self._checked_at = self._clock.now()
        return self._is_well


async def _state(probe: HealthCheck) -> str:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await probe()
    except TimeoutError:
        return "no answer"
    except SchedulingError as error:
        return type(error).__name__
    return "ok"
