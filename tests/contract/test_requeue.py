"""Requeueing the messages of a poison queue, on the real emulator."""

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.queue.aio import QueueServiceClient

from local.azurite import Azurite
from scripts.requeue import requeue
from tests.contract.conftest import KEY


async def test_messages_come_back_as_they_were(
    storage: Azurite, transport: AioHttpTransport
) -> None:
    name = f"jobs-{uuid4().hex}"
    async with QueueServiceClient(storage.queues_url, KEY, transport=transport) as service:
        back = await service.create_queue(name)
        poison = await service.create_queue(f"{name}-poison")
        for number in range(40):
            await poison.send_message(f"message {number}")
        assert await requeue(service, name) == 40
        assert await requeue(service, name) == 0
        found = {message.content async for message in back.receive_messages()}
    assert found == {f"message {number}" for number in range(40)}


@pytest.mark.parametrize(
    "az", [None, "#!/bin/sh\necho 'Please run az login to setup account.' >&2\nexit 1\n"]
)
def test_without_a_sign_in_it_says_so_at_once(tmp_path: Path, az: str | None) -> None:
    if az:
        (tmp_path / "az").write_text(az)
        (tmp_path / "az").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.requeue", "https://account.queue.test", "jobs"],
        env={"PATH": f"{tmp_path}:/bin" if az else str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("Run: az login")
    assert "Traceback" not in done.stderr
