"""Queue messages between storage and functions: encodings, metadata, and the host's quirks.

Source: the host's `ScriptInvocationContextExtensions`, `Utility.ApplyBindingData` and
`FunctionBinding` (4.1037); WebJobs Storage extension 5.x.
"""

import base64
import binascii
import json
from datetime import datetime
from typing import Any, Final

from azure.functions.meta import Datum

from local.host.newtonsoft import as_invariant_text, as_text, looks_like_json, parse
from local.host.queue_client import MAX_MESSAGE_BYTES, TakenMessage

POISON: Final = "-poison"


def decode(content: str, *, is_base64: bool) -> bytes:
    """Return the body of a stored message. ValueError if it is not encoded as expected."""
    if not is_base64:
        return content.encode()
    try:
        # .NET skips white space and insists on padding.
        return base64.b64decode("".join(content.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the message is no base64: {error}") from error


def encode(body: bytes, *, is_base64: bool) -> str:
    """Return *body* in its stored form. ValueError if it is too large, or not text as required."""
    try:
        content = base64.b64encode(body).decode() if is_base64 else body.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"without base64 a message must be UTF-8: {error}") from error
    if len(content.encode()) > MAX_MESSAGE_BYTES:
        raise ValueError(f"the message is larger than 64 KiB encoded: {len(content)} bytes")
    return content


def metadata(message: TakenMessage, text: str, queue: str) -> dict[str, Datum]:
    """Return the trigger metadata of *message*, whose decoded body is *text*.

    Top-level properties of a JSON body replace metadata of the same name, letter case aside.
    """
    found: dict[str, Any] = {
        "QueueTrigger": Datum(queue, "string"),
        "DequeueCount": Datum(str(message.dequeue_count), "json"),
        "ExpirationTime": _moment(message.expires_at),
        "Id": Datum(message.id, "string"),
        "InsertionTime": _moment(message.inserted_at),
        "NextVisibleTime": _moment(message.visible_at),
        "PopReceipt": Datum(message.pop_receipt, "string"),
    }
    names = {name.lower(): name for name in found}
    for name, value in _properties(text).items():
        found[names.setdefault(name.lower(), name)] = _property(value)
    return found


def bodies(output: Datum) -> list[bytes]:
    """Return the messages that the host makes of an *output*. ValueError if it cannot.

    Bytes stay unchanged. Text that looks like an object is parsed and printed again; text that
    looks like an array becomes a message per element.
    """
    value = output.value
    if output.type == "bytes":
        return [bytes(value)]
    if output.type == "json":
        parsed = parse(value, rewrites_dates=False)
    elif looks_like_json(value):
        parsed = parse(value)
    else:
        return [value.encode()]
    return [as_text(each).encode() for each in (parsed if isinstance(parsed, list) else [parsed])]


def _properties(text: str) -> dict[str, Any]:
    if not looks_like_json(text):
        return {}
    try:
        parsed = parse(text, rewrites_dates=False)
    except ValueError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    return {
        name: value
        for name, value in parsed.items()
        if value is not None and not isinstance(value, list)
    }


def _property(value: Any) -> Datum:  # noqa: ANN401  # any JSON but arrays and null
    if isinstance(value, dict):
        return Datum(json.dumps(value), "json")
    return Datum(as_invariant_text(value), "string")


def _moment(moment: datetime) -> Datum:
    return Datum(json.dumps(moment.isoformat()), "json")
