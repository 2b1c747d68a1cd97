"""Item ids: valid in one mailbox, default ones changing on every move, immutable ones never.

Both kinds hold (mailbox, item, moves, date of the occurrence), so an occurrence has an id before
anything about it is stored. Ids are opaque to callers.

Source: https://learn.microsoft.com/graph/outlook-immutable-id
"""

import base64
import binascii
import hashlib
import uuid
from dataclasses import dataclass
from datetime import date
from typing import Final

from local.graph.errors import GraphError

_DEFAULT: Final = "AAMkAG"
_IMMUTABLE: Final = "AAkALg"
_KNOWN: Final = 40  # bytes with a meaning
_BYTES: Final = 71  # all: 95 letters and one "=" behind the prefix, about as long as real ones


@dataclass(frozen=True, slots=True)
class ItemId:
    """The item behind an id."""

    mailbox: bytes
    item: uuid.UUID
    moves: int
    """How often the item had moved when this id was issued; 0 in immutable ids."""
    occurrence_on: date | None
    is_immutable: bool


def item_id(
    mailbox_id: str, item: uuid.UUID, moves: int, occurrence_on: date | None, *, immutable: bool
) -> str:
    """Return the id of an item, or of one occurrence of it."""
    day = occurrence_on.toordinal() if occurrence_on else 0
    head = _mailbox_bytes(mailbox_id) + item.bytes
    middle = (0 if immutable else moves).to_bytes(4, "big") + day.to_bytes(4, "big")
    # The filling depends on the other bytes. So similar ids differ in many letters, and it is a
    # checksum.
    payload = head + middle + _filling(head + middle)
    letters = base64.urlsafe_b64encode(payload).decode()
    return (_IMMUTABLE if immutable else _DEFAULT) + letters


def parse_item_id(text: str, mailbox_id: str) -> ItemId | None:
    """Return the item behind *text*; None if it belongs to another mailbox.

    Raises:
        GraphError: 400 ``ErrorInvalidIdMalformed`` if it is no id at all.
    """
    prefix, letters = text[:6], text[6:]
    try:
        payload = base64.urlsafe_b64decode(letters)
    except (binascii.Error, ValueError):
        raise _malformed() from None
    known, filling = payload[:_KNOWN], payload[_KNOWN:]
    if prefix not in {_DEFAULT, _IMMUTABLE} or filling != _filling(known):
        raise _malformed()
    if known[:16] != _mailbox_bytes(mailbox_id):
        return None
    day = int.from_bytes(known[36:40], "big")
    return ItemId(
        mailbox=known[:16],
        item=uuid.UUID(bytes=known[16:32]),
        moves=int.from_bytes(known[32:36], "big"),
        occurrence_on=date.fromordinal(day) if day else None,
        is_immutable=prefix == _IMMUTABLE,
    )


def calendar_id(mailbox_id: str, name: str) -> str:
    """Return the constant id of a calendar."""
    digest = hashlib.sha256(f"{mailbox_id}/{name}".encode()).digest()
    return "AAMkAGC" + base64.urlsafe_b64encode(digest).decode()


def change_key(mailbox_id: str, version: int) -> str:
    """Return the changeKey of a version; the etag holds the same."""
    return base64.b64encode(_mailbox_bytes(mailbox_id) + version.to_bytes(8, "big")).decode()


def _mailbox_bytes(mailbox_id: str) -> bytes:
    return hashlib.blake2b(mailbox_id.encode(), digest_size=16).digest()


def _filling(known: bytes) -> bytes:
    return hashlib.blake2b(known, digest_size=_BYTES - _KNOWN).digest()


def _malformed() -> GraphError:
    return GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
