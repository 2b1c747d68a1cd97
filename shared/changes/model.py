"""Changes: the entries of the feed that the platform reads."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from shared.clock import rfc3339
from shared.ids import ObjectId, OrganizationId, PairingId, SessionId


class ChangeKind(StrEnum):
    """The kind of a change."""

    SCHEDULED = "session.scheduled"
    RESCHEDULED = "session.rescheduled"
    CANCELLED = "session.cancelled"
    RESTORED = "session.restored"
    """Its event was not found, and is there again."""
    RESPONDED = "session.responded"
    PROPOSED = "session.proposed"
    ONLINE_MEETING = "session.online_meeting"
    ATTENDEES = "session.attendees"
    CONFLICT = "session.conflict"
    TROUBLE = "organization.trouble"
    RECOVERED = "organization.recovered"
    SETTING_REQUESTED = "organization.setting_requested"
    """A setting that weakens the customer's protection waits for its administrator's consent."""
    SETTING_APPROVED = "organization.setting_approved"


class Attendance(StrEnum):
    """The detail of `session.attendees`."""

    ADDED = "added"
    """Invited by the organizer, perhaps once more, or by an attendee who forwarded it."""
    REMOVED = "removed"
    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the change feed. Ids, states and times only, and the remedy of trouble."""

    organization_id: OrganizationId
    at: datetime
    kind: ChangeKind | str
    """A string: a kind of a newer release, while it is being deployed."""
    cause: str
    """`api`, `outlook` or `reconciliation`."""
    pairing_id: PairingId | None = None
    session_id: SessionId | None = None
    lag_ms: int | None = None
    """The time from the change in Outlook until this service read it, if Outlook has that time."""
    detail: str = ""
    """A value of one of our enums: a state or a reason."""
    attendee: str | None = None
    """The object id of the participant who answered, came or went; of others the address."""
    object_id: ObjectId | None = None
    """The person whose mailbox the trouble is about; None: a session's, or the whole tenant's."""
    remedy: str = ""
    """What mends the trouble, for people; names ids only."""
    id: str = field(default_factory=lambda: uuid4().hex)
    """The feed has one entry of each id, however often it is appended."""

    def as_values(self) -> dict[str, Any]:
        """Return the entry as the feed and the webhook show it: JSON values."""
        return {
            "at": rfc3339(self.at),
            "kind": str(self.kind),
            "cause": str(self.cause),
            "pairing_id": self.pairing_id,
            "session_id": self.session_id,
            "lag_ms": self.lag_ms,
            "detail": self.detail,
            "attendee": self.attendee,
            "object_id": self.object_id,
            "remedy": self.remedy or None,
        }


def change_kind(text: str) -> ChangeKind | str:
    """Return the kind that *text* names; *text* itself if a newer release wrote it."""
    try:
        return ChangeKind(text)
    except ValueError:
        return text
