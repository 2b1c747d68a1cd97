"""The host's HTTP server: routes, keys, the admin API, pages beside the functions."""

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import hdrs, web

from local.host.configuration import HostOptions
from local.host.cors import Cors
from local.host.indexing import HttpRoute, IndexedFunction
from local.host.invoking import Invoker
from local.host.requests import MAX_BODY_BYTES, BadReply, to_datum, to_response
from local.host.static import StaticSite
from local.host.templates import split_path
from local.host.worker import Call

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that callers send in ``x-functions-key`` or ``?code=``."""

    function: str
    master: str
    """Opens everything, the admin API included."""

    def opens(self, request: web.Request, level: str) -> bool:
        """Whether *request* may call a function of *level* (`anonymous`, `function`, `admin`)."""
        if level == "anonymous":
            return True
        shown = request.headers.get("x-functions-key") or request.query.get("code") or ""
        wanted = [self.master] if level == "admin" else [self.master, self.function]
        return any(hmac.compare_digest(shown.encode(), each.encode()) for each in wanted)


@dataclass(slots=True)
class HttpServer:
    """Answers HTTP requests. Without functions, as after a failed load, every answer is 404."""

    keys: Keys
    cors: Cors
    sites: Sequence[StaticSite] = ()
    keeps_chunked_bodies: bool = False
    options: HostOptions = field(default_factory=HostOptions)
    functions: Sequence[IndexedFunction] = ()
    """The functions, in the order in which their routes are tried."""
    invoker: Invoker | None = None
    run_by_hand: Callable[[IndexedFunction, str], Awaitable[None]] | None = None
    """Runs a function that is not HTTP-triggered, for the admin API."""
    failure: str | None = None
    _by_hand: set[asyncio.Task[None]] = field(default_factory=set)

    def app(self) -> web.Application:
        """Return the application to serve."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        # Any path, also with a line feed in it: ASP.NET Core matches those too.
        app.router.add_route("*", r"/{path:[\s\S]*}", self._answer)
        app.on_response_prepare.append(_without_server)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        preflight = self.cors.preflight(request)
        response = preflight or await self._routed(request)
        # The pages are another service's in the cloud, with headers of their own.
        if not isinstance(response, web.FileResponse):
            for name, value in self.options.custom_headers:
                response.headers.setdefault(name, value)
        # A browser would keep it for all that runs on any port of this machine.
        response.headers.popall(hdrs.STRICT_TRANSPORT_SECURITY, None)
        if preflight is None:
            self.cors.mark(request, response)
        return response

    async def _routed(self, request: web.Request) -> web.StreamResponse:
        path = split_path(request.raw_path)
        if path[:1] == ["admin"]:
            return await self._admin(request, path)
        for function in self.functions:
            route = function.trigger
            if not isinstance(route, HttpRoute) or request.method not in route.methods:
                continue
            params = route.template.match(path)
            if params is not None:
                return await self._call(request, function, route, params)
        return self._page(request, path) or web.Response(status=404)

    def _page(self, request: web.Request, path: list[str]) -> web.StreamResponse | None:
        prefix = split_path(self.options.route_prefix)
        # An unknown route of the API is a 404, never a page that routes by itself.
        if prefix and [each.lower() for each in path[: len(prefix)]] == prefix:
            return None
        return next(filter(None, (site.answer(request) for site in self.sites)), None)

    async def _call(
        self,
        request: web.Request,
        function: IndexedFunction,
        route: HttpRoute,
        params: dict[str, str],
    ) -> web.Response:
        if not self.keys.opens(request, route.level):
            return web.Response(status=401)
        if self.invoker is None:
            return web.Response(status=404)
        data = await to_datum(request, params, keeps_chunked=self.keeps_chunked_bodies)
        call = Call(
            function,
            data,
            trace_parent=request.headers.get("traceparent", ""),
            trace_state=request.headers.get("tracestate", ""),
        )
        try:
            return to_response(await self.invoker.invoke(call))
        except BadReply as error:
            _log.error("Functions.%s: %s", function.name, error)  # without a traceback of the app
        except Exception:  # noqa: BLE001  # the invoker logged it; a caller learns nothing
            return web.Response(status=500)
        return web.Response(status=500)

    # --- the part of the real host's admin API that a developer needs

    async def _admin(self, request: web.Request, path: list[str]) -> web.Response:
        if not self.keys.opens(request, "admin"):
            return web.Response(status=401)
        match request.method, path[1:]:
            case hdrs.METH_GET, ["host", "status"]:
                state = "Error" if self.failure else "Running"
                errors = [self.failure] if self.failure else []
                return web.json_response({"state": state, "errors": errors})
            case hdrs.METH_GET, ["functions"]:
                return web.json_response([{"name": each.name} for each in self.functions])
            case hdrs.METH_POST, ["functions", name]:
                return await self._start(request, name)
        return web.Response(status=404)

    async def _start(self, request: web.Request, name: str) -> web.Response:
        """Start a timer or queue function without waiting for its end, like the real host."""
        wanted = [each for each in self.functions if each.name.lower() == name.lower()]
        if not wanted or isinstance(wanted[0].trigger, HttpRoute) or self.run_by_hand is None:
            return web.Response(status=404)
        if request.content_type != "application/json":
            return web.Response(status=415)
        try:
            document: Any = json.loads(await request.text() or "{}")
        except ValueError:
            return web.Response(status=400)
        given = document.get("input", "") if isinstance(document, dict) else ""
        task = asyncio.create_task(self._run(wanted[0], str(given)))
        self._by_hand.add(task)
        task.add_done_callback(self._by_hand.discard)
        return web.Response(status=202)

    async def _run(self, function: IndexedFunction, given: str) -> None:
        if self.run_by_hand is None:
            return
        try:
            await self.run_by_hand(function, given)
        except Exception:  # noqa: BLE001  # the invoker logged it
            _log.debug("%s was started by hand and failed", function.name)


async def _without_server(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall(hdrs.SERVER, None)
