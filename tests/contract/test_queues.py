"""The contract of the two queues, whose messages are read as the host reads them."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.queue.aio import QueueServiceClient

from local.azurite import Azurite
from shared.adapters.queues import (
    JOBS,
    NOTIFICATIONS,
    QUEUES,
    Queues,
    StorageJobQueue,
    StorageNotificationQueue,
    parse_job,
    parse_notifications,
)
from shared.errors import StoreUnavailable
from shared.ids import OrganizationId, SubscriptionId
from shared.jobs import Job, JobKind
from shared.notifications.model import ChangedEvent, MailboxChanges
from tests.builders import NOW, a_mailbox, a_session_id, a_uuid, an_event_id
from tests.contract.conftest import KEY


@pytest.fixture
async def host(storage: Azurite, transport: AioHttpTransport) -> AsyncIterator[QueueServiceClient]:
    """Read the queues as the host does; they do not exist at first."""
    async with QueueServiceClient(
        storage.queues_url, credential=KEY, transport=transport
    ) as service:
        for name in QUEUES:
            try:
                await service.delete_queue(name)
            except ResourceNotFoundError:
                continue
        yield service


async def received(host: QueueServiceClient, queue: str) -> list[bytes]:
    messages = host.get_queue_client(queue).receive_messages(max_messages=32)
    return [base64.b64decode(message.content, validate=True) async for message in messages]


def a_job() -> Job:
    mailbox = a_mailbox()
    return Job(
        JobKind.RECONCILE,
        OrganizationId(a_uuid()),
        (mailbox, a_mailbox(mailbox.tenant_id)),
        (a_session_id(), a_session_id()),
        due_ats=(NOW, NOW + timedelta(microseconds=5)),
        attempt=2,
    )


async def test_a_job_arrives_as_it_was(queues: Queues, host: QueueServiceClient) -> None:
    job = a_job()
    await StorageJobQueue(queues).put(job)
    assert [parse_job(message) for message in await received(host, JOBS)] == [job]


async def test_a_delayed_job_is_not_seen_yet(queues: Queues, host: QueueServiceClient) -> None:
    jobs = StorageJobQueue(queues)
    await jobs.put(a_job(), delay=timedelta(minutes=2))
    await jobs.put(a_job(), delay=timedelta(days=30))
    assert await received(host, JOBS) == []
    properties = await host.get_queue_client(JOBS).get_queue_properties()
    assert properties.approximate_message_count == 2


async def test_notifications_arrive_as_they_were(queues: Queues, host: QueueServiceClient) -> None:
    changes = [
        MailboxChanges(
            a_mailbox(),
            SubscriptionId(a_uuid()),
            (
                ChangedEvent(an_event_id(), 'W/"DwAAABYAAAC"'),
                ChangedEvent(an_event_id(), None, deleted=True),
            ),
        ),
        MailboxChanges(a_mailbox(), SubscriptionId(a_uuid()), lifecycle=("missed",)),
    ]
    at = "2026-03-02T08:00:00.123Z"
    assert await StorageNotificationQueue(queues).put(changes, at) == 1
    assert [parse_notifications(m) for m in await received(host, NOTIFICATIONS)] == [(changes, at)]


async def test_a_large_delivery_goes_into_messages_that_the_queue_takes(
    queues: Queues, host: QueueServiceClient
) -> None:
    changes = [
        MailboxChanges(
            a_mailbox(),
            SubscriptionId(a_uuid()),
            tuple(ChangedEvent(an_event_id(), f'W/"{a_uuid()}"') for _ in range(40)),
        )
        for _ in range(30)
    ]
    sent = await StorageNotificationQueue(queues).put(changes, "2026-03-02T08:00:00Z")
    messages = await received(host, NOTIFICATIONS)
    assert len(messages) == sent > 1
    arrived = [change for message in messages for change in parse_notifications(message)[0]]
    events = {(c.mailbox, event) for c in changes for event in c.events}
    assert {(c.mailbox, event) for c in arrived for event in c.events} == events
    assert sum(len(c.events) for c in arrived) == len(events)


async def test_nothing_to_say_is_no_message(queues: Queues) -> None:
    assert await StorageNotificationQueue(queues).put([], "2026-03-02T08:00:00Z") == 0


async def test_a_queue_that_does_not_answer_is_unavailable(transport: AioHttpTransport) -> None:
    # No process listens on the discard port.
    queues = Queues(
        "https://localhost:9/devstoreaccount1", lambda: KEY, transport=lambda: transport
    )
    with pytest.raises(StoreUnavailable):
        await StorageJobQueue(queues).put(a_job())
    with pytest.raises(StoreUnavailable):
        await queues.ping()
    await queues.aclose()


async def test_the_queues_answer(queues: Queues, host: QueueServiceClient) -> None:
    assert host
    await queues.ping()
    await StorageJobQueue(queues).put(a_job())
    await queues.ping()


async def test_closing_what_was_never_used_connects_to_nothing() -> None:
    asked = []

    def credential() -> AzureNamedKeyCredential:
        asked.append(KEY)
        return KEY

    await Queues("https://127.0.0.1:1", credential).aclose()
    assert not asked
