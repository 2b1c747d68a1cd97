"""The same request again, after a lost answer: the answer of each operation."""

from dataclasses import replace
from typing import Any

import pytest

from shared.calendar_sync.merge import merge
from shared.ids import SessionId
from shared.sessions import reservations
from shared.sessions.model import HOLD_TTL, ResponseState, Session
from tests.builders import a_span, at
from tests.edge.api import Api, body_of
from tests.edge.test_sessions import post

NEW = "2026-03-03T14:00:00Z"
SPAN = a_span(at(14, day=1))


async def booked(api: Api) -> tuple[str, str]:
    """Return the path of a session and its ETag."""
    status, body = await post(api)
    assert status == 201
    path = f"sessions/{body['id']}"
    return path, (await api.call("GET", path)).headers["etag"]


async def stored(api: Api, path: str) -> Session:
    return await api.env.sessions.get(api.env.mentee, SessionId(path.removeprefix("sessions/")))


async def patch(api: Api, path: str, etag: str, **body: object) -> tuple[int, Any]:
    reply = await api.call("PATCH", path, body={"start": NEW} | body, headers={"if-match": etag})
    return reply.status_code, body_of(reply)


async def test_a_move_again_is_the_same_answer_under_the_etag_of_before(api: Api) -> None:
    path, etag = await booked(api)
    first = await patch(api, path, etag)
    calls = list(api.env.outlook.calls)
    assert await patch(api, path, etag) == first
    assert first[0] == 200
    assert api.env.outlook.calls == calls
    status, problem = await patch(api, path, etag, start="2026-03-03T16:00:00Z")
    assert (status, problem["type"]) == (412, "/api/problems/precondition-failed")
    assert f"scheduled for {NEW}" in problem["detail"]


async def test_a_repeated_move_after_another_change_has_the_current_state(
    api: Api,
) -> None:
    path, etag = await booked(api)
    assert (await patch(api, path, etag))[0] == 200
    seen = api.env.calendar.moved(api.env.outlook.events[0], a_span(at(9, day=2)))
    await reservations.save(api.env.sessions, merge(await stored(api, path), seen))
    status, problem = await patch(api, path, etag)
    assert (status, "scheduled for 2026-03-04T09:00:00Z" in problem["detail"]) == (412, True)
    await api.call("POST", f"{path}/cancel", body={})
    status, problem = await patch(api, path, etag)
    assert (status, "It is cancelled" in problem["detail"]) == (412, True)
    assert len([e for e in api.env.outlook.events if not e.is_gone]) == 0


async def test_a_move_that_is_half_done_is_finished_under_the_etag_of_before(api: Api) -> None:
    path, etag = await booked(api)
    half_done = (await stored(api, path)).with_pending_move(SPAN, api.clock.now() + HOLD_TTL)
    await reservations.save(api.env.sessions, half_done)
    other, _ = await patch(api, path, etag, start="2026-03-03T16:00:00Z")
    assert other == 412
    status, body = await patch(api, path, etag)
    assert (status, body["start"]) == (200, NEW)


async def test_an_attendee_learns_nothing_by_an_old_etag(api: Api) -> None:
    path, etag = await booked(api)
    await patch(api, path, etag)
    refused = await api.call(
        "PATCH", path, who="mentor", body={"start": NEW}, headers={"if-match": etag}
    )
    assert refused.status_code == 403


@pytest.mark.parametrize("scope", ["this_and_following", "all"])
async def test_a_move_of_a_series_again_is_the_same_answer(api: Api, scope: str) -> None:
    _, body = await post(api, repeat={"frequency": "weekly", "count": 4})
    path = f"sessions/{body['series']['sessions'][1 if scope != 'all' else 0]['id']}"
    etag = (await api.call("GET", path)).headers["etag"]
    start = "2026-03-11T12:00:00Z" if scope != "all" else "2026-03-04T12:00:00Z"
    first = await patch(api, path, etag, start=start, scope=scope)
    calls = list(api.env.outlook.calls)
    again = await patch(api, path, etag, start=start, scope=scope)
    assert (first[0], again) == (200, first)
    assert api.env.outlook.calls == calls
    # One date was moved again, so it is not where this request put it.
    last = f"sessions/{body['series']['sessions'][3]['id']}"
    assert (await patch(api, last, "*", start="2026-03-26T15:00:00Z"))[0] == 200
    assert (await patch(api, path, etag, start=start, scope=scope))[0] == 412


async def test_a_move_of_a_series_that_broke_off_is_finished_under_the_etag_of_before(
    api: Api,
) -> None:
    """The named date was moved and recorded. The last one is pending, not yet in Outlook."""
    _, body = await post(api, repeat={"frequency": "weekly", "count": 4})
    path, last = (f"sessions/{body['series']['sessions'][n]['id']}" for n in (2, 3))
    etag = (await api.call("GET", path)).headers["etag"]
    assert (await patch(api, path, "*", start="2026-03-18T12:00:00Z"))[0] == 200
    target = a_span(at(12, day=23))
    half_done = (await stored(api, last)).with_pending_move(target, api.clock.now() + HOLD_TTL)
    await reservations.save(api.env.sessions, half_done)
    wish = {"start": "2026-03-18T12:00:00Z", "scope": "this_and_following"}
    status, moved = await patch(api, path, etag, **wish)
    assert status == 200, moved
    assert [s["start"] for s in moved["series"]["sessions"]] == [
        "2026-03-18T12:00:00Z",
        "2026-03-25T12:00:00Z",
    ]
    assert (await stored(api, last)).pending_span is None
    events = [e.seen.span for e in api.env.outlook.events if not e.pattern and not e.is_gone]
    assert target in events


async def test_a_cancellation_again_is_the_same_answer(api: Api) -> None:
    path, _ = await booked(api)
    first = await api.call("POST", f"{path}/cancel", body={"comment": "sorry"})
    again = await api.call("POST", f"{path}/cancel", body={"comment": "sorry"})
    assert (first.status_code, body_of(again)) == (200, body_of(first))
    assert api.env.outlook.calls.count("cancel") == 1
    for path_of, body in (("response", {"response": "accepted"}), ("proposals/x/accept", None)):
        who = "mentor" if body else "mentee"
        late = await api.call("POST", f"{path}/{path_of}", who=who, body=body)
        assert (late.status_code, "cancelled" in body_of(late)["detail"]) == (409, True)


@pytest.mark.parametrize("answer", ["accepted", "tentative", "declined"])
async def test_an_answer_again_is_the_same_answer(api: Api, answer: str) -> None:
    path, _ = await booked(api)
    body = {"response": answer}
    if answer != "accepted":
        body |= {"proposed": {"start": NEW, "end": "2026-03-03T14:30:00Z"}}  # type: ignore[dict-item]
    first = await api.call("POST", f"{path}/response", who="mentor", body=body)
    again = await api.call("POST", f"{path}/response", who="mentor", body=body)
    assert (first.status_code, again.status_code) == (202, 202), body_of(again)
    assert body_of(again) == body_of(first)


async def test_accepting_after_declining_reports_the_missing_invitation(
    api: Api,
) -> None:
    path, _ = await booked(api)
    await api.call("POST", f"{path}/response", who="mentor", body={"response": "declined"})
    other = await api.call("POST", f"{path}/response", who="mentor", body={"response": "accepted"})
    assert other.status_code == 409
    assert "invite you again" in body_of(other)["remedy"]


async def test_a_proposal_taken_again_is_the_same_answer(api: Api) -> None:
    path, _ = await booked(api)
    env = api.env
    seen = env.calendar.answered(
        env.outlook.events[0], env.address(env.mentor), ResponseState.TENTATIVE, SPAN
    )
    await reservations.save(env.sessions, merge(await stored(api, path), seen))
    accept = f"{path}/proposals/{env.mentor.object_id}/accept"
    first, again = await api.call("POST", accept), await api.call("POST", accept)
    assert (first.status_code, body_of(first)["start"]) == (200, NEW)
    assert (again.status_code, body_of(again)) == (200, body_of(first))
    assert again.headers["etag"] == first.headers["etag"]
    session = await stored(api, path)
    await reservations.save(env.sessions, replace(session, span=a_span(at(9, day=2))))
    late = await api.call("POST", accept)
    assert (late.status_code, "2026-03-04T09:00" in body_of(late)["detail"]) == (409, True)
