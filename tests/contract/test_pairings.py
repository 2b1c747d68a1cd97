"""The contract of `PairingStore`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from shared.errors import NotFound, StaleRow
from shared.ids import Mailbox, OrganizationId, PairingId
from shared.pairings.model import Pairing, Participant, ParticipantRole
from shared.pairings.ports import PairingStore
from tests.builders import a_mailbox, a_pairing, a_participant, a_uuid


async def own(
    pairings: PairingStore, organization_id: OrganizationId, box: Mailbox
) -> list[Pairing]:
    found, _ = await pairings.list_by_mailbox(organization_id, box, after=None, limit=50)
    return list(found)


def people(pairing: Pairing) -> list[Mailbox]:
    boxes = (pairing.mailbox(participant) for participant in pairing.participants)
    return [box for box in boxes if box]


async def test_a_pairing_is_read_back_whole(pairings: PairingStore) -> None:
    mentor = a_mailbox()
    pairing = a_pairing(
        mentor,
        id=PairingId("P-1_a.b"),
        participants=(
            a_participant(mentor, ParticipantRole.MENTOR),
            Participant(ParticipantRole.MENTEE, "zoë@fabrikam.example", required=False),
        ),
    )
    stored = await pairings.put(pairing)
    assert stored == replace(pairing, version=stored.version)
    assert await pairings.get(pairing.organization_id, pairing.id) == stored
    assert await own(pairings, pairing.organization_id, mentor) == [stored]


async def test_an_absent_pairing_is_not_found(pairings: PairingStore) -> None:
    with pytest.raises(NotFound):
        await pairings.get(OrganizationId(a_uuid()), PairingId("none"))


async def test_another_organization_sees_nothing(pairings: PairingStore) -> None:
    pairing = await pairings.put(a_pairing())
    elsewhere = OrganizationId(a_uuid())
    with pytest.raises(NotFound):
        await pairings.get(elsewhere, pairing.id)
    assert await own(pairings, elsewhere, people(pairing)[0]) == []


async def test_pairing_is_listed_for_each_participant(pairings: PairingStore) -> None:
    tenant_id = a_mailbox().tenant_id
    pairing = await pairings.put(a_pairing(*(a_mailbox(tenant_id) for _ in range(20))))
    for box in people(pairing):
        assert await own(pairings, pairing.organization_id, box) == [pairing]
    assert await own(pairings, pairing.organization_id, a_mailbox(tenant_id)) == []


async def test_pairing_index_follows_its_participants(pairings: PairingStore) -> None:
    pairing = await pairings.put(a_pairing())
    mentor, mentee = people(pairing)
    newcomer = a_mailbox(pairing.tenant_id)
    changed = await pairings.put(
        replace(pairing, participants=(pairing.participants[0], a_participant(newcomer)))
    )
    assert await own(pairings, pairing.organization_id, mentee) == []
    for box in (mentor, newcomer):
        assert await own(pairings, pairing.organization_id, box) == [changed]


async def test_a_version_guards_a_change(pairings: PairingStore) -> None:
    pairing = await pairings.put(a_pairing())
    changed = await pairings.put(pairing)
    with pytest.raises(StaleRow):
        await pairings.put(pairing)
    assert await pairings.get(pairing.organization_id, pairing.id) == changed
    await pairings.delete(pairing.organization_id, pairing.id)
    with pytest.raises(StaleRow):
        await pairings.put(changed)


async def test_without_a_version_the_last_one_wins(pairings: PairingStore) -> None:
    pairing = a_pairing()
    await pairings.put(pairing)
    again = await pairings.put(pairing)
    assert await pairings.get(pairing.organization_id, pairing.id) == again


async def test_concurrent_pairing_changes_leave_every_index_complete(
    pairings: PairingStore,
) -> None:
    pairing = a_pairing()
    mentor, mentee = people(pairing)
    other = a_mailbox(pairing.tenant_id)
    swapped = replace(pairing, participants=(pairing.participants[0], a_participant(other)))
    await pairings.put(pairing)
    for _ in range(5):
        await asyncio.gather(*(pairings.put(each) for each in (pairing, swapped, pairing, swapped)))
        final = await pairings.get(pairing.organization_id, pairing.id)
        for box in (mentor, mentee, other):
            expected = [final] if box in people(final) else []
            assert await own(pairings, pairing.organization_id, box) == expected


async def test_deleting_takes_it_from_everybody_and_twice_is_fine(pairings: PairingStore) -> None:
    pairing = await pairings.put(a_pairing())
    for _ in range(2):
        await pairings.delete(pairing.organization_id, pairing.id)
    with pytest.raises(NotFound):
        await pairings.get(pairing.organization_id, pairing.id)
    for box in people(pairing):
        assert await own(pairings, pairing.organization_id, box) == []


async def test_pairings_are_listed_in_pages_by_id(pairings: PairingStore) -> None:
    mentor = a_mailbox()
    organization_id = OrganizationId(a_uuid())
    stored = [
        await pairings.put(
            a_pairing(mentor, a_mailbox(mentor.tenant_id), organization_id=organization_id)
        )
        for _ in range(5)
    ]
    expected = sorted(stored, key=lambda pairing: pairing.id)

    async def list_by_mailbox(after: str | None) -> tuple[Sequence[Pairing], str | None]:
        return await pairings.list_by_mailbox(organization_id, mentor, after=after, limit=2)

    async def list_by_organization(after: str | None) -> tuple[Sequence[Pairing], str | None]:
        return await pairings.list_by_organization(organization_id, after=after, limit=2)

    for listing in (list_by_mailbox, list_by_organization):
        seen: list[Pairing] = []
        cursor: str | None = None
        while True:
            page, cursor = await listing(cursor)
            seen += page
            if cursor is None:
                break
        assert seen == expected
