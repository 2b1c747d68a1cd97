"""The health check: whether the services that a deployment depends on answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from shared.errors import SchedulingError

_TIMEOUT_SECONDS: Final = 5.0

HealthCheck = Callable[[], Awaitable[None]]


async def check_health(dependencies: Mapping[str, HealthCheck]) -> dict[str, str]:
    """Return for each dependency `ok`, `no answer` or the class of its error.

    Never raises the error of a dependency.
    """
    states = await asyncio.gather(*(_state(probe) for probe in dependencies.values()))
    return dict(zip(dependencies, states, strict=True))


async def _state(probe: HealthCheck) -> str:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await probe()
    except TimeoutError:
        return "no answer"
    except SchedulingError as error:
        return type(error).__name__
    return "ok"
