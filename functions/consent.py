"""HTTP: the pages for a customer's administrator, from the consent link to the result."""

from typing import Final

import azure.functions as func

from functions._http import Operation, http_endpoint, parse_query
from functions.schemas.consent import ConsentQuery, ConsentStartQuery
from shared.errors import (
    CalendarThrottled,
    CalendarUnavailable,
    Misconfigured,
    StoreUnavailable,
)
from shared.logs import log_warning
from shared.wiring import wiring

bp = func.Blueprint()

_COOKIE: Final = "__Host-consent"
"""The prefix keeps pages of neighbouring hosts from setting it.
Source: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes

The Functions host adds an empty `domain=`, which browsers ignore, so that the prefix holds.
Source: https://www.rfc-editor.org/rfc/rfc6265#section-5.2.3
"""
_PASSING: Final = (StoreUnavailable, Misconfigured, CalendarUnavailable, CalendarThrottled)
"""Errors of which a person reads on a page, and not in a problem document."""


@bp.route("consent/start", methods=["GET"])
@http_endpoint(
    Operation(
        "The consent link: what the administrator is asked for",
        "public",
        query=ConsentStartQuery,
        media_type="text/html",
        problems=(400, 422, 503),
    )
)
async def start_consent(req: func.HttpRequest) -> func.HttpResponse:
    """Show what the platform asks for, and the way to Entra's consent page."""
    # Imported here, as below: consent is rare, so a cold start does not load the modules.
    from functions._consent_page import consent_page, start_page, unavailable_page
    from shared.organizations.consent import open_consent_link
    from shared.organizations.consent_model import ConsentResult

    query = parse_query(req, ConsentStartQuery)
    try:
        start = await open_consent_link(query.state, _browser(req), ports=wiring().consent_ports)
    except _PASSING:
        log_warning("consent.not_started")
        return unavailable_page()
    if isinstance(start, ConsentResult):
        return consent_page(start)
    return start_page(start, _set_cookie(start.browser))


@bp.route("consent/callback", methods=["GET"])
@http_endpoint(
    Operation(
        "Entra's redirects after the administrator's consent and sign-in",
        "public",
        query=ConsentQuery,
        media_type="text/html",
        redirects=True,
        problems=(400, 403, 409, 422, 503),
    )
)
async def return_from_consent(req: func.HttpRequest) -> func.HttpResponse:
    """Go on to the administrator's sign-in; then verify the consent and show the outcome."""
    from functions._consent_page import consent_page, redirect_to, unavailable_page
    from shared.organizations.consent import continue_consent
    from shared.organizations.consent_model import ConsentRedirect

    answer = parse_query(req, ConsentQuery).to_answer(_browser(req))
    try:
        reached = await continue_consent(answer, ports=wiring().consent_ports)
    except _PASSING:
        log_warning("consent.not_concluded")
        return unavailable_page(is_signed_in=answer.code is not None)
    if isinstance(reached, ConsentRedirect):
        return redirect_to(reached.url)
    return consent_page(reached)


def _browser(req: func.HttpRequest) -> str | None:
    """Return the secret in the browser's cookie, or None."""
    for part in str(req.headers.get("cookie", "")).split(";"):
        name, _, value = part.strip().partition("=")
        if name == _COOKIE:
            return value
    return None


def _set_cookie(secret: str) -> str:
    from shared.organizations.consent_tickets import ATTEMPT_LIFE

    seconds = int(ATTEMPT_LIFE.total_seconds())
    # Lax: the browser sends it when Entra leads back to us, and with no request of other pages.
    return f"{_COOKIE}={secret}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Lax"
