"""The cost of the HTTP layer per request, compared with pydantic alone."""

import json
import timeit

import azure.functions as func
from pydantic import TypeAdapter, ValidationError

from functions._http import parse_body
from functions.schemas.session_requests import BookingBody
from shared.errors import Invalid

_GOOD = json.dumps(
    {
        "start": "2026-03-02T09:00:00+01:00",
        "duration_minutes": 30,
        "time_zone": "Europe/Berlin",
        "title": "Talk",
        "agenda": "About this and that.",
    }
).encode()
_BAD = _GOOD.replace(b"30", b"31").replace(b"2026-03-02T09:00:00+01:00", b"yesterday")
_TIMES = 5_000


def _request(body: bytes) -> func.HttpRequest:
    headers = {"content-type": "application/json"}
    return func.HttpRequest("POST", "/api/x", headers=headers, body=body)


def _refused(body: bytes) -> None:
    try:
        parse_body(_request(body), BookingBody)
    except Invalid:
        return


def main() -> None:
    """Print microseconds and ratios."""
    adapter = TypeAdapter(BookingBody)
    adapter.validate_json(_GOOD, strict=True)

    def raw_refusal() -> None:
        try:
            adapter.validate_json(_BAD, strict=True)
        except ValidationError as error:
            error.errors(include_url=False, include_input=False)

    rows = (
        (
            "valid body",
            lambda: parse_body(_request(_GOOD), BookingBody),
            lambda: adapter.validate_json(_GOOD, strict=True),
        ),
        ("invalid body", lambda: _refused(_BAD), raw_refusal),
    )
    print(f"{'':20}{'ours us':>9}{'pydantic us':>13}{'ratio':>7}")
    for name, ours, raw in rows:
        one = 1e6 * min(timeit.repeat(ours, number=_TIMES, repeat=3)) / _TIMES
        other = 1e6 * min(timeit.repeat(raw, number=_TIMES, repeat=3)) / _TIMES
        print(f"{name:20}{one:>9.1f}{other:>13.1f}{one / other:>7.2f}")


if __name__ == "__main__":
    main()
