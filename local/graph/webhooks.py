"""Calls of webhooks by the simulated Graph: over TLS, with deadlines, never two at once."""

import secrets
import ssl
import time
import uuid
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from yarl import URL

from local.graph.errors import Json


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """A webhook's answer; *status* None: no answer in time."""

    status: int | None
    seconds: float

    @property
    def is_success(self) -> bool:
        """Whether it was a 2xx."""
        return self.status is not None and 200 <= self.status < 300


class Webhooks:
    """An HTTP client for the endpoints of subscribers."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        """*trust*: the trusted authorities; by default those of SSL_CERT_FILE or the system."""
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
            self._session = None

    async def handshake(self, url: str, seconds: float) -> bool:
        """Return whether *url* echoes a token: 200, text/plain, only the token.

        Source: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
        """
        token = (
            "Validation: Testing client application reachability for subscription "
            f"Request-Id: {uuid.uuid4()}+{secrets.token_urlsafe(6)}"
        )
        joint = "&" if "?" in url else "?"
        target = URL(f"{url}{joint}validationToken={quote(token, safe='')}", encoded=True)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        try:
            async with self._client().post(
                target, headers=headers, timeout=_limit(seconds), allow_redirects=False
            ) as answer:
                text = await answer.text()
                return (answer.status, answer.content_type, text) == (200, "text/plain", token)
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
            return False

    async def deliver(self, url: str, items: list[Json], seconds: float) -> DeliveryResult:
        """POST ``{value: items}`` and return the answer within *seconds*, in real time."""
        began = time.monotonic()
        try:
            async with self._client().post(
                URL(url, encoded=True),
                json={"value": items},
                timeout=_limit(seconds),
                allow_redirects=False,
            ) as answer:
                await answer.read()
                status: int | None = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = None
        return DeliveryResult(status, time.monotonic() - began)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Made here, not at import: SSL_CERT_FILE may then name the local certificate.
            trust = self._trust or ssl.create_default_context()
            connector = aiohttp.TCPConnector(ssl=trust)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def _limit(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)
