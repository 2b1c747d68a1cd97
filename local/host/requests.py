"""HTTP requests on their way to a function, and its answers on their way out.

Source: the host's `GrpcMessageConversionExtensions`, `HttpBinding`, `RawScriptResult` (4.1037), and
the values that Kestrel refuses to send.
"""

import logging
import re
from collections.abc import Mapping
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from aiohttp import hdrs, web
from azure.functions.meta import Datum
from multidict import CIMultiDict

from local.host.kestrel import Answer
from local.host.newtonsoft import as_text, compact, parse
from local.host.urls import decoded_path, encoded_path, join_values, query_values

if TYPE_CHECKING:
    from http.cookies import Morsel

_log: Final = logging.getLogger(__name__)
# A header holds visible ASCII, spaces and tabs.
_HEADER: Final = re.compile(r"[\t\x20-\x7e]*")
_PLAIN: Final = "text/plain; charset=utf-8"


class BadReply(Exception):
    """The answer cannot be sent: the caller sees an empty 500."""


async def to_datum(request: web.BaseRequest, route_params: Mapping[str, str]) -> Datum:
    """Return *request* in the worker's form. A body without Content-Length arrives empty."""
    path, question_mark, query = request.raw_path.partition("?")
    path = encoded_path(decoded_path(path))
    host = request.headers.get(hdrs.HOST, "")
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    return Datum(
        {
            "method": _text(request.method),
            "url": _text(f"{request.scheme}://{host}{path}{question_mark}{query}"),
            "headers": {name: _text(join_values(each)) for name, each in headers.items()},
            "query": {name: _text(value) for name, value in query_values(request.raw_path).items()},
            "params": {name: _text(value) for name, value in route_params.items()},
            "body": Datum(await _body(request), "bytes"),
        },
        "http",
    )


def by_hand(body: str) -> Datum:
    """Return the request of a function that the admin API starts."""
    empty: dict[str, Datum] = {}
    parts = {"method": _text("POST"), "url": _text(""), "body": Datum(body.encode(), "bytes")}
    return Datum({**parts, "headers": empty, "query": empty, "params": empty}, "http")


def to_answer(returned: Datum | None) -> Answer:
    """Return the answer for a function's result. BadReply if it cannot be sent."""
    if returned is None:
        return _answer(200, CIMultiDict(), b"")
    if returned.type == "string":
        return _from_text(returned.value)
    value = returned.value
    headers: CIMultiDict[str] = CIMultiDict()
    for name, datum in value["headers"].items():
        headers[name] = str(datum.value)
    for jar in value["cookies"] or ():
        for morsel in jar.values():
            headers.add(hdrs.SET_COOKIE, _cookie(morsel))
    return _answer(int(value["status_code"].value), headers, value["body"].value)


async def _body(request: web.BaseRequest) -> bytes:
    if not request.content_length:
        if request.body_exists:
            _log.warning(
                "%s %s: a chunked body arrives empty; send a Content-Length",
                request.method,
                request.raw_path,
            )
        return b""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await request.read()


def _from_text(text: str) -> Answer:
    """Answer a bare ``str``: JSON is printed again, one with a "body" is a whole response."""
    status, headers = 200, CIMultiDict({hdrs.CONTENT_TYPE: _PLAIN})
    try:
        content = parse(text) if text.strip() else None
    except ValueError:
        return _answer(status, headers, text.encode())
    if isinstance(content, dict):
        parts = {name.lower(): value for name, value in content.items()}
        if "body" in parts:
            content = parts["body"]
            status = _status(parts)
            given = parts.get("headers")
            if isinstance(given, dict):
                headers.update({name: as_text(value) for name, value in given.items()})
            if isinstance(content, dict | list):
                content = compact(content)
    return _answer(status, headers, as_text(content).encode())


def _status(parts: Mapping[str, Any]) -> int:
    value = parts.get("statuscode", parts.get("status", 200))
    try:
        return int(value)
    except (TypeError, ValueError):
        return 200


def _answer(status: int, headers: CIMultiDict[str], body: bytes) -> Answer:
    for name, value in headers.items():
        if not _HEADER.fullmatch(name + value):
            raise BadReply(f"the response header {name!r} holds a character outside ASCII")
    return Answer(status, headers, body)


def _cookie(morsel: "Morsel[str]") -> str:
    """Return a Set-Cookie as ASP.NET Core writes it: the value percent-encoded once more."""
    parts = [f"{morsel.key}={quote(morsel.value, safe='-_.~')}"]
    if morsel["expires"]:
        moment = parsedate_to_datetime(morsel["expires"])
        parts.append(f"expires={format_datetime(moment, usegmt=True)}")
    if morsel["max-age"]:
        parts.append(f"max-age={morsel['max-age']}")
    parts += [f"{name}={morsel[name]}" for name in ("domain", "path")]
    if morsel["secure"]:
        parts.append("secure")
    if morsel["samesite"]:
        parts.append(f"samesite={str(morsel['samesite']).lower()}")
    if morsel["httponly"]:
        parts.append("httponly")
    return "; ".join(parts)


def _text(value: str) -> Datum:
    return Datum(value, "string")
