"""The contract of `SubscriptionStore`."""

import asyncio
from dataclasses import replace

import pytest

from shared.errors import StaleRow
from shared.subscriptions.model import Subscription, SubscriptionState
from shared.subscriptions.ports import SubscriptionStore
from tests.builders import NOW, a_mailbox, a_subscription, a_tenant


@pytest.mark.parametrize(
    "subscription",
    [
        a_subscription(last_push_at=NOW),
        a_subscription(
            state=SubscriptionState.POLLING,
            id=None,
            expires_at=None,
            renewed_at=None,
            failure="ExtensionError",
        ),
    ],
    ids=["active", "polling"],
)
async def test_a_subscription_is_read_back_whole(
    subscriptions: SubscriptionStore, subscription: Subscription
) -> None:
    saved = await subscriptions.save(replace(subscription, mailbox=a_mailbox()))
    assert saved.version
    assert await subscriptions.get(saved.mailbox) == saved
    assert replace(saved, version="", mailbox=subscription.mailbox) == subscription


async def test_a_mailbox_without_one_has_none(subscriptions: SubscriptionStore) -> None:
    assert await subscriptions.get(a_mailbox()) is None


async def test_a_second_first_one_is_stale(subscriptions: SubscriptionStore) -> None:
    subscription = a_subscription()
    await subscriptions.save(subscription)
    with pytest.raises(StaleRow):
        await subscriptions.save(subscription)


async def test_of_many_who_save_one_does(subscriptions: SubscriptionStore) -> None:
    saved = await subscriptions.save(a_subscription())
    answers = await asyncio.gather(
        *(subscriptions.save(replace(saved, nonce=f"n{n}")) for n in range(5)),
        return_exceptions=True,
    )
    winners = [answer for answer in answers if isinstance(answer, Subscription)]
    assert [await subscriptions.get(saved.mailbox)] == winners
    assert sum(isinstance(answer, StaleRow) for answer in answers) == 4


async def test_deleting_twice_is_fine(subscriptions: SubscriptionStore) -> None:
    saved = await subscriptions.save(a_subscription())
    for _ in range(2):
        await subscriptions.delete(saved.mailbox)
    assert await subscriptions.get(saved.mailbox) is None
    with pytest.raises(StaleRow):
        await subscriptions.save(saved)


async def test_a_tenants_subscriptions_are_found_and_no_others(
    subscriptions: SubscriptionStore,
) -> None:
    tenant_id = a_tenant()
    ours = [
        await subscriptions.save(a_subscription(mailbox=a_mailbox(tenant_id))) for _ in range(3)
    ]
    await subscriptions.save(a_subscription())
    found = [one async for page in subscriptions.of_tenant(tenant_id) for one in page]
    assert sorted(found, key=lambda s: s.mailbox) == sorted(ours, key=lambda s: s.mailbox)
