"""The simulated Application Insights: accepts telemetry, and keeps it for inspection.

Source: the exporter of ``azure-monitor-opentelemetry-exporter``, which posts envelopes to
``/v2.1/track`` and expects the number of accepted ones.
"""

import asyncio
import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

RESOURCE: Final = "https://monitor.azure.com"
_KEY: Final = "6c1d5b1e-9d0c-4a43-8f6e-1d2b8c4f7a10"


class InsightsSimulator:
    """One component without local authentication: telemetry comes with a token, or not at all."""

    def __init__(
        self, root_url: str, *, token_keys: Callable[[], Mapping[str, RSAPublicKey]]
    ) -> None:
        self.envelopes: list[dict[str, Any]] = []
        """All received envelopes, unchanged."""
        self.refused = 0
        """Requests without a valid token."""
        self.is_down = False
        """503 to everything."""
        self._root_url = root_url
        self._token_keys = token_keys
        self._came = asyncio.Condition()

    @property
    def connection_string(self) -> str:
        """The name of the component; it grants no access."""
        return f"InstrumentationKey={_KEY};IngestionEndpoint={self._root_url}/"

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        # Azure's own connection strings end with a slash, and the exporter adds one more.
        app.router.add_post("/{slash:/?}v2.1/track", self._track)
        app.router.add_get("/_control", self._show)
        return app

    async def received(self, wanted: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Wait until *wanted* returns true for the envelopes. Call it with a time limit."""
        async with self._came:
            await self._came.wait_for(lambda: wanted(self.envelopes))

    async def _track(self, request: web.Request) -> web.Response:
        if self.is_down:
            return web.json_response({}, status=503)
        if not self._may(request):
            self.refused += 1
            return web.json_response({"message": "Authentication failed."}, status=401)
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        envelopes = json.loads(body)
        async with self._came:
            self.envelopes += envelopes
            self._came.notify_all()
        counts = {"itemsReceived": len(envelopes), "itemsAccepted": len(envelopes), "errors": []}
        return web.json_response(counts)

    async def _show(self, _: web.Request) -> web.Response:
        return web.json_response({"envelopes": self.envelopes, "refused": self.refused})

    def _may(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            key = self._token_keys()[jwt.get_unverified_header(token)["kid"]]
            jwt.decode(token, key, algorithms=["RS256"], audience=RESOURCE)
        except (jwt.PyJWTError, KeyError):
            return False
        return scheme == "Bearer"
