"""Graph's answer to one call or to one request of a batch: a response, or a failed call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.adapters.graph.errors import GraphErrorBody
from shared.errors import CalendarUnavailable


@dataclass(frozen=True, slots=True)
class GraphResponse:
    """Graph's successful answer."""

    status: int
    headers: Mapping[str, str]
    """Header names are in lower case."""
    body: bytes | Mapping[str, Any] | None
    """Bytes of a single call; parsed JSON out of a batch."""

    def json(self) -> Mapping[str, Any]:
        """Return the body as a JSON object.

        Raises:
            CalendarUnavailable: the body is something else, such as a proxy's HTML.
        """
        try:
            payload = json.loads(self.body) if isinstance(self.body, bytes) else self.body
        except ValueError:
            payload = None
        if not isinstance(payload, dict):
            raise CalendarUnavailable("Graph's answer is not JSON.", status=self.status)
        return payload

    def values(self) -> list[Any]:
        """Return the entries of a list. An answer without one is no proof that there are none.

        Raises:
            CalendarUnavailable: the body is not a list's.
        """
        entries = self.json().get("value")
        if not isinstance(entries, list):
            raise CalendarUnavailable("Graph's answer is not a list.", status=self.status)
        return entries


class GraphCallFailed(Exception):
    """Graph refused a call. Internal to `graph/`: the caller translates *refusal* into our errors.

    The caller decides, because it may know more about the refusal than `graph_error` does.
    """

    def __init__(self, refusal: GraphErrorBody) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
