"""Azurite, Microsoft's emulator of Table Storage and queues, as a child process.

It accepts real bearer tokens (``--oauth basic``), but only over TLS.
"""

import asyncio
import contextlib
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from local.certificate import LocalCertificate
from local.serving import HOST

HERE: Final = Path(__file__).parent
ACCOUNT: Final = "devstoreaccount1"
_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""The emulator's public key, the same for every account. The app authenticates by tokens."""
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 5.0
# What Azurite prints per service once it listens, with the port the system gave it.
_LISTENING: Final = re.compile(r"Azurite (\w+) service is successfully listening at \S+:(\d+)")
_WANTED: Final = frozenset({"Blob", "Queue", "Table"})


class AzuriteUnavailable(Exception):
    """Azurite could not be started; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running Azurite."""

    tables_url: str
    """``https://127.0.0.1:PORT/devstoreaccount1``.

    It has the address, not a name: `TableServiceClient` takes ``localhost`` for the emulator of
    Cosmos DB, unless the port is 10002, and then requests tokens of that service.
    """
    queues_url: str
    blobs_url: str
    """For Microsoft's host, which keeps the state of timers in blobs."""
    pid: int

    def of(self, account: str) -> "Azurite":
        """Return the same Azurite for another *account*, which has its own tables and queues."""
        return replace(
            self,
            tables_url=f"{self.tables_url.rpartition('/')[0]}/{account}",
            queues_url=f"{self.queues_url.rpartition('/')[0]}/{account}",
            blobs_url=f"{self.blobs_url.rpartition('/')[0]}/{account}",
        )


@asynccontextmanager
async def azurite(
    certificate: LocalCertificate,
    *,
    keep: Path | None = None,
    accounts: Sequence[str] = (ACCOUNT,),
) -> AsyncIterator[Azurite]:
    """Run Azurite while the block runs; yield it for the first of *accounts*.

    *keep*: a folder for its data. Without it the data is lost.

    Raises:
        AzuriteUnavailable: Node or the package is missing, or it ended instead of listening.
    """
    process = await _start(certificate, keep, accounts)
    # Read the output while Azurite runs: a full pipe would block it.
    reader: asyncio.Task[None] | None = None
    try:
        ports = await _ports(process)
        await asyncio.gather(*(_answers(port, certificate) for port in ports.values()))
        reader = asyncio.create_task(_drain(process))
        yield Azurite(
            tables_url=f"https://{HOST}:{ports['Table']}/{accounts[0]}",
            queues_url=f"https://{HOST}:{ports['Queue']}/{accounts[0]}",
            blobs_url=f"https://{HOST}:{ports['Blob']}/{accounts[0]}",
            pid=process.pid,
        )
    finally:
        await _stop(process)
        if reader:
            await reader


async def _start(
    certificate: LocalCertificate, keep: Path | None, accounts: Sequence[str]
) -> asyncio.subprocess.Process:
    node = shutil.which("node")
    if node is None:
        raise AzuriteUnavailable("Node.js is missing: the storage emulator runs on it.")
    if not (HERE / "node_modules" / "azurite").is_dir():
        raise AzuriteUnavailable("Azurite is not installed: run `make setup`.")
    return await asyncio.create_subprocess_exec(
        node,
        str(HERE / "azurite.cjs"),
        *_arguments(certificate, keep),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # A process group of its own, so that this process handles Ctrl-C and ends Azurite in order.
        start_new_session=True,
        env={
            **os.environ,
            "NODE_NO_WARNINGS": "1",
            "AZURITE_ACCOUNTS": ";".join(f"{account}:{_KEY}" for account in accounts),
        },
    )


def _arguments(certificate: LocalCertificate, keep: Path | None) -> list[str]:
    return [
        "--silent",
        "--disableTelemetry",
        # Newer SDKs use API versions that the newest Azurite for Node 20 does not know.
        "--skipApiVersionCheck",
        *("--oauth", "basic"),
        *("--cert", str(certificate.certificate), "--key", str(certificate.key)),
        *("--blobHost", HOST, "--queueHost", HOST, "--tableHost", HOST),
        # The system chooses, so that two clouds on one machine never collide.
        *("--blobPort", "0", "--queuePort", "0", "--tablePort", "0"),
        *(("--location", str(keep)) if keep else ("--inMemoryPersistence",)),
    ]


async def _ports(process: asyncio.subprocess.Process) -> dict[str, int]:
    """Return the port of each service, once all listen."""
    output = cast("asyncio.StreamReader", process.stdout)  # a pipe was asked for
    ports: dict[str, int] = {}
    said: list[str] = []
    try:
        async with asyncio.timeout(START_SECONDS):
            while not ports.keys() >= _WANTED:
                line = (await output.readline()).decode(errors="replace")
                if not line:
                    raise AzuriteUnavailable(f"Azurite ended: {' '.join(said[-5:]) or 'no word'}")
                said.append(line.strip())
                if found := _LISTENING.search(line):
                    ports[found[1]] = int(found[2])
    except TimeoutError as error:
        raise AzuriteUnavailable(f"Azurite did not listen within {START_SECONDS:.0f} s.") from error
    return ports


async def _answers(port: int, certificate: LocalCertificate) -> None:
    """Return once *port* answers TLS with the local certificate."""
    context = certificate.client_context()
    try:
        _, writer = await asyncio.open_connection(HOST, port, ssl=context)
    except (OSError, ssl.SSLError) as error:
        raise AzuriteUnavailable(f"Azurite does not answer on port {port}: {error}") from error
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


async def _drain(process: asyncio.subprocess.Process) -> None:
    output = cast("asyncio.StreamReader", process.stdout)
    while await output.read(65536):
        pass


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End Azurite. First send SIGTERM, so that it writes the data to keep, then kill it."""
    cast("asyncio.StreamWriter", process.stdin).close()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
