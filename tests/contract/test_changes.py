"""The contract of `ChangeStore`."""

import asyncio
from datetime import timedelta

import pytest

from shared.changes.model import Change, ChangeKind
from shared.changes.ports import ChangeStore
from shared.errors import Invalid
from shared.ids import ObjectId, OrganizationId
from tests.builders import NOW, a_change, a_uuid


@pytest.fixture
def organization_id() -> OrganizationId:
    return OrganizationId(a_uuid())


async def all_of(changes: ChangeStore, organization_id: OrganizationId) -> list[Change]:
    found, _ = await changes.after(organization_id, None, 1000)
    return list(found)


async def test_a_change_is_read_back_whole(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    appended = [
        a_change(organization_id, lag_ms=1234, detail="accepted", cause="outlook"),
        Change(
            organization_id,
            NOW,
            ChangeKind.TROUBLE,
            "reconciliation",
            detail="out_of_scope",
            object_id=ObjectId(a_uuid()),
            remedy="Put the person into the scope.",
        ),
    ]
    await changes.append(appended)
    assert await all_of(changes, organization_id) == appended


async def test_an_organization_sees_its_own_alone(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    mine, theirs = a_change(organization_id), a_change(OrganizationId(a_uuid()))
    await changes.append([mine, theirs])
    assert await all_of(changes, organization_id) == [mine]
    assert await all_of(changes, theirs.organization_id) == [theirs]


async def test_a_cursor_goes_on_where_it_stopped(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    appended = [a_change(organization_id) for _ in range(5)]
    await changes.append(appended)
    first, cursor = await changes.after(organization_id, None, 3)
    second, cursor = await changes.after(organization_id, cursor, 3)
    assert [*first, *second] == appended
    nothing, same = await changes.after(organization_id, cursor, 3)
    assert (nothing, same) == ([], cursor)
    late = a_change(organization_id)
    await changes.append([late])
    assert (await changes.after(organization_id, cursor, 3))[0] == [late]


async def test_an_empty_feed_has_no_cursor(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    assert await changes.after(organization_id, None, 3) == ([], None)


async def test_order_is_of_appending_not_of_clocks(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    later, earlier = (
        a_change(organization_id, at=NOW + timedelta(hours=1)),
        a_change(organization_id, at=NOW),
    )
    await changes.append([later])
    await changes.append([earlier])
    assert await all_of(changes, organization_id) == [later, earlier]


async def test_more_than_a_transaction_holds_is_appended(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    appended = [a_change(organization_id) for _ in range(205)]
    await changes.append(appended)
    assert await all_of(changes, organization_id) == appended


async def test_a_reader_misses_nothing_that_is_written_meanwhile(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    written = [a_change(organization_id) for _ in range(30)]
    seen: list[Change] = []
    done = asyncio.Event()

    async def read() -> None:
        cursor: str | None = None
        while True:
            finished = done.is_set()
            page, cursor = await changes.after(organization_id, cursor, 4)
            seen.extend(page)
            if finished and not page:
                return

    reader = asyncio.create_task(read())
    await asyncio.gather(*(changes.append([change]) for change in written))
    done.set()
    await reader
    assert sorted(seen, key=repr) == sorted(written, key=repr)
    assert seen == await all_of(changes, organization_id)


async def test_a_change_is_in_the_feed_once_however_often_it_is_appended(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    written = [a_change(organization_id) for _ in range(60)]
    await changes.append(written[:2])
    await changes.append(written[:40])
    await asyncio.gather(*(changes.append(written) for _ in range(3)))
    assert await all_of(changes, organization_id) == written


async def test_old_changes_are_forgotten_and_cursors_go_on(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    appended = [a_change(organization_id, at=NOW + timedelta(days=n)) for n in range(5)]
    await changes.append(appended)
    _, cursor = await changes.after(organization_id, None, 1)
    assert await changes.delete(organization_id, before=NOW + timedelta(days=3)) == 3
    assert await changes.delete(organization_id, before=NOW + timedelta(days=3)) == 0
    assert (await changes.after(organization_id, cursor, 10))[0] == appended[3:]
    await changes.append(appended[:1])
    assert await all_of(changes, organization_id) == [*appended[3:], appended[0]]


async def test_all_changes_can_be_forgotten(
    changes: ChangeStore, organization_id: OrganizationId
) -> None:
    await changes.append([a_change(organization_id) for _ in range(150)])
    assert await changes.delete(organization_id) == 150
    assert await changes.delete(organization_id) == 0
    assert await all_of(changes, organization_id) == []


@pytest.mark.parametrize("cursor", ["%", "bm90IG91cnM", "LTE", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM"])
async def test_a_foreign_cursor_is_invalid(
    changes: ChangeStore, organization_id: OrganizationId, cursor: str
) -> None:
    with pytest.raises(Invalid):
        await changes.after(organization_id, cursor, 1)


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_the_last_changes_come_oldest_first(changes: ChangeStore, limit: int) -> None:
    organization_id = OrganizationId(a_uuid())
    written = [a_change(organization_id) for _ in range(5)]
    await changes.append(written)
    assert list(await changes.recent(organization_id, limit)) == written[-limit:]


async def test_an_empty_feed_has_no_last_changes(changes: ChangeStore) -> None:
    assert not await changes.recent(OrganizationId(a_uuid()), 10)
