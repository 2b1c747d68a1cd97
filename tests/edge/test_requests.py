"""Headers, paths and callers: odd ones get a 4xx, and ids of others reveal nothing."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from shared.organizations.model import AccessMode
from shared.tracing import Span, add_span_recorder
from tests.builders import at
from tests.edge.api import Api, body_of

BODY: dict[str, Any] = {
    "start": at(10, day=1).isoformat(),
    "duration_minutes": 30,
    "time_zone": "Europe/Berlin",
}
# Without ".." and a null character: the host answers those itself, see tests/e2e/test_odd_ids.py.
ODD_IDS = [
    "no-such",
    "Ünïcödé",
    "会議",
    "😀",
    "a b",
    "a'b",
    'a"b',
    "a/b",
    "a\\b",
    "a#b",
    "a?b",
    "a%b",
    "%2F",
    "bell\x07",
    "' or PartitionKey ne '",
    "~",
    ";",
    "\u202e",
    "x" * 2000,
    "é" * 600,
]


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: repr(odd)[:20])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "pairings/{}", None),
        ("GET", "pairings/{}/availability?from=2026-03-03T08:00:00Z&to=2026-03-03T17:00:00Z", None),
        ("POST", "pairings/{}/sessions", BODY),
        ("GET", "sessions/{}", None),
        ("PATCH", "sessions/{}", {"start": BODY["start"]}),
        ("POST", "sessions/{}/cancel", {}),
        ("POST", "sessions/{}/response", {"response": "accepted"}),
        ("POST", "sessions/{}/proposals/someone/accept", None),
    ],
)
async def test_an_odd_id_is_not_found(
    api: Api, method: str, path: str, body: object, odd: str
) -> None:
    response = await api.call(
        method,
        path.format(quote(odd, safe="")),
        body=body,
        headers={"idempotency-key": "one", "if-match": "*"},
    )
    assert response.status_code == 404
    assert odd not in response.get_body().decode()


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: repr(odd)[:20])
async def test_an_odd_attendee_is_not_found(api: Api, odd: str) -> None:
    session = body_of(await booked(api, "one"))
    path = f"sessions/{session['id']}/proposals/{quote(odd, safe='')}/accept"
    assert (await api.call("POST", path)).status_code == 404


async def booked(api: Api, key: str | None) -> Any:
    headers = {} if key is None else {"idempotency-key": key}
    path = f"pairings/{api.env.pairing.id}/sessions"
    return await api.call("POST", path, body=BODY, headers=headers)


@pytest.mark.parametrize("key", [None, "", " ", "a b", "x" * 129, "ключ", "a\tb", "\x00"])
async def test_a_booking_wants_a_plain_idempotency_key(api: Api, key: str | None) -> None:
    response = await booked(api, key)
    assert response.status_code == 422
    assert [e["field"] for e in body_of(response)["errors"]] == ["header.Idempotency-Key"]


async def test_a_key_belongs_to_one_request(api: Api) -> None:
    first = body_of(await booked(api, "one"))
    again = await booked(api, "one")
    assert (again.status_code, body_of(again)["id"]) == (201, first["id"])
    other = await api.call(
        "POST",
        f"pairings/{api.env.pairing.id}/sessions",
        body={**BODY, "duration_minutes": 45},
        headers={"idempotency-key": "one"},
    )
    assert (other.status_code, body_of(other)["type"]) == (422, "/api/problems/key-reused")


@pytest.mark.parametrize("match", ['"x"', "W/", ",,,", "é", '"' * 5000, "  "])
async def test_a_strange_etag_matches_nothing(api: Api, match: str) -> None:
    path = f"sessions/{body_of(await booked(api, 'one'))['id']}"
    elsewhere = {"start": "2026-03-04T15:00:00Z"}
    moved = await api.call("PATCH", path, body=elsewhere, headers={"if-match": match})
    assert moved.status_code == 412
    shown = await api.call("GET", path, headers={"if-none-match": match})
    assert shown.status_code == 200


async def test_moving_a_session_wants_its_etag(api: Api) -> None:
    path = f"sessions/{body_of(await booked(api, 'one'))['id']}"
    response = await api.call("PATCH", path, body={"start": BODY["start"]})
    assert response.status_code == 422
    assert [e["field"] for e in body_of(response)["errors"]] == ["header.If-Match"]


async def test_matching_etag_is_not_sent_again(api: Api) -> None:
    path = f"sessions/{body_of(await booked(api, 'one'))['id']}"
    etag = (await api.call("GET", path)).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = await api.call("GET", path, headers={"if-none-match": known})
        assert (response.status_code, response.get_body()) == (304, b"")
        assert response.headers["etag"] == etag


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer no such", "bearer\x00"]
)
async def test_without_a_token_nothing_is_revealed(api: Api, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    response = await api.call("GET", "me", who=None, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer ")


async def test_the_token_is_looked_at_before_the_request(api: Api) -> None:
    path = f"pairings/{api.env.pairing.id}/sessions"
    response = await api.call("POST", path, who=None, content=b"{", headers={})
    assert response.status_code == 401


@pytest.mark.parametrize("named", ["", "x", "/", "a/", "/b", "é/b", "x" * 3000 + "/b", "a/b\x00"])
async def test_an_odd_acting_participant_is_refused(api: Api, named: str) -> None:
    headers = {"acting-participant": named}
    response = await api.call("GET", "pairings", who="platform", headers=headers)
    assert response.status_code == 422
    assert [e["field"] for e in body_of(response)["errors"]] == ["header.Acting-Participant"]


async def test_a_participant_with_rows_of_pairings_that_were_left_may_be_named(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = await api.adapters.organizations.get(api.env.organization.id)
    wide = replace(organization.settings, access_mode=AccessMode.APPLICATION)
    await api.adapters.organizations.save(replace(organization, settings=wide))
    whole = api.adapters.pairings.list_by_mailbox

    async def read_over_the_first(*args: Any, after: str | None, limit: int) -> Any:
        return await whole(*args, after=None, limit=limit) if after else ([], "the first")

    monkeypatch.setattr(api.adapters.pairings, "list_by_mailbox", read_over_the_first)
    named = f"{api.env.organization.id}/{api.env.mentor.object_id}"
    headers = {"acting-participant": named}
    response = await api.call("GET", "me", who="platform", headers=headers)
    assert response.status_code == 200


async def test_a_callers_trace_is_linked_and_does_not_name_ours(api: Api) -> None:
    known, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    spans: list[Span] = []
    forget = add_span_recorder(spans.append)
    seen = []
    for given in (f"00-{known}-{span}-01", f"00-{known}-{span}-01", f"00-{known}", ""):
        response = await api.call("GET", "pairings", headers={"traceparent": given})
        seen.append(response.headers["x-trace-id"])
    forget()
    assert len({known, *seen}) == 5
    assert [each.links for each in spans] == [((known, span),)] * 2 + [()] * 2
    assert [each.trace_id for each in spans] == seen
    assert [each.parent_id for each in spans] == [None] * 4
