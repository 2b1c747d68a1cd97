"""HTTP/1.1 as Kestrel reads and writes it: aiohttp's connections with Kestrel's rules.

Kestrel is stricter with requests, takes any method and sends any status. Functions' bodies go out
in chunks unless the function states a length.

Source: dotnet/aspnetcore 8, src/Servers/Kestrel/Core: Http1Connection, HttpProtocol, HttpParser.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.http_parser import HttpRequestParserPy, RawRequestMessage
from aiohttp.streams import StreamReader

_MAX_LINE: Final = 8 * 1024
_MAX_HEADERS: Final = 32 * 1024
_MAX_HEADER_COUNT: Final = 100
# Above what is checked here, so that aiohttp, which answers otherwise, refuses nothing before.
_BEYOND: Final = 1024 * 1024
_NO_BODY: Final = frozenset({204, 205, 304})
# The parser takes this method for any; the true one is the first of the raw headers.
_ANY: Final = b"POST "
_METHOD: Final = b":method"
_ABSOLUTE: Final = re.compile(r"^https?://[^/?]*", re.IGNORECASE)


class Answer(web.StreamResponse):
    """A whole response, framed as Kestrel frames it."""

    def __init__(
        self,
        status: int = 200,
        headers: Mapping[Any, str] | None = None,
        body: bytes = b"",
        *,
        closes: bool = False,
    ) -> None:
        """Make a response; with *closes* the connection ends after it."""
        super().__init__(status=status, headers=headers)
        self.content = body
        self._closes = closes
        self._asked: web.BaseRequest | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection serves further requests."""
        return not self._closes

    @property
    def body_length(self) -> int:
        """The bytes of the body, for the access log."""
        return len(self.content)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Remember the *request*: everything is sent at the end."""
        self._asked = request
        return None

    async def write_eof(self, _: bytes = b"") -> None:
        """Send it all."""
        request = self._asked
        if request is None or request.transport is None:
            return
        try:
            content = self._framed(request)
        except ValueError:
            await _again(Answer(500, closes=True), request)
            self._closes = True
            return
        lines = [f"HTTP/1.1 {self.status} {self.reason}".encode("latin-1")]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in self.headers.items()]
        request.transport.write(b"\r\n".join([*lines, b"", b""]) + content)

    def _framed(self, request: web.BaseRequest) -> bytes:
        """Set the headers that delimit the body and return it as sent. ValueError: it is refused.

        Source: HttpProtocol.CreateResponseHeaders and VerifyAndUpdateWrite.
        """
        headers, content, is_cut = self.headers, self.content, False
        has_body = request.method != hdrs.METH_HEAD and self.status not in _NO_BODY
        may_have_length = (self.status >= 200 and self.status != 204) or self.status < 100
        stated = headers.get(hdrs.CONTENT_LENGTH)
        if not request.keep_alive or headers.get(hdrs.CONNECTION, "").lower() == "close":
            self._closes = True
        if hdrs.TRANSFER_ENCODING in headers:
            if not has_body:
                raise ValueError
        elif stated is not None:
            if not may_have_length:
                if stated != "0":
                    raise ValueError
                del headers[hdrs.CONTENT_LENGTH]
            if has_body and len(content) > int(stated):
                raise ValueError
            is_cut = has_body and len(content) < int(stated)
        elif self.status == 101:
            self._closes = True
        elif not content or not has_body:
            if may_have_length and request.method != hdrs.METH_HEAD and self.status != 304:
                headers[hdrs.CONTENT_LENGTH] = "0"
        elif request.version >= (1, 1):
            headers[hdrs.TRANSFER_ENCODING] = "chunked"
            content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
        else:
            self._closes = True
        if self._closes:
            headers.setdefault(hdrs.CONNECTION, "close")
        self._closes |= is_cut
        return content if has_body else b""


async def _again(answer: Answer, request: web.BaseRequest) -> None:
    await answer.prepare(request)
    await answer.write_eof()


class KestrelServer(web.Server):
    """Serves each connection by Kestrel's rules."""

    def __init__(self, handler: Any) -> None:  # noqa: ANN401  # aiohttp's own type is private
        """Answer requests with *handler*."""
        super().__init__(handler, request_factory=_request)

    def __call__(self) -> "_Connection":
        """Return the protocol of a new connection."""
        return _Connection(self, loop=asyncio.get_running_loop())


class _Connection(web.RequestHandler):
    __slots__ = ()

    def __init__(self, server: KestrelServer, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop)
        self._parser = _Parser(self, loop, 2**16)

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  # aiohttp passes them by name
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Answer what cannot be read, or the host's own error: never with a text."""
        if not isinstance(exc, HttpProcessingError):
            self.log_exception("The host failed", exc_info=exc)
        return Answer(getattr(exc, "code", status), closes=True)


class _Parser(HttpRequestParserPy):
    """Reads requests. The one in C refuses methods that it does not know."""

    def __init__(self, protocol: BaseProtocol, loop: asyncio.AbstractEventLoop, size: int) -> None:
        super().__init__(
            protocol,
            loop,
            size,
            max_line_size=_BEYOND,
            max_field_size=_BEYOND,
            max_headers=_BEYOND,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
        )

    def parse_message(self, lines: list[bytes]) -> RawRequestMessage:
        line, *headers = lines
        headers = [each for each in headers if each]
        if len(line) + 2 > _MAX_LINE:
            raise HttpProcessingError(code=414)
        if len(headers) > _MAX_HEADER_COUNT or sum(len(h) + 2 for h in headers) > _MAX_HEADERS:
            raise HttpProcessingError(code=431)
        method, _, rest = line.partition(b" ")
        if not rest.endswith((b" HTTP/1.1", b" HTTP/1.0")):
            raise HttpProcessingError(code=505 if b" HTTP/" in rest else 400)
        try:
            line.decode("ascii")
            b"".join(headers).decode()
        except UnicodeDecodeError:
            raise BadHttpMessage("neither ASCII nor UTF-8") from None
        message = super().parse_message([_ANY + rest, *lines[1:]])
        return message._replace(raw_headers=((_METHOD, method), *message.raw_headers))


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    if message.raw_headers and message.raw_headers[0][0] == _METHOD:
        (_, method), *others = message.raw_headers
        name = method.decode()
        # Kestrel writes a method that it knows in its own letters.
        name = name.upper() if name.upper() in hdrs.METH_ALL else name
        path = _ABSOLUTE.sub("", message.path) or "/"
        message = message._replace(method=name, path=path, raw_headers=tuple(others))
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=0)
