"""The service's own: problems and health."""

from typing import Literal

from pydantic import ConfigDict

from functions.schemas.base import Reply, ResponseInstant, SpanBody
from functions.schemas.sessions import DateBody


class ProblemBody(Reply):
    """RFC 9457. `type` is stable; `detail` is for people; `remedy` says what somebody can do."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    type: str
    title: str
    status: int
    detail: str
    trace_id: str
    remedy: str | None = None
    errors: list[dict[str, str]] | None = None
    alternatives: list["SpanBody"] | None = None
    """Next best slots of a 409, nearest first."""
    conflicts: list["DateBody"] | None = None
    """Of a 409 about a series: the dates that are not free."""


class HealthBody(Reply):
    """Whether this deployment works."""

    status: Literal["ok", "degraded"]
    version: str
    time: ResponseInstant
    checks: dict[str, str]
    """Part by part: `ok`, or what is wrong."""
    poison: dict[str, int]
    """Messages that failed five times and wait to be looked at, by queue."""
