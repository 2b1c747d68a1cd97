"""Signs an administrator in at Entra, by authorization code with PKCE (the `SignIn` port).

MSAL has this flow as well, but blocking, and without a check of the ID token's signature.

Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
Source: https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from shared.adapters.client_assertion import client_proof
from shared.adapters.entra_errors import (
    STALE_CREDENTIAL,
    EntraErrorBody,
    entra_error,
    read_refusal,
)
from shared.errors import (
    CalendarThrottled,
    CalendarUnavailable,
    Misconfigured,
    NotAuthenticated,
)
from shared.ids import ObjectId, TenantId
from shared.organizations.ports import SignedInPerson, SignInRefused, SignInRequest
from shared.settings import Settings

if TYPE_CHECKING:
    import httpx

    from shared.adapters.app_credentials import AppCredentials
    from shared.adapters.entra import EntraTokenVerifier
    from shared.adapters.http_pool import HttpPool

SCOPE: Final = "openid profile"
"""Proves who signed in; gives no access to anything."""


class EntraSignIn:
    """The sign-in of one app registration."""

    def __init__(
        self,
        settings: Settings,
        credentials: "AppCredentials",
        tokens: "EntraTokenVerifier",
        http_pool: "HttpPool",
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._tokens = tokens
        self._http_pool = http_pool

    def url(self, request: SignInRequest) -> str:
        """Return the address of Entra's sign-in page."""
        challenge = hashlib.sha256(request.verifier.encode()).digest()
        query = urlencode(
            {
                "client_id": self._settings.app_client_id,
                "response_type": "code",
                "response_mode": "query",
                "redirect_uri": self._redirect_uri,
                "scope": SCOPE,
                "state": request.state,
                "nonce": request.nonce,
                "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
                "code_challenge_method": "S256",
            }
        )
        return f"{self._settings.cloud.login_url}/{request.tenant}/oauth2/v2.0/authorize?{query}"

    async def redeem(self, code: str, request: SignInRequest) -> SignedInPerson:
        """Exchange *code* for an ID token, validate it and return its person.

        Raises:
            SignInRefused: the code was used, expired or not for *request*, or the token is invalid.
            Misconfigured, StoreUnavailable: the app's credential fails or cannot be had.
            CalendarUnavailable, CalendarThrottled: Entra does not answer right now.
        """
        claims = await self._claims(await self._exchange(code, request))
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not secrets.compare_digest(
            nonce.encode(), request.nonce.encode()
        ):
            raise SignInRefused("nonce")
        object_id = claims.get("oid")
        if not isinstance(object_id, str):
            raise SignInRefused("id_token")
        return SignedInPerson(TenantId(claims["tid"]), ObjectId(object_id), _roles(claims))

    @property
    def _redirect_uri(self) -> str:
        return f"{self._settings.public_url}/api/consent/callback"

    async def _exchange(self, code: str, request: SignInRequest) -> str:
        """Return the ID token; retry once if Entra refuses a credential that was replaced."""
        credential = await self._credentials.client_credential()
        answer = await self._post(code, request, credential.options)
        if answer.is_error and _refusal(answer).aadsts in STALE_CREDENTIAL:
            credential = await self._credentials.client_credential(fresh=True)
            answer = await self._post(code, request, credential.options)
        if answer.is_error:
            raise _error(_refusal(answer))
        try:
            id_token = answer.json()["id_token"]
        except (ValueError, TypeError, KeyError):
            id_token = None
        if not isinstance(id_token, str):
            raise SignInRefused("id_token")
        return id_token

    async def _post(
        self, code: str, request: SignInRequest, credential: Mapping[str, Any]
    ) -> "httpx.Response":
        import httpx

        url = f"{self._settings.cloud.login_url}/{request.tenant}/oauth2/v2.0/token"
        client_id = self._settings.app_client_id
        form = {
            "client_id": client_id,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": request.verifier,
            "scope": SCOPE,
            **client_proof(credential, client_id, url),
        }
        try:
            return await self._http_pool.client.post(url, data=form)
        except httpx.HTTPError as error:
            raise CalendarUnavailable("Entra does not answer.") from error

    async def _claims(self, id_token: str) -> Mapping[str, Any]:
        try:
            return await self._tokens.verified_claims(id_token)
        except NotAuthenticated as error:
            raise SignInRefused("id_token") from error


def _roles(claims: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the directory roles in `wids`; None if the token has no such claim.

    A registration that asks for them gets at least the role that every user has.
    """
    roles = claims.get("wids")
    if not isinstance(roles, list) or not roles:
        return None
    return frozenset(role.lower() for role in roles if isinstance(role, str))


def _refusal(answer: "httpx.Response") -> EntraErrorBody:
    return read_refusal(answer.status_code, answer.content, answer.headers.get("Retry-After"))


def _error(refusal: EntraErrorBody) -> Exception:
    """Return an error of ours as it is; what Entra has against the code or person as a refusal."""
    error = entra_error(refusal)
    if isinstance(error, Misconfigured | CalendarThrottled | CalendarUnavailable):
        return error
    number = f" (AADSTS{refusal.aadsts})" if refusal.aadsts else ""
    return SignInRefused(f"{refusal.error}{number}")
