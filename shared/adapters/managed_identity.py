"""The managed identity's token that proves the app to Entra, as its federated credential.

Source: https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from shared.errors import CalendarUnavailable, Misconfigured

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.identity.aio import ManagedIdentityCredential

RENEW_SECONDS: Final = 300
"""A cached token is used only if it lives longer than this."""
AGAIN_AFTER_SECONDS: Final = 60.0
"""Shortest interval between two renewals of an assertion that Entra refused.

Entra has one number (AADSTS50013) for the app's assertion and for a user's token, so a user's bad
token leads here as well.
"""


class IdentityAssertion:
    """The assertion, cached until it nears its end, and renewed if Entra refuses it before.

    Belongs to the event loop of its first use.
    """

    def __init__(
        self,
        scope: str,
        identity: "Callable[[], ManagedIdentityCredential]",
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*identity* makes a credential. The SDK's caches its tokens: a renewal needs a new one."""
        self._scope = scope
        self._make = identity
        self._monotonic = monotonic
        self._identity: ManagedIdentityCredential | None = None
        self._token: AccessToken | None = None
        self._renewed_at = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def version(self) -> str:
        """The digest of the current assertion, empty without one."""
        return hashlib.sha256(self.text().encode()).hexdigest() if self._token else ""

    def text(self) -> str:
        """Return the current assertion; the SDK calls this synchronously."""
        if self._token is None:
            raise Misconfigured("The managed identity's assertion was never requested.")
        return self._token.token

    async def refresh(self, *, refused: bool = False) -> None:
        """Renew the assertion if it expires soon, or if Entra *refused* it.

        Raises Misconfigured for a refused identity, CalendarUnavailable if there is no answer.
        """
        async with self._lock:
            if refused and self._monotonic() - self._renewed_at >= AGAIN_AFTER_SECONDS:
                self._renewed_at = self._monotonic()
                await self._forget()
            elif self._token and self._token.expires_on - time.time() > RENEW_SECONDS:
                return
            self._token = await self._request()

    async def aclose(self) -> None:
        """Close the SDK's credential, if one was made."""
        await self._forget()

    async def _forget(self) -> None:
        identity, self._identity = self._identity, None
        if identity is not None:
            await identity.close()

    async def _request(self) -> "AccessToken":
        from azure.core.exceptions import AzureError, ClientAuthenticationError

        self._identity = self._identity or self._make()
        try:
            token: AccessToken = await self._identity.get_token(self._scope)
        except ClientAuthenticationError:
            raise Misconfigured(
                "The app's managed identity gives no token.",
                remedy="Assign the identity to the app and check MANAGED_IDENTITY_CLIENT_ID.",
            ) from None
        except AzureError:
            raise CalendarUnavailable("The app's managed identity does not answer.") from None
        return token
