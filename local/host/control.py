"""Commands from the parent process to the host, over standard input and output.

One JSON object a line, each with one in reply::

    {"do": "drain"}                            {"done": 3}
    {"do": "timer", "name": "renew_batches"}   {"done": 1}
    anything else                              {"error": "…"}

So tests decide when queues are handled, as with a `DevelopmentHost` in their own process.
"""

import asyncio
import json
import sys
from typing import Any

from local.host.console import announce
from local.host.host import DevelopmentHost


async def run_command(host: DevelopmentHost) -> None:
    """Run the commands on standard input, until it ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        announce(**await _answer(host, line))


async def _answer(host: DevelopmentHost, line: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(line)
        match asked["do"]:
            case "drain":
                return {"done": await host.drain_queues()}
            case "timer":
                await host.invoke_timer(asked["name"])
                return {"done": 1}
            case other:
                return {"error": f"{other!r} is nothing the host can do"}
    except Exception as error:  # noqa: BLE001  # every command gets an answer
        return {"error": f"{type(error).__name__}: {error}"}
