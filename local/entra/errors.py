"""Entra's refusals, by AADSTS number.

Source: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Kind:
    """The facts of an AADSTS number."""

    error: str
    text: str
    status: int = 400
    suberror: str | None = None


KINDS: Final[Mapping[int, Kind]] = {
    7000112: Kind("unauthorized_client", "Application '{app}' is disabled."),
    7000114: Kind(
        "invalid_grant",
        "Application '{app}' is not allowed to make application on-behalf-of calls.",
    ),
    7000215: Kind(
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client "
        "secret value, not the client secret ID, for a secret added to app '{app}'.",
        401,
    ),
    7000218: Kind(
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or "
        "'client_secret'.",
        401,
    ),
    7000222: Kind(
        "invalid_client", "The provided client secret keys for app '{app}' are expired.", 401
    ),
    700016: Kind(
        "unauthorized_client",
        "Application with identifier '{app}' was not found in the directory '{tenant}'. This can "
        "happen if the application has not been installed by the administrator of the tenant or "
        "consented to by any user in the tenant. You may have sent your authentication request to "
        "the wrong tenant.",
    ),
    700021: Kind("invalid_client", "Client assertion application identifier doesn't match.", 401),
    700024: Kind("invalid_client", "Client assertion is not within its valid time range.", 401),
    700027: Kind(
        "invalid_client",
        "The certificate with identifier used to sign the client assertion is not registered on "
        "application.",
        401,
    ),
    70021: Kind(
        "invalid_client",
        "No matching federated identity record found for presented assertion. {detail}",
        401,
    ),
    700211: Kind(
        "invalid_client",
        "No matching federated identity record found for presented assertion issuer. {detail}",
        401,
    ),
    700212: Kind(
        "invalid_client",
        "No matching federated identity record found for presented assertion audience. {detail}",
        401,
    ),
    700213: Kind(
        "invalid_client",
        "No matching federated identity record found for presented assertion subject. {detail}",
        401,
    ),
    700229: Kind(
        "unauthorized_client",
        "The provided token is not an app token: only those may be federated credentials.",
    ),
    70002: Kind("invalid_client", "Error validating credentials.", 401),
    70003: Kind("unsupported_grant_type", "The app requested an unsupported grant type."),
    70008: Kind("invalid_grant", "The provided authorization code or refresh token has expired."),
    70011: Kind(
        "invalid_scope",
        "The provided value for the input parameter 'scope' is not valid. {detail}",
    ),
    70043: Kind(
        "invalid_grant",
        "The refresh token has expired or is invalid due to sign-in frequency checks by "
        "conditional access.",
        suberror="bad_token",
    ),
    1002012: Kind(
        "invalid_scope",
        "The provided value for scope {detail} is not valid. Client credential flows must have a "
        "scope value with /.default suffixed to the resource identifier.",
    ),
    50011: Kind(
        "invalid_request",
        "The redirect URI '{detail}' specified in the request does not match the redirect URIs "
        "configured for the application '{app}'.",
    ),
    50013: Kind("invalid_grant", "Assertion failed signature validation. {detail}"),
    500131: Kind(
        "invalid_grant",
        "Assertion audience does not match the Client app presenting the assertion.",
    ),
    500133: Kind("invalid_grant", "Assertion is not within its valid time range."),
    50020: Kind(
        "invalid_grant",
        "User account from identity provider does not exist in tenant '{tenant}' and cannot access "
        "the application '{app}' in that tenant.",
    ),
    50034: Kind(
        "invalid_grant",
        "The user account {detail} does not exist in the '{tenant}' directory. To sign into this "
        "application, the account must be added to the directory.",
    ),
    50057: Kind("invalid_grant", "The user account is disabled."),
    50058: Kind("login_required", "A silent sign-in request was sent but no user is signed in."),
    50059: Kind("invalid_request", "No tenant-identifying information found in the request."),
    50074: Kind(
        "interaction_required", "Strong Authentication is required.", suberror="basic_action"
    ),
    50076: Kind(
        "interaction_required",
        "Due to a configuration change made by your administrator, or because you moved to a new "
        "location, you must use multi-factor authentication to access '{resource}'.",
        suberror="basic_action",
    ),
    50079: Kind(
        "interaction_required",
        "Due to a configuration change made by your administrator, or because you moved to a new "
        "location, you must enroll in multi-factor authentication to access '{resource}'.",
        suberror="basic_action",
    ),
    50105: Kind(
        "invalid_grant",
        "Your administrator has configured the application ('{app}') to block users unless they "
        "are specifically granted ('assigned') access to the application. The signed in user is "
        "blocked because they are not a direct member of a group with access, nor had access "
        "directly assigned by an administrator.",
    ),
    50158: Kind(
        "interaction_required",
        "External security challenge not satisfied.",
        suberror="additional_action",
    ),
    50173: Kind(
        "invalid_grant",
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The "
        "user might have changed or reset their password.",
        suberror="bad_token",
    ),
    500011: Kind(
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}. This "
        "can happen if the application has not been installed by the administrator of the tenant "
        "or consented to by any user in the tenant.",
    ),
    501051: Kind(
        "invalid_grant",
        "Application '{app}' is not assigned to a role for the application '{app}'.",
    ),
    501481: Kind(
        "invalid_grant",
        "The Code_Verifier does not match the code_challenge supplied in the authorization "
        "request.",
    ),
    53003: Kind(
        "interaction_required",
        "Access has been blocked by Conditional Access policies. The access policy does not allow "
        "token issuance.",
        suberror="message_only",
    ),
    54005: Kind("invalid_grant", "OAuth2 Authorization code was already redeemed."),
    65001: Kind(
        "invalid_grant",
        "The user or administrator has not consented to use the application with ID '{app}'. Send "
        "an interactive authorization request for this user and resource.",
        suberror="consent_required",
    ),
    65004: Kind(
        "consent_required", "The resource owner or authorization server denied the request."
    ),
    650056: Kind(
        "invalid_request",
        "Misconfigured application. The client has not listed any permissions for '{resource}' in "
        "the requested permissions in the client's application registration.",
    ),
    650057: Kind(
        "invalid_resource",
        "Invalid resource. The client has requested access to a resource which is not listed in "
        "the requested permissions in the client's application registration.",
    ),
    90002: Kind(
        "invalid_request",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are "
        "signing into the correct cloud.",
    ),
    90033: Kind("temporarily_unavailable", "A transient error has occurred. Try again.", 503),
    90094: Kind(
        "invalid_grant",
        # Source: https://learn.microsoft.com/entra/identity/enterprise-apps/application-sign-in-unexpected-user-consent-error
        "Mentor Calendar needs permission to access resources in your organization that only an "
        "admin can grant. Please ask an admin to grant permission to this app before you can use "
        "it.",
        suberror="consent_required",
    ),
    90095: Kind(
        "invalid_grant",
        "Admin consent is required. A request was sent to an administrator of {tenant}.",
        suberror="consent_required",
    ),
    900144: Kind(
        "invalid_request", "The request body must contain the following parameter: '{detail}'."
    ),
    900561: Kind("invalid_request", "The endpoint only accepts POST requests.", 405),
}


class EntraError(Exception):
    """A refusal. *facts* fill the text: app, tenant, resource, detail."""

    def __init__(
        self,
        code: int,
        *,
        claims: str | None = None,
        suberror: str | None = None,
        **facts: str,
    ) -> None:
        super().__init__(f"AADSTS{code}")
        self.code = code
        self.kind = KINDS.get(code) or Kind("invalid_request", "Simulated error.")
        self.claims = claims
        self.suberror = suberror or self.kind.suberror
        self.facts = facts

    @property
    def text(self) -> str:
        """Return the number and the sentence."""
        facts = {"app": "", "tenant": "", "resource": "", "detail": ""} | self.facts
        return f"AADSTS{self.code}: {self.kind.text.format_map(facts).strip()}"

    def description(self, now: datetime, trace: str = "", correlation: str = "") -> str:
        """Return the text of `error_description`."""
        return (
            f"{self.text} "
            f"Trace ID: {trace or uuid.uuid4()} Correlation ID: {correlation or uuid.uuid4()} "
            f"Timestamp: {now:%Y-%m-%d %H:%M:%SZ}"
        )

    def body(self, now: datetime, correlation_id: str | None, root_url: str) -> dict[str, Any]:
        """Return the body of the token endpoint's answer."""
        trace, correlation = str(uuid.uuid4()), correlation_id or str(uuid.uuid4())
        body: dict[str, Any] = {
            "error": self.kind.error,
            "error_description": self.description(now, trace, correlation),
            "error_codes": [self.code],
            "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{root_url}/error?code={self.code}",
        }
        if self.suberror:
            body["suberror"] = self.suberror
        if self.claims:
            body["claims"] = self.claims
        return body
