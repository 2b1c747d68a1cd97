"""Renders errors as RFC 9457 problems."""

import json
from collections.abc import Mapping
from typing import Any, Final

from functions._problem_types import PROBLEMS, ProblemType
from shared.clock import rfc3339
from shared.errors import (
    CalendarError,
    ConsentMissing,
    Invalid,
    MailboxUnusable,
    SchedulingError,
    SignInAgain,
    SlotTaken,
    SlotUnknown,
)
from shared.sessions.series import PlannedDate
from shared.timespan import TimeSpan

_RETRY_SECONDS: Final = 5
"""The `Retry-After` of a 503 whose error has no time of its own."""
_REMEDY: Final = {
    "calendar-unavailable": "Repeat the request; with the same Idempotency-Key, if any.",
    "calendar-throttled": "Repeat it after the time in Retry-After.",
    "store-unavailable": "Repeat the request; with the same Idempotency-Key, if any.",
    "took-too-long": "Repeat the request; with the same Idempotency-Key, if any.",
    "misconfigured": "Only the operator of this service can mend it.",
}


class BadRequest(SchedulingError):
    """The edge refuses the request for the reason in *problem*, with *headers*."""

    def __init__(
        self, problem: ProblemType, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.problem = problem
        self.headers = dict(headers or {})


class InvalidFields(Invalid):
    """Several fields are wrong. *errors*: one dict per field, `field` and `message`; no values."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__(errors[0]["field"], errors[0]["message"])
        self.errors = errors


def problem_of(error: SchedulingError) -> ProblemType:
    """Return the problem type of *error*: the entry of its class, else of its nearest base."""
    if isinstance(error, BadRequest):
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
    if remedy := (problem.speaks and error.remedy) or _REMEDY.get(problem.name):
        body["remedy"] = remedy
    body.update(_extensions(error))
    return body


def problem_headers(error: SchedulingError, authorization_url: str) -> dict[str, str]:
    """Return the headers that go with *error*."""
    if isinstance(error, BadRequest):
        return error.headers
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
