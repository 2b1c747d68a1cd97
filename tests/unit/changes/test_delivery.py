"""Telling the platform: in order, at least once, the same again under the same id."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.calendar_sync.sync import sync_session
from shared.changes.delivery import BACKOFF, BATCH, LEASE, DeliveryPorts, deliver, message
from shared.changes.model import Change, ChangeKind
from shared.changes.ports import DeliveryRefused
from shared.organizations.model import Organization, OrganizationSettings
from shared.sessions.model import Cause, ResponseState
from tests.builders import NOW, an_organization
from tests.fakes import FakeClock, InMemoryChanges, InMemoryDeliveries
from tests.unit.sessions.conftest import a_booking_env, a_request, book_one

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "webhooks.md"


class Platform:
    """Takes messages, or not."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Mapping[str, Any]]] = []
        self.refuses: list[bool] = []
        """For each message to come."""
        self.asked: list[str] = []

    async def send(self, message_id: str, message: Mapping[str, Any]) -> None:
        await asyncio.sleep(0)
        self.asked.append(message_id)
        if self.refuses and self.refuses.pop(0):
            raise DeliveryRefused("status_500")
        self.taken.append((message_id, message))

    @property
    def heard(self) -> list[str]:
        return [c["detail"] for _, message in self.taken for c in message["data"]["changes"]]


class DeliveryEnv:
    """One organization's feed, and what tells of it."""

    def __init__(self, organization: Organization | None = None) -> None:
        self.organization = organization or an_organization()
        self.clock = FakeClock()
        self.changes = InMemoryChanges()
        self.deliveries = InMemoryDeliveries()
        self.platform = Platform()
        self.delivering = DeliveryPorts(self.changes, self.deliveries, self.platform, self.clock)
        self.number = 0

    async def happen(self, count: int = 1, kind: ChangeKind = ChangeKind.RESPONDED) -> None:
        for _ in range(count):
            self.number += 1
            change = Change(
                self.organization.id, self.clock.now(), kind, "outlook", detail=str(self.number)
            )
            await self.changes.append([change])

    async def deliver(self) -> timedelta | None:
        return await deliver(self.organization, ports=self.delivering)

    @property
    def all(self) -> list[str]:
        return [str(n + 1) for n in range(self.number)]


async def test_changes_are_delivered_once_and_in_order() -> None:
    post = DeliveryEnv()
    await post.happen(3)
    assert await post.deliver() is None
    await post.happen(2)
    assert await post.deliver() is None
    assert await post.deliver() is None
    assert post.platform.heard == post.all
    assert len({message_id for message_id, _ in post.platform.taken}) == 2


async def test_the_message_says_what_the_feed_says() -> None:
    post = DeliveryEnv()
    await post.happen()
    await post.deliver()
    ((_, message),) = post.platform.taken
    _, cursor = await post.changes.after(post.organization.id, None, 10)
    assert message == {
        "type": "changes",
        "timestamp": "2026-03-02T08:00:00Z",
        "data": {
            "organization_id": post.organization.id,
            "changes": [
                {
                    "at": "2026-03-02T08:00:00Z",
                    "kind": "session.responded",
                    "cause": "outlook",
                    "pairing_id": None,
                    "session_id": None,
                    "lag_ms": None,
                    "detail": "1",
                    "attendee": None,
                    "object_id": None,
                    "remedy": None,
                }
            ],
            "cursor": cursor,
        },
    }


async def test_trouble_names_whom_the_organization_named() -> None:
    settings = OrganizationSettings(owner_address="owner@contoso.example")
    post = DeliveryEnv(an_organization(settings=settings))
    await post.happen()
    await post.deliver()
    await post.happen(kind=ChangeKind.TROUBLE)
    await post.deliver()
    named = [message["data"].get("owner_address") for _, message in post.platform.taken]
    assert named == [None, "owner@contoso.example"]


async def test_many_go_in_messages_that_are_not_too_long() -> None:
    post = DeliveryEnv()
    await post.happen(2 * BATCH + 1)
    assert await post.deliver() is None
    assert [len(m["data"]["changes"]) for _, m in post.platform.taken] == [BATCH, BATCH, 1]
    assert post.platform.heard == post.all


async def test_refused_delivery_is_repeated_unchanged() -> None:
    post = DeliveryEnv()
    await post.happen(2)
    post.platform.refuses = [True, True]
    for wait in BACKOFF[:2]:
        assert await post.deliver() == wait
        await post.happen()
        # Whatever else is announced meanwhile does not hurry it.
        assert await post.deliver() is None
        post.clock.advance(wait)
    state = await post.deliveries.get(post.organization.id)
    assert (state.failures, state.failing_since) == (2, NOW)
    assert await post.deliver() is None
    assert post.platform.heard == post.all
    first, second, third, last = post.platform.asked
    assert first == second == third != last
    state = await post.deliveries.get(post.organization.id)
    assert (state.failures, state.failing_since, state.lease_until) == (0, None, None)


async def test_it_is_never_given_up() -> None:
    post = DeliveryEnv()
    await post.happen()
    waits = []
    for _ in range(30):
        post.platform.refuses = [True]
        wait = await post.deliver()
        assert wait is not None
        waits.append(wait)
        post.clock.advance(wait)
    assert waits[: len(BACKOFF)] == list(BACKOFF)
    assert set(waits[len(BACKOFF) :]) == {BACKOFF[-1]}
    assert await post.deliver() is None
    assert post.platform.heard == post.all


async def test_two_at_once_do_not_speak_at_once() -> None:
    post = DeliveryEnv()
    await post.happen(5)
    again = await asyncio.gather(post.deliver(), post.deliver(), post.deliver())
    assert post.platform.heard == post.all
    assert sum(wait is None for wait in again) == 1
    for wait in again:
        if wait is not None:
            assert wait <= LEASE + timedelta(seconds=1)


async def test_expired_lease_is_taken_over() -> None:
    post = DeliveryEnv()
    await post.happen(2)
    held = replace(
        await post.deliveries.get(post.organization.id), lease_until=post.clock.now() + LEASE
    )
    await post.deliveries.save(post.organization.id, held)
    wait = await post.deliver()
    assert wait is not None
    assert post.platform.heard == []
    post.clock.advance(wait)
    assert await post.deliver() is None
    assert post.platform.heard == post.all


async def test_a_platform_that_raises_anything_else_leaves_the_lease_to_run_out() -> None:
    post = DeliveryEnv()
    await post.happen()

    async def die(_: str, __: Mapping[str, Any]) -> None:
        raise RuntimeError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(post.platform, "send", die)
        with pytest.raises(RuntimeError):
            await post.deliver()
    post.clock.advance(LEASE + timedelta(seconds=1))
    assert await post.deliver() is None
    assert post.platform.heard == post.all


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=20))
async def test_refused_deliveries_lose_no_change_and_keep_the_order(
    story: list[tuple[int, bool]],
) -> None:
    post = DeliveryEnv()
    for count, refuses in story:
        await post.happen(count)
        post.platform.refuses = [refuses]
        wait = await post.deliver()
        if wait:
            post.clock.advance(wait)
    post.platform.refuses = []
    while (wait := await post.deliver()) is not None:
        post.clock.advance(wait)
    assert post.platform.heard == post.all


async def test_the_documentation_shows_a_real_message() -> None:
    env = a_booking_env()
    booked = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    env.calendar.answered(env.outlook.events[0], env.address(env.mentor), ResponseState.ACCEPTED)
    env.clock.advance(timedelta(milliseconds=1243))
    await sync_session(booked, env.organization, Cause.OUTLOOK, ports=env.ports)
    changes, cursor = await env.changes.after(env.organization.id, None, 10)
    real = dict(message(env.organization, changes[-1:], cursor or "", env.clock.now()))
    assert changes[-1].at == (await env.sessions.get(env.mentee, booked.id)).changed_at
    (shown,) = re.findall(r"```json\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    documented = json.loads(shown)
    for each in (real, documented):
        each["timestamp"] = each["data"]["organization_id"] = each["data"]["cursor"] = "..."
        for change in each["data"]["changes"]:
            change |= {"at": "...", "pairing_id": "...", "session_id": "...", "attendee": "..."}
    assert json.dumps(documented) == json.dumps(real)
