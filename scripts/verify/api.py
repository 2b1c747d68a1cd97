"""Calls of the app and of Microsoft Graph, and what the report may say of their answers."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx

from scripts.verify.report import CameOtherwise

T = TypeVar("T")
Json = dict[str, Any]

_TIMEOUT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 1.0
_TRIES: Final = 6
_AGAIN: Final = frozenset({429, 503, 504})
_LONGEST_WAIT_SECONDS: Final = 60.0


def http_client(ca: str | None) -> httpx.AsyncClient:
    """Return a client that trusts *ca* as well, a file of authorities."""
    context = httpx.create_ssl_context()
    if ca:
        context.load_verify_locations(cafile=ca)
    return httpx.AsyncClient(verify=context, timeout=_TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True)
class Api:
    """An API at *root*, called with *token*.

    Paths are templates, as ``sessions/{}``, so that the report names a call without its ids.
    """

    http: httpx.AsyncClient
    root: str
    token: str

    async def call(
        self,
        method: str,
        template: str,
        *ids: str,
        expect: int = 200,
        **options: Any,  # noqa: ANN401 - those of httpx
    ) -> Json:
        """Return the JSON of the answer, empty without one. Repeats the request if asked to.

        Raises CameOtherwise: the status is not *expect*.
        """
        reply = await self.reply(method, template, *ids, **options)
        if reply.status_code != expect:
            raise CameOtherwise(f"{method} {template}: {described(reply)}")
        body: Json = reply.json() if reply.content else {}
        return body

    async def reply(
        self,
        method: str,
        template: str,
        *ids: str,
        **options: Any,  # noqa: ANN401 - those of httpx
    ) -> httpx.Response:
        """Return the answer of any status. Repeats the request if Retry-After asks for it."""
        url = f"{self.root}/{template.format(*(quote(each, safe='') for each in ids))}"
        headers = {"authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        for _ in range(_TRIES):
            reply = await self.http.request(method, url, headers=headers, **options)
            wait = reply.headers.get("retry-after", "")
            if reply.status_code not in _AGAIN or not wait.isdigit():
                break
            if float(wait) > _LONGEST_WAIT_SECONDS:
                break
            await asyncio.sleep(float(wait))
        return reply


def described(reply: httpx.Response) -> str:
    """Return the status of *reply* with its code, problem type and trace, and no other text."""
    said = [str(reply.status_code)]
    if reply.is_success:
        return said[0]
    try:
        body = reply.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        error = body.get("error")
        said += [str(error["code"])] if isinstance(error, dict) and "code" in error else []
        said += [str(body["type"])] if "type" in body else []
        said += [f"trace {body['trace_id']}"] if "trace_id" in body else []
    return " ".join(said)


async def until(
    look: Callable[[], Awaitable[T | None]], patience_seconds: float, what: str
) -> tuple[T, float]:
    """Await *look* until it finds something; return that, and after how many seconds.

    Raises CameOtherwise: *what* did not come within *patience_seconds*.
    """
    began = time.monotonic()
    while True:
        found = await look()
        passed = time.monotonic() - began
        if found is not None:
            return found, passed
        if passed > patience_seconds:
            raise CameOtherwise(f"{what} did not come within {patience_seconds:.0f} s")
        await asyncio.sleep(_LOOK_SECONDS)


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of *token*, unchecked. ValueError: it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not three parts")
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(claims, dict):
        raise ValueError("no claims")  # noqa: TRY004 - one error for all that is no token
    return claims
