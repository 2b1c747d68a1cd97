"""The recorded answers that the development host gives otherwise by choice, with the reasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_CORS: Final = (
    "It was not run as on Flex Consumption, where the host itself answers every preflight"
    " (ASP.NET Core's CORS middleware); ours is always as on Flex."
)
_HOME: Final = (
    "Azure's page advertises Azure in 150 KB; ours is a line. Its length is stated as well."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One answer of ours that is not as recorded."""

    reason: str
    ours: Mapping[str, Any]
    """The parts of `Answer` that differ; the others are as recorded."""


_PREFLIGHT: Final = Difference(
    _CORS,
    {
        "status": "204",
        "headers": (
            "access-control-expose-headers: ETag",
            "x-custom: from-host",
            "x-own: from-host",
        ),
        "body": "",
    },
)
_HOME_HEADERS: Final = (
    "access-control-expose-headers: ETag",
    "content-length: 84",
    "content-type: text/html",
    "x-custom: from-host",
    "x-own: from-host",
)
DIFFERENCES: Final[Mapping[str, Difference]] = {
    "OPTIONS /api/get-only (Origin: http://x.example)": _PREFLIGHT,
    "OPTIONS /api/echo (Origin: http://x.example)": _PREFLIGHT,
    "GET /": Difference(
        _HOME,
        {
            "headers": _HOME_HEADERS,
            "body": "<!DOCTYPE html><title>Functions</title>"
            "<h1>Your Functions app is up and running</h1>",
        },
    ),
    "HEAD /": Difference(_HOME, {"headers": _HOME_HEADERS}),
}
"""By `recorded.name_of`."""
