"""Every answer of the app has the headers that browsers honour."""

import json

import pytest

from local.cloud import ROOT
from tests.e2e.conftest import AppUnderTest

HEADERS: dict[str, str] = json.loads((ROOT / "host.json").read_text())["extensions"]["http"][
    "customHeaders"
]
OWN = {"Content-Security-Policy", "Referrer-Policy"}
"""Pages have those of their own."""


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/health", 200),
        ("GET", "/api/pairings", 401),
        ("GET", "/api/no-such-route", 404),
        ("POST", "/api/graph/notifications", 202),
        ("POST", "/api/graph/notifications?validationToken=x", 200),
        ("GET", "/api/docs", 200),
        ("GET", "/api/consent/callback", 400),
    ],
)
async def test_an_answer_has_them(stage: AppUnderTest, method: str, path: str, status: int) -> None:
    reply = await stage.http.request(method, path)
    assert reply.status_code == status
    # The development host leaves it out: a browser would keep it for every port of localhost.
    for name in HEADERS.keys() - {"Strict-Transport-Security"}:
        if name in OWN and "text/html" in reply.headers.get("content-type", ""):
            assert reply.headers[name]
        else:
            assert reply.headers[name] == HEADERS[name]
    assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
