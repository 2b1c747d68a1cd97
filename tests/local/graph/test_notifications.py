"""Notifications: shape, batches, copies, losses, retries, lifecycle."""

from datetime import timedelta
from typing import Any

from tests.local.graph.conftest import TENANT, Graph, Webhook
from tests.local.graph.test_schedules import at
from tests.local.graph.test_subscriptions import AS_APP, subscribe

IMMUTABLE = {"Prefer": 'IdType="ImmutableId"'}


async def test_a_change_is_notified_in_graphs_words(graph: Graph, webhook: Webhook) -> None:
    made = await subscribe(graph, webhook)
    event = await graph.book()
    await graph.simulator.settle()
    (item,) = webhook.items
    assert item.pop("id")
    path = f"Users/{graph.oid('ada')}/Events/{event['id']}"
    assert item == {
        "subscriptionId": made["id"],
        "subscriptionExpirationDateTime": "2026-03-09T07:40:00.0000000+00:00",
        "clientState": "secret",
        "changeType": "created",
        "tenantId": TENANT,
        "resource": path,
        "resourceData": {
            "@odata.type": "#Microsoft.Graph.Event",
            "@odata.id": path,
            "@odata.etag": event["@odata.etag"],
            "id": event["id"],
        },
    }


async def test_ids_are_immutable_only_if_the_subscription_asked(
    graph: Graph, webhook: Webhook
) -> None:
    await subscribe(graph, webhook, headers=IMMUTABLE)
    event = await graph.book()
    await graph.simulator.settle()
    ((_, notified),) = webhook.changes()
    assert notified != event["id"]
    shown = await graph.call("GET", f"/me/events/{event['id']}", headers=IMMUTABLE, expect=200)
    assert notified == shown["id"]


async def test_answers_moves_and_cancellations_are_notified(graph: Graph, webhook: Webhook) -> None:
    await subscribe(graph, webhook, "ada")
    event = await graph.book()
    await graph.simulator.settle()
    outlook, uid = graph.simulator.outlook, event["iCalUId"]
    outlook.accept("bob", uid)
    await graph.simulator.settle()
    outlook.move("ada", uid, at(15))
    outlook.cancel("ada", uid, comment="Sorry")
    await graph.simulator.settle()
    assert [kind for kind, _ in webhook.changes()] == ["created", "updated", "updated", "deleted"]


async def test_an_attendee_sees_a_cancellation_as_update(graph: Graph, webhook: Webhook) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    await subscribe(graph, webhook, "bob")
    graph.simulator.outlook.cancel("ada", event["iCalUId"])
    await graph.simulator.settle()
    assert [kind for kind, _ in webhook.changes()] == ["updated"]


async def test_moving_out_of_the_calendar_looks_like_deletion(
    graph: Graph, webhook: Webhook
) -> None:
    await subscribe(graph, webhook)
    event = await graph.book()
    graph.simulator.outlook.move_to("ada", event["iCalUId"], "Other")
    graph.simulator.outlook.edit("ada", event["iCalUId"], subject="Unseen")
    await graph.simulator.settle()
    # Created, then deleted from the calendar and created in the other one.
    kinds = sorted(kind for kind, _ in webhook.changes())
    assert kinds == ["created", "created", "deleted"]


async def test_many_changes_share_a_post(graph: Graph, webhook: Webhook) -> None:
    await subscribe(graph, webhook, "ada")
    await subscribe(graph, webhook, "bob")
    for number in range(5):
        await graph.book("ada", "bob", subject=f"n{number}")
    await graph.simulator.advance(timedelta(minutes=1))
    assert len(webhook.items) == 10
    assert len(webhook.posts) < 10


async def test_copies_are_sent_by_default(graph: Graph, webhook: Webhook) -> None:
    graph.simulator.switches.duplicates = 2
    await subscribe(graph, webhook)
    for _ in range(10):
        await graph.book()
    await graph.simulator.settle()
    assert 10 < len(webhook.items) <= 30
    assert len(set(webhook.changes())) == 10


async def test_failed_deliveries_are_retried_with_growing_pauses(
    graph: Graph, webhook: Webhook
) -> None:
    await subscribe(graph, webhook)
    await graph.book()
    webhook.status = 503
    await graph.simulator.advance(timedelta(minutes=5))
    tries = len(webhook.posts)
    assert 4 <= tries <= 7
    webhook.status = 202
    await graph.simulator.settle()
    assert len(webhook.posts) == tries + 1
    assert graph.simulator.tally.delivered == 1


async def test_after_four_hours_it_is_missed(graph: Graph, webhook: Webhook) -> None:
    await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
    await graph.book()
    webhook.status = 500
    await graph.simulator.advance(timedelta(hours=5))
    webhook.status = 202
    webhook.items.clear()
    await graph.simulator.settle()
    assert [item.get("lifecycleEvent") for item in webhook.items] == ["missed"]


async def test_a_slow_answer_counts_as_failure(graph: Graph, webhook: Webhook) -> None:
    graph.simulator.switches.answer_seconds = 0.01
    await subscribe(graph, webhook)
    await graph.book()
    webhook.delay = 0.05
    await graph.simulator.settle(timedelta(seconds=3))
    assert (graph.simulator.tally.failed, graph.simulator.tally.delivered) == (1, 0)
    await graph.simulator.settle()
    assert graph.simulator.tally.delivered == 1


async def test_a_slow_endpoint_is_delayed_ten_minutes(graph: Graph, webhook: Webhook) -> None:
    graph.simulator.switches.answer_seconds = 0.01
    await subscribe(graph, webhook)
    webhook.delay = 0.03
    for _ in range(10):
        await graph.book()
        await graph.simulator.advance(timedelta(seconds=5))
    assert graph.simulator.backend.notifier.endpoint_state(webhook.url) == "slow"
    webhook.delay = 0
    webhook.items.clear()
    await graph.book()
    await graph.simulator.advance(timedelta(minutes=5))
    assert not webhook.items
    await graph.simulator.advance(timedelta(minutes=30))
    assert webhook.items
    assert graph.simulator.backend.notifier.endpoint_state(webhook.url) == "good"


async def test_a_dead_endpoint_loses_notifications(graph: Graph, webhook: Webhook) -> None:
    switches = graph.simulator.switches
    switches.retry_answer_seconds = 0.02
    switches.retry_for_seconds = 1
    await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
    webhook.delay = 0.1
    for _ in range(10):
        await graph.book()
        await graph.simulator.advance(timedelta(seconds=5))
    assert graph.simulator.backend.notifier.endpoint_state(webhook.url) == "drop"


async def test_dropped_changes_are_announced_as_missed(graph: Graph, webhook: Webhook) -> None:
    graph.simulator.switches.drop_share = 1.0
    await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
    for _ in range(3):
        await graph.book()
    await graph.simulator.settle()
    assert [item.get("lifecycleEvent") for item in webhook.items] == ["missed"]


async def test_other_injected_faults(graph: Graph, webhook: Webhook) -> None:
    switches = graph.simulator.switches
    switches.omit_notification_id = True
    switches.wrong_client_state_share = 1.0
    switches.late_share = 1.0
    switches.reorder = True
    await subscribe(graph, webhook)
    await graph.book()
    await graph.simulator.advance(timedelta(minutes=59))
    assert not webhook.items
    await graph.simulator.advance(timedelta(minutes=2))
    (item,) = webhook.items
    assert "id" not in item
    assert item["clientState"] != "secret"


async def test_delivery_waits_for_reauthorization(graph: Graph, webhook: Webhook) -> None:
    graph.simulator.switches.keep_while_paused = True
    made = await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
    await graph.control("POST", f"/subscriptions/{made['id']}/lifecycle/reauthorizationRequired")
    await graph.book()
    await graph.simulator.settle()
    assert [item.get("lifecycleEvent") for item in webhook.items] == ["reauthorizationRequired"]
    path = f"/subscriptions/{made['id']}/reauthorize"
    await graph.call("POST", path, **AS_APP, expect=204)
    await graph.simulator.settle()
    assert [kind for kind, _ in webhook.changes()] == ["created"]


async def test_until_a_reauthorization_changes_are_lost(graph: Graph, webhook: Webhook) -> None:
    made = await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
    await graph.control("POST", f"/subscriptions/{made['id']}/lifecycle/reauthorizationRequired")
    await graph.book()
    await graph.simulator.settle()
    await graph.call("POST", f"/subscriptions/{made['id']}/reauthorize", **AS_APP, expect=204)
    await graph.simulator.settle()
    assert webhook.changes() == []


async def test_a_lifecycle_notification_has_the_observed_shape(
    graph: Graph, webhook: Webhook
) -> None:
    made = await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
    await graph.control("POST", f"/subscriptions/{made['id']}/lifecycle/missed")
    await graph.simulator.settle()
    assert webhook.items == [
        {
            "lifecycleEvent": "missed",
            "subscriptionId": made["id"],
            "resource": f"Subscriptions/{made['id']}",
            "resourceChangeType": None,
            "clientState": "secret",
            "resourceData": {
                "@odata.type": "#microsoft.graph.subscription",
                "@odata.id": f"subscriptions/{made['id']}",
                "id": made["id"],
            },
            "encryptedContent": None,
            "organizationId": TENANT,
            "subscriptionExpirationDateTime": "2026-03-08T23:40:00.0000000-08:00",
        }
    ]


async def test_removal_with_and_without_telling(graph: Graph, webhook: Webhook) -> None:
    for tell in (True, False):
        webhook.items.clear()
        made = await subscribe(graph, webhook, lifecycleNotificationUrl=webhook.url)
        path = f"/subscriptions/{made['id']}/lifecycle/subscriptionRemoved"
        await graph.control("POST", path, {"tell": tell})
        await graph.book()
        await graph.simulator.settle()
        notified: list[Any] = [item.get("lifecycleEvent") for item in webhook.items]
        assert notified == (["subscriptionRemoved"] if tell else [])


async def test_due_acts_happen_in_the_background(graph: Graph, webhook: Webhook) -> None:
    await subscribe(graph, webhook)
    await graph.book()
    graph.simulator.backend.scheduler.start()
    graph.world.clock.advance(timedelta(minutes=1))
    while not webhook.items:
        await webhook.wait()
    assert webhook.changes()
