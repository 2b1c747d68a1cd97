import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.identity.aio import ManagedIdentityCredential
from azure.storage.queue.aio import QueueServiceClient

from local.azurite import azurite
from local.certificate import LocalCertificate
from local.host.connections import check_connection
from local.host.host import DevelopmentHost
from local.host.queue_client import Queue, QueueFailed
from local.host.storage_queue import StorageQueue
from local.seed import IDENTITY
from tests.local.conftest import Cloud
from tests.local.host.apps import (
    STORAGE,
    QueueInMemory,
    QueuesInMemory,
    an_app,
    fetching,
    queue_options,
    the_app,
)

WORKER = """
    SEEN = []
    @app.queue_trigger(arg_name="msg", queue_name="jobs", connection="STORAGE")
    async def work(msg: func.QueueMessage) -> None:
        SEEN.append((msg.get_body(), msg.dequeue_count, msg.id))
        if b"fail" in msg.get_body():
            raise ValueError("as asked")
"""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decoded(content: str) -> str:
    return base64.b64decode(content).decode()


@asynccontextmanager
async def running(
    folder: Path, code: str, queues: QueuesInMemory, **options: Any
) -> AsyncIterator[DevelopmentHost]:
    options = {"polls_queues": False, "open_queue": queues, **options}
    host_json = options.pop("host_json", None)
    async with DevelopmentHost(an_app(folder, code, host_json), STORAGE, **options) as host:
        assert host.failure is None, host.failure
        yield host


@pytest.fixture
def queues() -> QueuesInMemory:
    return QueuesInMemory()


async def test_a_message_is_handled_and_deleted(tmp_path: Path, queues: QueuesInMemory) -> None:
    await queues["jobs"].send(encoded("hello"))
    async with running(tmp_path, WORKER, queues) as host:
        assert await host.drain_queues() == 1
        assert the_app().SEEN == [(b"hello", 1, "m0")]
    assert not queues["jobs"].messages


async def test_a_queue_is_polled(tmp_path: Path, queues: QueuesInMemory) -> None:
    ended = asyncio.Event()
    async with running(
        tmp_path, WORKER, queues, polls_queues=True, on_invocation=lambda _: ended.set()
    ):
        await queues["jobs"].send(encoded("hello"))
        await ended.wait()
    assert not queues["jobs"].messages


async def test_a_trigger_does_not_create_its_queue(tmp_path: Path, queues: QueuesInMemory) -> None:
    async with running(tmp_path, WORKER, queues, polls_queues=True) as host:
        assert await host.drain_queues() == 0
    assert not queues["jobs"].is_created


async def test_a_failing_message_is_poison_after_five_attempts(
    tmp_path: Path, queues: QueuesInMemory
) -> None:
    await queues["jobs"].send(encoded("fail"))
    await queues["jobs"].send(encoded("fine"))
    async with running(tmp_path, WORKER, queues) as host:
        await host.drain_queues()
        assert host.counts["work"] == 6
        counts = [count for body, count, _ in the_app().SEEN if body == b"fail"]
        assert counts == [1, 2, 3, 4, 5]
    assert not queues["jobs"].messages
    assert queues["jobs-poison"].contents == [encoded("fail")]


async def test_a_failed_message_waits_for_the_visibility_timeout(
    tmp_path: Path, queues: QueuesInMemory
) -> None:
    await queues["jobs"].send(encoded("fail"))
    host_json = queue_options(visibilityTimeout="00:00:30", maxDequeueCount=2)
    async with running(tmp_path, WORKER, queues, host_json=host_json) as host:
        assert await host.drain_queues() == 1
    (message,) = queues["jobs"].messages.values()
    assert message.visible_at > datetime.now(UTC) + timedelta(seconds=20)


async def test_message_that_is_not_base64_is_poison_at_once(
    tmp_path: Path, queues: QueuesInMemory
) -> None:
    await queues["jobs"].send('{"plain": "json"}')
    async with running(tmp_path, WORKER, queues) as host:
        await host.drain_queues()
        assert host.counts["work"] == 0
    assert queues["jobs-poison"].contents == ['{"plain": "json"}']


async def test_without_encoding_text_is_taken_as_it_is(
    tmp_path: Path, queues: QueuesInMemory
) -> None:
    await queues["jobs"].send("plain")
    host_json = queue_options(messageEncoding="none")
    async with running(tmp_path, WORKER, queues, host_json=host_json) as host:
        await host.drain_queues()
        assert the_app().SEEN[0][0] == b"plain"


async def test_an_id_in_the_body_replaces_the_messages(
    tmp_path: Path, queues: QueuesInMemory
) -> None:
    await queues["jobs"].send(encoded(json.dumps({"id": "mine", "dequeueCount": 7})))
    async with running(tmp_path, WORKER, queues) as host:
        await host.drain_queues()
        assert the_app().SEEN[0][1:] == (7, "mine")


async def test_a_message_can_be_delivered_twice(tmp_path: Path, queues: QueuesInMemory) -> None:
    await queues["jobs"].send(encoded("hello"))
    async with running(tmp_path, WORKER, queues, delivers_twice=True) as host:
        await host.drain_queues()
        assert [count for _, count, _ in the_app().SEEN] == [1, 2]
    assert not queues["jobs"].messages


async def test_a_function_may_take_a_text(tmp_path: Path, queues: QueuesInMemory) -> None:
    code = """
        SEEN = []
        @app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="STORAGE")
        def work(msg: str) -> None: SEEN.append(msg)
    """
    await queues["jobs"].send(encoded("hello"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUEUE", "jobs")
        async with running(tmp_path, code, queues) as host:
            await host.drain_queues()
            assert the_app().SEEN == ["hello"]


async def test_batches_leave_room_as_host_json_says(tmp_path: Path, queues: QueuesInMemory) -> None:
    code = """
        import asyncio
        running = most = 0
        @app.queue_trigger(arg_name="msg", queue_name="jobs", connection="STORAGE")
        async def work(msg: func.QueueMessage) -> None:
            global running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
    """
    for number in range(20):
        await queues["jobs"].send(encoded(str(number)))
    counted = asyncio.Event()

    def count(_: object) -> None:
        if not queues["jobs"].messages or host.counts["work"] == 20:
            counted.set()

    host_json = queue_options(batchSize=4, newBatchThreshold=2)
    async with running(
        tmp_path, code, queues, host_json=host_json, polls_queues=True, on_invocation=count
    ) as host:
        await counted.wait()
        assert 1 < the_app().most <= 4 + 2


# --- outputs

OUTPUT = """
    @app.route("send")
    @app.queue_output(arg_name="out", queue_name="sent", connection="STORAGE")
    def send(req: func.HttpRequest, out: func.Out[{type}]) -> func.HttpResponse:
        out.set({value})
        return func.HttpResponse(status_code=202)
"""


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("bytes", 'b\'{"a":1}\'', ['{"a":1}']),
        ("str", "'{\"a\":1}'", ['{\n  "a": 1\n}']),
        ("str", "'[1, 2]'", ["1", "2"]),
        ("str", "'plain'", ["plain"]),
        ("func.QueueMessage", "func.QueueMessage(body='x')",
         ['{\n  "id": null,\n  "body": "x"\n}']),
    ],
)  # fmt: skip
async def test_outputs_arrive_as_the_host_sends_them(
    tmp_path: Path, queues: QueuesInMemory, kind: str, value: str, expected: list[str]
) -> None:
    async with (
        running(tmp_path, OUTPUT.format(type=kind, value=value), queues) as host,
        fetching(host.url) as client,
    ):
        assert (await client.post("/api/send")).status == 202
    assert [decoded(each) for each in queues["sent"].contents] == expected


@pytest.mark.parametrize("value", ["b'x' * 50_000", "'{no json}'", "7"])
async def test_an_output_that_cannot_be_sent_fails_the_function(
    tmp_path: Path, queues: QueuesInMemory, value: str
) -> None:
    async with (
        running(tmp_path, OUTPUT.format(type="bytes", value=value), queues) as host,
        fetching(host.url) as client,
    ):
        assert (await client.post("/api/send")).status == 500
    assert not queues["sent"].messages


async def test_a_queue_function_may_return_its_output(
    tmp_path: Path, queues: QueuesInMemory
) -> None:
    code = """
        @app.queue_trigger(arg_name="msg", queue_name="jobs", connection="STORAGE")
        @app.queue_output(arg_name="$return", queue_name="done", connection="STORAGE")
        def work(msg: func.QueueMessage) -> bytes:
            return msg.get_body() * 2

        @app.queue_trigger(arg_name="msg", queue_name="done", connection="STORAGE")
        def finish(msg: func.QueueMessage) -> None: ...
    """
    await queues["jobs"].send(encoded("ab"))
    async with running(tmp_path, code, queues) as host:
        assert await host.drain_queues() == 2
        assert host.counts == {"work": 1, "finish": 1}


# --- connections


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "not set"),
        ({"STORAGE__accountName": "x"}, "not set"),
        ({"STORAGE__queueServiceUri": "https://x", "STORAGE__credential": "secret"}, "only"),
    ],
)
def test_connections_that_lead_nowhere_are_refused(settings: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_connection("STORAGE", settings)


def test_the_hosts_own_storage_may_be_an_accounts_name() -> None:
    check_connection("AzureWebJobsStorage", {"AzureWebJobsStorage__accountName": "x"})


# --- the port means the same in memory and in the storage service


@pytest.fixture(params=["in memory", "storage"])
async def queue(
    request: pytest.FixtureRequest, cloud: Cloud, certificate: LocalCertificate
) -> AsyncIterator[Queue]:
    if request.param == "in memory":
        yield QueueInMemory()
        return
    async with (
        azurite(certificate) as storage,
        ManagedIdentityCredential(client_id=IDENTITY.client_id) as identity,
        QueueServiceClient(storage.queues_url, credential=identity, **cloud.trusted) as service,
    ):
        yield StorageQueue(service.get_queue_client("jobs"))


async def test_the_queue_port(queue: Queue) -> None:
    await queue.create()
    await queue.create()
    await queue.send("one")
    await queue.send("two")
    first, second = await queue.receive(5, timedelta(minutes=1))
    assert (first.content, second.content, first.dequeue_count) == ("one", "two", 1)
    assert first.expires_at > datetime.now(UTC) + timedelta(days=6)
    assert not await queue.receive(5, timedelta(minutes=1))
    shown = await queue.extend_visibility(first, timedelta())
    assert shown.pop_receipt != first.pop_receipt
    (again,) = await queue.receive(5, timedelta(minutes=1))
    assert (again.id, again.dequeue_count) == (first.id, 2)
    await queue.delete(shown)  # another worker has it now: no error, and it stays
    await queue.delete(again)
    await queue.delete(again)
    await queue.delete(second)
    assert not await queue.receive(5, timedelta(minutes=1))


async def test_a_whole_run_with_the_real_emulator_and_the_managed_identity(
    tmp_path: Path, cloud: Cloud, certificate: LocalCertificate
) -> None:
    async with azurite(certificate) as storage:
        settings = {
            "STORAGE__queueServiceUri": storage.queues_url,
            "STORAGE__credential": "managedidentity",
            "STORAGE__clientId": IDENTITY.client_id,
            "SSL_CERT_FILE": str(certificate.trust),
        }
        output = OUTPUT.format(type="bytes", value="b'fail'").replace('"sent"', '"jobs"')
        app_dir = an_app(tmp_path, WORKER + output)
        async with (
            DevelopmentHost(app_dir, settings, polls_queues=False) as host,
            fetching(host.url) as client,
        ):
            assert host.failure is None
            assert (await client.post("/api/send")).status == 202
            assert await host.drain_queues() == 5
        async with (
            ManagedIdentityCredential(client_id=IDENTITY.client_id) as identity,
            QueueServiceClient(storage.queues_url, credential=identity, **cloud.trusted) as service,
        ):
            poison = service.get_queue_client("jobs-poison")
            assert [each.content async for each in poison.receive_messages()] == [encoded("fail")]


async def test_a_refusal_by_storage_is_an_error_of_its_own(
    cloud: Cloud, certificate: LocalCertificate
) -> None:
    async with (
        azurite(certificate) as storage,
        ManagedIdentityCredential(client_id=IDENTITY.client_id) as identity,
        QueueServiceClient(storage.queues_url, credential=identity, **cloud.trusted) as service,
    ):
        absent = StorageQueue(service.get_queue_client("absent"))
        assert not await absent.receive(1, timedelta(minutes=1))
        with pytest.raises(QueueFailed, match="QueueNotFound"):
            await absent.send("text")
