"""CORS like the platform's: it answers preflights itself and exposes no headers.

Source: ASP.NET Core's CORS middleware, as the host sets it up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Cors:
    """The origins whose pages may call."""

    origins: Sequence[str]
    """``*`` is every origin."""
    supports_credentials: bool = False

    def preflight(self, request: web.Request) -> web.Response | None:
        """Return the answer to a preflight request, None if *request* is none."""
        method = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or not self.origins or not method:
            return None
        response = web.Response(status=204)
        if self._allowed(request):
            self.mark(request, response)
            response.headers["Access-Control-Allow-Methods"] = method
            asked = request.headers.get("Access-Control-Request-Headers")
            if asked:
                response.headers["Access-Control-Allow-Headers"] = asked
        return response

    def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the origin of *request* read *response*, if it is allowed."""
        origin = self._allowed(request)
        if not origin:
            return
        response.headers.setdefault("Access-Control-Allow-Origin", origin)
        if origin != "*":
            response.headers.add("Vary", "Origin")
        if self.supports_credentials:
            response.headers.setdefault("Access-Control-Allow-Credentials", "true")

    def _allowed(self, request: web.Request) -> str | None:
        origin = request.headers.get("Origin")
        if not origin:
            return None
        if "*" in self.origins and not self.supports_credentials:
            return "*"
        return origin if origin in self.origins else None
