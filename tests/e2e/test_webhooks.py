"""Changes delivered to a real endpoint, over TLS, signed."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from local.serving import serving, take_address
from tests.e2e.conftest import STORAGE, AppUnderTest, a_stage

KINDS = ["session.scheduled", "session.responded"]


class Platform:
    """The mentoring platform's endpoint, as its developers would write it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.signatures: list[str] = []
        self.answers: list[int] = []
        """Statuses of the next answers; 204 after them."""
        self.key = ""
        self._came = asyncio.Condition()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/hooks/calendar", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        status = self.answers.pop(0) if self.answers else 204
        headers = request.headers
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(self.key)
        mine = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        given = headers["webhook-signature"].split()
        if not any(hmac.compare_digest(mine, each) for each in given):
            status = 401
        async with self._came:
            if status < 300:
                self.messages.append(json.loads(body))
                self.signatures.append(headers["webhook-signature"])
            self._came.notify_all()
        location = {"location": "https://localhost:1/elsewhere"} if status == 302 else {}
        return web.Response(status=status, headers=location)

    @property
    def changes(self) -> list[dict[str, Any]]:
        return [change for each in self.messages for change in each["data"]["changes"]]


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
async def stage(tmp_path: Path, platform: Platform) -> AsyncIterator[AppUnderTest]:
    address = take_address(STORAGE.certificate(tmp_path).server_context())
    async with (
        serving(platform.app(), address),
        a_stage(tmp_path, webhook_url=f"{address.url}/hooks/calendar") as running,
    ):
        platform.key = key_of(running)
        yield running


def key_of(stage: AppUnderTest) -> str:
    found = stage.cloud.key_vault.vault.find("webhook-key")
    assert found is not None
    return str(found.value)


async def delivered(stage: AppUnderTest, platform: Platform, count: int) -> None:
    """Handle queues until the platform has received so many changes."""
    async with asyncio.timeout(100):
        while len(platform.changes) < count:
            await stage.settled()
            await asyncio.sleep(0.1)


async def test_the_platform_receives_changes_in_order(
    stage: AppUnderTest, platform: Platform
) -> None:
    session = await stage.book()
    await delivered(stage, platform, 1)
    stage.cloud.graph.outlook.accept("ada", session["id"])
    await delivered(stage, platform, 2)
    feed = (await stage.call("platform", "GET", "organizations/contoso/changes")).json()
    await delivered(stage, platform, len(feed["items"]))
    assert platform.changes == feed["items"]
    # Two notifications handled at the same instant may append the same change twice.
    assert list(dict.fromkeys(change["kind"] for change in platform.changes)) == KINDS
    assert platform.messages[-1]["data"]["cursor"] == feed["next"]
    health = (await stage.call("platform", "GET", "organizations/contoso/health")).json()
    assert health["webhook"]["delivered_at"] is not None
    assert health["webhook"]["failures"] == 0


async def test_undelivered_changes_are_sent_again(stage: AppUnderTest, platform: Platform) -> None:
    platform.answers = [302]  # not followed, so not taken
    await stage.book()
    async with asyncio.timeout(100):
        while platform.answers:
            await stage.settled()
            await asyncio.sleep(0.1)
    health = (await stage.call("platform", "GET", "organizations/contoso/health")).json()
    assert health["webhook"]["failures"] == 1
    assert health["webhook"]["failing_since"] is not None
    await delivered(stage, platform, 1)
    assert [change["kind"] for change in platform.changes] == KINDS[:1]


async def test_either_key_fits_during_a_rotation(stage: AppUnderTest, platform: Platform) -> None:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    stage.cloud.key_vault.vault.put("webhook-key", key)
    await stage.book()
    await delivered(stage, platform, 1)
    platform.key = key
    await stage.book("priya", "ada-priya")
    await delivered(stage, platform, 2)
    assert [len(each.split()) for each in platform.signatures] == [2, 2]
