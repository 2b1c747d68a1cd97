"""The requests to the simulated Graph with its answers, for tests that count and inspect them."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from local.graph.auth import CallerIdentity
from local.graph.errors import Json
from local.graph.times import instant_text

_REMEMBERED: Final = 10_000
_HEADERS: Final = (
    "prefer",
    "content-type",
    "if-match",
    "client-request-id",
    "return-client-request-id",
    "user-agent",
    "consistencylevel",
)


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request with its answer. *status* 0: the connection broke instead."""

    at: datetime
    method: str
    path: str
    """Behind the version: ``/me/events``."""
    operation: str
    """The path's pattern, such as ``{mailbox}/events/{event}``; empty if unknown."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    identity: CallerIdentity | None
    status: int
    response: Any
    in_batch: bool = False
    response_headers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> Json:
        """Return the entry for the control API."""
        who = self.identity
        return {
            "at": instant_text(self.at),
            "method": self.method,
            "path": self.path,
            "operation": self.operation,
            "query": dict(self.query),
            "headers": dict(self.headers),
            "body": self.body,
            "app": who.app_id if who else None,
            "tenant": who.tenant_id if who else None,
            "user": who.user_id if who else None,
            "status": self.status,
            "response": self.response,
            "inBatch": self.in_batch,
        }


class RequestLog:
    """The last exchanges in full, and a count of all."""

    def __init__(self, on_exchange: Callable[[LoggedRequest], None] | None = None) -> None:
        self._on_exchange = on_exchange
        self.entries: deque[LoggedRequest] = deque(maxlen=_REMEMBERED)
        self.counts: Counter[tuple[str, str]] = Counter()
        """By (method, operation); inner requests of a batch count too, as Graph counts them."""
        self.in_batch: Counter[tuple[str, str]] = Counter()
        """Those of *counts* that came inside a batch."""

    def add(self, entry: LoggedRequest) -> None:
        """Log one request and call the listener."""
        self.entries.append(entry)
        self.counts[entry.method, entry.operation] += 1
        self.in_batch[entry.method, entry.operation] += entry.in_batch
        if self._on_exchange:
            self._on_exchange(entry)

    def count(self, method: str | None = None, operation: str | None = None) -> int:
        """Return the requests since the last reset; *operation* matches by its end, if given."""
        return sum(
            number
            for (a_method, an_operation), number in self.counts.items()
            if method in {None, a_method} and an_operation.endswith(operation or "")
        )

    def reset(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self.counts.clear()
        self.in_batch.clear()


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the few headers worth keeping; never the token."""
    return {name: value for name, value in headers.items() if name.casefold() in _HEADERS}
