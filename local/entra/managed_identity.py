"""App Service's endpoint for the managed identity of an app.

Source: https://learn.microsoft.com/azure/app-service/overview-managed-identity (REST protocol)
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from local.entra.tokens import EXCHANGE_AUDIENCES, TokenMint

API_VERSION: Final = "2019-08-01"
RESOURCES: Final = EXCHANGE_AUDIENCES | {
    "https://monitor.azure.com",
    "https://storage.azure.com",
    "https://vault.azure.net",
}


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """A user-assigned identity of the app."""

    client_id: str
    principal_id: str


@dataclass(slots=True)
class IdentityEndpoint:
    """Gives the identity's tokens to a caller with the secret header."""

    identity: ManagedIdentity
    mint: TokenMint
    header: str = field(default_factory=lambda: secrets.token_hex(16))
    is_down: bool = False
    given: list[str] = field(default_factory=list)
    """The resource of every token that was given, in order."""

    def app(self) -> web.Application:
        """Return the application. Serve it by plain http, on this machine alone."""
        app = web.Application()
        app.router.add_get("/msi/token", self._token)
        return app

    async def _token(self, request: web.Request) -> web.Response:
        if self.is_down:
            return _refusal(500, "InternalServerError", "The identity service is not available.")
        if not secrets.compare_digest(request.headers.get("X-IDENTITY-HEADER", ""), self.header):
            return _refusal(401, "Unauthorized", "The X-IDENTITY-HEADER is missing or wrong.")
        if request.query.get("api-version") != API_VERSION:
            return _refusal(400, "BadRequest", f"The api-version must be {API_VERSION}.")
        client_id = request.query.get("client_id", "").lower()
        if client_id != self.identity.client_id:
            text = "No User Assigned or Delegated Managed Identity found for specified ClientId."
            return _refusal(400, "IdentityNotFound", text)
        resource = request.query.get("resource", "").rstrip("/")
        if resource not in RESOURCES:
            return _refusal(400, "InvalidResource", f"AADSTS500011: {resource} was not found.")
        self.given.append(resource)
        token = self.mint.for_identity(self.identity.principal_id, client_id, resource)
        expires_on = int((datetime.now(UTC) + self.mint.life).timestamp())
        return web.json_response(
            {
                "access_token": token,
                "expires_on": str(expires_on),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": client_id,
            }
        )


def _refusal(status: int, code: str, message: str) -> web.Response:
    body = {"statusCode": status, "error": code, "message": message}
    return web.json_response(body, status=status)
