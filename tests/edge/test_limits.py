"""Limits over HTTP: what one caller could do to others' calendars, and to the service."""

from datetime import timedelta

import azure.functions as func
import pytest

from shared.errors import SlotTaken
from shared.limits.limiter import CallLimiter
from shared.limits.model import Budget, Limits, Spending
from shared.settings import CallLimits
from tests.builders import at
from tests.edge.api import Api, body_of
from tests.fakes import InMemoryUsages

LIMITS = CallLimits()


def limit(api: Api, limits: Limits) -> None:
    """Give the edge *limits*."""
    api.env.limiter = CallLimiter(limits, InMemoryUsages(), api.clock)
    api.adapters.__dict__["limiter"] = api.env.limiter


async def post(api: Api, key: str, day: int = 1, **body: object) -> func.HttpResponse:
    return await api.call(
        "POST",
        f"pairings/{api.env.pairing.id}/sessions",
        body={
            "start": at(10, day=day).isoformat(),
            "duration_minutes": 30,
            "time_zone": "Europe/Berlin",
        }
        | body,
        headers={"idempotency-key": key},
    )


async def find_times(api: Api, **query: str) -> func.HttpResponse:
    window = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"} | query
    return await api.call(
        "GET", f"pairings/{api.env.pairing.id}/availability", query=list(window.items())
    )


async def test_four_requests_do_not_fill_a_calendar(api: Api) -> None:
    limit(api, Limits({Spending.CHANGES: Budget(10)}))
    series = {"repeat": {"frequency": "weekly", "count": 10}}
    replies = [
        await post(api, f"k{day}", day, **(series if day == 1 else {})) for day in (1, 2, 3, 4)
    ]
    assert [reply.status_code for reply in replies] == [201, 429, 429, 429]
    refused, calls = replies[1], list(api.env.outlook.calls)
    assert refused.headers["Retry-After"] == "60"
    assert body_of(refused)["type"] == "/api/problems/limit-reached"
    assert "10 dates within a minute" in body_of(refused)["detail"]
    # A retry of the admitted booking is answered, and what is refused reads no calendar.
    assert (await post(api, "k1", 1, **series)).status_code == 201
    assert (await post(api, "k2", 2)).status_code == 429
    assert api.env.outlook.calls == calls
    api.clock.advance(timedelta(minutes=1))
    assert (await post(api, "k2", 2)).status_code == 201


async def test_what_is_not_booked_is_not_counted(api: Api) -> None:
    limit(api, Limits({Spending.CHANGES: Budget(2)}))
    assert (await post(api, "first")).status_code == 201
    for number in range(5):
        # The first one has this time.
        assert (await post(api, f"taken-{number}")).status_code == 409
    assert (await post(api, "second", 2)).status_code == 201
    assert (await post(api, "third", 3)).status_code == 429


async def test_moves_and_answers_count_and_cancelling_does_not(api: Api) -> None:
    limit(api, Limits({Spending.CHANGES: Budget(3)}))
    path = f"sessions/{body_of(await post(api, 'k'))['id']}"

    async def move(hour: int) -> int:
        body = {"start": at(hour, day=1).isoformat()}
        reply = await api.call("PATCH", path, body=body, headers={"if-match": "*"})
        return int(reply.status_code)

    async def answer(response: str) -> int:
        reply = await api.call(
            "POST", f"{path}/response", who="mentor", body={"response": response}
        )
        return int(reply.status_code)

    assert [await move(hour) for hour in (12, 14, 16)] == [200, 200, 429]
    answers = [await answer(a) for a in ("accepted", "tentative", "accepted", "tentative")]
    assert answers == [202, 202, 202, 429]
    assert (await api.call("POST", f"{path}/cancel", body={})).status_code == 200


async def test_calendars_are_read_so_often_a_minute(api: Api) -> None:
    limit(api, Limits({Spending.READS: Budget(20)}))
    statuses = [(await find_times(api)).status_code for _ in range(25)]
    assert statuses.count(200) == 20
    assert set(statuses[20:]) == {429}
    api.clock.advance(timedelta(minutes=1))
    # An explained answer counts as five.
    statuses = [(await find_times(api, explain="true")).status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2


async def test_bookings_that_are_refused_are_reads_too(api: Api) -> None:
    limit(api, Limits({Spending.READS: Budget(3)}))
    await post(api, "first")
    replies = [(await post(api, "second")).status_code for _ in range(4)]
    assert replies == [409, 409, 429, 429]


async def test_whoever_is_refused_reads_nothing_in_the_organizers_calendar(api: Api) -> None:
    limit(api, Limits({Spending.CHANGES: Budget(4)}))
    repeat = {"frequency": "weekly", "count": 4}
    first, *_ = body_of(await post(api, "k", repeat=repeat))["series"]["sessions"]

    async def answer(scope: str) -> int:
        path, body = f"sessions/{first['id']}/response", {"response": "accepted", "scope": scope}
        return int((await api.call("POST", path, who="mentor", body=body)).status_code)

    assert await answer("all") == 202
    calls = list(api.env.outlook.calls)
    assert [await answer(scope) for scope in ("all", "one", "all", "one")] == [429] * 4
    assert api.env.outlook.calls == calls


async def test_everybody_of_a_tenant_asks_for_their_own_state_so_often(api: Api) -> None:
    limit(api, Limits({Spending.READS: Budget(3)}, {Spending.READS: Budget(4)}))
    who = [(await api.call("GET", "me", who="mentor")).status_code for _ in range(4)]
    assert who == [200, 200, 200, 429]
    # Who may be in no pairing spends nothing of what the others have.
    assert [(await find_times(api)).status_code for _ in range(3)] == [200] * 3


async def test_a_move_of_more_dates_is_another_request(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(api, Limits({Spending.CHANGES: Budget(6)}))
    repeat = {"frequency": "weekly", "count": 4}
    first, *_ = body_of(await post(api, "k", repeat=repeat))["series"]["sessions"]

    async def move(scope: str, hour: int = 14) -> int:
        body = {"start": at(hour, day=1).isoformat(), "scope": scope}
        path, headers = f"sessions/{first['id']}", {"if-match": "*"}
        return int((await api.call("PATCH", path, body=body, headers=headers)).status_code)

    async def lose(*_: object, **__: object) -> None:
        raise SlotTaken("Somebody was faster.")

    with monkeypatch.context() as patched:
        patched.setattr("shared.sessions.rescheduling.hold_new_times", lose)
        assert await move("one") == 409
    assert await move("all") == 200
    assert await move("one", hour=16) == 429


async def test_an_organization_has_its_own_limit(api: Api) -> None:
    limit(api, Limits(organization={Spending.CHANGES: Budget(2)}))
    assert [(await post(api, f"k{day}", day)).status_code for day in (1, 2, 3)] == [201, 201, 429]


@pytest.mark.parametrize(("days", "status"), [("2026-03-10", 200), ("2026-03-11", 422)])
async def test_an_explained_window_is_no_longer_than_a_week(
    api: Api, days: str, status: int
) -> None:
    reply = await find_times(api, explain="true", to=f"{days}T00:00:00Z")
    assert reply.status_code == status
    if status == 422:
        assert "8 days" in body_of(reply)["detail"]


def test_no_setting_means_limits() -> None:
    assert all(getattr(LIMITS, name) > 0 for name in LIMITS.__dataclass_fields__)
