"""The part of the host's admin API that a developer needs, and the statuses of the rest."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import hdrs, web

from local.host.kestrel import Answer
from local.host.triggers import AppFunction

_log: Final = logging.getLogger(__name__)
_NO_STORE: Final = {hdrs.CACHE_CONTROL: "no-store,no-cache", hdrs.PRAGMA: "no-cache"}
_JSON: Final = {hdrs.CONTENT_TYPE: "application/json; charset=utf-8"}


@dataclass(slots=True)
class AdminApi:
    """Answers ``/admin/…`` and ``/runtime/…``."""

    errors: Sequence[str] = ()
    """The reasons why the host does not run."""
    functions: Sequence[AppFunction] = ()
    run_by_hand: Callable[[AppFunction, str], Awaitable[None]] | None = None
    """Runs a function on a text."""
    _by_hand: set[asyncio.Task[None]] = field(default_factory=set)

    async def answer(self, request: web.BaseRequest, path: list[str], level: str) -> Answer | None:
        """Answer *request* for the holder of a key of *level*; None: it is for a function."""
        match request.method, [each.lower() for each in path]:
            case _, ["admin", "host", "ping"]:
                return Answer(200, _NO_STORE)
            case hdrs.METH_GET, ["admin", "host", "status"]:
                return _refusal(level) or self._status()
            case _ if self.errors:
                return None
            case _, ["admin", "warmup"]:
                return Answer(200)
            case _, ["admin", "vfs", *_] if level != "admin":
                return Answer(401)
            case hdrs.METH_GET, ["admin", "functions"]:
                names = [{"name": each.name} for each in self.functions]
                return _refusal(level) or Answer(200, _JSON, json.dumps(names).encode())
            case hdrs.METH_POST, ["admin", "functions", name]:
                return _refusal(level) or await self._start(request, name)
            case _, ["admin", "host", "keys"] | ["runtime", "webhooks", _, *_]:
                return _refusal(level) or Answer(404)
        return None

    def _status(self) -> Answer:
        state = {"state": "Error" if self.errors else "Running", "errors": [*self.errors]}
        return Answer(200, _JSON, json.dumps(state).encode())

    async def _start(self, request: web.BaseRequest, name: str) -> Answer:
        """Start a function without waiting for its end."""
        wanted = next((each for each in self.functions if each.name.lower() == name), None)
        if wanted is None:
            return Answer(404)
        if request.content_type != "application/json":
            return Answer(415)
        try:
            document: Any = json.loads(await request.text() or "{}")
        except ValueError:
            return Answer(400)
        given = document.get("input", "") if isinstance(document, dict) else ""
        task = asyncio.create_task(self._run(wanted, str(given)))
        self._by_hand.add(task)
        task.add_done_callback(self._by_hand.discard)
        return Answer(202)

    async def _run(self, function: AppFunction, given: str) -> None:
        if self.run_by_hand is None:
            return
        try:
            await self.run_by_hand(function, given)
        except Exception:  # noqa: BLE001  # the invoker logged it
            _log.debug("%s was started by hand and failed", function.name)


def _refusal(level: str) -> Answer | None:
    if level == "anonymous":
        return Answer(401, {hdrs.WWW_AUTHENTICATE: "Bearer"})
    return None if level == "admin" else Answer(403)
