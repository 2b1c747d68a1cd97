"""The contract of `DueStore`."""

from dataclasses import replace
from datetime import datetime, timedelta

from shared.jobs import DueItem, DueKind, DueStore
from tests.builders import NOW, a_due_item, a_session_id


async def due_at(
    due: DueStore, now: datetime, kind: DueKind = DueKind.RENEWAL, page: int = 100
) -> list[list[DueItem]]:
    return [items async for items in due.due(kind, now, page=page)]


async def test_an_item_is_read_back_whole(due: DueStore) -> None:
    item = a_due_item(
        NOW + timedelta(microseconds=1), kind=DueKind.PURGE, key=f"{a_session_id()}/#?%;é"
    )
    await due.put([item])
    assert await due_at(due, NOW + timedelta(days=1), DueKind.PURGE) == [[item]]


async def test_only_what_is_due_is_told(due: DueStore) -> None:
    long_ago = a_due_item(NOW - timedelta(days=40))
    an_hour_ago = a_due_item(NOW - timedelta(hours=1))
    just_now = a_due_item(NOW)
    await due.put(
        [
            a_due_item(NOW + timedelta(microseconds=1)),
            a_due_item(NOW + timedelta(days=3)),
            a_due_item(an_hour_ago.due_at, kind=DueKind.PURGE),
            just_now,
            long_ago,
            an_hour_ago,
        ]
    )
    pages = await due_at(due, NOW)
    assert [item for page in pages for item in page] == [long_ago, an_hour_ago, just_now]


async def test_at_the_full_hour_nothing_is_missed(due: DueStore) -> None:
    before = a_due_item(NOW - timedelta(microseconds=1))
    on_the_hour = a_due_item(NOW)
    await due.put([on_the_hour, before])
    pages = await due_at(due, NOW)
    assert [item for page in pages for item in page] == [before, on_the_hour]


async def test_many_items_come_in_pages_in_order(due: DueStore) -> None:
    items = [a_due_item(NOW - timedelta(seconds=n)) for n in range(250)]
    await due.put(items)
    pages = await due_at(due, NOW, page=100)
    assert max(map(len, pages)) <= 100
    assert [item for page in pages for item in page] == sorted(items)


async def test_items_may_be_done_while_they_are_read(due: DueStore) -> None:
    items = [a_due_item(NOW - timedelta(minutes=n)) for n in range(130)]
    await due.put(items)
    seen: list[DueItem] = []
    async for page in due.due(DueKind.RENEWAL, NOW, page=40):
        seen += page
        await due.remove(page)
    assert seen == sorted(items)
    assert await due_at(due, NOW) == []


async def test_the_same_item_twice_is_one(due: DueStore) -> None:
    item = a_due_item()
    await due.put([item, item])
    await due.put([item])
    assert await due_at(due, NOW) == [[item]]


async def test_done_items_are_gone_and_absent_ones_no_error(due: DueStore) -> None:
    done, absent, stays = a_due_item(), a_due_item(), a_due_item()
    await due.put([done, stays])
    await due.remove([absent, done, done])
    await due.remove([done])
    assert await due_at(due, NOW) == [[stays]]


async def test_nothing_at_all_is_fine(due: DueStore) -> None:
    await due.put([])
    await due.remove([])
    assert await due_at(due, NOW) == []
    assert await due.oldest(DueKind.RENEWAL) is None


async def test_the_oldest_is_told_due_or_not(due: DueStore) -> None:
    future, later = a_due_item(NOW + timedelta(days=1)), a_due_item(NOW + timedelta(days=2))
    await due.put([later, a_due_item(kind=DueKind.PURGE), future])
    assert await due.oldest(DueKind.RENEWAL) == future
    assert await due.oldest(DueKind.RECONCILIATION) is None


async def test_an_organizations_items_are_found_of_every_kind_due_or_not(due: DueStore) -> None:
    ours = [
        a_due_item(NOW + timedelta(days=days), kind=kind) for kind in DueKind for days in (-40, 400)
    ]
    ours = [replace(item, organization_id=ours[0].organization_id) for item in ours]
    await due.put([*ours, a_due_item(NOW)])
    pages = [page async for page in due.of_organization(ours[0].organization_id)]
    assert sorted(item for page in pages for item in page) == sorted(ours)
