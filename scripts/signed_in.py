"""What the operator's scripts share: the sign-in of the Azure CLI, and advice for refusals."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.identity.aio import AzureCliCredential

_SCOPE: Final = "https://storage.azure.com/.default"


@asynccontextmanager
async def cli_credential() -> AsyncIterator[AzureCliCredential]:
    """Provide the credential of `az login`. ClientAuthenticationError at once if there is none."""
    async with AzureCliCredential() as credential:
        # Asked for first: the SDKs of the storage would try again for a minute and a half.
        await credential.get_token(_SCOPE)
        yield credential


def advice(error: AzureError, things: str, role: str) -> str:
    """Return a sentence for the operator. *things*: what was asked for; *role*: who may use it."""
    if isinstance(error, ClientAuthenticationError):
        return "Azure CLI is not installed or not signed in. Run: az login"
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if status == 403:
        return (
            f"You may not use the {things} of this account. Get the role {role} on it, or run this"
            " where its network lets you in."
        )
    if status == 404:
        return f"This account has no such {things}."
    return f"The {things} do not answer ({type(error).__name__}). Is the address right?"
