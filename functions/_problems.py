"""Errors as RFC 9457 problems: the only table that maps our errors to HTTP."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.clock import rfc3339
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
    StaleRow,
    StoreUnavailable,
    TookTooLong,
)
from shared.sessions.series import PlannedDate
from shared.timespan import TimeSpan


@dataclass(frozen=True, slots=True)
class ProblemType:
    """The HTTP status, type and title of one kind of error."""

    status: int
    type: str
    title: str
    speaks: bool = True
    """Whether `detail` has the error's own message; if False it has *title*."""


PROBLEMS: Final[Mapping[type[SchedulingError], ProblemType]] = {
    Invalid: ProblemType(422, "/problems/invalid", "The request is not understood"),
    SignInAgain: ProblemType(401, "/problems/sign-in-again", "The tenant asks for another sign-in"),
    NotAuthenticated: ProblemType(401, "/problems/not-authenticated", "A valid token is needed"),
    NotAllowed: ProblemType(403, "/problems/not-allowed", "Not allowed"),
    NotFound: ProblemType(404, "/problems/not-found", "No such resource"),
    SlotTaken: ProblemType(409, "/problems/slot-taken", "The slot is no longer free"),
    SlotUnknown: ProblemType(409, "/problems/slot-unknown", "It is unknown whether it is free"),
    StaleRow: ProblemType(409, "/problems/conflict", "It is being changed right now"),
    MailboxUnusable: ProblemType(
        409, "/problems/mailbox-unusable", "The mailbox cannot be reached"
    ),
    Conflict: ProblemType(409, "/problems/conflict", "The state does not allow this"),
    PreconditionFailed: ProblemType(412, "/problems/precondition-failed", "It changed meanwhile"),
    KeyReused: ProblemType(422, "/problems/key-reused", "The Idempotency-Key was used before"),
    LimitReached: ProblemType(429, "/problems/limit-reached", "Too much at a time"),
    ConsentMissing: ProblemType(
        403, "/problems/consent-missing", "The tenant's approval is missing"
    ),
    EventGone: ProblemType(409, "/problems/event-gone", "The meeting is not in Outlook any more"),
    CalendarThrottled: ProblemType(503, "/problems/calendar-throttled", "Outlook asks to wait"),
    CalendarRefused: ProblemType(502, "/problems/calendar-refused", "Outlook refused"),
    CalendarError: ProblemType(
        503, "/problems/calendar-unavailable", "The calendar did not answer"
    ),
    StoreUnavailable: ProblemType(503, "/problems/store-unavailable", "The storage did not answer"),
    TookTooLong: ProblemType(503, "/problems/took-too-long", "It took too long"),
    Misconfigured: ProblemType(
        503, "/problems/misconfigured", "The service is not set up", speaks=False
    ),
    SchedulingError: ProblemType(500, "/problems/unexpected", "Something went wrong", speaks=False),
}

NOT_JSON: Final = ProblemType(400, "/problems/not-json", "The body is not JSON")
NO_LENGTH: Final = ProblemType(411, "/problems/length-required", "The body must have a length")
WRONG_MEDIA: Final = ProblemType(
    415, "/problems/wrong-media-type", "The body must be application/json"
)
TOO_LARGE: Final = ProblemType(413, "/problems/too-large", "The body is too large")
UNEXPECTED: Final = PROBLEMS[SchedulingError]
ALL: Final = (*dict.fromkeys(PROBLEMS.values()), NOT_JSON, NO_LENGTH, WRONG_MEDIA, TOO_LARGE)

_RETRY_SECONDS: Final = 5
"""The `Retry-After` of a 503 whose error has no time of its own."""
_REMEDY: Final = {
    "/problems/calendar-unavailable": "Repeat the request; with the same Idempotency-Key, if any.",
    "/problems/calendar-throttled": "Repeat it after the time in Retry-After.",
    "/problems/store-unavailable": "Repeat the request; with the same Idempotency-Key, if any.",
    "/problems/took-too-long": "Repeat the request; with the same Idempotency-Key, if any.",
    "/problems/misconfigured": "Only the operator of this service can mend it.",
}


class BadBody(SchedulingError):
    """The body cannot be parsed, for the reason in *problem*."""

    def __init__(self, problem: ProblemType, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.problem = problem


class InvalidFields(Invalid):
    """Several fields are wrong. *errors*: one dict per field, `field` and `message`; no values."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__(errors[0]["field"], errors[0]["message"])
        self.errors = errors


def problem_of(error: SchedulingError) -> ProblemType:
    """Return the problem type of *error*: the entry of its class, else of its nearest base."""
    if isinstance(error, BadBody):
        return error.problem
    return next(PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS)


def problem_body(error: SchedulingError, trace_id: str) -> dict[str, Any]:
    """Return the problem+json document of *error*."""
    problem = problem_of(error)
    body: dict[str, Any] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": str(error) if problem.speaks else problem.title,
        "trace_id": trace_id,
    }
    # A remedy of an error whose text is not for callers is not for them either.
    if remedy := (problem.speaks and error.remedy) or _REMEDY.get(problem.type):
        body["remedy"] = remedy
    body.update(_extensions(error))
    return body


def problem_headers(error: SchedulingError, authorization_url: str) -> dict[str, str]:
    """Return the headers that go with *error*."""
    status = problem_of(error).status
    if status == 401:
        return {"WWW-Authenticate": _challenge(error, authorization_url)}
    if status in {429, 503}:
        seconds = getattr(error, "retry_after_seconds", None) or _RETRY_SECONDS
        return {"Retry-After": str(max(1, round(seconds + 0.499)))}
    return {}


def _extensions(error: SchedulingError) -> dict[str, Any]:
    if isinstance(error, InvalidFields):
        return {"errors": error.errors}
    if isinstance(error, Invalid):
        return {"errors": [{"field": error.field, "message": str(error)}]}
    extensions: dict[str, Any] = {}
    if isinstance(error, SlotTaken | SlotUnknown):
        extensions["alternatives"] = [_span(span) for span in error.alternatives]
    if isinstance(error, SlotTaken) and error.conflicts:
        extensions["conflicts"] = [_date(planned) for planned in error.conflicts]
    if isinstance(error, SlotUnknown):
        extensions["unknown"] = [
            {"address": person.address, "reason": person.reason, "detail": person.detail}
            for person in error.unknown
        ]
    if isinstance(error, MailboxUnusable | CalendarError) and error.code:
        extensions["code"] = error.code
    if isinstance(error, CalendarError) and error.request_id:
        extensions["request_id"] = error.request_id
    if isinstance(error, ConsentMissing) and error.aadsts:
        extensions["aadsts"] = error.aadsts
    return extensions


def _date(planned: PlannedDate) -> dict[str, Any]:
    """Return the JSON of a series' date that is not free; nothing was booked."""
    return {
        "occurrence": planned.number,
        **_span(planned.span),
        "outcome": planned.outcome,
        "booked": None,
        "alternatives": [_span(span) for span in planned.alternatives],
    }


def _span(span: TimeSpan) -> dict[str, str]:
    return {"start": rfc3339(span.start), "end": rfc3339(span.end)}


def _challenge(error: SchedulingError, authorization_url: str) -> str:
    # MSAL and Microsoft's libraries understand this form.
    # Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge
    if isinstance(error, SignInAgain) and error.claims:
        import base64

        claims = base64.b64encode(json.dumps(json.loads(error.claims)).encode()).decode()
        return (
            f'Bearer realm="", authorization_uri="{authorization_url}", '
            f'error="insufficient_claims", claims="{claims}"'
        )
    return f'Bearer realm="", authorization_uri="{authorization_url}", error="invalid_token"'
