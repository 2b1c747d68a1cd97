"""CORS like the platform's: it answers preflights itself and exposes no headers.

Source: ASP.NET Core's CORS middleware, as the host sets it up on Flex Consumption.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from local.host.kestrel import Answer


@dataclass(frozen=True, slots=True)
class Cors:
    """The origins whose pages may call."""

    origins: Sequence[str]
    """``*`` is every origin."""
    supports_credentials: bool = False

    def preflight(self, request: web.BaseRequest) -> Answer | None:
        """Return the answer to a preflight request, None if *request* is none."""
        method = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or not method or "Origin" not in request.headers:
            return None
        answer = Answer(204)
        if self._allowed(request):
            answer.headers["Access-Control-Allow-Methods"] = method
            asked = request.headers.get("Access-Control-Request-Headers")
            if asked:
                answer.headers["Access-Control-Allow-Headers"] = asked
        return answer

    def mark(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Let the origin of *request* read *response*, in place of what the function says."""
        origin = self._allowed(request)
        if not origin:
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        if len(self.origins) > 1 and origin != "*":
            response.headers.add("Vary", "Origin")
        if self.supports_credentials:
            response.headers["Access-Control-Allow-Credentials"] = "true"

    def _allowed(self, request: web.BaseRequest) -> str | None:
        origin = request.headers.get("Origin")
        if not origin:
            return None
        if "*" in self.origins and not self.supports_credentials:
            return "*"
        return origin if origin in self.origins else None
