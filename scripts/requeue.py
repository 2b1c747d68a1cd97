"""Puts the messages of a poison queue back on their queue, once the cause is fixed.

    python -m scripts.requeue https://ACCOUNT.queue.core.windows.net notifications

The operator needs "Storage Queue Data Contributor" on the account and an `az login`. A message is
removed from the poison queue only after it is on the other one. So a crash loses nothing, and may
put one message back twice. This is harmless, since handling is idempotent.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from azure.core.exceptions import AzureError
from azure.storage.queue.aio import QueueServiceClient

from scripts.signed_in import advice, cli_credential
from shared.adapters.queues import QUEUES

_HIDDEN_SECONDS = 300


async def requeue(service: QueueServiceClient, queue: str) -> int:
    """Move every message of ``{queue}-poison`` back to *queue*, unchanged; return their number."""
    poison = service.get_queue_client(f"{queue}-poison")
    target = service.get_queue_client(queue)
    count = 0
    async for message in poison.receive_messages(visibility_timeout=_HIDDEN_SECONDS):
        await target.send_message(message.content)
        await poison.delete_message(message)
        count += 1
    return count


async def _main(url: str, queue: str) -> int:
    async with cli_credential() as credential, QueueServiceClient(url, credential) as service:
        return await requeue(service, queue)


def main(arguments: Sequence[str] | None = None) -> int:
    """Requeue the messages and print their number. Returns 1 with a sentence if Azure refuses."""
    parser = argparse.ArgumentParser(prog="python -m scripts.requeue", description=__doc__)
    parser.add_argument("url", help="the account's queue service")
    parser.add_argument("queue", choices=QUEUES)
    options = parser.parse_args(arguments)
    try:
        count = asyncio.run(_main(options.url, options.queue))
    except AzureError as error:
        sys.stderr.write(f"{advice(error, 'queues', 'Storage Queue Data Contributor')}\n")
        return 1
    sys.stdout.write(f"{count} messages put back on {options.queue}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
