"""Sends several requests in one: Graph's JSON batch.

The SDK's builders make the requests. The envelope is ours, because the SDK's own batch classes lose
bodies and ids.

Source: https://learn.microsoft.com/graph/json-batching
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation

from shared.adapters.graph.client import BUDGET_SECONDS, PREFER, GraphSession
from shared.adapters.graph.errors import read_refusal
from shared.adapters.graph.responses import GraphCallFailed, GraphResponse
from shared.adapters.graph.retry import next_delay
from shared.errors import CalendarUnavailable, SchedulingError

MAX_BATCH_REQUESTS: Final = 20
"""Graph's limit of requests in one batch."""

_RETRIED: Final = frozenset({429, 503, 504})


async def send_batch(
    graph: GraphSession, requests: Sequence[RequestInformation]
) -> list[GraphResponse | GraphCallFailed | CalendarUnavailable]:
    """Send 1 to 20 idempotent *requests* in one batch; return their answers in the same order.

    The requests must be new: never sent, and without a base URL. One retry, in a second batch,
    follows for those that were throttled or found the service down, if the time budget allows it.

    Raises:
        GraphCallFailed, CalendarUnavailable: the batch itself failed.
        ValueError: there are no requests, or more than 20.
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
        # The answers of the first batch count even if the retry fails.
        with suppress(GraphCallFailed, SchedulingError):
            answers |= await _send(graph, again, ends_at)
    if any(isinstance(a, GraphCallFailed) and a.refusal.status == 403 for a in answers.values()):
        await graph.on_denied()
    return [answers[n] for n in parts]


async def send_in_batches(
    graph: GraphSession, requests: Sequence[RequestInformation]
) -> list[GraphResponse | GraphCallFailed | SchedulingError]:
    """Send *requests* in batches of 20. A failed batch is the outcome of each of its requests.

    Raises:
        SchedulingError: the identity gets no token for the first batch, so that no request was
            sent.
    """
    outcomes: list[GraphResponse | GraphCallFailed | SchedulingError] = []
    for start in range(0, len(requests), MAX_BATCH_REQUESTS):
        part = requests[start : start + MAX_BATCH_REQUESTS]
        try:
            outcomes += await send_batch(graph, part)
        except (GraphCallFailed, CalendarUnavailable) as failed:
            outcomes += [failed] * len(part)
        except SchedulingError as refused:
            if not outcomes:
                raise
            outcomes += [refused] * len(part)
    return outcomes


def error_or_none(
    graph: GraphSession, outcome: GraphResponse | GraphCallFailed | SchedulingError
) -> Exception | None:
    """Return the error of one request of a batch, or None."""
    if isinstance(outcome, GraphCallFailed):
        return graph.error(outcome.refusal)
    return outcome if isinstance(outcome, SchedulingError) else None


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
    responses = payload.get("responses")
    answered = {
        str(one.get("id")): one
        for one in (responses if isinstance(responses, list) else ())
        if isinstance(one, dict)
    }
    outcomes = {n: _outcome(answered.get(n)) for n in parts}
    refusals = [o.refusal for o in outcomes.values() if isinstance(o, GraphCallFailed)]
    graph.count_throttled("POST /$batch", refusals)
    return outcomes


def _part(number: str, request: RequestInformation) -> dict[str, Any]:
    """Return *request* as a part of the envelope; its URL is relative to ``/v1.0``."""
    headers = {name: ", ".join(values) for name, values in request.headers.get_all().items()}
    headers["prefer"] = ", ".join(PREFER)
    part: dict[str, Any] = {
        "id": number,
        "method": request.http_method.value if request.http_method else "GET",
        # The SDK's template writes "$select" as "%24select". Its middleware corrects that only in
        # the URL of a single call.
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
    status, sent, body = (payload.get(name) for name in ("status", "headers", "body"))
    if not isinstance(status, int):
        return CalendarUnavailable("Graph's answer to a request of a batch cannot be read.")
    headers = {str(k).lower(): str(v) for k, v in (sent if isinstance(sent, dict) else {}).items()}
    if 200 <= status < 300:
        return GraphResponse(status, headers, body)
    return GraphCallFailed(read_refusal(status, headers, body if isinstance(body, dict) else None))


def _is_passing(outcome: GraphResponse | GraphCallFailed | CalendarUnavailable) -> bool:
    return isinstance(outcome, GraphCallFailed) and outcome.refusal.status in _RETRIED


def _pause(
    answers: Mapping[str, GraphResponse | GraphCallFailed | CalendarUnavailable],
    again: Mapping[str, Any],
    ends_at: float,
) -> float | None:
    """Return the pause before the retry, the longest Retry-After of *again*; None: no retry."""
    refusals = [a.refusal for n in again if isinstance(a := answers[n], GraphCallFailed)]
    if not refusals:
        return None
    # A retry counts against the limit, so without a Retry-After a throttled request is not retried.
    # Source: https://learn.microsoft.com/graph/throttling
    if any(r.status == 429 and r.retry_after_seconds is None for r in refusals):
        return None
    longest = max((r.retry_after_seconds or 0.0 for r in refusals), default=0.0)
    return next_delay(1, longest or None, left_seconds=ends_at - time.monotonic())
