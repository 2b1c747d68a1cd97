"""``$batch``: up to twenty requests in one, each judged, throttled and recorded by itself.

Source: https://learn.microsoft.com/graph/json-batching
"""

import asyncio
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from yarl import URL

from local.graph.errors import ConnectionLost, GraphError, Json, bad_request, invalid_token
from local.graph.http import GraphReply, GraphRequest, segments_of
from local.graph.service import Service

MOST_REQUESTS: Final = 20
_AT_ONCE_PER_MAILBOX: Final = 4
_METHODS: Final = {"GET", "POST", "PATCH", "PUT", "DELETE"}


@dataclass(slots=True)
class _Run:
    """A batch under way."""

    service: Service
    outer: GraphRequest
    done: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    turns: defaultdict[str, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(_AT_ONCE_PER_MAILBOX))
    )


async def answer_batch(service: Service, outer: GraphRequest) -> GraphReply:
    """Run a batch. The reply is 200 even if each inner one failed.

    Raises:
        GraphError: 400 for a batch that cannot be read, 401 without any token.
    """
    if not outer.headers.get("authorization"):
        raise invalid_token("Access token is empty.")
    requests = _checked(outer.json().get("requests"))
    loop = asyncio.get_running_loop()
    run = _Run(service, outer, {str(one["id"]).lower(): loop.create_future() for one in requests})
    await asyncio.gather(*(_run_one(run, one) for one in requests))
    # Clients must not rely on an order of the parts, so the reply reverses them.
    responses = [future.result() for future in reversed(run.done.values())]
    return GraphReply(200, {"responses": responses})


def _checked(requests: object) -> list[Json]:
    if not isinstance(requests, list) or not requests:
        raise bad_request("Invalid batch payload format.")
    if len(requests) > MOST_REQUESTS:
        raise bad_request(
            f"Number of batch request steps exceeds the maximum value of {MOST_REQUESTS}.",
            "MaximumValueExceeded",
        )
    seen: set[str] = set()
    for one in requests:
        identifier = str(one.get("id") or "").lower() if isinstance(one, dict) else ""
        well_formed = (
            identifier
            and identifier not in seen
            and str(one.get("method")).upper() in _METHODS
            and isinstance(one.get("url"), str)
            and all(str(before).lower() in seen for before in one.get("dependsOn") or [])
        )
        if not well_formed:
            raise bad_request("Invalid batch payload format.")
        seen.add(identifier)
    return requests


async def _run_one(run: _Run, request: Json) -> None:
    identifier = str(request["id"])
    done = run.done[identifier.lower()]
    try:
        for before in request.get("dependsOn") or []:
            _require_success(await asyncio.shield(run.done[str(before).lower()]))
        reply = await _answer_inner(run, request)
    except GraphError as error:
        reply = GraphReply(error.status, {"error": {"code": error.code, "message": error.message}})
    except ConnectionLost:
        # The batch has a gateway behind it, which got no answer either.
        reply = GraphReply(504, {"error": {"code": "GatewayTimeout", "message": ""}})
    headers = {"Content-Type": "application/json"} if reply.body is not None else {}
    done.set_result(
        {"id": identifier, "status": reply.status, "headers": headers | reply.headers}
        | ({"body": reply.body} if reply.body is not None else {})
    )


def _require_success(earlier: Json) -> None:
    if not 200 <= earlier["status"] < 300:
        raise GraphError(424, "FailedDependency", "A request it depends on failed.")


async def _answer_inner(run: _Run, request: Json) -> GraphReply:
    call = _inner_call(run.outer, request)
    if call.path.strip("/").lower() == "$batch":
        raise bad_request("A batch cannot hold another.")
    async with run.turns[_mailbox_of(call)]:
        return await run.service.answer(call)


def _inner_call(outer: GraphRequest, request: Json) -> GraphRequest:
    # Headers of the outer request do not reach the inner ones, but for the token.
    headers = {str(k).lower(): str(v) for k, v in (request.get("headers") or {}).items()}
    headers.setdefault("authorization", outer.headers.get("authorization", ""))
    body: Any = request.get("body")
    if body is not None and "json" not in headers.get("content-type", ""):
        raise bad_request("Request with body needs a Content-Type header.")
    url = URL(re.sub(r"^/?", "/", str(request["url"])))
    return GraphRequest(
        method=str(request["method"]).upper(),
        path=url.raw_path,
        query=lowered(url),
        headers=headers,
        raw_body=b"" if body is None else json.dumps(body).encode(),
        root=outer.root,
        in_batch=True,
    )


def _mailbox_of(call: GraphRequest) -> str:
    segments = segments_of(call.path)
    return segments[1].lower() if segments[0].lower() == "users" and segments[1:] else segments[0]


def lowered(url: URL) -> dict[str, str]:
    """Return the query options of *url*, names in lower case."""
    return {name.lower(): value for name, value in url.query.items()}
