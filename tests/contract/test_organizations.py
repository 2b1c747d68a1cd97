"""The contract of `OrganizationStore`."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import Conflict, Invalid, NotFound, StaleRow
from shared.organizations.model import (
    AccessMode,
    ConsentState,
    OnlineMeetingChoice,
    Organization,
    OrganizationSettings,
    PendingSettings,
    SyncMode,
)
from shared.organizations.ports import OrganizationStore
from tests.builders import NOW, a_tenant, an_organization


async def test_an_organization_is_read_back_whole(organizations: OrganizationStore) -> None:
    organization = an_organization(
        consent=ConsentState.GRANTED,
        consent_changed_at=NOW,
        consent_nonce="n0nce",
        denied_since=NOW,
        is_closing=True,
        settings=OrganizationSettings(
            access_mode=AccessMode.APPLICATION,
            sync_mode=SyncMode.POLL,
            tentative_is_busy=False,
            minimum_notice=timedelta(minutes=30),
            horizon=timedelta(days=30),
            buffer_before=timedelta(minutes=5),
            buffer_after=timedelta(minutes=10),
            step_minutes=30,
            online_meeting=OnlineMeetingChoice.NONE,
            retention=timedelta(days=7),
            owner_address="owner@contoso.example",
        ),
        pending=PendingSettings(AccessMode.APPLICATION, timedelta(days=90)),
    )
    created = await organizations.create(organization)
    assert created.version
    assert created == replace(organization, version=created.version)
    assert await organizations.get(organization.id) == created


async def test_an_absent_organization_is_not_found(organizations: OrganizationStore) -> None:
    with pytest.raises(NotFound):
        await organizations.get(an_organization().id)


async def test_a_tenant_leads_to_its_organization(organizations: OrganizationStore) -> None:
    created = await organizations.create(an_organization())
    assert created.tenant_id is not None
    assert await organizations.of_tenant(created.tenant_id) == created
    assert await organizations.of_tenant(a_tenant()) is None


async def test_an_id_is_taken_once(organizations: OrganizationStore) -> None:
    first = await organizations.create(an_organization())
    with pytest.raises(Conflict):
        await organizations.create(an_organization(id=first.id))
    assert await organizations.get(first.id) == first


async def test_a_tenant_belongs_to_one_organization(organizations: OrganizationStore) -> None:
    first = await organizations.create(an_organization())
    second = an_organization(tenant_id=first.tenant_id)
    with pytest.raises(Conflict):
        await organizations.create(second)
    with pytest.raises(NotFound):
        await organizations.get(second.id)


async def test_of_many_who_want_a_tenant_one_gets_it(organizations: OrganizationStore) -> None:
    tenant_id = a_tenant()
    answers = await asyncio.gather(
        *(organizations.create(an_organization(tenant_id=tenant_id)) for _ in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Organization) for answer in answers) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 7
    owner = await organizations.of_tenant(tenant_id)
    assert owner in answers
    stored, _ = await organizations.list()
    assert stored == [owner]


async def test_organizations_without_a_tenant_are_no_rivals(
    organizations: OrganizationStore,
) -> None:
    for _ in range(2):
        await organizations.create(an_organization(tenant_id=None))
    assert len((await organizations.list())[0]) == 2


async def test_a_stale_save_is_refused(organizations: OrganizationStore) -> None:
    created = await organizations.create(an_organization())
    saved = await organizations.save(replace(created, consent=ConsentState.GRANTED))
    with pytest.raises(StaleRow):
        await organizations.save(replace(created, consent=ConsentState.DECLINED))
    assert await organizations.get(created.id) == saved


async def test_a_tenant_found_by_consent_is_claimed(organizations: OrganizationStore) -> None:
    created = await organizations.create(an_organization(tenant_id=None))
    tenant_id = a_tenant()
    saved = await organizations.save(replace(created, tenant_id=tenant_id))
    assert await organizations.of_tenant(tenant_id) == saved
    with pytest.raises(Conflict):
        await organizations.create(an_organization(tenant_id=tenant_id))


async def test_anothers_tenant_cannot_be_saved(organizations: OrganizationStore) -> None:
    first = await organizations.create(an_organization())
    second = await organizations.create(an_organization(tenant_id=None))
    with pytest.raises(Conflict):
        await organizations.save(replace(second, tenant_id=first.tenant_id))
    assert await organizations.get(second.id) == second


async def test_a_tenant_that_was_left_is_free(organizations: OrganizationStore) -> None:
    first = await organizations.create(an_organization())
    assert first.tenant_id is not None
    moved = await organizations.save(replace(first, tenant_id=a_tenant()))
    assert await organizations.of_tenant(first.tenant_id) is None
    second = await organizations.create(an_organization(tenant_id=first.tenant_id))
    assert await organizations.of_tenant(first.tenant_id) == second
    assert await organizations.get(first.id) == moved


async def test_deleting_frees_the_tenant_and_twice_is_fine(
    organizations: OrganizationStore,
) -> None:
    first = await organizations.create(an_organization())
    assert first.tenant_id is not None
    await organizations.delete(first.id)
    await organizations.delete(first.id)
    assert await organizations.of_tenant(first.tenant_id) is None
    await organizations.create(an_organization(tenant_id=first.tenant_id))


async def test_organizations_are_listed_in_pages(organizations: OrganizationStore) -> None:
    created = [await organizations.create(an_organization()) for _ in range(5)]
    seen: list[Organization] = []
    cursor: str | None = None
    while True:
        page, cursor = await organizations.list(after=cursor, limit=2)
        seen += page
        if cursor is None:
            break
    assert seen == sorted(created, key=lambda organization: organization.id)


async def test_a_foreign_cursor_is_invalid(organizations: OrganizationStore) -> None:
    with pytest.raises(Invalid):
        await organizations.list(after="not ours")
