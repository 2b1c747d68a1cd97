"""Every operation under requests drawn from its own description: never a 500, always described.

`Api.call` checks each reply against the document: status, media type and body.
"""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import at
from tests.edge.api import Api, an_api, body_of, on_fakes
from tests.edge.strategies import Drawn, requests
from tests.openapi import OpenApi

DOCUMENT = OpenApi.committed().document
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
EXAMPLES = 100


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=str)
def test_every_drawn_request_is_answered_as_described(path: str, method: str) -> None:
    known = {"pairing_id": "the-pairing", "session_id": "the-session", "attendee": "the-mentor"}
    known |= {"organization_id": "the-organization"}

    @settings(max_examples=EXAMPLES, derandomize=True, database=None)
    @given(
        drawn=requests(DOCUMENT, path, method, known),
        who=st.sampled_from(["mentee", "mentee", "mentor", "stranger", "platform", None]),
    )
    def check(drawn: Drawn, who: str | None) -> None:
        asyncio.run(_asked(method.upper(), drawn, who))

    check()


async def _asked(method: str, drawn: Drawn, who: str | None) -> None:
    api = await an_api()
    with on_fakes(api.adapters):
        path = drawn.path
        for name, value in (await _present(api)).items():
            path = path.replace(name, value)
        response = await api.call(
            method,
            path,
            who=who,
            content=drawn.content,
            query=drawn.query,
            headers=drawn.headers,
        )
    assert response.status_code < 500, response.get_body()


async def _present(api: Api) -> dict[str, str]:
    """Return the ids for the placeholders, after booking a session."""
    env = api.env
    body: dict[str, Any] = {
        "start": at(10, day=1).isoformat(),
        "duration_minutes": 30,
        "time_zone": "Europe/Berlin",
    }
    booked = await api.call(
        "POST",
        f"pairings/{env.pairing.id}/sessions",
        body=body,
        headers={"idempotency-key": "first"},
    )
    return {
        "the-pairing": env.pairing.id,
        "the-session": body_of(booked)["id"],
        "the-mentor": env.mentor.object_id,
        "the-organization": env.organization.id,
    }
