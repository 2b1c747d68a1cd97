"""What limits add to a request: table requests and milliseconds, on Azurite beside this process.

Run with ``python -m benchmarks.limits``.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport

from local.azurite import azurite
from local.certificate import ensure_certificate
from shared.adapters.tables.client import Row, Tables, Write, table_service
from shared.adapters.tables.keys import Key
from shared.adapters.tables.usages import TableUsages
from shared.clock import SystemClock
from shared.errors import LimitReached
from shared.limits.limiter import CallLimiter
from shared.limits.model import Budget, Limits, Spending
from shared.organizations.model import ActingUser, Caller
from shared.settings import CallLimits
from tests.builders import a_mailbox, an_organization
from tests.contract.conftest import KEY

_CALLS: Final = 300
_KNOWN: Final = CallLimits()


class CountedTables(Tables):
    """Tables that count their requests."""

    requests = 0

    async def get(self, table: str, key: Key, select: Sequence[str] = ()) -> Row | None:
        """Count the read."""
        self.requests += 1
        return await super().get(table, key, select)

    async def transact(self, table: str, changes: Sequence[Write]) -> list[str]:
        """Count the write."""
        self.requests += 1
        return await super().transact(table, changes)


def limits(*, reads: int = 0, changes: int = 0) -> Limits:
    """Return the limits of production, or others for a participant."""
    return Limits(
        participant={
            Spending.CHANGES: Budget(changes or 10 * _CALLS),
            Spending.READS: Budget(reads or _KNOWN.reads_per_minute),
        },
        organization={
            Spending.CHANGES: Budget(_KNOWN.organization_changes_per_minute * 100),
            Spending.READS: Budget(_KNOWN.organization_reads_per_minute),
        },
    )


@asynccontextmanager
async def counted_tables() -> AsyncIterator[CountedTables]:
    """Provide the tables of an Azurite."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = ensure_certificate(Path(folder))
        connector = aiohttp.TCPConnector(ssl=certificate.client_context())
        async with (
            azurite(certificate) as storage,
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
            table_service(
                storage.tables_url, KEY, AioHttpTransport(session=session, session_owner=False)
            ) as service,
        ):
            yield CountedTables(service)


async def main() -> None:
    """Print the medians of each kind of call."""
    organization = an_organization()

    def somebody() -> Caller:
        return Caller(organization, ActingUser(a_mailbox()))

    async with counted_tables() as tables:

        def a_limiter(**changed: int) -> CallLimiter:
            return CallLimiter(limits(**changed), TableUsages(tables), SystemClock())

        one, me = a_limiter(reads=100 * _CALLS), somebody()
        full, late = a_limiter(reads=1, changes=1), somebody()
        for each in (full.admit_read(late), full.admit_change(late, 1)):
            await each
        kinds: dict[str, Callable[[int], Awaitable[Any]]] = {
            "read, first of a person in this minute": lambda _: one.admit_read(somebody()),
            "read, again": lambda _: one.admit_read(me),
            "read, on an instance that starts": lambda _: a_limiter().admit_read(me),
            "booking or move": lambda n: one.admit_change(me, 1, key=str(n)),
            "its retry": lambda n: one.admit_change(me, 1, key=str(n % 50 + _CALLS - 60)),
            "refused": lambda _: full.admit_change(late, 1),
        }
        await one.admit_read(me)
        print(f"{'':42}{'requests':>9}{'median ms':>11}{'95 % ms':>9}")
        for name, call in kinds.items():
            before, took = tables.requests, list[float]()
            for number in range(_CALLS):
                started = time.perf_counter()
                with suppress(LimitReached):
                    await call(number)
                took.append(1000 * (time.perf_counter() - started))
            requests = (tables.requests - before) / _CALLS
            slow = statistics.quantiles(took, n=20)[-1]
            print(f"{name:42}{requests:9.2f}{statistics.median(took):11.2f}{slow:9.2f}")
        started = time.perf_counter()
        for _ in range(_CALLS):
            await tables.get("Mailboxes", Key("none", "none"))
        print(f"{'one point read, for comparison':42}{1:9.2f}", end="")
        print(f"{1000 * (time.perf_counter() - started) / _CALLS:11.2f}")


if __name__ == "__main__":
    asyncio.run(main())
