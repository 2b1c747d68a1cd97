"""Small function apps in a folder, and queues in memory, for tests of the development host."""

import json
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession

from local.host.queue_client import Queue, TakenMessage
from local.host.triggers import QueueBinding

BUNDLE: Final = {
    "id": "Microsoft.Azure.Functions.ExtensionBundle",
    "version": "[4.0.0, 5.0.0)",
}
HOST_JSON: Final = {"version": "2.0", "extensionBundle": BUNDLE}
STORAGE: Final = {"STORAGE": "UseDevelopmentStorage=true"}
_HEAD: Final = """\
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""


def an_app(folder: Path, code: str, host: dict[str, Any] | None = None, **files: str) -> Path:
    """Write an app whose function_app.py is *code* after the usual head. Return *folder*."""
    (folder / "function_app.py").write_text(_HEAD + textwrap.dedent(code))
    (folder / "host.json").write_text(json.dumps(HOST_JSON if host is None else host))
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return folder


def the_app() -> Any:
    """Return the module function_app of the host that runs now."""
    return sys.modules["function_app"]


def queue_options(**options: Any) -> dict[str, Any]:
    """Return a host.json with these `extensions.queues`."""
    return {**HOST_JSON, "extensions": {"queues": options}}


@asynccontextmanager
async def fetching(url: str) -> AsyncIterator[ClientSession]:
    """Give a client of the host at *url*."""
    async with ClientSession(url) as session:
        yield session


@dataclass(slots=True)
class QueueInMemory:
    """A queue with the semantics of the storage service."""

    messages: dict[str, TakenMessage] = field(default_factory=dict)
    """By id; `visible_at` in the past: visible."""
    is_created: bool = False
    _receipts: "count[int]" = field(default_factory=count)

    async def create(self) -> None:
        self.is_created = True

    async def receive(self, most: int, hidden_for: timedelta) -> Sequence[TakenMessage]:
        now = datetime.now(UTC)
        if not self.is_created:
            return []
        visible = [each for each in self.messages.values() if each.visible_at <= now][:most]
        taken = [
            replace(
                each,
                pop_receipt=f"r{next(self._receipts)}",
                dequeue_count=each.dequeue_count + 1,
                visible_at=now + hidden_for,
            )
            for each in visible
        ]
        self.messages.update({each.id: each for each in taken})
        return taken

    async def extend_visibility(self, message: TakenMessage, hidden_for: timedelta) -> TakenMessage:
        assert self.messages[message.id].pop_receipt == message.pop_receipt
        hidden = replace(
            message,
            pop_receipt=f"r{next(self._receipts)}",
            visible_at=datetime.now(UTC) + hidden_for,
        )
        self.messages[message.id] = hidden
        return hidden

    async def delete(self, message: TakenMessage) -> None:
        known = self.messages.get(message.id)
        if known and known.pop_receipt == message.pop_receipt:
            del self.messages[message.id]

    async def send(self, content: str) -> None:
        self.is_created = True
        now = datetime.now(UTC)
        id_ = f"m{next(self._receipts)}"
        self.messages[id_] = TakenMessage(id_, "", content, 0, now, now + timedelta(days=7), now)

    def show_all(self) -> None:
        """Make every message visible now."""
        now = datetime.now(UTC)
        self.messages = {id_: replace(m, visible_at=now) for id_, m in self.messages.items()}

    @property
    def contents(self) -> list[str]:
        """The stored contents, in order."""
        return [each.content for each in self.messages.values()]


@dataclass(slots=True)
class QueuesInMemory:
    """All queues of one host."""

    known: dict[str, QueueInMemory] = field(default_factory=dict)

    def __call__(self, binding: QueueBinding) -> Queue:
        return self[binding.queue]

    def __getitem__(self, name: str) -> QueueInMemory:
        return self.known.setdefault(name, QueueInMemory())
