"""Who calls, and the people who may meet."""

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from functions.schemas.base import Address, Body, Guid, Reply
from functions.schemas.organizations import FindingBody, OrganizationBrief, organization_brief
from shared.ids import ObjectId
from shared.organizations.diagnosis import Finding, FindingState
from shared.organizations.model import Caller
from shared.pairings.model import MAX_PARTICIPANTS, Pairing, ParticipantRole
from shared.pairings.registration import NamedParticipant


class MailboxBody(Reply):
    """Whether the caller's mailbox can be used, and if not what to do."""

    usable: bool
    findings: list[FindingBody]


class MeBody(Reply):
    """The caller."""

    tenant_id: str
    object_id: str
    organization: OrganizationBrief
    mailbox: MailboxBody


class ParticipantBody(Reply):
    """One of those who may meet."""

    role: ParticipantRole
    address: str
    object_id: str | None
    required: bool
    is_me: bool


class PairingBody(Reply):
    """The people who may meet."""

    id: str
    participants: list[ParticipantBody]

    @classmethod
    def of(cls, pairing: Pairing, object_id: str | None) -> Self:
        """Return the body of *pairing* as *object_id* sees it."""
        return cls(
            id=pairing.id,
            participants=[
                ParticipantBody(
                    role=p.role,
                    address=p.address,
                    object_id=p.object_id,
                    required=p.required,
                    is_me=p.object_id == object_id and object_id is not None,
                )
                for p in pairing.participants
            ],
        )


class PairingList(Reply):
    """A page of pairings."""

    items: list[PairingBody]
    next: str | None
    """Cursor of the next page."""


def me_body(caller: Caller, findings: Sequence[Finding]) -> MeBody:
    """Return who calls and whether their mailbox is usable: only if everything is known to work."""
    return MeBody(
        tenant_id=caller.mailbox.tenant_id,
        object_id=caller.mailbox.object_id,
        organization=organization_brief(caller.organization),
        mailbox=MailboxBody(
            usable=all(finding.state is FindingState.WORKS for finding in findings),
            findings=[FindingBody.of(finding) for finding in findings],
        ),
    )


class NamedParticipantBody(Body):
    """Somebody who may meet: named by address, by object id, or by both."""

    role: ParticipantRole
    address: Address | None = None
    """Alone: looked up in the tenant; whoever is not there is from outside."""
    object_id: Guid | None = None
    """Alone: the address is looked up."""
    required: bool = True

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.address is None and self.object_id is None:
            raise ValueError("needs an address or an object_id")
        return self


class PairingInput(Body):
    """Who may meet: in place of whoever might before."""

    participants: list[NamedParticipantBody] = Field(min_length=2, max_length=MAX_PARTICIPANTS)

    def to_named(self) -> list[NamedParticipant]:
        """Return what the use-case understands."""
        return [
            NamedParticipant(
                who.role,
                who.address,
                ObjectId(who.object_id) if who.object_id else None,
                who.required,
            )
            for who in self.participants
        ]


class OrganizationPairingList(Reply):
    """A page of an organization's pairings."""

    items: list[PairingBody]
    next: str | None
