"""The host's HTTP server: functions' routes and keys, the home page, pages beside the functions."""

import hmac
import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import hdrs, web

from local.host.admin import AdminApi
from local.host.calls import Call
from local.host.configuration import HostOptions
from local.host.cors import Cors
from local.host.invoking import Invoker
from local.host.kestrel import Answer
from local.host.requests import BadReply, to_answer, to_datum
from local.host.static import StaticSite
from local.host.triggers import AppFunction, HttpRoute
from local.host.urls import query_values, split_path

_log: Final = logging.getLogger(__name__)
_HOME: Final = (
    b"<!DOCTYPE html><title>Functions</title><h1>Your Functions app is up and running</h1>"
)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-zA-Z-]+")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that callers send in ``x-functions-key`` or ``?code=``."""

    function: str
    master: str
    """Opens everything, the admin API included."""

    def level(self, request: web.BaseRequest) -> str:
        """Return the level that the key of *request* opens: `anonymous`, `function` or `admin`."""
        shown = request.headers.get("x-functions-key") or query_values(request.raw_path).get("code")
        for level, key in (("admin", self.master), ("function", self.function)):
            if shown and hmac.compare_digest(shown.encode(), key.encode()):
                return level
        return "anonymous"


@dataclass(slots=True)
class HttpServer:
    """Answers HTTP requests. Without functions, as after a failed load, their URLs are 404."""

    keys: Keys
    cors: Cors
    sites: Sequence[StaticSite] = ()
    options: HostOptions = field(default_factory=HostOptions)
    functions: Sequence[AppFunction] = ()
    """The functions, in the order in which their routes are tried."""
    invoker: Invoker | None = None
    admin: AdminApi = field(default_factory=AdminApi)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request*."""
        try:
            path = split_path(request.raw_path)
        except ValueError:
            return Answer(400, closes=True)
        if self.admin.errors:  # said before custom headers and CORS have their turn
            found = await self.admin.answer(request, path, self.keys.level(request))
            return found or Answer(503, body=b"Function host is not running.")
        preflight = self.cors.preflight(request)
        response = preflight or await self._routed(request, path)
        if isinstance(response, Answer):  # pages are another service's in the cloud
            if not all(_TOKEN.fullmatch(name) for name, _ in self.options.custom_headers):
                return Answer(500)  # on Azure too: `extensions.http.customHeaders` of host.json
            for name, value in self.options.custom_headers:
                response.headers.setdefault(name, value)
        # A browser would keep it for all that runs on any port of this machine.
        response.headers.popall(hdrs.STRICT_TRANSPORT_SECURITY, None)
        self.cors.mark(request, response)
        return response

    async def _routed(self, request: web.BaseRequest, path: list[str]) -> web.StreamResponse:
        found = await self.admin.answer(request, path, self.keys.level(request))
        if found is not None:
            return found
        page = self._page(request, path)
        if page is not None:
            return page
        if path == [""]:
            return self._home()
        for function in self.functions:
            route = function.trigger
            if not isinstance(route, HttpRoute) or not route.takes(request.method):
                continue
            params = route.template.match(path)
            if params is not None:
                return await self._call(request, function, route, params)
        return Answer(404)

    def _home(self) -> Answer:
        if not self.options.has_home_page:
            return Answer(204)
        length = {hdrs.CONTENT_LENGTH: str(len(_HOME)), hdrs.CONTENT_TYPE: "text/html"}
        return Answer(200, length, _HOME)

    def _page(self, request: web.BaseRequest, path: list[str]) -> web.StreamResponse | None:
        # An unknown route of the API is a 404, never a page that routes by itself.
        prefix = self.options.route_prefix.split("/")
        if prefix != [""] and [each.lower() for each in path[: len(prefix)]] == prefix:
            return None
        return next(filter(None, (site.answer(request) for site in self.sites)), None)

    async def _call(
        self,
        request: web.BaseRequest,
        function: AppFunction,
        route: HttpRoute,
        params: dict[str, str],
    ) -> Answer:
        if not route.opens_for(self.keys.level(request)):
            return Answer(401)
        if self.invoker is None:
            return Answer(404)
        if (request.content_length or 0) > self.options.max_body_bytes:
            _log.error("%s %s: the body is too large", request.method, request.raw_path)
            return Answer(500, closes=True)
        call = Call(
            function.name,
            await to_datum(request, params),
            trace_parent=self._trace(request),
            trace_state=request.headers.get("tracestate", "") if self.options.has_telemetry else "",
        )
        try:
            return to_answer(await self.invoker.invoke(function, call))
        except BadReply as error:
            _log.error("Functions.%s: %s", function.name, error)  # without a traceback of the app
        except Exception:  # noqa: BLE001  # the invoker logged it; a caller learns nothing
            return Answer(500)
        return Answer(500)

    def _trace(self, request: web.BaseRequest) -> str:
        """Return the span that the host opens for a function; "" without Application Insights."""
        if not self.options.has_telemetry:
            return ""
        parts = request.headers.get("traceparent", "").split("-")
        trace = parts[1] if len(parts) == 4 else uuid.uuid4().hex
        return f"00-{trace}-{uuid.uuid4().hex[:16]}-01"
