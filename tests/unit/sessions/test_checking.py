"""How often dates are checked: once; a single one that is refused again, with the holds."""

from collections import Counter
from typing import Any

import pytest

from shared.availability import slots
from shared.errors import SlotTaken
from shared.sessions.booking import book
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.series import OnConflict, Scope
from tests.builders import a_span, at
from tests.unit.sessions.conftest import BookingEnv, a_request

SNAPSHOT = "shared.availability.snapshot"
SECOND = a_span(at(10, day=8))


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the checks of dates and the searches for alternatives."""
    counted: Counter[str] = Counter()

    def counting(name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            counted[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(f"{SNAPSHOT}.evaluate_span", counting("checked", slots.evaluate_span))
    monkeypatch.setattr(f"{SNAPSHOT}.find_slots", counting("searched", slots.find_slots))
    return counted


async def booked(env: BookingEnv, count: int, **changes: Any) -> Any:
    repeat = Repeat(Frequency.WEEKLY, count=count) if count > 1 else None
    request = a_request(repeat=repeat, time_zone="UTC", **changes)
    return await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)


@pytest.mark.parametrize("count", [1, 4])
async def test_a_free_date_is_checked_once(
    env: BookingEnv, counts: Counter[str], count: int
) -> None:
    await booked(env, count)
    assert counts == {"checked": count}


@pytest.mark.parametrize("at_least", [None, 2])
@pytest.mark.parametrize("count", [1, 4])
async def test_a_refused_date_has_its_alternatives_looked_for_once(
    env: BookingEnv, counts: Counter[str], count: int, at_least: int | None
) -> None:
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(10, day=1))]
    with pytest.raises(SlotTaken) as refused:
        await booked(env, count, at_least=at_least)
    assert len(refused.value.alternatives) == 5
    assert counts == {"checked": 2 if count == 1 else count, "searched": 1}


async def test_a_date_that_is_booked_elsewhere_is_checked_there_as_well(
    env: BookingEnv, counts: Counter[str]
) -> None:
    env.outlook.busy[env.address(env.mentor)] = [SECOND]
    await booked(env, 4, on_conflict=OnConflict.ALTERNATIVES)
    assert counts == {"checked": 5, "searched": 1}


@pytest.mark.parametrize(("count", "scope"), [(1, Scope.ONE), (4, Scope.ALL)])
async def test_a_move_is_checked_and_refused_likewise(
    env: BookingEnv, counts: Counter[str], count: int, scope: Scope
) -> None:
    session = (await booked(env, count)).sessions[0]
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(14, day=1))]
    counts.clear()
    with pytest.raises(SlotTaken) as refused:
        await reschedule(
            env.acting(env.mentee),
            env.pairing,
            session,
            RescheduleRequest(a_span(at(14, day=1)), "UTC"),
            scope,
            ports=env.ports,
        )
    assert len(refused.value.alternatives) == 5
    assert counts == {"checked": 2 if count == 1 else count, "searched": 1}
