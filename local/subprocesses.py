"""Child Python processes, which never outlive their parent."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

from local.cloud import ROOT
from local.serving import HOST

STOP_SECONDS: Final = 35.0  # the development host gives running invocations 30


class ChildFailed(Exception):
    """A process ended unexpectedly; the message is for people."""


@asynccontextmanager
async def child(
    module: str, *arguments: str, environment: Mapping[str, str], inherits: Sequence[int] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run *module* while the block runs, with *environment* on top of the parent's, and its log.

    *inherits*: the parent's open files that it gets, under the same numbers.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "local.exit_with_parent", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        pass_fds=inherits,
        env={**os.environ, **environment, **_without_proxy()},
        # The parent handles Ctrl-C in the terminal.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await _stop(process)


async def first_line(process: asyncio.subprocess.Process) -> str:
    """Return the first line it prints. ChildFailed if it ends without one."""
    line = (await cast("asyncio.StreamReader", process.stdout).readline()).decode()
    if not line:
        raise ChildFailed(f"The process ended with {await process.wait()}; see above.")
    return line


def _without_proxy() -> dict[str, str]:
    """Return settings that keep requests to this machine away from a company's proxy."""
    names = ",".join(filter(None, [os.environ.get("NO_PROXY"), "localhost", HOST]))
    return {"NO_PROXY": names, "no_proxy": names}


async def _stop(process: asyncio.subprocess.Process) -> None:
    cast("asyncio.StreamWriter", process.stdin).close()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
