"""HTTP requests on their way to a function, and its answers on their way out.

Source: the host's `GrpcMessageConversionExtensions`, `HttpBinding`, `RawScriptResult` (4.1037), and
the values that Kestrel refuses to send.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from aiohttp import web
from azure.functions.meta import Datum
from multidict import CIMultiDict

from local.host.newtonsoft import compact, parse

if TYPE_CHECKING:
    from http.cookies import Morsel

MAX_BODY_BYTES: Final = 100 * 1024 * 1024

_log: Final = logging.getLogger(__name__)
# A header holds visible ASCII, spaces and tabs.
_HEADER: Final = re.compile(r"[\t\x20-\x7e]*")
_ATTRIBUTES: Final = (("expires", "expires"), ("max-age", "max-age"), ("domain", "domain"))
_NO_BODY: Final = frozenset({204, 304})


class BadReply(Exception):
    """The answer cannot be sent: on Azure the caller sees an empty 500."""


async def to_datum(
    request: web.Request, route_params: Mapping[str, str], *, keeps_chunked: bool
) -> Datum:
    """Return *request* in the worker's form.

    Without *keeps_chunked* a body without Content-Length arrives empty, as it may on Azure.
    """
    return Datum(
        {
            "method": _text(request.method),
            "url": _text(f"{request.scheme}://{request.host}{request.raw_path}"),
            "headers": {name: _text(value) for name, value in _joined(request.headers.items())},
            "query": {name: _text(value) for name, value in _query(request)},
            "params": {name: _text(value) for name, value in route_params.items()},
            "body": Datum(await _body(request, keeps_chunked=keeps_chunked), "bytes"),
        },
        "http",
    )


def to_response(returned: Datum | None) -> web.Response:
    """Return the response for a function's result. BadReply if it cannot be sent."""
    if returned is None:
        return web.Response(status=204)
    if returned.type == "string":
        return _from_text(returned.value)
    value = returned.value
    headers: CIMultiDict[str] = CIMultiDict()
    for name, datum in value["headers"].items():
        headers[name] = str(datum.value)
    for jar in value["cookies"] or ():
        for morsel in jar.values():
            headers.add("Set-Cookie", _cookie(morsel))
    return _response(int(value["status_code"].value), headers, value["body"].value)


async def _body(request: web.Request, *, keeps_chunked: bool) -> bytes:
    body = await request.read()
    if body and request.content_length is None and not keeps_chunked:
        _log.warning(
            "%s %s: a chunked body of %d bytes arrives empty, as it may on Azure",
            request.method,
            request.path,
            len(body),
        )
        return b""
    return body


def _joined(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        found[key] = f"{found[key]},{value}" if key in found else value
    return list(found.items())


def _query(request: web.Request) -> list[tuple[str, str]]:
    names = {name.lower(): name for name in reversed(list(request.query))}
    return [(names[key], value) for key, value in _joined(request.query.items()) if value]


def _from_text(text: str) -> web.Response:
    """Answer a bare ``str``: JSON is printed again, one with a "body" is a whole response."""
    try:
        content = parse(text) if text.strip() else None
    except ValueError:
        return _response(200, CIMultiDict({"content-type": "text/plain; charset=utf-8"}), text)
    status, headers = 200, CIMultiDict[str]()
    if isinstance(content, dict):
        parts = {name.lower(): value for name, value in content.items()}
        if "body" in parts:
            content = parts["body"]
            status = _status(parts)
            given = parts.get("headers")
            if isinstance(given, dict):
                headers.update({name: str(value) for name, value in given.items()})
    if content is None:
        return _response(204 if status == 200 else status, headers, b"")
    if isinstance(content, str):
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        return _response(status, headers, content)
    headers.setdefault("content-type", "application/json; charset=utf-8")
    return _response(status, headers, compact(content))


def _status(parts: Mapping[str, Any]) -> int:
    value = parts.get("statuscode", parts.get("status", 200))
    try:
        return int(value)
    except (TypeError, ValueError):
        return 200


def _response(status: int, headers: CIMultiDict[str], body: str | bytes) -> web.Response:
    content = body.encode() if isinstance(body, str) else body
    if status in _NO_BODY and content:
        raise BadReply(f"a response with status {status} must not have a body")
    if not 100 <= status <= 999:
        raise BadReply(f"{status} is no status code")
    for name, value in headers.items():
        if not _HEADER.fullmatch(name + value):
            raise BadReply(f"the response header {name!r} holds a character outside ASCII")
    length = headers.pop("content-length", None)
    if length is not None and length != str(len(content)):
        raise BadReply(f"the response header content-length is {length}, the body {len(content)}")
    headers.popall("transfer-encoding", None)
    return web.Response(status=status, headers=headers, body=content)


def _cookie(morsel: "Morsel[str]") -> str:
    """Return a Set-Cookie as ASP.NET Core writes it: the value percent-encoded, a path always."""
    parts = [f"{morsel.key}={quote(morsel.value, safe='')}"]
    parts += [f"{label}={morsel[key]}" for key, label in _ATTRIBUTES if morsel[key]]
    parts.append(f"path={morsel['path'] or '/'}")
    if morsel["secure"]:
        parts.append("secure")
    if morsel["samesite"]:
        parts.append(f"samesite={str(morsel['samesite']).lower()}")
    if morsel["httponly"]:
        parts.append("httponly")
    return "; ".join(parts)


def _text(value: str) -> Datum:
    return Datum(value, "string")
