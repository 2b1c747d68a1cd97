"""Bad and odd input over HTTP: each gets a 4xx with a remedy, or is right in Outlook."""

import html
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx

from tests.e2e.conftest import AppUnderTest
from tests.today import today

_NUMBERS = count(1)
_PATH = "pairings/ada-ben/sessions"


def saturday(hour: int = 10) -> datetime:
    """Return an hour of next Saturday, when all seeded people are free."""
    return today(hour) + timedelta(days=(5 - today().weekday()) % 7 or 7)


def text(at: datetime) -> str:
    return at.isoformat()


def good(**changes: Any) -> dict[str, Any]:
    body = {"start": text(saturday()), "duration_minutes": 30, "time_zone": "Europe/Berlin"}
    return body | changes


async def post(stage: AppUnderTest, content: bytes, **headers: str) -> httpx.Response:
    sent = {"content-type": "application/json", "idempotency-key": f"bad-{next(_NUMBERS)}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await stage.call(
        "ben", "POST", _PATH, content=content, headers={n: v for n, v in sent.items() if v}
    )


NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
WEEKLY = {"frequency": "weekly", "count": 3}
REFUSED: tuple[tuple[str, dict[str, Any], str, str], ...] = (
    # what, changes, field, a word of what to do
    ("past", {"start": text(NOW - timedelta(days=1))}, "body.start", "started already"),
    ("too soon", {"start": text(NOW + timedelta(minutes=5))}, "body.start", "too soon"),
    ("beyond the horizon", {"start": text(NOW + timedelta(days=99))}, "body.start", "horizon"),
    ("of another age", {"start": "9999-12-31T23:55:00Z"}, "body.start", "between the years"),
    ("off the step", {"start": text(saturday().replace(minute=7))}, "body.start", "five minutes"),
    ("no offset", {"start": "2030-01-01T10:00:00"}, "body.start", "with an offset"),
    ("no date", {"start": "2030-02-30T10:00:00Z"}, "body.start", "exists"),
    ("a number for a time", {"start": 10**400}, "body.start", "RFC 3339"),
    ("too long", {"duration_minutes": 485}, "body.duration_minutes", "480"),
    ("too short", {"duration_minutes": 10}, "body.duration_minutes", "15"),
    ("huge", {"duration_minutes": 10**400}, "body.duration_minutes", ""),
    ("unknown zone", {"time_zone": "Mars/Olympus"}, "body.time_zone", "IANA or Windows name"),
    ("no zone", {"time_zone": ""}, "body.time_zone", "IANA or Windows name"),
    ("long title", {"title": "x" * 4000}, "body.title", "255"),
    ("long in emoji", {"title": 128 * "😀"}, "body.title", "UTF-16 units"),
    ("long place", {"location": 128 * "😀"}, "body.location", "UTF-16 units"),
    ("a reordered title", {"title": "a\u202ebc"}, "body.title", "remove them"),
    ("lines in a title", {"title": "one\ntwo"}, "body.title", "single line"),
    ("paragraphs in a title", {"title": "one\u2029two"}, "body.title", "single line"),
    ("bell", {"title": "ding\x07"}, "body.title", "control characters"),
    ("C1", {"agenda": "next\x85line"}, "body.agenda", "control characters"),
    ("nothing but spaces", {"title": " \u00a0 "}, "body.title", "at least 1"),
    ("long agenda", {"agenda": "x" * 8001}, "body.agenda", "8000"),
    ("no such meeting", {"online_meeting": "zoom"}, "body.online_meeting", "teams"),
    ("more than all", {"at_least": 21}, "body.at_least", "20"),
    ("more than there are", {"at_least": 3}, "body.at_least", "2"),
    ("a series of one", {"repeat": WEEKLY | {"count": 1}}, "body.repeat.count", "2"),
    ("53 dates", {"repeat": WEEKLY | {"count": 53}}, "body.repeat.count", "52"),
    ("series too long", {"repeat": WEEKLY | {"count": 52}}, "body.repeat.count", "horizon"),
    ("both", {"repeat": WEEKLY | {"until": "2030-01-01"}}, "body.repeat", "either"),
    ("unknown field", {"colour": "red"}, "body.colour", "not permitted"),
)


async def test_unbookable_request_names_the_field_and_the_remedy(
    stage: AppUnderTest,
) -> None:
    stage.cloud.graph.requests.reset()
    wrong = []
    for what, changes, field, word in REFUSED:
        reply = await post(stage, json.dumps(good(**changes)).encode())
        payload = reply.json()
        fields = [error["field"] for error in payload.get("errors", [])]
        if (reply.status_code, fields) != (422, [field]) or word not in str(payload["errors"]):
            wrong.append((what, reply.status_code, payload))
    assert wrong == []
    assert stage.cloud.graph.requests.count() == 0


MALFORMED: tuple[tuple[str, bytes, dict[str, str], int], ...] = (
    ("empty", b"", {}, 400),
    ("no JSON", b"{", {}, 400),
    ("no UTF-8", b'{"title": "\xff"}', {}, 400),
    ("half a character", b'{"title": "\\ud83d"}', {}, 400),
    ("deep", b"[" * 400, {}, 400),
    ("very deep", b"[" * 50_000, {}, 422),
    ("no object", b"[]", {}, 422),
    ("another type", json.dumps(good()).encode(), {"content_type": "text/plain"}, 415),
    ("no type", json.dumps(good()).encode(), {"content_type": ""}, 415),
    ("large", json.dumps(good(agenda="x" * 70_000)).encode(), {}, 413),
    ("no key", json.dumps(good()).encode(), {"idempotency_key": ""}, 422),
    ("odd key", json.dumps(good()).encode(), {"idempotency_key": "a b"}, 422),
    ("long key", json.dumps(good()).encode(), {"idempotency_key": "k" * 129}, 422),
)


async def test_malformed_request_is_refused(stage: AppUnderTest) -> None:
    for what, content, headers, status in MALFORMED:
        reply = await post(stage, content, **headers)
        assert reply.status_code == status, (what, reply.text)
        assert reply.headers["content-type"].startswith("application/problem+json"), what
        assert reply.json()["detail"], what
    assert (await stage.call("ben", "GET", "sessions")).json()["items"] == []


async def test_a_body_in_chunks_is_refused_by_its_cause(stage: AppUnderTest) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield json.dumps(good()).encode()

    headers = {
        "authorization": f"Bearer {stage.token('ben')}",
        "content-type": "application/json",
        "idempotency-key": "streamed",
    }
    path = "/api/pairings/ada-ben/sessions"
    reply = await stage.http.post(path, content=chunks(), headers=headers)
    problem = reply.json()
    assert (reply.status_code, problem["type"]) == (411, "/api/problems/length-required")
    assert "Content-Length" in problem["detail"]


TEXTS = (
    "Über Ziele & Wünsche",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "مرحبا بالعالم",
    "פגישה \u200f!",
    "👩🏽\u200d💻 ❤️ 🏳️\u200d🌈",
    "a\u200fb\u200ec\u061c!",
    "Z\u0351\u036b\u0343algo",
    "'; DROP TABLE Sessions; --",
    "{{7*7}} ${7*7} %s %00",
    "x" * 255,
)


async def test_odd_texts_are_right_in_outlook_and_never_become_markup(stage: AppUnderTest) -> None:
    outlook = stage.cloud.graph.outlook
    for number, given in enumerate(TEXTS):
        start = saturday(4) + timedelta(minutes=30 * number)
        body = good(start=text(start), title=given, agenda=f"{given}\r\nsecond", location=given)
        reply = await post(stage, json.dumps(body).encode())
        assert reply.status_code == 201, reply.text
        await stage.settled()
        for who in ("ben", "ada"):
            (event,) = outlook.events(who, start, start + timedelta(minutes=1))
            shown = outlook.get(event)
            assert shown["subject"] == given
            assert shown["location"]["displayName"] == given
            written = shown["body"]["content"]
            assert "<script" not in written
            assert "<img" not in written
            assert _plain(written).startswith(f"{given}\nsecond")
    page = await stage.http.get(
        f"{stage.cloud.outlook_url}/ada/events", params={"start": text(saturday(0))}
    )
    subjects = [event["subject"] for event in page.json()["events"]]
    assert [t for t in TEXTS if t not in subjects] == []


def _plain(written: str) -> str:
    """Return the text of HTML, as lines."""
    body = written.partition("<body>")[2] or written
    return html.unescape(re.sub("<[^>]*>", "", re.sub("<br ?/?>", "\n", body))).strip()
