"""Registers pairings: looks up object ids by address and addresses by object id."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared.errors import CalendarRefused, Conflict, ConsentMissing, Invalid
from shared.ids import Mailbox, ObjectId, PairingId, TenantId
from shared.organizations.model import ConsentState, Organization
from shared.pairings.model import Pairing, Participant, ParticipantRole
from shared.pairings.ports import Directory, PairingStore, Person

_MAX_CONCURRENCY: Final = 4
"""Look-ups in the directory at the same time."""


@dataclass(frozen=True, slots=True)
class NamedParticipant:
    """A participant as the platform names them: by address, by object id, or by both."""

    role: ParticipantRole
    address: str | None
    object_id: ObjectId | None
    required: bool = True


async def register_pairing(
    organization: Organization,
    pairing_id: PairingId,
    named: Sequence[NamedParticipant],
    *,
    directory: Directory,
    pairings: PairingStore,
) -> Pairing:
    """Insert or replace the pairing.

    A participant named by address alone is looked up in the tenant; one that is not found there is
    from outside and is invited by mail. Once the tenant has approved the app, a participant named
    by both is looked up by object id. The main address in the directory is stored, because Outlook
    shows it for every alias.

    Raises:
        Invalid: a participant does not exist, is named twice, or has an address in a domain of the
            tenant that is not found there.
        Conflict: a participant must be looked up, and the tenant has not approved the app.
        CalendarThrottled, CalendarUnavailable, ConsentMissing: the directory does not answer.
    """
    if organization.is_closing:
        raise Conflict("The organization is being removed.")
    tenant_id = _tenant(organization, named)
    is_approved = organization.consent is ConsentState.GRANTED
    resolved = await _resolved(tenant_id, named, directory if is_approved else None)
    _check(resolved)
    return await pairings.put(Pairing(pairing_id, organization.id, tenant_id, tuple(resolved)))


def _tenant(organization: Organization, named: Sequence[NamedParticipant]) -> TenantId:
    needs_directory = any(not (each.address and each.object_id) for each in named)
    approved = organization.consent is ConsentState.GRANTED
    if organization.tenant_id is None or (needs_directory and not approved):
        raise Conflict(
            "People can be looked up only after the tenant's administrator has approved the app.",
            remedy="Send the administrator the consent link; or, if the organization's tenant is "
            "known, name each participant by address and object id.",
        )
    return organization.tenant_id


async def _resolved(
    tenant_id: TenantId, named: Sequence[NamedParticipant], directory: Directory | None
) -> list[Participant]:
    turn = asyncio.Semaphore(_MAX_CONCURRENCY)

    async def resolve(index: int, participant: NamedParticipant) -> Participant:
        async with turn:
            return await _participant(tenant_id, index, participant, directory)

    # Not a TaskGroup: of several errors the first participant's is raised, and not in a group.
    outcomes = await asyncio.gather(
        *(resolve(index, each) for index, each in enumerate(named)), return_exceptions=True
    )
    found = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        found.append(outcome)
    return found


async def _participant(
    tenant_id: TenantId, index: int, named: NamedParticipant, directory: Directory | None
) -> Participant:
    address = (named.address or "").lower()
    participant = Participant(named.role, address, named.object_id, named.required)
    if directory is None:
        return participant  # named by both, as `_tenant` has checked
    if named.object_id is None:
        person = await directory.find(tenant_id, address)
        return _known_as(participant, person) if person else participant
    try:
        person = await directory.get(Mailbox(tenant_id, named.object_id))
    except (ConsentMissing, CalendarRefused):
        if not address:
            raise
        return participant  # the app may not read this directory: it is taken as it is named
    return _known_as(participant, _person(person, index))


def _known_as(participant: Participant, person: Person) -> Participant:
    address = person.address or participant.address
    return replace(participant, object_id=person.object_id, address=address)


def _person(person: Person | None, index: int) -> Person:
    if person is None:
        raise Invalid(
            f"body.participants.{index}.object_id",
            "is no user of the tenant; an account that was created anew has another one",
        )
    return person


def _check(participants: Sequence[Participant]) -> None:
    seen: set[str] = set()
    for index, participant in enumerate(participants):
        names = {participant.address, *([participant.object_id] if participant.object_id else [])}
        if names & seen:
            raise Invalid(f"body.participants.{index}", "names a participant a second time")
        seen |= names
    domains = {_domain(p) for p in participants if p.object_id}
    for index, participant in enumerate(participants):
        if participant.object_id is None and _domain(participant) in domains:
            raise Invalid(
                f"body.participants.{index}.address",
                "is in a domain of the tenant, and no user's main address or user name; name the"
                " person by object_id",
            )
    if not any(participant.object_id for participant in participants):
        raise Invalid("body.participants", "has no participant of the organization's tenant")


def _domain(participant: Participant) -> str:
    return participant.address.rpartition("@")[2]
