"""Ids that storage would refuse never reach it, which the fakes of the edge cannot show."""

from urllib.parse import quote

from tests.e2e.conftest import AppUnderTest

ODD = [
    "x" * 2000,
    "é" * 400,
    "a/b",
    "a\\b",
    "a#b",
    "a?b",
    "a%b",
    "%2F",
    "\x00",
    "\x7f",
    "'",
    "~",
    "..",
]


async def test_odd_ids_are_not_found(stage: AppUnderTest) -> None:
    session = await stage.book()
    answers = {}
    for odd in ODD:
        escaped = quote(odd, safe="").replace("..", "%2E%2E")
        for path in (f"pairings/{escaped}", f"sessions/{escaped}"):
            answers[path] = await stage.call("ben", "GET", path)
        path = f"sessions/{session['id']}/proposals/{escaped}/accept"
        answers[path] = await stage.call("ben", "POST", path)
    # The host refuses a null character in a path before any function sees it.
    statuses = {
        path[:60]: reply.status_code
        for path, reply in answers.items()
        if reply.status_code != (400 if "%00" in path else 404)
    }
    assert not statuses


async def test_odd_cursors_are_refused(stage: AppUnderTest) -> None:
    for cursor in ("x", "____", "L" * 400, "4pyT", "Jw"):
        for path in ("pairings", "sessions"):
            reply = await stage.call("ben", "GET", path, params={"cursor": cursor})
            assert reply.status_code in {200, 422}, (path, cursor, reply.text)
