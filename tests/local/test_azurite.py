"""Azurite accepts the managed identity's tokens, as the real service does."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError, ResourceExistsError
from azure.data.tables import TableTransactionError
from azure.data.tables.aio import TableServiceClient
from azure.identity.aio import ManagedIdentityCredential
from azure.storage.queue.aio import QueueServiceClient

from local.azurite import HERE, azurite
from local.certificate import LocalCertificate
from local.seed import IDENTITY
from tests.local.conftest import Cloud


async def test_tables_and_queues_serve_the_managed_identity(
    cloud: Cloud, certificate: LocalCertificate
) -> None:
    async with (
        azurite(certificate) as storage,
        ManagedIdentityCredential(client_id=IDENTITY.client_id) as identity,
        TableServiceClient(storage.tables_url, credential=identity, **cloud.trusted) as tables,
        QueueServiceClient(storage.queues_url, credential=identity, **cloud.trusted) as queues,
    ):
        table = await tables.create_table("Mailboxes")
        row = {"PartitionKey": "p", "RowKey": "r", "value": 1}
        await table.submit_transaction([("create", row), ("create", {**row, "RowKey": "s"})])
        assert (await table.get_entity("p", "s"))["value"] == 1
        with pytest.raises(ResourceExistsError):
            await table.create_entity(row)
        with pytest.raises(TableTransactionError):
            await table.submit_transaction([("create", {**row, "RowKey": "t"}), ("create", row)])
        queue = queues.get_queue_client("jobs")
        await queue.create_queue()
        await queue.send_message("hello", visibility_timeout=0)
        assert [m.content async for m in queue.receive_messages()] == ["hello"]


async def test_a_token_for_another_resource_is_refused(
    cloud: Cloud, certificate: LocalCertificate
) -> None:
    async with (
        azurite(certificate) as storage,
        ManagedIdentityCredential(client_id=IDENTITY.client_id) as identity,
        TableServiceClient(
            storage.tables_url,
            credential=identity,
            audience="https://vault.azure.net",
            **cloud.trusted,
        ) as tables,
    ):
        with pytest.raises(ClientAuthenticationError):
            await tables.create_table("Mailboxes")


async def test_data_is_kept_where_asked(
    cloud: Cloud, certificate: LocalCertificate, tmp_path: Path
) -> None:
    async with ManagedIdentityCredential(client_id=IDENTITY.client_id) as identity:
        async with (
            azurite(certificate, keep=tmp_path / "data") as storage,
            TableServiceClient(storage.tables_url, credential=identity, **cloud.trusted) as tables,
        ):
            await tables.create_table("Mailboxes")
        async with (
            azurite(certificate, keep=tmp_path / "data") as storage,
            TableServiceClient(storage.tables_url, credential=identity, **cloud.trusted) as tables,
        ):
            assert [each.name async for each in tables.list_tables()] == ["Mailboxes"]


async def test_no_process_stays_behind(certificate: LocalCertificate) -> None:
    async with azurite(certificate) as storage:
        watched = os.pidfd_open(storage.pid)
    await ended(watched)
    with pytest.raises(ProcessLookupError):
        os.kill(storage.pid, 0)


async def test_it_ends_with_its_parent(certificate: LocalCertificate) -> None:
    """Azurite ends even if its parent was killed and could not clean up."""
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from local.azurite import azurite\n"
        "from local.certificate import ensure_certificate\n"
        "async def main():\n"
        "    async with azurite(ensure_certificate(Path(sys.argv[1]))) as storage:\n"
        "        print(storage.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", script, str(certificate.key.parent)),
        stdout=asyncio.subprocess.PIPE,
        cwd=HERE.parent,
    )
    assert parent.stdout is not None
    watched = os.pidfd_open(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    await ended(watched)


async def ended(watched: int) -> None:
    """Return when the process has ended; its file descriptor is readable then."""
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(watched, end.set)
    try:
        async with asyncio.timeout(100):
            await end.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)
