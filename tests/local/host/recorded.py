"""The answers that were recorded from Microsoft's host, and the same asked of ours."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

APP: Final = Path(__file__).parents[2] / "data" / "functions"
"""The app that ran on Microsoft's host, with what was recorded."""
RECORDED: Final[Mapping[str, Any]] = json.loads((APP / "observed.json").read_text())
_MOST: Final = 1495
"""So many characters of a body are compared: of longer ones, more was not kept."""
# They differ from run to run.
_PASSING: Final = ("id", "dir", "cwd", "pid")
_NOT_COMPARED: Final = ("date", "server")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer in the form in which two of them are compared."""

    status: str | None
    """None: what follows an interim answer, as which ``HTTP/1.1 100…`` is read, is no head."""
    headers: Sequence[str]
    """Sorted, names in lower case."""
    body: Any
    """Text; an object for what a function saw."""

    @classmethod
    def recorded(cls, entry: Mapping[str, Any]) -> "Answer":
        """Return the recorded answer of *entry*."""
        body = "" if entry["status"] is None else entry["body"]
        return cls(entry["status"], _normal(entry["headers"]), _seen(body))


def request_of(entry: Mapping[str, Any]) -> bytes:
    """Return the bytes that were sent."""
    request = entry["request"]
    if isinstance(request, str):
        return request.encode("latin-1")
    lines = [request["line"], *(_in_full(each) for each in request["headers"])]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def name_of(entry: Mapping[str, Any]) -> str:
    """Return the request's first line, shortened, with what tells it from its like."""
    head, _, _ = request_of(entry).decode("latin-1").partition("\r\n\r\n")
    lines = [each for each in head.split("\r\n") if not each.startswith(("Host:", "HTTP"))]
    line = lines[0].removesuffix(" HTTP/1.1")
    more = f" ({lines[1][:30]})" if len(lines) > 1 else ""
    return f"{line[:60]}{more}"


async def ask(port: int, request: bytes) -> Answer:
    """Send *request* and return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = b"HTTP/1.1 100"
        while head.startswith(b"HTTP/1.1 100"):
            head = await reader.readuntil(b"\r\n\r\n")
        first, *headers = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        if not first.startswith("HTTP/"):
            return Answer(None, _normal(headers), "")
        status = first.split(" ")[1]
        is_empty = request.startswith(b"HEAD ") or status in {"204", "304"}
        body = b"" if is_empty else await _body(reader, headers)
        return Answer(status, _normal(headers), _seen(body.decode("latin-1")))
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, headers: Sequence[str]) -> bytes:
    known = {name.lower(): value for name, _, value in (each.partition(": ") for each in headers)}
    if known.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body
    if "content-length" not in known:
        return await reader.read()
    try:
        return await reader.readexactly(int(known["content-length"]))
    except asyncio.IncompleteReadError as cut:
        return cut.partial


def _normal(headers: Sequence[str]) -> Sequence[str]:
    pairs = [(name.lower(), value) for name, _, value in (each.partition(": ") for each in headers)]
    return tuple(f"{name}: {value}" for name, value in sorted(pairs) if name not in _NOT_COMPARED)


def _seen(body: str) -> Any:
    """Return what a function says it saw as an object, since the order of names means nothing."""
    body = body[:_MOST]
    if not body.startswith(('{"fn": ', '{"id": ')):
        return body
    try:
        seen = json.loads(body)
    except ValueError:
        return body
    return {name: "..." if name in _PASSING else value for name, value in seen.items()}


def _in_full(header: str) -> str:
    found = re.fullmatch(r"([\w-]+: )(.)\2*\.\.\.\((\d+) characters\)", header)
    return header if found is None else found[1] + found[2] * (int(found[3]) - len(found[1]))
