"""Injected faults: rules that match requests and break them in the known ways of Graph."""

import itertools
import random
import re
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, Literal, get_args

from local.graph.errors import GraphError

Behaviour = Literal["status", "reset", "lost", "delay", "spoil"]
"""Answer an error; break the connection before or after the effect; only delay; answer with parts
missing or replaced."""

_CODES: Final = {
    401: ("InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."),
    403: ("ErrorAccessDenied", "Access is denied. Check credentials and try again."),
    404: ("ErrorItemNotFound", "The specified object was not found in the store."),
    429: ("TooManyRequests", "Please retry again later."),
    500: ("InternalServerError", "An internal server error occurred. The operation failed."),
    502: ("UnknownError", ""),
    503: ("ErrorInternalServerTransientError", "The server cannot service your request right now."),
    504: ("GatewayTimeout", ""),
}
_numbers = itertools.count(1)


@dataclass(slots=True)
class FaultRule:
    """Breaks the requests it matches."""

    method: str = ".*"
    path: str = ".*"
    """Regular expressions without case; *path* is searched in the path after ``/v1.0``."""
    behaviour: Behaviour = "status"
    status: int = 503
    code: str | None = None
    """Error code; the usual one of the status if absent."""
    probability: float = 1.0
    count: int | None = None
    """Stop after so many hits; None: never."""
    retry_after: float | Literal["date"] | None = None
    """Seconds, also a fraction; ``date`` for an HTTP date; None for no header."""
    retry_after_seconds: float = 10
    """The distance of the HTTP date from now."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent along with a status: a claims challenge, for example."""
    delay_seconds: float = 0.0
    """Real seconds to wait before anything else."""
    parts: dict[str, Any] = field(default_factory=dict)
    """What ``spoil`` writes in place of parts of the answer, by their paths: ``value.0.start`` or
    ``value.*.scheduleId``."""
    without: list[str] = field(default_factory=list)
    """The paths of the parts that ``spoil`` leaves out."""
    after: int = 0
    """Let so many matching requests pass first."""
    id: int = field(default_factory=lambda: next(_numbers))
    hits: int = 0
    checked_count: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid expression or behaviour."""
        try:
            re.compile(self.method), re.compile(self.path)
        except re.error as broken:
            raise ValueError(f"not a regular expression: {broken}") from None
        if self.behaviour not in get_args(Behaviour):
            raise ValueError(f"no such behaviour: {self.behaviour}")

    def matches(self, method: str, path: str) -> bool:
        """Whether the rule applies to the request."""
        return bool(
            re.fullmatch(self.method, method, re.IGNORECASE)
            and re.search(self.path, path, re.IGNORECASE)
        )

    def error(self, now: datetime) -> GraphError:
        """Return the rule's error."""
        code, message = _CODES.get(self.status, ("UnknownError", ""))
        headers = retry_after_header(self.retry_after, now, self.retry_after_seconds)
        return GraphError(self.status, self.code or code, message, headers=headers | self.headers)

    def spoiled(self, body: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return a copy of an answer's *body* with the rule's parts; *body* if it spoils none."""
        if self.behaviour != "spoil":
            return body
        copied = deepcopy(body)
        for path, value in self.parts.items():
            for holder, name in _places(copied, path.split(".")):
                holder[name] = value
        for path in self.without:
            for holder, name in _places(copied, path.split(".")):
                del holder[name]
        return copied

    def as_json(self) -> dict[str, Any]:
        """Return the rule with its counts so far."""
        return asdict(self)


class Faults:
    """The rules in force."""

    def __init__(self, rng: random.Random) -> None:
        self._chance = rng
        self.rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> FaultRule:
        """Add a rule, behind the others."""
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules."""
        self.rules.clear()

    def match(self, method: str, path: str) -> FaultRule | None:
        """Return the first rule that applies to this request."""
        for rule in self.rules:
            if not rule.matches(method, path):
                continue
            rule.checked_count += 1
            spent = rule.count is not None and rule.hits >= rule.count
            if (
                rule.checked_count <= rule.after
                or spent
                or self._chance.random() >= rule.probability
            ):
                continue
            rule.hits += 1
            return rule
        return None


def _places(body: Any, path: list[str]) -> list[tuple[Any, Any]]:  # noqa: ANN401 - any JSON
    """Return each place that *path* leads to, as its holder and its name or number there."""
    if isinstance(body, list):
        names: list[Any] = [n for n in range(len(body)) if path[0] in {"*", str(n)}]
    else:
        names = [path[0]] if isinstance(body, dict) and path[0] in body else []
    if not path[1:]:
        return [(body, name) for name in reversed(names)]
    return [place for name in names for place in _places(body[name], path[1:])]


def retry_after_header(
    value: float | Literal["date"] | None, now: datetime, date_in_seconds: float = 10
) -> dict[str, str]:
    """Return ``Retry-After`` in the shape asked for, or nothing."""
    if value is None:
        return {}
    if value == "date":
        at = (now + timedelta(seconds=date_in_seconds)).replace(microsecond=0)
        return {"Retry-After": format_datetime(at, usegmt=True)}
    return {"Retry-After": f"{value:g}"}
