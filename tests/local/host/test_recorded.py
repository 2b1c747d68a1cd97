"""The development host answers as Microsoft's did: `tests/data/functions/` has the answers."""

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from local.host.errors import FunctionRefused
from local.host.host import DevelopmentHost
from local.host.queue_client import TakenMessage
from tests.local.host.apps import QueueInMemory, QueuesInMemory
from tests.local.host.differences import DIFFERENCES
from tests.local.host.recorded import APP, RECORDED, Answer, ask, name_of, request_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUEUES = {"QueueMessage": "in1", "str": "in2", "bytes": "in3"}
MAX_DEQUEUE_COUNT = 3


@dataclass(slots=True)
class ObservedQueue(QueueInMemory):
    """A queue that remembers how often the message that was deleted last had been taken."""

    attempts: int = 0

    async def delete(self, message: TakenMessage) -> None:
        self.attempts = message.dequeue_count
        await QueueInMemory.delete(self, message)


class ObservedQueues(QueuesInMemory):
    def __getitem__(self, name: str) -> ObservedQueue:
        found = self.known.setdefault(name, ObservedQueue())
        assert isinstance(found, ObservedQueue)
        return found


@dataclass(slots=True)
class Observed:
    """The observed app on the development host."""

    host: DevelopmentHost
    queues: ObservedQueues
    log: Path

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What the queue functions noted."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def observed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Observed]:
    log = tmp_path_factory.mktemp("observed") / "notes.jsonl"
    settings = {"APP_LOG": str(log), "AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    queues = ObservedQueues()
    async with DevelopmentHost(
        APP, settings, open_queue=queues, runs_timers=False, polls_queues=False
    ) as host:
        yield Observed(host, queues, log)


# --- HTTP


@pytest.mark.parametrize("entry", RECORDED["http"], ids=name_of)
async def test_a_request_is_answered_as_recorded(
    entry: Mapping[str, Any], observed: Observed
) -> None:
    expected = Answer.recorded(entry)
    by_choice = DIFFERENCES.get(name_of(entry))
    if by_choice:
        expected = replace(expected, **by_choice.ours)
        assert expected != Answer.recorded(entry), "It is no difference any more."
    assert await ask(observed.host.port, request_of(entry)) == expected


async def test_each_difference_is_one_recorded_request() -> None:
    names = Counter(name_of(entry) for entry in RECORDED["http"])
    assert {name: names[name] for name in DIFFERENCES} == dict.fromkeys(DIFFERENCES, 1)


async def test_the_host_refuses_one_function_and_runs_the_others(observed: Observed) -> None:
    assert isinstance(observed.host.failure, FunctionRefused)
    assert observed.host.failure.function == "adminlevel"
    assert len(observed.host.functions) == 33


# --- queues


@pytest.mark.parametrize("entry", RECORDED["queue_outputs"], ids=lambda entry: entry["get"])
async def test_an_output_arrives_as_recorded(entry: Mapping[str, Any], observed: Observed) -> None:
    request = f"GET {entry['get']} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await ask(observed.host.port, request.encode())
    queue = observed.queues["outq"]
    sent = [as_recorded(each) for each in queue.contents]
    queue.messages.clear()
    assert (answer.status, sent) == (entry["status"], entry["messages"])


@pytest.mark.parametrize(
    "entry",
    RECORDED["queue_inputs"],
    ids=lambda entry: f"{entry['parameter']} {entry['sent_as']} {entry['sent'][:40]}",
)
async def test_a_message_is_handled_as_recorded(
    entry: Mapping[str, Any], observed: Observed
) -> None:
    name, before = QUEUES[entry["parameter"]], len(observed.notes)
    queue, poison = observed.queues[name], observed.queues[f"{name}-poison"]
    await queue.send(stored(entry))
    while queue.messages:
        await observed.host.drain_queues()
        queue.show_all()  # the time between two attempts is another test's
    set_aside = [as_recorded(each) for each in poison.contents]
    poison.messages.clear()
    assert set_aside == entry["poison"]
    assert [seen_by(note) for note in observed.notes[before:]] == entry["runs"]
    is_read_at_once = not set_aside or "not_base64" in set_aside[0]
    assert queue.attempts == (1 if is_read_at_once else MAX_DEQUEUE_COUNT)


def stored(entry: Mapping[str, Any]) -> str:
    """Return the message as it was put into storage."""
    if entry["sent_as"] == "raw":
        return str(entry["sent"])
    encoding = "latin-1" if entry.get("sent_is_latin1_of_bytes") else "utf-8"
    return base64.b64encode(entry["sent"].encode(encoding)).decode()


def as_recorded(content: str) -> Any:
    """Return a stored message in the form of the record."""
    try:
        body = base64.b64decode(content, validate=True)
    except ValueError:
        return {"not_base64": content}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"base64": content}
    return {"characters": len(text)} if len(text) > 10_000 else text


def seen_by(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a queue function noted in the form of the record."""
    seen = {name: note[name] for name in ("body", "id", "dq") if name in note}
    if len(str(seen.get("id", ""))) == 36 or str(seen.get("id", "")).startswith("m"):
        seen["id"] = "<uuid>"
    return seen
