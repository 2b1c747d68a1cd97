"""The change feed."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field

from functions.schemas.base import Body, Reply, ResponseInstant
from shared.changes.model import Change, ChangeKind


class ChangesQuery(Body):
    """From where on."""

    cursor: str | None = Field(default=None, max_length=512)
    """Out of the answer before; without, from the beginning."""
    limit: int = Field(default=100, ge=1, le=500)


class ChangeBody(Reply):
    """One thing that happened."""

    at: ResponseInstant
    kind: ChangeKind
    cause: Literal["api", "outlook", "reconciliation"]
    pairing_id: str | None
    session_id: str | None
    lag_ms: int | None
    """How long after it happened in Outlook it was seen here."""
    detail: str

    @classmethod
    def of(cls, change: Change) -> Self:
        """Return the body of *change*."""
        return cls.model_validate({"at": change.at, **change.as_values()})


class ChangeList(Reply):
    """Changes in order. Keep *next* and ask with it again: nothing is ever missed."""

    items: list[ChangeBody]
    next: str | None

    @classmethod
    def of(cls, changes: Sequence[Change], cursor: str | None) -> Self:
        """Return the body of *changes*, and the cursor after them."""
        return cls(items=[ChangeBody.of(change) for change in changes], next=cursor)
