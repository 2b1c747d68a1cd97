"""The change feed."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field

from functions.schemas.base import Body, Reply
from shared.changes.model import Change, ChangeKind


class ChangesQuery(Body):
    """The part of the feed to read."""

    cursor: str | None = Field(default=None, max_length=512)
    """`next` of the previous answer; without it the feed is read from the beginning."""
    limit: int = Field(default=100, ge=1, le=500)


class ChangeBody(Reply):
    """One entry of the change feed."""

    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """Of a session: its `changed_at` after the change."""
    kind: ChangeKind | str
    cause: Literal["api", "outlook", "reconciliation"]
    pairing_id: str | None
    session_id: str | None
    lag_ms: int | None
    """The time from the change in Outlook until this service read it."""
    detail: str
    """The answer, the meeting's state, the reason of trouble; of `session.attendees` what became
    of the person: `added`, `removed`, `required`, `optional`."""
    attendee: str | None
    """The object id of the participant who answered, proposed, came or went; the address of another
    attendee."""
    object_id: str | None
    """The person whose mailbox an `organization.trouble` or `organization.recovered` is about."""
    remedy: str | None
    """What mends an `organization.trouble`: for the party who can, in English."""

    @classmethod
    def of(cls, change: Change) -> Self:
        """Return the body of *change*."""
        return cls.model_validate(change.as_values())


class ChangeList(Reply):
    """Changes in order. Store `next` and pass it as `cursor`: no change is ever missed."""

    items: list[ChangeBody]
    next: str | None

    @classmethod
    def of(cls, changes: Sequence[Change], cursor: str | None) -> Self:
        """Return the body of *changes*, and the cursor after them."""
        return cls(items=[ChangeBody.of(change) for change in changes], next=cursor)
