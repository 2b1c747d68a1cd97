"""Requeueing the messages of a poison queue, on the real emulator."""

from uuid import uuid4

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
