"""Changes: the entries of the feed that the platform reads."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.ids import OrganizationId, PairingId, SessionId


class ChangeKind(StrEnum):
    """The kind of a change."""

    SCHEDULED = "session.scheduled"
    RESCHEDULED = "session.rescheduled"
    CANCELLED = "session.cancelled"
    RESPONDED = "session.responded"
    PROPOSED = "session.proposed"
    ONLINE_MEETING = "session.online_meeting"
    ATTENDEES = "session.attendees"
    CONFLICT = "session.conflict"
    TROUBLE = "organization.trouble"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the change feed. Ids, states and times only."""

    organization_id: OrganizationId
    at: datetime
    kind: ChangeKind
    cause: str
    """`api`, `outlook` or `reconciliation`."""
    pairing_id: PairingId | None = None
    session_id: SessionId | None = None
    lag_ms: int | None = None
    """The time from the change in Outlook until this service read it, if Outlook has that time."""
    detail: str = ""
    """A value of one of our enums: a state or a reason."""

    def as_values(self) -> dict[str, Any]:
        """Return the fields as JSON values, without the organization and the instant."""
        return {
            "kind": self.kind.value,
            "cause": str(self.cause),
            "pairing_id": self.pairing_id,
            "session_id": self.session_id,
            "lag_ms": self.lag_ms,
            "detail": self.detail,
        }
