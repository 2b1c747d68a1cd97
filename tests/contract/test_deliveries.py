"""The contract of `DeliveryStore`."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.changes.ports import Delivery, DeliveryStore
from shared.errors import StaleRow
from shared.ids import OrganizationId
from tests.builders import NOW, a_uuid


async def test_nothing_was_delivered_at_first(deliveries: DeliveryStore) -> None:
    assert await deliveries.get(OrganizationId(a_uuid())) == Delivery()


async def test_it_is_read_back_whole(deliveries: DeliveryStore) -> None:
    organization_id = OrganizationId(a_uuid())
    delivery = Delivery(
        cursor="abc",
        delivered_at=NOW,
        lease_until=NOW + timedelta(seconds=30),
        failures=3,
        failing_since=NOW - timedelta(hours=1),
        retry_at=NOW + timedelta(minutes=2),
        refused=7,
    )
    stored = await deliveries.save(organization_id, delivery)
    assert stored == replace(delivery, version=stored.version)
    assert await deliveries.get(organization_id) == stored
    again = await deliveries.save(organization_id, replace(stored, lease_until=None, failures=0))
    assert await deliveries.get(organization_id) == again


async def test_of_two_the_second_learns_that_it_was(deliveries: DeliveryStore) -> None:
    organization_id = OrganizationId(a_uuid())
    first = await deliveries.save(organization_id, Delivery(cursor="a"))
    with pytest.raises(StaleRow):
        await deliveries.save(organization_id, Delivery(cursor="b"))
    await deliveries.save(organization_id, replace(first, cursor="c"))
    with pytest.raises(StaleRow):
        await deliveries.save(organization_id, replace(first, cursor="d"))
    assert (await deliveries.get(organization_id)).cursor == "c"
