"""The caller, and pairings: the people who may meet."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from functions.schemas.base import Address, Body, Guid, Reply
from functions.schemas.organizations import FindingBody, OrganizationBrief, organization_brief
from shared.ids import ObjectId
from shared.organizations.diagnosis import Finding, FindingState
from shared.organizations.model import Caller
from shared.pairings.model import MAX_PARTICIPANTS, Pairing, ParticipantRole

if TYPE_CHECKING:
    from shared.pairings.registration import NamedParticipant


class MailboxBody(Reply):
    """Whether the caller's mailbox can be used, and the remedy if not."""

    usable: bool
    findings: list[FindingBody]


class MeBody(Reply):
    """The caller."""

    tenant_id: str
    object_id: str
    organization: OrganizationBrief
    mailbox: MailboxBody


class ParticipantBody(Reply):
    """A participant of a pairing."""

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
    """Return the body of *caller*. Their mailbox is usable only if every capability works."""
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
    """A participant, named by address, by object id, or by both."""

    role: ParticipantRole
    address: Address | None = None
    """Without `object_id` the address is looked up in the tenant. A participant who is not found
    there is from outside."""
    object_id: Guid | None = None
    """Without `address` the address is looked up in the tenant."""
    required: bool = True

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.address is None and self.object_id is None:
            raise ValueError("needs an address or an object_id")
        return self


class PairingInput(Body):
    """The participants of a pairing; they replace the former ones."""

    participants: list[NamedParticipantBody] = Field(min_length=2, max_length=MAX_PARTICIPANTS)

    def to_named(self) -> "list[NamedParticipant]":
        """Return the participants for the use-case."""
        from shared.pairings.registration import NamedParticipant

        return [
            NamedParticipant(
                named.role,
                named.address,
                ObjectId(named.object_id) if named.object_id else None,
                named.required,
            )
            for named in self.participants
        ]


class OrganizationPairingList(Reply):
    """A page of an organization's pairings."""

    items: list[PairingBody]
    next: str | None
