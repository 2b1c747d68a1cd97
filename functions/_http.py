"""The HTTP edge: parses requests, authorizes callers, renders replies, writes one log line."""

import asyncio
import functools
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func
from pydantic import BaseModel, TypeAdapter, ValidationError

from functions._background import FUNCTION_SECONDS
from functions._problem_types import NO_LENGTH, NOT_JSON, TOO_LARGE, UNEXPECTED, WRONG_MEDIA
from functions._problems import (
    BadRequest,
    InvalidFields,
    problem_body,
    problem_headers,
    problem_of,
)
from shared.errors import Invalid, NotFound, PreconditionFailed, SchedulingError, TookTooLong
from shared.ids import ObjectId, OrganizationId
from shared.logs import log_event, log_warning
from shared.organizations.access import authenticate_platform
from shared.organizations.model import Caller
from shared.pairings.membership import authenticate_participant
from shared.tracing import trace_id, traced
from shared.wiring import wiring

WAIT_SECONDS: Final = 9.0
"""The time limit of a participant's request: with the network and a busy instance the participant
waits less than ten seconds."""
_TOO_LONG: Final = "The request exceeded its time limit; whether it took effect is not known."
MAX_BODY_BYTES: Final = 64 * 1024
MAX_BODY_VALUES: Final = 500
"""Values in a body, the names of fields included: a pairing of 20 participants has 130.

Validating a value, and naming what is wrong with it, costs far more than parsing it.
"""
_SERVER_ERROR: Final = 500
_MAX_ERRORS: Final = 50
"""The most wrong fields that one reply lists."""
_ACTING_HEADER: Final = "acting-participant"
ACTING: Final = "([A-Za-z0-9_.-]{1,64})/([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
"""The form of `Acting-Participant`, as regular expressions of Python and of JSON Schema have it."""
_ACTING: Final = re.compile(ACTING)
_ID: Final = re.compile(r"[\w.\-]{1,64}", re.ASCII)
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")


M = TypeVar("M", bound=BaseModel)
Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


@dataclass(frozen=True, slots=True)
class Operation:
    """The facts about a function in the OpenAPI document, besides its route."""

    summary: str
    caller: str
    """`participant`, `platform` or `public`: who must authenticate."""
    reply: type[BaseModel] | None = None
    status: int = 200
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    requires_idempotency_key: bool = False
    """The request must have an `Idempotency-Key`."""
    requires_if_match: bool = False
    """The request must have an `If-Match`."""
    supports_conditional_get: bool = False
    """Answers `If-None-Match` with 304."""
    problems: tuple[int, ...] = field(default=())
    also_returns: tuple[int, ...] = field(default=())
    """Other statuses with the body of the reply."""
    media_type: str = "application/json"
    redirects: bool = False
    """Also answers with 302, without a body."""

    @property
    def is_awaited(self) -> bool:
        """Return whether a person waits for the reply."""
        return self.caller == "participant"


def http_endpoint(operation: Operation) -> Callable[[Handler], Handler]:
    """Decorate a handler: errors become problem+json, and each request writes one log line.

    *operation* describes the function in the OpenAPI document.
    """

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def endpoint(req: func.HttpRequest) -> func.HttpResponse:
            started = time.perf_counter()
            with traced(handler.__name__, linked=req.headers.get("traceparent")) as span:
                response = await _run_handler(handler, req, operation)
                response.headers["x-trace-id"] = span.trace_id
                response.headers["x-content-type-options"] = "nosniff"
                response.headers.setdefault("cache-control", "no-store")
                span.is_ok = response.status_code < _SERVER_ERROR
                span.facts["status"] = response.status_code
                log_event(
                    "http.replied",
                    function=handler.__name__,
                    status=response.status_code,
                    duration_ms=round((time.perf_counter() - started) * 1000),
                )
            return response

        endpoint.operation = operation  # type: ignore[attr-defined]  # read by the generator
        return endpoint

    return decorate


async def _run_handler(
    handler: Handler, req: func.HttpRequest, operation: Operation
) -> func.HttpResponse:
    """Return the response of *handler*, or its error as a problem."""
    try:
        async with asyncio.timeout(WAIT_SECONDS if operation.is_awaited else FUNCTION_SECONDS):
            return await handler(req)
    except TimeoutError:
        # A timeout acts like a crash of the process, which every use-case survives at any step.
        return _problem(TookTooLong(_TOO_LONG), handler.__name__)
    except SchedulingError as error:
        return _problem(error, handler.__name__)
    except Exception as error:  # noqa: BLE001  # the edge's last resort
        log_warning("http.failed", function=handler.__name__)
        return _problem(SchedulingError(type(error).__name__), handler.__name__)


# --- callers


async def authorize(req: func.HttpRequest) -> Caller:
    """Return the participant who calls, or for whom the platform calls.

    Raises:
        NotAuthenticated, NotAllowed, NotFound: see `authenticate_participant`.
        Invalid: `Acting-Participant` is malformed.
    """
    adapters = wiring()
    return await authenticate_participant(
        _bearer(req),
        acting=_acting(req),
        tokens=adapters.tokens,
        organizations=adapters.organizations,
        pairings=adapters.pairings,
    )


async def authorize_platform(req: func.HttpRequest) -> None:
    """Raise NotAuthenticated unless the caller is the platform."""
    await authenticate_platform(_bearer(req), tokens=wiring().tokens)


def _bearer(req: func.HttpRequest) -> str | None:
    scheme, _, token = req.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _acting(req: func.HttpRequest) -> tuple[OrganizationId, ObjectId] | None:
    named = req.headers.get(_ACTING_HEADER)
    if named is None:
        return None
    found = _ACTING.fullmatch(named)
    if found is None:
        raise Invalid("header.Acting-Participant", "must be {organization id}/{object id}")
    return OrganizationId(found[1]), ObjectId(found[2].lower())


# --- requests


@functools.cache
def _adapter(model: type[BaseModel]) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def parse_query(req: func.HttpRequest, model: type[M]) -> M:
    """Parse the query into *model*. Raises InvalidFields."""
    if model.model_config.get("extra") == "forbid":
        _refuse_empty(req)
    given = dict(req.params)
    if "code" not in model.model_fields:
        given.pop("code", None)  # the portal's links have a key of the Functions host there
    try:
        parsed: M = _adapter(model).validate_python(given)
    except ValidationError as error:
        _raise_invalid(error, "query")
    return parsed


def parse_body(req: func.HttpRequest, model: type[M]) -> M:
    """Parse the JSON body into *model*. Raises BadRequest or InvalidFields, without any value."""
    media_type = req.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise BadRequest(WRONG_MEDIA, "Send the body with Content-Type: application/json.")
    body = req.get_body()
    if not body and "chunked" in req.headers.get("transfer-encoding", "").lower():
        # The Functions host hands over no body without a length.
        raise BadRequest(NO_LENGTH, "Send the body with Content-Length, not in chunks.")
    if len(body) > MAX_BODY_BYTES:
        raise BadRequest(TOO_LARGE, f"A body has at most {MAX_BODY_BYTES} bytes.")
    _refuse_many_values(body)
    try:
        parsed: M = _adapter(model).validate_json(body, strict=True)
    except ValidationError as error:
        _raise_invalid(error, "body")
    return parsed


def _refuse_many_values(body: bytes) -> None:
    """Raise Invalid if *body* has more values than any body needs, before it is parsed.

    Exact for JSON. Anything else is at most parsed up to where it stops to be JSON.
    """
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    values = unescaped.count(b'"') // 2
    if values <= MAX_BODY_VALUES:
        outside = b"".join(unescaped.split(b'"')[::2])
        values = sum(map(outside.count, (b",", b":", b"[", b"{")))
    if values > MAX_BODY_VALUES:
        raise Invalid("body", f"has more than {MAX_BODY_VALUES} values")


def path_parameter(req: func.HttpRequest, name: str) -> str:
    """Return the path parameter *name*."""
    return str(req.route_params[name])


def path_id(req: func.HttpRequest, name: str) -> str:
    """Return the path parameter *name* as an id. Raises NotFound if it has no form of an id.

    Ids become keys in Table Storage, which forbids some characters and long keys.
    Source: https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
    """
    found = path_parameter(req, name)
    if not _ID.fullmatch(found):
        raise NotFound("There is no such thing.")
    return found


def idempotency_key(req: func.HttpRequest) -> str:
    """Return the Idempotency-Key. Raises Invalid if it is missing or malformed."""
    key = str(req.headers.get("idempotency-key", ""))
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Invalid(
            "header.Idempotency-Key",
            "is needed: 1 to 128 visible ASCII characters, new for every booking, the same for"
            " its retries",
        )
    return key


def ensure_match(req: func.HttpRequest, *etags: str) -> None:
    """Raise PreconditionFailed if If-Match names none of *etags*, Invalid if it is missing."""
    wanted = req.headers.get("if-match")
    if wanted is None:
        raise Invalid("header.If-Match", "is needed: the ETag of what you saw, or *")
    if wanted.strip() != "*" and _etags(wanted).isdisjoint(etags):
        raise PreconditionFailed("It changed since you read it.")


def _refuse_empty(req: func.HttpRequest) -> None:
    """Raise InvalidFields if a parameter is empty; the host leaves those out of `params`."""
    sent = parse_qsl(urlsplit(req.url).query, keep_blank_values=True)
    empty = dict.fromkeys(_field_name(name) for name, value in sent if not value)
    if empty:
        message = "is empty: give it a value, or leave it out"
        raise InvalidFields(
            [{"field": f"query.{n}", "message": message} for n in list(empty)[:_MAX_ERRORS]]
        )


def _raise_invalid(error: ValidationError, where: str) -> NoReturn:
    details = error.errors(include_url=False, include_input=False)
    if any(detail["type"] == "json_invalid" for detail in details):
        raise BadRequest(NOT_JSON, "The body is not valid JSON in UTF-8.") from None
    raise InvalidFields(
        [
            {
                "field": ".".join([where, *(_field_name(part) for part in detail["loc"])]),
                "message": detail["msg"].removeprefix("Value error, "),
            }
            for detail in details[:_MAX_ERRORS]
        ]
    ) from None


def _field_name(part: object) -> str:
    # The name of an unknown field is the caller's own text, so only harmless characters are shown.
    return re.sub(r"[^\w\-]", "?", str(part), flags=re.ASCII)[:64]


# --- replies


def json_response(
    body: BaseModel,
    *,
    status: int = 200,
    etag: str | None = None,
    headers: dict[str, str] | None = None,
    req: func.HttpRequest | None = None,
) -> func.HttpResponse:
    """Return *body* as JSON. With *req* and *etag*: 304 if the caller has this version already."""
    sent = dict(headers or {})
    if etag:
        sent |= {"etag": etag, "cache-control": "private, no-cache"}
        if req and not _etags(req.headers.get("if-none-match", "")).isdisjoint({etag, "*"}):
            return func.HttpResponse(status_code=304, headers=sent)
    return func.HttpResponse(
        body.model_dump_json(), status_code=status, headers=sent, mimetype="application/json"
    )


def etag_of(*versions: str) -> str:
    """Return a strong ETag of the versions of stored rows."""
    return f'"{hashlib.sha256(chr(10).join(versions).encode()).hexdigest()[:24]}"'


def _etags(header: str) -> set[str]:
    return {part.strip().removeprefix("W/") for part in header.split(",")}


def _problem(error: SchedulingError, function: str) -> func.HttpResponse:
    import json

    problem = problem_of(error)
    if problem.status >= 500:
        log_warning("http.problem", function=function, problem=problem.type)
    return func.HttpResponse(
        json.dumps(problem_body(error, trace_id() or "")),
        status_code=problem.status,
        headers=problem_headers(error, wiring().authorization_url)
        if problem is not UNEXPECTED
        else {},
        mimetype="application/problem+json",
    )
