"""Many requests in one: Graph's JSON batch.

The SDK's own batch classes lose bodies and ids, so the envelope is ours; its parts are made by the
SDK's builders. Source: https://learn.microsoft.com/graph/json-batching
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation

from shared.adapters.graph.client import (
    BUDGET_SECONDS,
    PREFER,
    GraphCallFailed,
    GraphResponse,
    GraphSession,
)
from shared.adapters.graph.errors import read_refusal
from shared.adapters.graph.retry import next_delay
from shared.errors import CalendarUnavailable, SchedulingError

MAX_BATCH_REQUESTS: Final = 20
"""Requests in one batch."""

_AGAIN: Final = frozenset({429, 503, 504})


async def send_batch(
    graph: GraphSession, requests: Sequence[RequestInformation]
) -> list[GraphResponse | GraphCallFailed | CalendarUnavailable]:
    """Send up to 20 repeatable *requests* in one; return each one's answer, in their order.

    The requests must be fresh: not sent, no base URL. Those that were throttled or found the
    service down are sent once more, by themselves, if they may be soon.

    Raises:
        Failed, CalendarUnavailable: the batch itself was not answered.
    """
    if not 1 <= len(requests) <= MAX_BATCH_REQUESTS:
        raise ValueError(f"a batch has 1 to {MAX_BATCH_REQUESTS} requests")
    ends_at = time.monotonic() + BUDGET_SECONDS
    parts = {str(n): _part(str(n), request) for n, request in enumerate(requests)}
    answers = await _send(graph, parts, ends_at)
    again = {n: part for n, part in parts.items() if _is_passing(answers[n])}
    pause = _pause(answers, again, ends_at)
    if pause is not None:
        await asyncio.sleep(pause)
        # What the others were answered is known, whatever becomes of this.
        with suppress(GraphCallFailed, SchedulingError):
            answers |= await _send(graph, again, ends_at)
    if any(isinstance(a, GraphCallFailed) and a.refusal.status == 403 for a in answers.values()):
        await graph.on_denied()
    return [answers[n] for n in parts]


async def _send(
    graph: GraphSession, parts: Mapping[str, dict[str, Any]], ends_at: float
) -> dict[str, GraphResponse | GraphCallFailed | CalendarUnavailable]:
    envelope = RequestInformation(Method.POST, "{+baseurl}/$batch", {})
    envelope.headers.try_add("Accept", "application/json")
    envelope.set_stream_content(
        json.dumps({"requests": list(parts.values())}).encode(), "application/json"
    )
    payload = (
        await graph.send(
            envelope, repeatable=True, budget_seconds=max(ends_at - time.monotonic(), 0.1)
        )
    ).json()
    answered = {str(one.get("id")): one for one in payload.get("responses") or ()}
    outcomes = {n: _outcome(answered.get(n)) for n in parts}
    refusals = [o.refusal for o in outcomes.values() if isinstance(o, GraphCallFailed)]
    graph.count_throttled("POST /$batch", refusals)
    return outcomes


def _part(number: str, request: RequestInformation) -> dict[str, Any]:
    """Return *request* as a part: its URL is relative to the version's root."""
    headers = {name: ", ".join(values) for name, values in request.headers.get_all().items()}
    headers["prefer"] = ", ".join(PREFER)
    part: dict[str, Any] = {
        "id": number,
        "method": request.http_method.value if request.http_method else "GET",
        # The template writes "$select" as "%24select", and no middleware mends it in here.
        "url": request.url.replace("%24", "$"),
        "headers": headers,
    }
    if request.content:
        part["body"] = json.loads(request.content)
    return part


def _outcome(
    payload: Mapping[str, Any] | None,
) -> GraphResponse | GraphCallFailed | CalendarUnavailable:
    if payload is None:
        return CalendarUnavailable("Graph left a request of a batch unanswered.")
    status = int(payload.get("status") or 0)
    headers = {str(k).lower(): str(v) for k, v in (payload.get("headers") or {}).items()}
    body = payload.get("body")
    if 200 <= status < 300:
        return GraphResponse(status, headers, body)
    return GraphCallFailed(read_refusal(status, headers, body if isinstance(body, dict) else None))


def _is_passing(outcome: GraphResponse | GraphCallFailed | CalendarUnavailable) -> bool:
    return isinstance(outcome, GraphCallFailed) and outcome.refusal.status in _AGAIN


def _pause(
    answers: Mapping[str, GraphResponse | GraphCallFailed | CalendarUnavailable],
    again: Mapping[str, Any],
    ends_at: float,
) -> float | None:
    """Return how long to wait for the longest of those that failed; None: leave them failed."""
    refusals = [a.refusal for n in again if isinstance(a := answers[n], GraphCallFailed)]
    if not refusals:
        return None
    # A throttled request that is not told how long counts against the limit when it is sent again.
    if any(r.status == 429 and r.retry_after_seconds is None for r in refusals):
        return None
    longest = max((r.retry_after_seconds or 0.0 for r in refusals), default=0.0)
    return next_delay(1, longest or None, left_seconds=ends_at - time.monotonic())
