import json
from datetime import UTC, datetime

import pytest
from azure.functions.meta import Datum

from local.host.messages import bodies, decode, encode, metadata
from local.host.queue_client import TakenMessage

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MESSAGE = TakenMessage("m1", "r1", "", 2, NOW, NOW, NOW)


def test_base64_is_strict_but_for_white_space() -> None:
    assert decode(" aGVs\nbG8= ", is_base64=True) == b"hello"
    for bad in ("aGVsbG8", "hello!", '{"a":1}'):
        with pytest.raises(ValueError, match="no base64"):
            decode(bad, is_base64=True)
    assert decode("hello!", is_base64=False) == b"hello!"


def test_bytes_are_sent_as_they_are() -> None:
    body = b'{"at":"2026-11-23T10:00:00+02:00"}'
    assert bodies(Datum(body, "bytes")) == [body]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", ["plain"]),
        ('{"a":1}', ['{\n  "a": 1\n}']),
        ('{"at":"2026-11-23T10:00:00+02:00"}', ['{\n  "at": "2026-11-23T08:00:00+00:00"\n}']),
        ('{"at":"2026-11-23T10:00:00.120Z"}', ['{\n  "at": "2026-11-23T10:00:00.12Z"\n}']),
        ('["a", 1, {"b":2}]', ["a", "1", '{\n  "b": 2\n}']),
        ("[]", []),
    ],
)
def test_a_text_that_looks_like_json_is_printed_again(text: str, expected: list[str]) -> None:
    assert bodies(Datum(text, "string")) == [each.encode() for each in expected]


def test_a_text_that_only_looks_like_json_fails() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        bodies(Datum("{oops}", "string"))


def test_a_queue_message_arrives_wrapped() -> None:
    sent = json.dumps({"id": None, "body": "x"})
    assert json.loads(bodies(Datum(sent, "json"))[0]) == {"id": None, "body": "x"}


def test_a_message_larger_than_64_kib_encoded_is_refused() -> None:
    assert len(encode(bytes(48 * 1024), is_base64=True)) == 64 * 1024
    with pytest.raises(ValueError, match="64 KiB"):
        encode(bytes(48 * 1024 + 1), is_base64=True)


def test_top_level_properties_replace_metadata() -> None:
    body = json.dumps({"id": 7, "DEQUEUECOUNT": "9", "list": [1], "none": None, "in": {"a": 1}})
    found = metadata(MESSAGE, body, "jobs")
    assert found["Id"].value == "7"
    assert found["DequeueCount"].value == "9"
    assert "list" not in found
    dated = json.dumps({"id": "2024-01-02T03:04:05+02:00"})
    assert metadata(MESSAGE, dated, "jobs")["Id"].value == "01/02/2024 01:04:05"
    assert "none" not in found
    assert found["in"].python_value == {"a": 1}
    assert metadata(MESSAGE, "plain", "jobs")["Id"].value == "m1"
