"""The main job: see when both are free, book, see the answer."""

from tests.e2e.conftest import Stage


async def test_a_mentee_books_and_sees_the_mentor_accept(stage: Stage) -> None:
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
