"""Every short benchmark: ``make bench``. Ratios hold on a noisy machine, times do not."""

import asyncio
import importlib
import inspect
from collections.abc import Awaitable

# Long ones run by themselves: python -m benchmarks.fault_matrix
MODULES = ("startup", "first_call", "edge", "graph_calls", "slots", "booking_cpu", "limits")


async def _awaited(outcome: Awaitable[None]) -> None:
    await outcome


if __name__ == "__main__":
    for name in MODULES:
        print(f"\n== {name}", flush=True)
        outcome = importlib.import_module(f"benchmarks.{name}").main()
        if inspect.isawaitable(outcome):
            asyncio.run(_awaited(outcome))
