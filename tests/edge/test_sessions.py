"""Sessions over HTTP on fakes: invalid bodies, series, lists, waiting."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import functions._http
from shared.ids import Mailbox, SessionId
from shared.sessions import reservations
from shared.sessions.booking import book
from shared.sessions.model import HOLD_TTL, Session, SessionState
from tests.builders import a_mailbox, a_participant, a_session, at
from tests.edge.api import Api, body_of
from tests.unit.sessions.conftest import a_request

START = "2026-03-03T10:00:00Z"


async def post(api: Api, key: str = "key", **changes: object) -> tuple[int, Any]:
    body = {"start": START, "duration_minutes": 30, "time_zone": "Europe/Berlin"} | changes
    reply = await api.call(
        "POST",
        f"pairings/{api.env.pairing.id}/sessions",
        body={name: value for name, value in body.items() if value is not None},
        headers={"idempotency-key": key},
    )
    return reply.status_code, body_of(reply)


# --- bad input


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start": "2026-03-02T07:00:00Z"}, "body.start"),  # past
        ({"start": "2026-08-03T10:00:00Z"}, "body.start"),  # beyond the horizon
        ({"start": "2026-03-03T10:03:00Z"}, "body.start"),  # off the grid
        ({"start": "2026-03-03T10:00:30Z"}, "body.start"),
        ({"start": "2026-03-03T10:00:00"}, "body.start"),  # no offset: which hour is meant?
        ({"start": "2026-02-30T10:00:00Z"}, "body.start"),
        ({"duration_minutes": 485}, "body.duration_minutes"),
        ({"duration_minutes": 10}, "body.duration_minutes"),
        ({"duration_minutes": 31}, "body.duration_minutes"),
        ({"time_zone": "Europe/Atlantis"}, "body.time_zone"),
        ({"time_zone": "+01:00"}, "body.time_zone"),
        ({"title": "x" * 4000}, "body.title"),
        ({"title": ""}, "body.title"),
        ({"title": "two\nlines"}, "body.title"),
        ({"title": "bell \u0007"}, "body.title"),
        ({"agenda": "null \u0000"}, "body.agenda"),
        ({"agenda": "x" * 8001}, "body.agenda"),
        ({"location": "\u001b[31m"}, "body.location"),
        ({"online_meeting": "zoom"}, "body.online_meeting"),
        ({"at_least": 0}, "body.at_least"),
        ({"on_conflict": "skip"}, "body"),
        ({"repeat": {"frequency": "daily", "count": 3}}, "body.repeat.frequency"),
        ({"repeat": {"frequency": "weekly", "count": 1}}, "body.repeat.count"),
        ({"repeat": {"frequency": "weekly", "count": 53}}, "body.repeat.count"),
        ({"repeat": {"frequency": "weekly"}}, "body.repeat"),
        (
            {"repeat": {"frequency": "weekly", "count": 3, "until": "2026-04-01"}},
            "body.repeat",
        ),
        ({"repeat": {"frequency": "weekly", "until": "soon"}}, "body.repeat.until"),
        ({"repeat": {"frequency": "weekly", "until": "2026-03-04"}}, "body.repeat.until"),
        ({"repeat": {"frequency": "weekly", "count": 30}}, "body.repeat.count"),
        ({"repeat": {"frequency": "weekly", "count": 3}, "at_least": 3}, "body.at_least"),
        ({"unheard_of": 1}, "body.unheard_of"),
    ],
)
async def test_an_invalid_field_is_named(api: Api, changes: dict[str, Any], field: str) -> None:
    status, problem = await post(api, **changes)
    assert (status, problem["errors"][0]["field"]) == (422, field)
    assert api.env.outlook.events == []
    assert api.env.outlook.calls == []


@pytest.mark.parametrize(
    "text",
    [
        "Grüße 👋🏽 an alle 👩‍👩‍👧",
        "لقاء الأسبوع",
        "פגישה שבועית",
        "\u200fmarks\u200e \u061conly",
        "<script>alert(1)</script> & \"more\" 'of it'",
        "定例会議",
    ],
)
async def test_texts_reach_outlook_unchanged(api: Api, text: str) -> None:
    drafts: list[Any] = []
    create = api.env.calendar.create

    async def remembering(acting: Any, draft: Any) -> Any:
        drafts.append(draft)
        return await create(acting, draft)

    api.env.calendar.create = remembering  # type: ignore[method-assign]  # the fake's
    status, _ = await post(api, title=text, agenda=f"{text}\n\n{text}", location=text)
    assert status == 201
    assert (drafts[0].title, drafts[0].location) == (text, text)
    assert drafts[0].agenda == f"{text}\n\n{text}"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        # The second of two equal hours and the first one are two instants with different offsets.
        ("2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00Z"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"),
        # An offset that the zone does not have at that time still gives a valid instant.
        ("2026-03-29T02:30:00+01:00", "2026-03-29T01:30:00Z"),
    ],
)
async def test_a_start_is_the_instant_that_its_offset_says(api: Api, said: str, meant: str) -> None:
    days = (at(0) - at(0)) + timedelta(days=20 if "03-29" in said else 230)
    api.clock.advance(days)
    status, body = await post(api, start=said)
    assert (status, body.get("start")) == (201, meant)


async def test_a_pairing_without_an_attendee_is_refused(api: Api) -> None:
    alone = {
        "participants": [
            {
                "role": "mentor",
                "address": "ada@contoso.example",
                "object_id": api.env.mentor.object_id,
            }
        ]
    }
    reply = await api.call(
        "PUT",
        f"organizations/{api.env.organization.id}/pairings/alone",
        who="platform",
        body=alone,
    )
    assert reply.status_code == 422


# --- series


async def test_a_series_answers_with_all_of_it(api: Api) -> None:
    status, body = await post(api, repeat={"frequency": "weekly", "until": "2026-03-17"})
    assert status == 201
    assert [s["start"] for s in body["series"]["sessions"]] == [
        "2026-03-03T10:00:00Z",
        "2026-03-10T10:00:00Z",
        "2026-03-17T10:00:00Z",
    ]
    assert body["id"] == body["series"]["sessions"][0]["id"]
    again = await post(api, repeat={"frequency": "weekly", "until": "2026-03-17"})
    assert again == (status, body)


async def test_dates_that_are_not_free_come_with_alternatives(api: Api) -> None:
    taken = a_request(hour=10, start=at(10, day=8))
    env = api.env
    await book(env.acting(env.mentee), env.pairing, taken, ports=env.ports)
    repeat = {"frequency": "weekly", "count": 3}
    status, problem = await post(api, "other", repeat=repeat)
    assert (status, problem["type"]) == (409, "/api/problems/slot-taken")
    (date,) = problem["conflicts"]
    assert (date["occurrence"], date["start"]) == (1, "2026-03-10T10:00:00Z")
    assert len(date["alternatives"]) == 5
    status, body = await post(api, "third", repeat=repeat, on_conflict="skip")
    assert status == 201
    assert [d["outcome"] for d in body["series"]["conflicts"]] == ["skipped"]
    assert len(body["series"]["sessions"]) == 2


async def test_scopes(api: Api) -> None:
    _, body = await post(api, repeat={"frequency": "weekly", "count": 4})
    second = body["series"]["sessions"][1]["id"]
    shown = await api.call("GET", f"sessions/{second}")
    moved = await api.call(
        "PATCH",
        f"sessions/{second}",
        body={"start": "2026-03-11T12:00:00Z", "scope": "this_and_following"},
        headers={"if-match": shown.headers["etag"]},
    )
    assert moved.status_code == 200
    assert [s["start"][5:16] for s in body_of(moved)["series"]["sessions"]] == [
        "03-11T12:00",
        "03-18T12:00",
        "03-25T12:00",
    ]
    assert body_of(moved)["id"] == second
    gone = await api.call("POST", f"sessions/{second}/cancel", body={"scope": "all"})
    assert {s["state"] for s in body_of(gone)["series"]["sessions"]} == {"cancelled"}
    status, single = await post(api, "single", start="2026-03-04T10:00:00Z")
    assert status == 201
    refused = await api.call("POST", f"sessions/{single['id']}/cancel", body={"scope": "all"})
    assert refused.status_code == 422


# --- lists


async def with_sessions(api: Api, count: int) -> list[Session]:
    env, stored = api.env, []
    for number in range(count):
        start = at(10) - timedelta(days=number + 1)
        draft = a_session(
            env.mentor,
            organizer=env.mentee,
            organization_id=env.organization.id,
            pairing_id=env.pairing.id,
            span=type(a_session().span)(start, start + timedelta(minutes=30)),
            held_until=start + HOLD_TTL,
        )
        opened = await reservations.create(env.sessions, draft, env.clock.now())
        stored.append(opened)
    return stored


async def test_a_list_is_paged_by_time_and_filtered_by_state(api: Api) -> None:
    await with_sessions(api, 7)
    _, body = await post(api)
    found, cursor = [], ""
    while True:
        query = [("limit", "3"), *([("cursor", cursor)] if cursor else [])]
        page = body_of(await api.call("GET", "sessions", query=query))
        found += [s["start"] for s in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert len(found) == 8
    assert found == sorted(found)
    upcoming = body_of(await api.call("GET", "sessions", query=[("from", START)]))
    assert [s["id"] for s in upcoming["items"]] == [body["id"]]
    scheduled = body_of(await api.call("GET", "sessions?state=scheduled"))
    assert [s["id"] for s in scheduled["items"]] == [body["id"]]


async def test_an_unchanged_reply_is_not_sent_again(api: Api) -> None:
    _, body = await post(api)
    for path in (f"sessions/{body['id']}", "sessions"):
        first = await api.call("GET", path)
        again = await api.call("GET", path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.get_body()) == (304, b"")


# --- waiting


async def test_no_caller_waits_longer_than_ten_seconds(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = api.env.calendar.create

    async def slow(acting: Any, draft: Any) -> Any:
        await create(acting, draft)
        await asyncio.sleep(60)

    api.env.calendar.create = slow  # type: ignore[method-assign]  # the fake's
    with monkeypatch.context() as hurried:
        hurried.setattr(functions._http, "WAIT_SECONDS", 0.5)  # enough to reach Outlook
        status, problem = await post(api)
    assert (status, problem["type"]) == (503, "/api/problems/took-too-long")
    assert "same Idempotency-Key" in problem["remedy"]
    assert len(api.env.outlook.events) == 1
    api.env.calendar.create = create  # type: ignore[method-assign]  # the fake's
    api.clock.advance(timedelta(seconds=5))
    status, body = await post(api)
    assert (status, body["state"]) == (201, SessionState.SCHEDULED)
    assert len(api.env.outlook.events) == 1


# --- an ended pairing, removed people


async def test_sessions_of_a_pairing_that_ended_are_answered_and_cancelled_not_moved(
    api: Api,
) -> None:
    _, body = await post(api)
    path = f"sessions/{body['id']}"
    await api.adapters.pairings.delete(api.env.organization.id, api.env.pairing.id)
    moved = await api.call(
        "PATCH", path, body={"start": at(14, day=1).isoformat()}, headers={"if-match": "*"}
    )
    assert moved.status_code == 409
    assert "ancel" in body_of(moved)["remedy"]
    answered = await api.call(
        "POST", f"{path}/response", who="mentor", body={"response": "declined"}
    )
    assert answered.status_code == 202
    cancelled = await api.call("POST", f"{path}/cancel", body={})
    assert (cancelled.status_code, body_of(cancelled)["state"]) == (200, "cancelled")


async def test_a_session_without_attendees_is_not_moved(api: Api) -> None:
    _, body = await post(api)
    session = await api.env.sessions.get(api.env.mentee, SessionId(body["id"]))
    await reservations.save(api.env.sessions, replace(session, attendees=()))
    moved = await api.call(
        "PATCH",
        f"sessions/{body['id']}",
        body={"start": at(14, day=1).isoformat()},
        headers={"if-match": "*"},
    )
    assert moved.status_code == 409
    assert "no attendees" in body_of(moved)["detail"]


async def test_a_former_member_answers_and_cancels_and_moves_nothing(api: Api) -> None:
    _, body = await post(api)
    path = f"sessions/{body['id']}"
    newcomer = await _replace_people(api, api.env.mentor)
    moved = await api.call(
        "PATCH", path, body={"start": at(14, day=1).isoformat()}, headers={"if-match": "*"}
    )
    assert moved.status_code == 403
    assert "ancel" in body_of(moved)["remedy"]
    assert (await api.call("GET", path)).status_code == 200
    # The newcomer learns nothing of the session, and is in none of its bodies.
    api.admit("newcomer", newcomer)
    for answered in (
        await api.call("GET", path, who="newcomer"),
        await api.call("PATCH", path, who="newcomer", body={"start": at(14, day=1).isoformat()}),
        await api.call("POST", f"{path}/cancel", who="newcomer", body={}),
    ):
        assert answered.status_code == 404
    assert body_of(await api.call("GET", "sessions", who="newcomer"))["items"] == []
    cancelled = await api.call("POST", f"{path}/cancel", body={})
    assert (cancelled.status_code, body_of(cancelled)["state"]) == (200, "cancelled")
    assert newcomer.object_id not in cancelled.get_body().decode()


async def test_a_former_attendee_answers_still(api: Api) -> None:
    _, body = await post(api)
    await _replace_people(api, api.env.mentee)
    answered = await api.call(
        "POST", f"sessions/{body['id']}/response", who="mentor", body={"response": "declined"}
    )
    assert answered.status_code == 202


async def _replace_people(api: Api, staying: Mailbox) -> Mailbox:
    """Put the pairing anew: of its people only *staying*, with somebody new, who is returned."""
    known, newcomer = api.env.pairing, a_mailbox(staying.tenant_id)
    stays = known.participant(staying.object_id)
    assert stays is not None
    await api.adapters.pairings.put(replace(known, participants=(stays, a_participant(newcomer))))
    return newcomer
