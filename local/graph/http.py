"""One request to the simulated Graph, from the wire or from inside a batch, and its reply."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from local.graph.auth import CallerIdentity
from local.graph.errors import Json, bad_request
from local.graph.event_input import fold_keys
from local.graph.mailbox import Mailbox
from local.graph.times import zone_named

_TIMEZONE = re.compile(r'outlook\.timezone\s*=\s*"([^"]*)"', re.IGNORECASE)
_BODY_TYPE = re.compile(r'outlook\.body-content-type\s*=\s*"?(\w+)"?', re.IGNORECASE)
_PAGE_SIZE = re.compile(r"odata\.maxpagesize\s*=\s*(\d+)", re.IGNORECASE)
# The value is case-sensitive. Source: https://learn.microsoft.com/graph/outlook-immutable-id
_IMMUTABLE = re.compile(r'(?i:idtype)\s*=\s*"ImmutableId"')


@dataclass(slots=True)
class GraphRequest:
    """A handler's input."""

    method: str
    path: str
    """The path behind the version, percent-encoded as received."""
    query: dict[str, str]
    """System options with their dollar sign, in lower case; other names in lower case too."""
    headers: Mapping[str, str]
    """Names in lower case."""
    raw_body: bytes
    root: str
    """The address of the service, for links: ``https://localhost:1234/v1.0``."""
    in_batch: bool = False
    identity: CallerIdentity | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    """From the path, decoded: ``event``, ``calendar``, ``id``."""
    mailbox: Mailbox | None = None
    """The mailbox of the user in the path."""

    @property
    def caller(self) -> CallerIdentity:
        """The identity, which every handler's call has."""
        if self.identity is None:
            raise RuntimeError("handlers run after authentication")
        return self.identity

    @property
    def box(self) -> Mailbox:
        """The mailbox, for handlers of mailbox paths."""
        if self.mailbox is None:
            raise RuntimeError("only mailbox paths have one")
        return self.mailbox

    def json(self) -> Json:
        """Return the body, an object with keys in lower camel case. GraphError 400 otherwise."""
        if not self.raw_body:
            return {}
        if "json" not in self.headers.get("content-type", ""):
            raise bad_request(
                "A missing or empty content type header was found when trying to read a message. "
                "The content type header is required."
            )
        try:
            body = json.loads(self.raw_body)
        except ValueError:
            raise bad_request("Unable to read JSON request payload.", "BadRequest") from None
        if not isinstance(body, dict):
            raise bad_request("Unable to read JSON request payload.", "BadRequest")
        folded: Json = fold_keys(body)
        return folded

    @property
    def prefers_immutable_ids(self) -> bool:
        """``Prefer: IdType="ImmutableId"``."""
        return bool(_IMMUTABLE.search(self.headers.get("prefer", "")))

    @property
    def time_zone(self) -> str | None:
        """``Prefer: outlook.timezone``. GraphError 400 for an unknown zone."""
        match = _TIMEZONE.search(self.headers.get("prefer", ""))
        if match:
            zone_named(match[1])
        return match[1] if match else None

    @property
    def prefers_text(self) -> bool:
        """``Prefer: outlook.body-content-type="text"``."""
        match = _BODY_TYPE.search(self.headers.get("prefer", ""))
        return bool(match and match[1].casefold() == "text")

    @property
    def page_size(self) -> int | None:
        """``Prefer: odata.maxpagesize``."""
        match = _PAGE_SIZE.search(self.headers.get("prefer", ""))
        return int(match[1]) if match else None

    def preferences_applied(self) -> str:
        """Return the value of ``Preference-Applied``."""
        applied = []
        if self.prefers_immutable_ids:
            applied.append('IdType="ImmutableId"')
        if match := _TIMEZONE.search(self.headers.get("prefer", "")):
            applied.append(f'outlook.timezone="{match[1]}"')
        if self.prefers_text:
            applied.append('outlook.body-content-type="text"')
        return ", ".join(applied)


@dataclass(slots=True)
class GraphReply:
    """A handler's answer. *body* None: no body."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def segments_of(path: str) -> list[str]:
    """Split a path as OData does: ``users('a')`` is two segments, ``delta()`` is ``delta``.

    A namespace before an action is removed, percent-encoding too.
    """
    segments: list[str] = []
    for raw in path.strip("/").split("/"):
        text = unquote(raw)
        keyed = re.fullmatch(r"(\w+)\((?:appId=)?'([^']*)'\)", text)
        if keyed:
            segments += [keyed[1], keyed[2]]
        else:
            segments.append(re.sub(r"^microsoft\.graph\.|\(\)$", "", text))
    return segments
