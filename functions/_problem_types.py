"""The kinds of errors over HTTP: the only table that maps our errors to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shared.errors import (
    CalendarError,
    CalendarRefused,
    CalendarThrottled,
    Conflict,
    ConsentMissing,
    EventGone,
    Invalid,
    KeyReused,
    LimitReached,
    MailboxUnusable,
    Misconfigured,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PreconditionFailed,
    SchedulingError,
    SignInAgain,
    SlotTaken,
    SlotUnknown,
    StoreUnavailable,
    TookTooLong,
)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of error over HTTP."""

    status: int
    name: str
    title: str
    when: str
    """The cause, for the reader of the problem's page; text between backticks is code."""
    action: str
    """What the caller does about it; text between backticks is code."""
    speaks: bool = True
    """Whether `detail` has the error's own message; if False it has *title*."""

    @property
    def type(self) -> str:
        """Return the URI reference that names it: the path of its page."""
        return f"/api/problems/{self.name}"


_CONFLICT: Final = ProblemType(
    409,
    "conflict",
    "The state does not allow this",
    "The state does not allow it, or another request is changing it right now.",
    "Read it again, then decide.",
)
PROBLEMS: Final[Mapping[type[SchedulingError], ProblemType]] = {
    Invalid: ProblemType(
        422,
        "invalid",
        "The request is not understood",
        "Fields are missing, unknown or wrong. `errors` names up to 50 of them, never a value.",
        "Correct the client.",
    ),
    SignInAgain: ProblemType(
        401,
        "sign-in-again",
        "The tenant asks for another sign-in",
        "The tenant demands more of the user, such as a second factor.",
        "Hand the `claims` in `WWW-Authenticate` to MSAL and repeat.",
    ),
    NotAuthenticated: ProblemType(
        401,
        "not-authenticated",
        "A valid token is needed",
        "No token, or one that is not valid here.",
        "Get a token, see `WWW-Authenticate`.",
    ),
    NotAllowed: ProblemType(
        403,
        "not-allowed",
        "Not allowed",
        "The caller may see it, but not do this.",
        "See `remedy`.",
    ),
    NotFound: ProblemType(
        404,
        "not-found",
        "No such resource",
        "The resource does not exist for this caller. The answer is the same if others have it.",
        "Check the id and the caller.",
    ),
    SlotTaken: ProblemType(
        409,
        "slot-taken",
        "The slot is no longer free",
        "A participant is not free then. `alternatives` lists slots that were free, nearest "
        "first. For a series, `conflicts` lists the dates that are not free.",
        "Offer the alternatives.",
    ),
    SlotUnknown: ProblemType(
        409,
        "slot-unknown",
        "It is unknown whether it is free",
        "A calendar could not be read; `unknown` has the address and the reason.",
        "Ask the participant, or book all the same (`accept_unknown`): they get the invitation.",
    ),
    MailboxUnusable: ProblemType(
        409,
        "mailbox-unusable",
        "The mailbox cannot be reached",
        "Graph does not reach the mailbox; `code` is Graph's own.",
        "See `remedy`, and `GET me`.",
    ),
    Conflict: _CONFLICT,
    PreconditionFailed: ProblemType(
        412,
        "precondition-failed",
        "It changed meanwhile",
        "`If-Match` names another version.",
        "Read it again, repeat with the new `ETag`.",
    ),
    KeyReused: ProblemType(
        422,
        "key-reused",
        "The Idempotency-Key was used before",
        "An earlier request with another body had the same `Idempotency-Key`.",
        "A new key for a new booking.",
    ),
    LimitReached: ProblemType(
        429,
        "limit-reached",
        "Too much at a time",
        "The caller, or their organization, has done as much as is allowed for now; `detail` "
        "says what.",
        "Repeat after `Retry-After`, with the same `Idempotency-Key`.",
    ),
    ConsentMissing: ProblemType(
        403,
        "consent-missing",
        "The tenant's approval is missing",
        "The tenant's admin has not approved what the call needs. `aadsts` has Entra's number.",
        "See `remedy`; the admin uses the organization's consent link.",
    ),
    EventGone: ProblemType(
        409,
        "event-gone",
        "The meeting is not in Outlook any more",
        "The meeting is not in Outlook any more.",
        "Read the session again.",
    ),
    CalendarThrottled: ProblemType(
        503,
        "calendar-throttled",
        "Outlook asks to wait",
        "Outlook asks to wait.",
        "Repeat after `Retry-After`.",
    ),
    CalendarRefused: ProblemType(
        502,
        "calendar-refused",
        "Outlook refused",
        "Outlook refused definitely. `code` and `request_id` are Microsoft's.",
        "See `remedy`, or ask Microsoft's support with `request_id`.",
    ),
    CalendarError: ProblemType(
        503,
        "calendar-unavailable",
        "The calendar did not answer",
        "Outlook or Entra did not answer; the outcome of a write is unknown.",
        "Repeat after `Retry-After`, with the same `Idempotency-Key`.",
    ),
    StoreUnavailable: ProblemType(
        503,
        "store-unavailable",
        "The storage did not answer",
        "The app's storage did not answer.",
        "Repeat after `Retry-After`, with the same `Idempotency-Key`.",
    ),
    TookTooLong: ProblemType(
        503,
        "took-too-long",
        "It took too long",
        "The answer did not come within ten seconds, on the platform's routes within two "
        "minutes; the outcome of a write is unknown.",
        "Repeat after `Retry-After`, with the same `Idempotency-Key`.",
    ),
    Misconfigured: ProblemType(
        503,
        "misconfigured",
        "The service is not set up",
        "A setting or secret of this deployment is missing or wrong.",
        "The operator reads the organization's diagnostics, or the logs: they say what and how "
        "to mend it.",
        speaks=False,
    ),
    SchedulingError: ProblemType(
        500,
        "unexpected",
        "Something went wrong",
        "A defect of the app.",
        "Tell the operator the `trace_id`.",
        speaks=False,
    ),
}

NOT_JSON: Final = ProblemType(
    400,
    "not-json",
    "The body is not JSON",
    "The body is not JSON in UTF-8, or nests too deep.",
    "Correct the client.",
)
NO_LENGTH: Final = ProblemType(
    411,
    "length-required",
    "The body must have a length",
    "The body came with `Transfer-Encoding: chunked`, of which Azure hands over nothing.",
    "Send it whole, with `Content-Length`; many HTTP clients stream what is given as a stream "
    "or generator.",
)
WRONG_MEDIA: Final = ProblemType(
    415,
    "wrong-media-type",
    "The body must be application/json",
    "The body is not `application/json`.",
    "Send `Content-Type: application/json`.",
)
TOO_LARGE: Final = ProblemType(
    413, "too-large", "The body is too large", "The body has more than 64 KiB.", "Send less."
)
NO_METHOD: Final = ProblemType(
    405,
    "method-not-allowed",
    "The route has no such method",
    "The path exists, but not for this method.",
    "Use a method of `Allow`.",
)
UNEXPECTED: Final = PROBLEMS[SchedulingError]
ALL: Final = (
    *dict.fromkeys(PROBLEMS.values()),
    NOT_JSON,
    NO_METHOD,
    NO_LENGTH,
    WRONG_MEDIA,
    TOO_LARGE,
)
