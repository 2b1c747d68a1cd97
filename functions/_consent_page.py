"""The page that an administrator sees after Entra's consent page: text, no scripts."""

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Final

import azure.functions as func

from shared.organizations.consent import ConsentOutcome, ConsentResult
from shared.organizations.model import ConsentState

_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:12vh auto;padding:0 1rem;"
    "color:#1b1b1b;background:#fff}h1{font-size:1.4rem}code{font-size:.9rem}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1b1b}}"
)
_CSP: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "style-src 'sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode() + "'"
)
_PAGE: Final = Template(
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
    "<title>$title</title><style>$style</style></head>\n"
    "<body><h1>$title</h1>\n<p>$happened</p>\n<p>$next</p>$code</body></html>\n"
)
RELOAD_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class ConsentPageText:
    """The status and the texts of one page."""

    status: int
    title: str
    happened: str
    next: str


PAGES: Final[dict[ConsentOutcome, ConsentPageText]] = {
    ConsentOutcome.GRANTED: ConsentPageText(
        200,
        "Your organization is connected",
        "The approval was given, and we have checked that it works.",
        "Neither you nor your employees need to do anything else. You can limit the app to a "
        "group, or remove it, under Enterprise applications in the Entra admin center.",
    ),
    ConsentOutcome.SPREADING: ConsentPageText(
        200,
        "Almost done",
        "You have approved the app. Microsoft is still spreading the approval, which may take a "
        "minute or more.",
        "This page looks again by itself every 20 seconds. You may also close it and open the "
        "link once more later.",
    ),
    ConsentOutcome.UNPROVEN: ConsentPageText(
        409,
        "Approved, but not working yet",
        "You have approved the app, but your organization still blocks it.",
        "",
    ),
    ConsentOutcome.DECLINED: ConsentPageText(
        200,
        "Nothing was approved",
        "The request was declined, so the app has no access to your organization.",
        "If that was not intended, open the link again. If you were not allowed to approve, "
        "forward the link to an administrator of your organization.",
    ),
    ConsentOutcome.REFUSED: ConsentPageText(
        400,
        "Microsoft did not accept the request",
        "The approval could not be given because of an error at Microsoft's sign-in.",
        "Please pass on the code below to the person who sent you the link.",
    ),
    ConsentOutcome.WRONG_TENANT: ConsentPageText(
        409,
        "This is another organization",
        "The link was made for one organization, and you approved the app for another one: "
        "probably you were signed in with an account of that one.",
        "Sign out, open the link again and sign in as an administrator of the organization it was "
        "made for. In the other one you can delete the app under Enterprise applications.",
    ),
    ConsentOutcome.TENANT_TAKEN: ConsentPageText(
        409,
        "Your organization is connected already",
        "This Microsoft tenant belongs to another registration with the mentoring platform.",
        "Please ask the person who sent you the link which of the two is right. Nothing was "
        "changed.",
    ),
    ConsentOutcome.USED: ConsentPageText(
        200,
        "This link is no longer valid",
        "The link has been used, or a newer one was made in its place.",
        "If your organization is not connected yet, ask for a new link.",
    ),
    ConsentOutcome.EXPIRED: ConsentPageText(
        400,
        "This link has expired",
        "The link was valid for a week.",
        "Please ask the person who sent it to you for a new one.",
    ),
    ConsentOutcome.TAMPERED: ConsentPageText(
        400,
        "This link is not valid",
        "The address is incomplete or was changed on its way.",
        "Please open the link from the original message once more, or ask for a new one.",
    ),
}
_UNAVAILABLE: Final = ConsentPageText(
    503,
    "Please try again in a moment",
    "We could not finish just now. Nothing is lost.",
    "This page tries again by itself every 20 seconds.",
)


def consent_page(conclusion: ConsentResult) -> func.HttpResponse:
    """Return the page about the outcome of a consent callback."""
    words = PAGES[conclusion.outcome]
    happened, advice = words.happened, words.next
    if conclusion.finding is not None:
        happened = f"{happened} {conclusion.finding.meaning}"
        advice = conclusion.finding.remedy or ""
    organization = conclusion.organization
    if (
        conclusion.outcome is ConsentOutcome.USED
        and organization is not None
        and organization.consent is ConsentState.GRANTED
    ):
        advice = "Your organization is connected: there is nothing more to do."
    waits = conclusion.outcome is ConsentOutcome.SPREADING
    return _page(words, happened, advice, conclusion.code, reloads=waits)


def unavailable_page() -> func.HttpResponse:
    """Return the page for a failure of our own storage or configuration."""
    return _page(_UNAVAILABLE, _UNAVAILABLE.happened, _UNAVAILABLE.next, None, reloads=True)


def _page(
    words: ConsentPageText, happened: str, advice: str, code: str | None, *, reloads: bool
) -> func.HttpResponse:
    text = _PAGE.substitute(
        title=escape(words.title),
        style=_STYLE,
        happened=escape(happened),
        next=escape(advice),
        code=f"\n<p><code>{escape(code)}</code></p>" if code else "",
    )
    headers = {
        "content-security-policy": _CSP,
        # The URL has the signed state, which must not leak to other sites.
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    if reloads:
        headers["refresh"] = str(RELOAD_SECONDS)
    return func.HttpResponse(
        text, status_code=words.status, headers=headers, mimetype="text/html", charset="utf-8"
    )
