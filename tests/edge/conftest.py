"""The edge on fakes."""

from collections.abc import AsyncIterator

import pytest

from tests.edge.api import Api, an_api, on_fakes


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Provide the HTTP functions with a mentor, a mentee and their pairing."""
    made = await an_api()
    with on_fakes(made.adapters):
        yield made
