"""Bodies: for any invalid body a 4xx names the field, never its value."""

import json
from typing import Any

import pytest

from tests.builders import at
from tests.edge.api import Api, body_of, encoded

SECRET = "s3cret-value"
GOOD: dict[str, Any] = {
    "start": at(10, day=1).isoformat(),
    "duration_minutes": 30,
    "time_zone": "Europe/Berlin",
}


def booking(api: Api) -> str:
    return f"pairings/{api.env.pairing.id}/sessions"


async def posted(api: Api, content: bytes, *, media: str = "application/json") -> Any:
    headers = {"content-type": media, "idempotency-key": "one"}
    return await api.call("POST", booking(api), content=content, headers=headers)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"start": }',
        b'{"a": 1,}',
        b"{'start': 1}",
        b"\xff\xfe\x00",
        b'{"title": "\xff"}',
        b'{"title": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"duration_minutes": Infinity',
        b"[" * 400,
        b'{"a":' * 250 + b"1" + b"}" * 250,
        b'{"start": "x"} trailing',
    ],
    ids=lambda content: repr(content[:16]),
)
async def test_body_that_is_not_json_is_400(api: Api, content: bytes) -> None:
    response = await posted(api, content)
    assert response.status_code == 400
    assert body_of(response)["type"] == "/api/problems/not-json"


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 60_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"start":[0' + b",0" * 501 + b"]}",
        b"{" + b'"start":0,' * 501 + b'"start":0}',
        b'{"start":[' + b'"\\\\",' * 1001 + b"0]}",
    ],
    ids=lambda content: repr(content[:16]),
)
async def test_more_values_than_any_body_needs_are_refused(api: Api, content: bytes) -> None:
    response = await posted(api, content)
    assert response.status_code == 422
    assert [error["field"] for error in body_of(response)["errors"]] == ["body"]


async def test_what_is_in_a_text_is_not_counted(api: Api) -> None:
    agenda = ',:[{"\\' * 1000
    assert (await posted(api, encoded({**GOOD, "agenda": agenda}))).status_code == 201


@pytest.mark.parametrize("content", [b"null", b"[]", b'"text"', b"1", b"NaN", b"true"])
async def test_a_body_that_is_no_object_is_refused(api: Api, content: bytes) -> None:
    response = await posted(api, content)
    assert response.status_code == 422
    assert body_of(response)["errors"][0]["field"] == "body"


@pytest.mark.parametrize(
    "media",
    ["", "text/plain", "application/xml", "multipart/form-data", "application/json-patch+json"],
)
async def test_another_media_type_is_refused(api: Api, media: str) -> None:
    response = await posted(api, encoded(GOOD), media=media)
    assert response.status_code == 415
    assert body_of(response)["type"] == "/api/problems/wrong-media-type"


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "Application/JSON"])
async def test_the_media_type_is_read_as_http_says(api: Api, media: str) -> None:
    assert (await posted(api, encoded(GOOD), media=media)).status_code == 201


async def test_a_body_of_64_kib_is_read_and_a_byte_more_is_refused(api: Api) -> None:
    most = encoded(GOOD).ljust(64 * 1024)
    assert (await posted(api, most)).status_code == 201
    response = await posted(api, most + b" ")
    assert response.status_code == 413
    assert body_of(response)["type"] == "/api/problems/too-large"


NAIVE = "2026-03-03T10:00:00"
WRONG: list[tuple[str, Any]] = [
    ("start", None),
    ("start", NAIVE),
    ("start", "2026-03-03"),
    ("start", "2026-02-30T10:00:00Z"),
    ("start", "2026-03-03T25:00:00Z"),
    ("start", "2026-03-03T10:00:60Z"),
    ("start", "2026-03-03T10:00:00+25:00"),
    ("start", "2026-03-03T10:01:00Z"),
    ("start", "2026-03-03T10:00:00.000001Z"),
    ("start", "0001-01-01T00:00:00+14:00"),
    ("start", "9999-12-31T23:55:00-12:00"),
    ("start", "2026-03-03T10:00:00Z; DROP"),
    ("start", "\u0662\u0660\u0662\u0666-\u0660\u0663-\u0660\u0663T10:00:00Z"),
    ("start", 1772532000),
    ("start", True),
    ("start", {}),
    ("duration_minutes", 31),
    ("duration_minutes", 0),
    ("duration_minutes", -30),
    ("duration_minutes", 485),
    ("duration_minutes", 30.5),
    ("duration_minutes", "30"),
    ("duration_minutes", True),
    ("duration_minutes", None),
    ("duration_minutes", [30]),
    ("time_zone", "Mars/Olympus"),
    ("time_zone", "../../etc/passwd"),
    ("time_zone", "Europe/Berlin\x00"),
    ("time_zone", ""),
    ("time_zone", "x" * 10_000),
    ("time_zone", 1),
    ("title", ""),
    ("title", "x" * 256),
    ("title", "two\nlines"),
    ("title", "nul\x00"),
    ("title", "one\rline"),
    ("title", "one\r\nline"),
    ("title", "one\x85line"),
    ("title", "one\u2028line"),
    ("title", "\u200f\u200e \u2060"),
    ("title", "no character\uffff"),
    ("title", "x" + 128 * "😀"),
    *(("title", f"Agenda {c}gpj.exe") for c in "\u202a\u202b\u202c\u202d\u202e"),
    *(("title", f"Agenda {c}gpj.exe") for c in "\u2066\u2067\u2068\u2069"),
    ("location", "x" + 128 * "😀"),
    ("location", "Room \u202e1"),
    ("title", ["a"]),
    ("agenda", "x" * 8001),
    ("agenda", "\x07"),
    ("agenda", None),
    ("location", "\x1b[31m"),
    ("online_meeting", "zoom"),
    ("accept_unknown", "yes"),
    ("accept_unknown", 1),
]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda value: repr(value)[:24])
async def test_a_wrong_field_is_named(api: Api, field: str, value: Any) -> None:
    response = await posted(api, encoded({**GOOD, field: value}))
    assert response.status_code == 422
    assert [error["field"] for error in body_of(response)["errors"]] == [f"body.{field}"]
    if isinstance(value, str) and len(value) > 2:
        assert value not in response.get_body().decode()


@pytest.mark.parametrize("field", ["title", "location"])
async def test_a_line_is_as_long_as_outlook_counts(api: Api, field: str) -> None:
    longest = "x" + 127 * "😀"
    assert (await posted(api, encoded({**GOOD, field: f"  {longest} "}))).status_code == 201
    response = await posted(api, encoded({**GOOD, field: longest + "é"}))
    (error,) = body_of(response)["errors"]
    assert error["message"].startswith("must have at most 255 UTF-16 units")
    assert "emoji" in error["message"]


async def test_a_character_that_reorders_a_title_is_refused_with_what_to_do(api: Api) -> None:
    response = await posted(api, encoded({**GOOD, "title": "Plan \u202eB"}))
    (error,) = body_of(response)["errors"]
    assert "remove them" in error["message"]


async def test_lone_carriage_returns_in_a_text_are_line_ends(api: Api) -> None:
    response = await posted(api, encoded({**GOOD, "agenda": "one\rtwo\r\nthree"}))
    assert response.status_code == 201


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
@pytest.mark.parametrize("field", ["duration_minutes", "start", "title", "accept_unknown"])
async def test_numbers_beyond_all_measure_are_refused(api: Api, field: str, number: str) -> None:
    content = json.dumps({**GOOD, field: 0}).replace(f'"{field}": 0', f'"{field}": {number}')
    response = await posted(api, content.encode())
    assert response.status_code in {400, 422}
    assert "9" * 9 not in response.get_body().decode()


async def test_every_wrong_field_is_named_without_its_value(api: Api) -> None:
    response = await posted(
        api,
        encoded({"start": SECRET, "duration_minutes": SECRET, "time_zone": SECRET, SECRET: 1}),
    )
    named = {error["field"] for error in body_of(response)["errors"]}
    assert named == {"body.start", "body.duration_minutes", "body.time_zone", f"body.{SECRET}"}
    assert all(SECRET not in error["message"] for error in body_of(response)["errors"])
    assert SECRET not in body_of(response)["detail"]


async def test_missing_fields_are_named(api: Api) -> None:
    response = await posted(api, b"{}")
    named = [error["field"] for error in body_of(response)["errors"]]
    assert named == ["body.start", "body.duration_minutes", "body.time_zone"]


async def test_the_name_of_an_unknown_field_cannot_carry_markup(api: Api) -> None:
    response = await posted(api, encoded({**GOOD, "<script>\r\nx" + "y" * 500: 1}))
    (error,) = body_of(response)["errors"]
    assert error["field"].startswith("body.?script???x")
    assert len(error["field"]) <= 70


async def test_a_thousand_wrong_fields_are_an_answer_of_modest_size(api: Api) -> None:
    response = await posted(api, encoded({**GOOD, **{f"unknown_{n}": n for n in range(3000)}}))
    assert response.status_code == 422
    assert len(response.get_body()) < 16 * 1024


async def test_a_field_twice_counts_as_its_last(api: Api) -> None:
    content = encoded(GOOD).replace(b"{", b'{"duration_minutes": 31, ', 1)
    assert (await posted(api, content)).status_code == 201


@pytest.mark.parametrize(
    ("path", "method", "body", "field"),
    [
        ("", "PATCH", {"start": NAIVE}, "body.start"),
        ("", "PATCH", {"start": GOOD["start"], "duration_minutes": 7}, "body.duration_minutes"),
        ("", "PATCH", {"start": GOOD["start"], "title": "new"}, "body.title"),
        ("/cancel", "POST", {"comment": 5}, "body.comment"),
        ("/cancel", "POST", {"comment": "x" * 2001}, "body.comment"),
        ("/response", "POST", {"response": "maybe"}, "body.response"),
        ("/response", "POST", {}, "body.response"),
        ("/response", "POST", {"response": "declined", "proposed": 1}, "body.proposed"),
        (
            "/response",
            "POST",
            {"response": "declined", "proposed": {"start": NAIVE, "end": GOOD["start"]}},
            "body.proposed.start",
        ),
        (
            "/response",
            "POST",
            {"response": "declined", "proposed": {"start": GOOD["start"], "end": GOOD["start"]}},
            "body.proposed",
        ),
    ],
)
async def test_session_bodies_validate_alike(
    api: Api, path: str, method: str, body: Any, field: str
) -> None:
    session = body_of(await posted(api, encoded(GOOD)))
    response = await api.call(
        method, f"sessions/{session['id']}{path}", body=body, headers={"if-match": "*"}
    )
    assert response.status_code == 422
    assert [error["field"] for error in body_of(response)["errors"]] == [field]
