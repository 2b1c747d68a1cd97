"""A pairing: the people who may meet."""

from dataclasses import dataclass
from enum import StrEnum

from shared.ids import Mailbox, ObjectId, OrganizationId, PairingId, TenantId

MAX_PARTICIPANTS = 20


class ParticipantRole(StrEnum):
    """The role of a participant in a pairing."""

    MENTOR = "mentor"
    MENTEE = "mentee"


@dataclass(frozen=True, slots=True)
class Participant:
    """A member of a pairing."""

    role: ParticipantRole
    address: str
    """SMTP address, lower case: getSchedule and invitations need it."""
    object_id: ObjectId | None = None
    """None for a participant outside the tenant."""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Invitee:
    """A person whose time a meeting needs."""

    address: str
    object_id: ObjectId | None
    required: bool
    role: ParticipantRole | None
    """None: no participant of the pairing, or not any more."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """A mentor and a mentee, or a group of up to 20."""

    id: PairingId
    organization_id: OrganizationId
    tenant_id: TenantId
    participants: tuple[Participant, ...]
    version: str = ""
    """The stored row's etag; empty before it is stored."""

    def __post_init__(self) -> None:
        if not 2 <= len(self.participants) <= MAX_PARTICIPANTS:
            raise ValueError(f"a pairing has 2 to {MAX_PARTICIPANTS} participants")
        if len({p.address for p in self.participants}) < len(self.participants):
            raise ValueError("a participant is named twice")

    @property
    def people(self) -> tuple[Invitee, ...]:
        """Return the people whose time a new meeting needs: the participants, in their order."""
        return tuple(Invitee(p.address, p.object_id, p.required, p.role) for p in self.participants)

    def participant(self, object_id: ObjectId) -> Participant | None:
        """Return the participant with *object_id*, or None."""
        return next((p for p in self.participants if p.object_id == object_id), None)

    def mailbox(self, participant: Participant) -> Mailbox | None:
        """Return *participant*'s mailbox; None for a participant outside the tenant."""
        return Mailbox(self.tenant_id, participant.object_id) if participant.object_id else None

    @property
    def default_title(self) -> str:
        """Return the title in Outlook of a session that is booked without one."""
        return "Mentoring session" if len(self.participants) == 2 else "Group mentoring session"
