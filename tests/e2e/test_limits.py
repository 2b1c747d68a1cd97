"""Limits of the whole app: settings, tables, HTTP."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from local.cloud import NO_LIMITS
from tests.e2e.conftest import AppUnderTest, a_stage


async def book_series(stage: AppUnderTest, key: str, slot: dict[str, Any]) -> httpx.Response:
    return await stage.call(
        "ben",
        "POST",
        "pairings/ada-ben/sessions",
        json={
            "start": slot["start"],
            "duration_minutes": 30,
            "time_zone": "Europe/Berlin",
            "repeat": {"frequency": "weekly", "count": 9},
            "on_conflict": "skip",
        },
        headers={"idempotency-key": key},
    )


async def test_a_few_requests_do_not_fill_a_calendar(tmp_path: Path) -> None:
    # By the day, so that the test does not depend on when a minute begins.
    limits = NO_LIMITS | {"LIMIT_CHANGES_PER_DAY": "10", "LIMIT_READS_PER_MINUTE": "600"}
    async with a_stage(tmp_path, settings=limits) as stage:
        # Slots of different hours, each followed by itself in the next eight weeks.
        slots = [slot for slot in await stage.slots() if slot["start"][14:16] == "00"][:4]
        replies = [await book_series(stage, f"k{n}", slot) for n, slot in enumerate(slots)]
        assert [reply.status_code for reply in replies] == [201, 201, 429, 429]
        refused = replies[2]
        assert refused.json()["type"] == "/api/problems/limit-reached"
        now = datetime.now(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        left = (midnight - now).total_seconds()
        assert abs(int(refused.headers["retry-after"]) - left) < 60
        again = await book_series(stage, "k0", slots[0])
        assert (again.status_code, again.json()["id"]) == (201, replies[0].json()["id"])
        # Ada spends a budget of her own, and to cancel is free.
        cancelled = await stage.call(
            "ben", "POST", f"sessions/{again.json()['id']}/cancel", json={"scope": "all"}
        )
        assert cancelled.status_code == 200
        await stage.book("ada")
        assert any("limit.reached operation=changes reason=full" in line for line in stage.lines)
