"""What answers on paths that no other route takes."""

from tests.edge.api import Api, body_of
from tests.endpoints import endpoints


async def test_a_path_without_a_route_is_a_problem(api: Api) -> None:
    for path in ("nowhere", "sessions/1/nothing/else", "", "problems", "%2e%2e/x"):
        reply = await api.call("GET", path)
        assert reply.status_code == 404, path
        body = body_of(reply)
        assert body["type"] == "/api/problems/not-found"
        assert "GET docs" in body["remedy"]
        assert body["trace_id"]


async def test_a_method_without_a_route_is_405_and_names_those_there_are(api: Api) -> None:
    reply = await api.call("DELETE", "Pairings/")
    assert reply.status_code == 405
    assert reply.headers["allow"] == "GET"
    assert body_of(reply)["type"] == "/api/problems/method-not-allowed"
    assert (await api.call("POST", "health")).headers["allow"] == "GET, HEAD"
    reply = await api.call("PUT", "sessions/some-id")
    assert reply.status_code == 405
    assert reply.headers["allow"] == "GET, PATCH"


def test_the_host_tries_it_last() -> None:
    # The first match in the order of names wins, upper case: literals have no precedence.
    assert endpoints()[-1].template.text == "{*path}"
