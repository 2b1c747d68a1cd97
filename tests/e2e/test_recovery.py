"""Recovery: rows that were lost, another region with another address and another identity.

docs/operate.md says what these tests show.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.data.tables.aio import TableServiceClient

from local.cloud import LocalCloud
from local.serving import Address, take_address
from scripts.tables import restore, save
from shared.adapters.tables.client import table_service
from tests.e2e.conftest import AppUnderTest, a_cloud, an_app, wiring_of
from tests.e2e.platform import Platform
from tests.e2e.test_following import evening, z

FEED = "organizations/contoso/changes"


@asynccontextmanager
async def tables_of(cloud: LocalCloud) -> AsyncIterator[TableServiceClient]:
    """Provide the account's tables."""
    async with wiring_of(cloud) as adapters:
        identity, transport = adapters.credentials.managed_identity, adapters.credentials.transport
        url = adapters.settings.storage_tables_url
        async with table_service(url, identity, transport()) as service:
            yield service


async def lose_all_rows(cloud: LocalCloud) -> None:
    async with tables_of(cloud) as service:
        async for table in service.list_tables():
            await service.delete_table(table.name)


async def answer(app: AppUnderTest, path: str, who: str = "ben", **params: str) -> Any:
    reply = await app.call(who, "GET", path, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def tick(app: AppUnderTest) -> None:
    """Run the timers once, and what they queue."""
    for timer in ("renew_subscriptions", "reconcile_sessions"):
        await app.host.invoke_timer(timer)
    await app.settled()


async def test_a_region_is_lost_and_the_saved_rows_are_put_back_in_another(tmp_path: Path) -> None:
    old, new = take_address(), take_address()
    saved = tmp_path / "rows"
    with old.taken, new.taken:
        await recovered(tmp_path, old, new, saved)


async def recovered(tmp_path: Path, old: Address, new: Address, saved: Path) -> None:
    """Lose everything at *old*, and put *saved* back at *new*."""
    async with a_cloud(tmp_path, f"https://localhost:{old.port}") as cloud:
        outlook, registration = cloud.graph.outlook, cloud.entra.registration
        async with an_app(cloud, old.taken, tmp_path / "old") as app:
            answered, moved, cancelled = [await app.book() for _ in range(3)]
            await app.settled()
            async with tables_of(cloud) as service:
                await save(service, saved)
            unsaved = await app.book()
            outlook.accept("ada", answered["id"])
            outlook.move("ben", moved["id"], evening(), evening() + timedelta(minutes=30))
            outlook.cancel("ben", cancelled["id"])
            await app.settled()
            cursor = (await answer(app, FEED, "platform"))["next"]

        await lose_all_rows(cloud)
        cloud.public_url = f"https://localhost:{new.port}"
        known = list(registration.federated)
        registration.federated.clear()  # the new identity is not registered yet
        async with tables_of(cloud) as service:
            await restore(service, saved, datetime.now(UTC))
        async with an_app(cloud, new.taken, tmp_path / "new") as app:
            # Before register.sh has run, callers get a problem and nothing is concluded.
            reply = await app.call("platform", "GET", "health/details")
            assert reply.status_code == 200, reply.text  # the storage answers
            await tick(app)
            shown = await answer(app, f"sessions/{cancelled['id']}")
            assert shown["state"] == "scheduled"
            registration.federated += known

            await tick(app)
            shown = await answer(app, f"sessions/{answered['id']}")
            assert shown["attendees"][0]["response"] == "accepted"
            assert (await answer(app, f"sessions/{moved['id']}"))["start"] == z(evening())
            assert (await answer(app, f"sessions/{cancelled['id']}"))["state"] == "cancelled"
            kinds = [
                each["kind"]
                for each in (await answer(app, FEED, "platform", cursor=cursor))["items"]
            ]
            assert sorted(kinds) == [
                "session.cancelled",
                "session.rescheduled",
                "session.responded",
            ]

            # What was booked after the rows were saved is a meeting, and no session any more.
            assert (await app.call("ben", "GET", f"sessions/{unsaved['id']}")).status_code == 404
            assert outlook.find("ben", unsaved["id"])
            assert unsaved["start"] not in [slot["start"] for slot in await app.slots()]

            # Graph notifies the new address: no timer runs any more.
            outlook.decline("ada", answered["id"])
            await app.settled()
            shown = await answer(app, f"sessions/{answered['id']}")
            assert shown["attendees"][0]["response"] == "declined"
            urls = {each.notification_url for each in cloud.graph.backend.subscriptions.all()}
            assert urls == {f"{cloud.public_url}/api/graph/notifications"}


async def test_all_rows_are_lost_and_none_was_saved(stage: AppUnderTest) -> None:
    platform = Platform(stage)
    before = await stage.book()
    await stage.settled()
    await lose_all_rows(stage.cloud)

    assert (await stage.call("ben", "GET", "pairings")).status_code == 401
    made = await platform.answer("POST", "organizations", 201, json={})
    page = await platform.visit(await platform.link(made["id"]), "grant", "ines")
    assert "Your organization is connected" in page.text
    people = [
        {"role": role, "address": stage.cloud.world.person(who).address}
        for role, who in (("mentor", "ada"), ("mentee", "ben"))
    ]
    path = f"organizations/{made['id']}/pairings/ada-ben"
    await platform.answer("PUT", path, json={"participants": people})

    # The meeting stands, keeps its time busy, and says nothing to the app.
    assert (await stage.call("ben", "GET", f"sessions/{before['id']}")).status_code == 404
    assert before["start"] not in [slot["start"] for slot in await stage.slots()]
    after = await stage.book()
    await stage.settled()
    stage.cloud.graph.outlook.cancel("ben", before["id"])
    stage.cloud.graph.outlook.accept("ada", after["id"])
    await stage.settled()
    shown = await answer(stage, f"sessions/{after['id']}")
    assert shown["attendees"][0]["response"] == "accepted"
    assert [one["id"] for one in (await answer(stage, "sessions"))["items"]] == [after["id"]]
