"""The contract of `LostMailboxStore`."""

from dataclasses import replace

import pytest

from shared.errors import StaleRow
from shared.ids import Mailbox, ObjectId, OrganizationId, TenantId
from shared.organizations.lost_mailboxes import LostMailbox, LostMailboxStore, Told
from tests.builders import NOW, a_mailbox, a_tenant, a_uuid


def a_lost_mailbox(tenant_id: TenantId | None = None) -> LostMailbox:
    mailbox = Mailbox(tenant_id or a_tenant(), ObjectId(a_uuid()))
    return LostMailbox(OrganizationId("contoso"), mailbox, NOW, "out_of_scope")


async def test_a_lost_mailbox_is_read_back_whole(lost_mailboxes: LostMailboxStore) -> None:
    saved = await lost_mailboxes.save(a_lost_mailbox())
    told = await lost_mailboxes.save(replace(saved, told=Told.TENANT))
    assert told.version != saved.version
    assert await lost_mailboxes.get(saved.mailbox) == told


async def test_a_mailbox_that_is_not_lost_has_no_row(lost_mailboxes: LostMailboxStore) -> None:
    assert await lost_mailboxes.get(a_mailbox()) is None


async def test_of_two_who_find_it_lost_one_saves_it(lost_mailboxes: LostMailboxStore) -> None:
    lost = a_lost_mailbox()
    await lost_mailboxes.save(lost)
    with pytest.raises(StaleRow):
        await lost_mailboxes.save(lost)


async def test_forgetting_twice_is_not_an_error(lost_mailboxes: LostMailboxStore) -> None:
    lost = await lost_mailboxes.save(a_lost_mailbox())
    await lost_mailboxes.delete(lost.mailbox)
    await lost_mailboxes.delete(lost.mailbox)
    assert await lost_mailboxes.get(lost.mailbox) is None


async def test_a_tenant_s_lost_mailboxes_are_listed(lost_mailboxes: LostMailboxStore) -> None:
    tenant_id = a_tenant()
    mine = {(await lost_mailboxes.save(a_lost_mailbox(tenant_id))).mailbox for _ in range(3)}
    await lost_mailboxes.save(a_lost_mailbox())
    found = [lost.mailbox async for page in lost_mailboxes.of_tenant(tenant_id) for lost in page]
    assert set(found) == mine
    assert len(found) == 3
