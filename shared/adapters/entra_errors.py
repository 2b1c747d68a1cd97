"""Maps refusals of Entra's token endpoint to our errors, with the party who can cure them.

``error``, ``suberror`` and ``claims`` decide the kind of error, as Microsoft demands. The AADSTS
number decides only the message and the remedy, and the party where the words leave it open.

Source: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.graph.retry import retry_after_seconds
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    ConsentMissing,
    Misconfigured,
    NotAuthenticated,
    SchedulingError,
    SignInAgain,
)

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError


class EntraResponsible(Enum):
    """The party who can cure a refusal."""

    ADMIN = "the customer's administrator"
    OPERATOR = "the operator of this deployment"
    CLIENT = "the client, with another token"
    USER = "the user, by signing in again"


@dataclass(frozen=True, slots=True)
class EntraErrorMapping:
    """The meaning of an AADSTS number."""

    who: EntraResponsible
    message: str
    remedy: str


_CONSENT = "An administrator approves the app through the organization's consent link."
_SIGN_IN = "Sign in again; the frontend passes on the claims."

MEANINGS: Final[Mapping[int, EntraErrorMapping]] = {
    65001: EntraErrorMapping(
        EntraResponsible.ADMIN, "The tenant has not approved the app.", _CONSENT
    ),
    65004: EntraErrorMapping(EntraResponsible.ADMIN, "The approval was declined.", _CONSENT),
    90094: EntraErrorMapping(
        EntraResponsible.ADMIN, "An administrator must approve the app.", _CONSENT
    ),
    90095: EntraErrorMapping(
        EntraResponsible.ADMIN, "A request for approval waits for an administrator.", _CONSENT
    ),
    50105: EntraErrorMapping(
        EntraResponsible.ADMIN,
        "The user is not assigned to the app, which this tenant demands.",
        "An administrator assigns the user or their group to the enterprise application.",
    ),
    500011: EntraErrorMapping(
        EntraResponsible.ADMIN, "The resource is not known in the tenant.", _CONSENT
    ),
    700016: EntraErrorMapping(
        EntraResponsible.ADMIN, "The app is not known in the tenant.", _CONSENT
    ),
    7000112: EntraErrorMapping(
        EntraResponsible.ADMIN,
        "The app is disabled in the tenant.",
        "An administrator enables the enterprise application.",
    ),
    90002: EntraErrorMapping(
        EntraResponsible.ADMIN,
        "There is no such tenant.",
        "Check the tenant id, and that it is in this cloud.",
    ),
    7000215: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "Entra refuses the app's secret.",
        "Put a valid secret into Key Vault.",
    ),
    7000222: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "The app's secret has expired.",
        "Put a new secret into Key Vault.",
    ),
    7000218: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "The app sent no credential.",
        "Check APP_CREDENTIAL and what it names.",
    ),
    700027: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "Entra does not know the app's certificate.",
        "Upload the certificate to the app registration.",
    ),
    70021: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "No federated credential matches the managed identity.",
        "Correct issuer, subject and audience of the federated identity credential.",
    ),
    700213: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "No federated credential matches the managed identity.",
        "Correct issuer, subject and audience of the federated identity credential.",
    ),
    700229: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "The managed identity's token is of the wrong kind.",
        "Correct issuer, subject and audience of the federated identity credential.",
    ),
    7000114: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "The app may not act on behalf of users.",
        "Correct the app registration.",
    ),
    650056: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "The app registration does not list the permission.",
        "Add the permission to the app registration, then ask for consent again.",
    ),
    650057: EntraErrorMapping(
        EntraResponsible.OPERATOR,
        "The app registration does not list the resource.",
        "Add the permission to the app registration, then ask for consent again.",
    ),
    50013: EntraErrorMapping(
        EntraResponsible.CLIENT, "The user's token was not accepted.", "Send a new access token."
    ),
    500133: EntraErrorMapping(
        EntraResponsible.CLIENT, "The user's token has expired.", "Send a new access token."
    ),
    50020: EntraErrorMapping(
        EntraResponsible.CLIENT,
        "The account belongs to another tenant.",
        "Sign in with an account of this organization, or be invited as a guest.",
    ),
    50173: EntraErrorMapping(EntraResponsible.USER, "The password has changed.", _SIGN_IN),
    70043: EntraErrorMapping(
        EntraResponsible.USER, "The sign-in is too old for this tenant.", _SIGN_IN
    ),
    50079: EntraErrorMapping(
        EntraResponsible.USER, "The user must register for multifactor authentication.", _SIGN_IN
    ),
    50076: EntraErrorMapping(
        EntraResponsible.USER, "Multifactor authentication is demanded.", _SIGN_IN
    ),
    50074: EntraErrorMapping(EntraResponsible.USER, "Strong authentication is demanded.", _SIGN_IN),
    50158: EntraErrorMapping(
        EntraResponsible.USER, "A further check outside Entra is demanded.", _SIGN_IN
    ),
    53003: EntraErrorMapping(
        EntraResponsible.ADMIN,
        "A conditional access policy blocks the access.",
        "An administrator allows this app in the conditional access policy.",
    ),
}

STALE_CREDENTIAL: Final = frozenset({7000215, 7000222, 700027, 50013, 700024})
"""AADSTS numbers that a credential got anew may cure, after a rotation or a withdrawn key.

50013: of a managed identity's assertion, or of a user's token. Both are assertions to Entra.
"""

_BY_ERROR: Final[Mapping[str, EntraResponsible]] = {
    "consent_required": EntraResponsible.ADMIN,
    "access_denied": EntraResponsible.ADMIN,
    "unauthorized_client": EntraResponsible.ADMIN,
    "invalid_resource": EntraResponsible.ADMIN,
    "invalid_client": EntraResponsible.OPERATOR,
    "invalid_scope": EntraResponsible.OPERATOR,
    "unsupported_grant_type": EntraResponsible.OPERATOR,
    "interaction_required": EntraResponsible.USER,
    "login_required": EntraResponsible.USER,
    "invalid_grant": EntraResponsible.CLIENT,
}
_FALLBACK: Final[Mapping[EntraResponsible, tuple[str, str]]] = {
    EntraResponsible.ADMIN: ("The tenant does not let the app in.", _CONSENT),
    EntraResponsible.OPERATOR: (
        "Entra refuses the app's own credential.",
        "Check the app registration.",
    ),
    EntraResponsible.CLIENT: ("The user's token was not accepted.", "Send a new access token."),
    EntraResponsible.USER: ("Entra demands that the user signs in again.", _SIGN_IN),
}
_PASSING: Final = frozenset({"temporarily_unavailable", "server_error"})


@dataclass(frozen=True, slots=True)
class EntraErrorBody:
    """The token endpoint's error answer. *status* 0: there was no answer."""

    status: int
    error: str = ""
    suberror: str = ""
    aadsts: int | None = None
    claims: str | None = None
    trace_id: str = ""
    correlation_id: str = ""
    retry_after: str | None = None

    @property
    def code(self) -> str:
        """`AADSTS` and the number, else the word of `error`."""
        return f"AADSTS{self.aadsts}" if self.aadsts else self.error


class EntraRefused(Exception):
    """The cause of an error that Entra's token endpoint led to, without the endpoint's text.

    Its `error_description` names people and tenants. The code and the trace id are what Microsoft's
    support asks for.
    """

    def __init__(self, refusal: EntraErrorBody) -> None:
        super().__init__(f"{refusal.code or 'no answer'}, trace id {refusal.trace_id or 'none'}")
        self.refusal = refusal
        self.code = refusal.code
        self.request_id = refusal.trace_id


def read_refusal(status: int, body: bytes | str, retry_after: str | None = None) -> EntraErrorBody:
    """Parse *body*; if it is not a JSON object, every field but the status is empty."""
    try:
        payload: Any = json.loads(body)
    except ValueError:
        payload = None
    if not isinstance(payload, dict):
        return EntraErrorBody(status, retry_after=retry_after)
    codes = payload.get("error_codes")
    first = codes[0] if isinstance(codes, list) and codes else None
    claims = payload.get("claims")
    return EntraErrorBody(
        status=status,
        error=str(payload.get("error") or ""),
        suberror=str(payload.get("suberror") or ""),
        aadsts=first if isinstance(first, int) else None,
        claims=claims if isinstance(claims, str) and claims else None,
        trace_id=str(payload.get("trace_id") or ""),
        correlation_id=str(payload.get("correlation_id") or ""),
        retry_after=retry_after,
    )


def read_sdk_error(error: "AzureError") -> EntraErrorBody:
    """Parse the token endpoint's answer out of the SDK's error; status 0: there was no answer."""
    response = getattr(error, "response", None)
    if response is None:
        return EntraErrorBody(0)
    try:
        body = response.text() if callable(getattr(response, "text", None)) else b""
    except Exception:  # noqa: BLE001 - the SDK's responses raise various errors if never read
        body = b""
    return read_refusal(
        int(getattr(response, "status_code", 0) or 0), body, response.headers.get("Retry-After")
    )


def entra_error(refusal: EntraErrorBody, *, is_user: bool = True) -> SchedulingError:
    """Return the error to raise for *refusal*; *is_user*: a user's token was part of the request.

    Without one no client can cure it: the assertion that Entra refused is the app's own.
    """
    if refusal.status == 429:
        return CalendarThrottled(
            "Entra asks to wait.",
            code=refusal.code,
            status=429,
            request_id=refusal.trace_id,
            retry_after_seconds=retry_after_seconds(refusal.retry_after),
        )
    if refusal.status >= 500 or refusal.error in _PASSING or not refusal.error:
        return CalendarUnavailable(
            "Entra gave no token.",
            code=refusal.code,
            status=refusal.status,
            request_id=refusal.trace_id,
            retry_after_seconds=retry_after_seconds(refusal.retry_after),
        )
    meaning = MEANINGS.get(refusal.aadsts or 0)
    who = _who(refusal, meaning)
    if who is None:
        return _unknown(refusal)
    if who is EntraResponsible.CLIENT and not is_user:
        who, meaning = EntraResponsible.OPERATOR, None
    if meaning:
        return _raised(who, meaning.message, meaning.remedy, refusal)
    message, remedy = _FALLBACK[who]
    return _raised(who, message, f"{remedy} {_for_support(refusal)}", refusal)


def _who(refusal: EntraErrorBody, meaning: EntraErrorMapping | None) -> EntraResponsible | None:
    """Return the party who can cure it; None if neither the words nor the number show it."""
    if refusal.claims or refusal.suberror in {"basic_action", "additional_action"}:
        return EntraResponsible.USER
    if refusal.suberror == "consent_required":
        return EntraResponsible.ADMIN
    if meaning:
        return meaning.who
    return _BY_ERROR.get(refusal.error)


def _raised(
    who: EntraResponsible, message: str, remedy: str, refusal: EntraErrorBody
) -> SchedulingError:
    if who is EntraResponsible.USER:
        return SignInAgain(message, claims=refusal.claims)
    if who is EntraResponsible.ADMIN:
        return ConsentMissing(message, aadsts=refusal.aadsts, remedy=remedy)
    if who is EntraResponsible.OPERATOR:
        return Misconfigured(f"{message} ({refusal.code})", remedy=remedy)
    return NotAuthenticated(message, remedy=remedy)


def _unknown(refusal: EntraErrorBody) -> CalendarRefused:
    return CalendarRefused(
        f"Entra refused: {refusal.code}.",
        code=refusal.code,
        status=refusal.status,
        request_id=refusal.trace_id,
        remedy=_for_support(refusal),
    )


def _for_support(refusal: EntraErrorBody) -> str:
    return (
        f"Microsoft's support wants {refusal.code}, trace id {refusal.trace_id} "
        f"and correlation id {refusal.correlation_id}."
    )
