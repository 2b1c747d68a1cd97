"""Maps Graph's refusals to our errors, by code and then by status. No other module does.

Codes: https://learn.microsoft.com/graph/errors and, for Outlook's own codes, the list of Exchange
Web Services, whose names Graph reuses. No decision depends on a message's text, with one exception:
the text of a remedy.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from shared.adapters.graph.retry import retry_after_seconds
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    ConsentMissing,
    EventGone,
    ForeignId,
    MailboxUnusable,
    SchedulingError,
    SignInAgain,
)


class GraphErrorKind(Enum):
    """The kinds of refusal that this app treats differently."""

    GONE = auto()
    MAILBOX = auto()
    CONSENT = auto()
    TOKEN = auto()
    THROTTLED = auto()
    UNAVAILABLE = auto()
    REFUSED = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class GraphErrorBody:
    """Graph's error answer to a call or to one request of a batch."""

    status: int
    code: str = ""
    message: str = ""
    request_id: str = ""
    retry_after_seconds: float | None = None
    claims: str | None = None
    """The claims challenge of the WWW-Authenticate header, as JSON text."""
    error: Mapping[str, Any] | None = None
    """The `error` member of the body, for annotations such as `@event.existingEventId`."""


_HOSTING = (
    "The mailbox must be in Exchange Online and licensed: an administrator moves it there or "
    "assigns a license. A new mailbox may take a while."
)
_PERMISSION = (
    "An administrator approves the app through the organization's consent link, and, where the "
    "app is scoped in Exchange, puts this mailbox into the scope."
)
_POLICY = (
    "An application access policy keeps the app out: an Exchange administrator puts this mailbox "
    "into the policy's group."
)

CODES: Final[Mapping[str, GraphErrorKind]] = {
    code.lower(): meaning
    for meaning, codes in {
        # One code alone says that an item is gone. Every other 404, known or new, says that the
        # mailbox cannot be reached, and nothing about an item in it.
        GraphErrorKind.GONE: ("ErrorItemNotFound",),
        GraphErrorKind.MAILBOX: (
            "ResourceNotFound",
            "MailboxNotEnabledForRESTAPI",
            "ErrorNonExistentMailbox",
            "ErrorInvalidUser",
            "ErrorMissingEmailAddress",
            "ErrorAccountDisabled",
            "Request_ResourceNotFound",
        ),
        GraphErrorKind.CONSENT: (
            "ErrorAccessDenied",
            "Authorization_RequestDenied",
            "AccessDenied",
            "Forbidden",
        ),
        GraphErrorKind.TOKEN: ("InvalidAuthenticationToken",),
        GraphErrorKind.THROTTLED: (
            "TooManyRequests",
            "ApplicationThrottled",
            "activityLimitReached",
        ),
        GraphErrorKind.UNAVAILABLE: (
            "ErrorIrresolvableConflict",
            "ErrorItemSave",
            "ErrorInternalServerError",
            "InternalServerError",
            "generalException",
            "MailboxInfoStale",
            "ErrorInternalServerTransientError",
            "ErrorMailboxStoreUnavailable",
            "ErrorMailboxMoveInProgress",
            "ErrorServerBusy",
            "ServiceUnavailable",
            "GatewayTimeout",
            "ErrorTimeoutExpired",
            "UnknownError",
            # An event that was created all the same has been seen with it.
            # Source: https://github.com/microsoftgraph/msgraph-sdk-php/issues/280
            "ErrorInvalidRecipients",
        ),
        GraphErrorKind.REFUSED: (
            "ErrorPropertyValidationFailure",
            "ErrorInvalidRequest",
            "BadRequest",
            "RequestBodyRead",
            "TimeZoneNotSupportedException",
            "ErrorDuplicateTransactionId",
            "ErrorOccurrenceCrossingBoundary",
            "ErrorTimeIntervalTooBig",
            "ErrorInvalidTimeInterval",
            "ErrorInvalidMergedFreeBusyInterval",
            "ErrorQuotaExceeded",
            "ErrorExceededMessageLimit",
            "ErrorSubmissionQuotaExceeded",
            "ErrorCalendarIsNotOrganizer",
            "ErrorInvalidIdMalformed",
        ),
        GraphErrorKind.FOREIGN: ("ErrorInvalidMailboxItemId",),
    }.items()
    for code in codes
}

STATUSES: Final[Mapping[int, GraphErrorKind]] = {
    401: GraphErrorKind.TOKEN,
    403: GraphErrorKind.CONSENT,
    404: GraphErrorKind.MAILBOX,
    410: GraphErrorKind.MAILBOX,
    409: GraphErrorKind.REFUSED,
    412: GraphErrorKind.UNAVAILABLE,
    423: GraphErrorKind.UNAVAILABLE,
    408: GraphErrorKind.UNAVAILABLE,
    429: GraphErrorKind.THROTTLED,
}

REMEDIES: Final[Mapping[str, str]] = {
    "errorquotaexceeded": "The mailbox is full: its owner makes room.",
    "errorexceededmessagelimit": "The mailbox has sent too much today: try again tomorrow.",
    "errorsubmissionquotaexceeded": "The mailbox has sent too much: try again later.",
    "erroroccurrencecrossingboundary": "Pick a time between its neighbours.",
    "errorinvalidrecipients": "Check the attendees' addresses: Outlook does not know one of them.",
    "timezonenotsupportedexception": "Use an IANA or Windows time zone name.",
    "errorinvaliduser": "Check the person's object id: there is no such mailbox in the tenant.",
    "request_resourcenotfound": "Check the person's object id: the tenant has no such user.",
    "erroraccountdisabled": "An administrator enables the account.",
}


def read_refusal(
    status: int, headers: Mapping[str, str], body: bytes | Mapping[str, Any] | None
) -> GraphErrorBody:
    """Parse an error answer. The names in *headers* are in lower case."""
    payload = _object(body)
    error = payload.get("error")
    error = error if isinstance(error, dict) else {}
    inner = next((v for k, v in error.items() if k.lower() == "innererror"), None)
    inner = inner if isinstance(inner, dict) else {}
    return GraphErrorBody(
        status=status,
        code=str(error.get("code") or ""),
        message=str(error.get("message") or ""),
        request_id=headers.get("request-id") or str(inner.get("request-id") or ""),
        retry_after_seconds=retry_after_seconds(headers.get("retry-after")),
        claims=_claims(headers.get("www-authenticate", "")),
        error=error,
    )


def classify_error(refusal: GraphErrorBody) -> GraphErrorKind:
    """Return the kind of *refusal*: by its code if `CODES` has it, else by its status."""
    # A throttled or failing service sends varying codes, so these statuses come first.
    if refusal.status == 429:
        return GraphErrorKind.THROTTLED
    if refusal.status >= 500:
        return GraphErrorKind.UNAVAILABLE
    if refusal.code.lower() == "extensionerror":
        return _OF_EXTENSION.get(refusal.status, GraphErrorKind.REFUSED)
    known = CODES.get(refusal.code.lower())
    return known or STATUSES.get(refusal.status, GraphErrorKind.REFUSED)


# "ExtensionError": Outlook refused the subscription service's call; the status is Outlook's.
_OF_EXTENSION: Final[Mapping[int, GraphErrorKind]] = {
    403: GraphErrorKind.CONSENT,
    404: GraphErrorKind.MAILBOX,
}


def graph_error(refusal: GraphErrorBody) -> SchedulingError:
    """Return the error to raise for *refusal*."""
    meaning = classify_error(refusal)
    remedy = REMEDIES.get(refusal.code.lower())
    if meaning is GraphErrorKind.MAILBOX:
        return MailboxUnusable(
            "Graph does not reach this mailbox.",
            code=refusal.code or str(refusal.status),
            remedy=remedy or _HOSTING,
        )
    if meaning is GraphErrorKind.CONSENT:
        return ConsentMissing(
            f"Graph denies the access ({refusal.code or refusal.status}, "
            f"request {refusal.request_id}).",
            remedy=_POLICY if "[RAOP]" in refusal.message else _PERMISSION,
        )
    if meaning is GraphErrorKind.TOKEN:
        return SignInAgain("Graph did not accept the token.", claims=refusal.claims)
    kind, message = _CALENDAR_ERRORS[meaning]
    return kind(
        message,
        code=refusal.code,
        status=refusal.status,
        request_id=refusal.request_id,
        retry_after_seconds=refusal.retry_after_seconds,
        remedy=remedy,
    )


_CALENDAR_ERRORS: Final = {
    GraphErrorKind.GONE: (EventGone, "It is not in the calendar any more."),
    GraphErrorKind.THROTTLED: (CalendarThrottled, "Graph asks to wait."),
    GraphErrorKind.UNAVAILABLE: (CalendarUnavailable, "The calendar did not answer."),
    GraphErrorKind.REFUSED: (CalendarRefused, "Graph refused the request."),
    GraphErrorKind.FOREIGN: (ForeignId, "The id is not of this mailbox."),
}


def _object(body: bytes | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return *body* as a JSON object; an empty one for anything else, such as a gateway's HTML."""
    if isinstance(body, bytes):
        try:
            body = json.loads(body)
        except ValueError:
            return {}
    return body if isinstance(body, dict) else {}


def _claims(challenge: str) -> str | None:
    """Return the decoded claims of a claims challenge, or None.

    Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """
    found = re.search(r'claims="([^"]+)"', challenge)
    if not found or "insufficient_claims" not in challenge:
        return None
    text = found[1]
    try:
        return base64.b64decode(
            text + "=" * (-len(text) % 4), altchars=b"-_", validate=True
        ).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
