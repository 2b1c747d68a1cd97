"""A `GraphClient` whose HTTP transport answers with a test's responses."""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx
import pytest
from azure.core.credentials import AccessToken

from shared.adapters.app_credentials import AppCredentials
from shared.adapters.graph.client import GraphClient
from shared.adapters.http_pool import HttpPool
from tests.unit.adapters.entra_fixtures import Answers, some_settings


class FakeIdentity:
    """An identity that returns a new token after each `forget`."""

    tenant_id = "tenant"

    def __init__(self, name: str, *, is_user: bool) -> None:
        self.name = name
        self.is_user = is_user
        self.forgotten = 0
        self.claims: list[str | None] = []

    async def get_token(self, *scopes: str, claims: str | None = None, **_: Any) -> AccessToken:
        assert scopes == ("https://graph.microsoft.com/.default",)
        self.claims.append(claims)
        return AccessToken(f"{self.name}-{self.forgotten}", 4_000_000_000)

    async def forget(self) -> None:
        self.forgotten += 1


class FakeCredentials:
    """The identities of the app and of one user."""

    def __init__(self) -> None:
        self.the_app = FakeIdentity("app", is_user=False)
        self.the_user = FakeIdentity("user", is_user=True)

    def app(self, _tenant_id: str) -> FakeIdentity:
        return self.the_app

    def user(self, _tenant_id: str, _object_id: str, _assertion: str) -> FakeIdentity:
        return self.the_user


class Graph:
    """A `GraphClient` with its recorded requests and its prepared responses."""

    def __init__(self) -> None:
        self.answers = Answers(lambda _: httpx.Response(200, json={}))
        self.credentials = FakeCredentials()
        self.http_pool = HttpPool(self.answers.transport)
        self.client = GraphClient(
            some_settings(), cast("AppCredentials", self.credentials), self.http_pool
        )

    def respond_with(self, *responses: httpx.Response | Exception) -> None:
        """Answer with *responses* in order; the last one repeats."""
        left = list(responses)

        def answer(_: httpx.Request) -> httpx.Response:
            response = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(response, Exception):
                raise response
            return httpx.Response(
                response.status_code, headers=response.headers, content=response.content
            )

        self.answers.answer = answer

    def respond_by(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        """Answer each request with the result of *answer*."""
        self.answers.answer = answer


@pytest.fixture
async def graph() -> AsyncIterator[Graph]:
    graph = Graph()
    yield graph
    await graph.client.http.aclose()
