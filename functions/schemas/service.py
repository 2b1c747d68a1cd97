"""Problems and the health of this deployment."""

from typing import Literal

from pydantic import ConfigDict

from functions.schemas.base import Reply, ResponseInstant, SpanBody
from functions.schemas.sessions import DateBody


class ProblemBody(Reply):
    """RFC 9457. `type` is stable; `detail` is for people; `remedy` names who can do what."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    type: str
    title: str
    status: int
    detail: str
    trace_id: str
    remedy: str | None = None
    errors: list[dict[str, str]] | None = None
    alternatives: list["SpanBody"] | None = None
    """The nearest free slots in a 409, nearest first."""
    conflicts: list["DateBody"] | None = None
    """The dates that are not free, in a 409 about a series."""


class HealthBody(Reply):
    """Whether this deployment works. Checked at most once in some seconds."""

    status: Literal["ok", "degraded"]


class HealthDetailsBody(HealthBody):
    """Whether this deployment works, and what of it does not."""

    version: str
    python: str
    """The version of Python that runs it."""
    package: str | None
    """The digest of the built package (`build.json` in it); null from the sources."""
    time: ResponseInstant
    checks: dict[str, str]
    """By service: `ok`, or the error."""
    poison: dict[str, int]
    """Messages in the poison queues, which failed five times, by queue."""
