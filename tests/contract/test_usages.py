"""The contract of `UsageStore`."""

import asyncio
from dataclasses import replace

import pytest

from shared.adapters.tables.client import Tables
from shared.adapters.tables.organizations import TableOrganizations
from shared.adapters.tables.tenant_rows import TableTenantRows
from shared.adapters.tables.usages import TableUsages
from shared.errors import LimitReached
from shared.ids import OrganizationId
from shared.limits.model import Spender, Spending, Usage
from shared.limits.ports import UsageStore
from tests.builders import NOW, a_mailbox, a_uuid, an_organization


def spenders() -> list[Spender]:
    """Return a participant and their organization, with each spending."""
    organization_id, mailbox = OrganizationId(a_uuid()), a_mailbox()
    return [
        Spender(spending, organization_id, owner)
        for spending in Spending
        for owner in (mailbox, None)
    ]


def one_more(usage: Usage) -> Usage:
    return usage.at(NOW).with_spent(1)


def same(usage: Usage) -> Usage:
    return usage


async def test_usage_is_read_back_whole(usages: UsageStore) -> None:
    for number, spender in enumerate(spenders()):
        spent = replace(
            Usage().at(NOW).with_spent(number, f"k{number}").with_spent(1, "other"), unanswered=7
        )
        assert await usages.update(spender, lambda _, spent=spent: spent) == spent  # type: ignore[misc]
        assert await usages.update(spender, same) == spent


async def test_nobody_has_spent_anything_at_first(usages: UsageStore) -> None:
    for spender in spenders():
        assert await usages.update(spender, same) == Usage()


async def test_changes_at_once_are_all_kept(usages: UsageStore) -> None:
    spender, *_ = spenders()
    await asyncio.gather(*(usages.update(spender, one_more) for _ in range(6)))
    usage = await usages.update(spender, same)
    assert (usage.minute.spent, usage.day.spent) == (6, 6)


async def test_a_refusal_stores_nothing(usages: UsageStore) -> None:
    spender, *_ = spenders()

    def refuse(_: Usage) -> Usage:
        raise LimitReached("no", retry_after_seconds=1, remedy="wait")

    with pytest.raises(LimitReached):
        await usages.update(spender, refuse)
    assert await usages.update(spender, same) == Usage()


async def test_usage_goes_with_the_mailbox_and_the_organization(tables: Tables) -> None:
    usages, organizations = TableUsages(tables), TableOrganizations(tables)
    organization = await organizations.create(an_organization())
    mailbox = a_mailbox()
    owners = [
        Spender(spending, organization.id, owner)
        for spending in Spending
        for owner in (mailbox, None)
    ]
    for spender in owners:
        await usages.update(spender, one_more)
    assert await TableTenantRows(tables).delete_rows(mailbox) == {"usage": len(Spending)}
    await organizations.delete(organization.id)
    for spender in owners:
        assert await usages.update(spender, same) == Usage()
