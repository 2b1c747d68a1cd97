"""The pages that an administrator sees before and after those of Entra: text, no scripts."""

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Final

import azure.functions as func

from shared.organizations.consent_model import ConsentOutcome, ConsentResult, ConsentStart
from shared.organizations.model import AccessMode, ConsentState
from shared.organizations.protection import wanted_settings

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
    "<body><h1>$title</h1>\n<p>$happened</p>\n<p>$next</p>$more</body></html>\n"
)
RELOAD_SECONDS: Final = 20
_RELOADS: Final = {"refresh": str(RELOAD_SECONDS)}


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
        "group, or remove it, under Enterprise apps in the Entra admin center.",
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
    ConsentOutcome.NOT_SIGNED_IN: ConsentPageText(
        400,
        "You are not signed in yet",
        "The approval was given, but Microsoft's sign-in afterwards was not completed. Without it "
        "we do not know for which organization you approved, so nothing was connected.",
        "Open the link from the original message again and go through both pages. If it happens "
        "once more, pass on the code below to the person who sent you the link.",
    ),
    ConsentOutcome.NOT_ADMIN: ConsentPageText(
        403,
        "An administrator must do this",
        "You are signed in with an account that is neither Global Administrator nor Privileged "
        "Role Administrator at present, so nothing was connected.",
        "Activate the role, or use the account that has it, and open the link again; or forward "
        "the link to an administrator of your organization.",
    ),
    ConsentOutcome.ROLE_UNKNOWN: ConsentPageText(
        409,
        "Your role could not be checked",
        "Microsoft's sign-in did not say which administrator role you have, so nothing was "
        "connected. This is a fault in the app's registration, not in your organization.",
        "Please tell the person who sent you the link: the registration must emit directory roles.",
    ),
    ConsentOutcome.WRONG_TENANT: ConsentPageText(
        409,
        "This is another organization",
        "The link, the approval and your sign-in are not of the same organization: probably you "
        "are signed in with an account of another one. Nothing was connected.",
        "Sign out, or take a private window, open the link again and use an administrator's "
        "account of the organization it was made for, on both pages. In the other one you can "
        "delete the app under Enterprise apps.",
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
        "The link has been used, a newer one was made in its place, or more was asked for since.",
        "If your organization is not connected yet, ask for a new link.",
    ),
    ConsentOutcome.EXPIRED: ConsentPageText(
        400,
        "This link has expired",
        "The link was valid for a week.",
        "Please ask the person who sent it to you for a new one.",
    ),
    ConsentOutcome.TOO_SLOW: ConsentPageText(
        400,
        "This took too long",
        "More than an hour has passed since you opened the link. Nothing was connected.",
        "The link itself is still valid: open it again.",
    ),
    ConsentOutcome.OTHER_BROWSER: ConsentPageText(
        400,
        "Please start from your own link",
        "This step was begun in another browser, or cookies are blocked. Nothing was connected.",
        "Open the link from the original message in this browser and go through both pages of "
        "Microsoft. If somebody sent you the address of this page, do not use it.",
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
_INTERRUPTED: Final = ConsentPageText(
    503,
    "Please open the link again",
    "Your sign-in was interrupted by a failure of this service or of Microsoft's, so nothing is "
    "connected yet.",
    "Open the link that you got once more in a minute. What you have approved stays approved.",
)


_MODES: Final = {
    AccessMode.DELEGATED: "Sessions are written into a calendar only with the sign-in of its "
    "owner. The app itself reads calendars, to notice answers and moves.",
    AccessMode.APPLICATION: "The app writes sessions into any calendar by itself, for participants "
    "whom the mentoring platform names, without their sign-in. It also reads calendars.",
}


def start_page(start: ConsentStart, cookie: str) -> func.HttpResponse:
    """Return the page of an opened link: what is asked for, and the way to Microsoft."""
    organization = start.organization
    wanted = wanted_settings(organization)
    words = ConsentPageText(
        200,
        "Approve a change" if organization.is_connected else "Connect your organization",
        "A mentoring platform asks you to approve this app for your organization. "
        f"{_MODES[wanted.access_mode]} Ended sessions are kept for {wanted.retention.days} days.",
        "You need the role Global Administrator or Privileged Role Administrator. Microsoft shows "
        "you the permissions; then it signs you in, so that no other organization than yours is "
        "connected. If you did not expect this, close the page.",
    )
    more = f'\n<p><a id="go" href="{escape(start.url)}">Continue to Microsoft</a></p>'
    reference = f"\n<p><code>{escape(organization.id)}</code></p>"
    return _page(words, words.happened, words.next, more + reference, {"set-cookie": cookie})


def redirect_to(url: str) -> func.HttpResponse:
    """Return a redirect to the next step."""
    return func.HttpResponse(
        status_code=302, headers={"location": url, "referrer-policy": "no-referrer"}
    )


def consent_page(conclusion: ConsentResult) -> func.HttpResponse:
    """Return the page about the outcome of a step."""
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
        if organization.pending:
            advice = (
                "Your organization is connected. To approve what is pending, ask for a new link."
            )
    waits = conclusion.outcome is ConsentOutcome.SPREADING
    code = f"\n<p><code>{escape(conclusion.code)}</code></p>" if conclusion.code else ""
    return _page(words, happened, advice, code, _RELOADS if waits else {})


def unavailable_page(*, is_signed_in: bool = False) -> func.HttpResponse:
    """Return the page for a failure of ours, or of Entra, that may pass.

    *is_signed_in*: the failed request has a code of Entra's, which is good for one request alone.
    """
    if is_signed_in:
        return _page(_INTERRUPTED, _INTERRUPTED.happened, _INTERRUPTED.next, "", {})
    return _page(_UNAVAILABLE, _UNAVAILABLE.happened, _UNAVAILABLE.next, "", _RELOADS)


def _page(
    words: ConsentPageText, happened: str, advice: str, more: str, headers: dict[str, str]
) -> func.HttpResponse:
    """Return a page. *more*: markup after the texts, which are escaped here."""
    text = _PAGE.substitute(
        title=escape(words.title),
        style=_STYLE,
        happened=escape(happened),
        next=escape(advice),
        more=more,
    )
    sent = {
        "content-security-policy": _CSP,
        # The URL has the signed state, which must not leak to other sites.
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        **headers,
    }
    return func.HttpResponse(
        text, status_code=words.status, headers=sent, mimetype="text/html", charset="utf-8"
    )
