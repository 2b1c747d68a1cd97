"""No body costs an instance more than a few times what reading the longest one costs."""

import pytest

from benchmarks.hostile_bodies import SIZES, costs_of, hostile_api, routes
from functions._deliveries import MAX_BODY_BYTES as MAX_DELIVERY
from functions._http import MAX_BODY_BYTES
from tests.edge.api import on_fakes
from tests.endpoints import Endpoint

FEW = 80
"""CPU time by CPU time: a slow machine is slow in both. The costliest body, of numbers, is at 28 to
39 on a quiet machine and a busy one; before the bounds it was at some hundreds."""
ONE_REQUEST_MS = 1.0
"""The grain of the clock, and the noise of one request."""


def test_the_longest_bodies_are_measured() -> None:
    assert {MAX_BODY_BYTES, MAX_DELIVERY, MAX_DELIVERY + 1} == set(SIZES)


@pytest.mark.parametrize(
    ("endpoint", "method"),
    [pytest.param(*each, id=f"{each[1]} {each[0].name}") for each in routes()],
)
async def test_no_body_costs_much_more_than_reading_it(endpoint: Endpoint, method: str) -> None:
    api = await hostile_api()
    callers = {"participant": "mentee", "platform": "platform"}
    caller = callers.get(endpoint.operation.caller) if endpoint.operation else None
    with on_fakes(api.adapters):
        for size in SIZES:
            for who in dict.fromkeys((None, caller)):
                for cost in await costs_of(endpoint, method, size=size, who=who):
                    assert cost.status < 500, cost
                    assert cost.ratio <= FEW or cost.ms <= ONE_REQUEST_MS, cost
