"""The main job: see when both are free, book, see the answer."""

from tests.e2e.conftest import AppUnderTest


async def test_a_mentee_books_and_sees_the_mentor_accept(stage: AppUnderTest) -> None:
    session = await stage.book(online_meeting="teams", title="First talk", agenda="Hello")
    assert session["state"] == "scheduled"
    assert session["online_meeting"]["state"] == "ready"
    await stage.settled()
    stage.cloud.graph.outlook.accept("ada", session["id"])
    await stage.settled()
    seen = (await stage.call("ben", "GET", f"sessions/{session['id']}")).json()
    assert seen["attendees"][0]["response"] == "accepted"
    theirs = (await stage.call("ada", "GET", f"sessions/{session['id']}")).json()
    assert theirs["attendees"][0]["response"] == "accepted"


async def test_everything_people_do_with_a_session(stage: AppUnderTest) -> None:
    session = await stage.book()
    path = f"sessions/{session['id']}"
    shown = await stage.call("ben", "GET", path)
    slots = await stage.slots()
    moved = await stage.call(
        "ben",
        "PATCH",
        path,
        json={"start": slots[-1]["start"]},
        headers={"if-match": shown.headers["etag"]},
    )
    assert moved.status_code == 200, moved.text
    assert moved.json()["start"] == slots[-1]["start"]
    stale = await stage.call(
        "ben",
        "PATCH",
        path,
        json={"start": slots[0]["start"]},
        headers={"if-match": shown.headers["etag"]},
    )
    assert stale.status_code == 412
    await stage.settled()
    forbidden = await stage.call("ada", "POST", f"{path}/cancel", json={})
    assert forbidden.status_code == 403
    assert "response" in forbidden.json()["remedy"]
    proposed = {"start": slots[3]["start"], "end": slots[3]["end"]}
    answered = await stage.call(
        "ada", "POST", f"{path}/response", json={"response": "tentative", "proposed": proposed}
    )
    assert answered.status_code == 202, answered.text
    await stage.settled()
    seen = (await stage.call("ben", "GET", path)).json()
    assert seen["attendees"][0]["proposed"] == proposed
    me = seen["attendees"][0]["object_id"]
    taken = await stage.call("ben", "POST", f"{path}/proposals/{me}/accept")
    assert taken.status_code == 200, taken.text
    assert taken.json()["start"] == proposed["start"]
    for _ in range(2):
        cancelled = await stage.call("ben", "POST", f"{path}/cancel", json={"comment": "sorry"})
        assert cancelled.status_code == 200, cancelled.text
        assert cancelled.json()["state"] == "cancelled"
