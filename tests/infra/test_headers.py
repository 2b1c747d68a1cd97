"""The headers that browsers honour, on all that the Functions host answers and on the page."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMON = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def test_every_answer_of_the_host_has_them() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    headers = host["extensions"]["http"]["customHeaders"]
    assert headers.items() >= COMMON.items()
    assert headers["X-Frame-Options"] == "DENY"
    # What a page of another origin reads (tests/browser): a browser shows it nothing else.
    assert headers["Access-Control-Expose-Headers"] == (
        "ETag, Location, Retry-After, WWW-Authenticate, x-trace-id"
    )
    assert headers["Access-Control-Max-Age"] == "7200"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_the_host_takes_their_names() -> None:
    # A name that is no token, or a line break in a value, and the host does not start.
    host = json.loads((ROOT / "host.json").read_text())
    for name, value in host["extensions"]["http"]["customHeaders"].items():
        assert re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name)
        assert re.fullmatch(r"[\x20-\x7e]+", value)


@pytest.fixture
def page(tmp_path: Path) -> dict[str, str]:
    """Return the headers of a page configured for one host."""
    (tmp_path / "page").mkdir()
    command = ["node", str(ROOT / "web" / "configure.mjs"), "--page", str(tmp_path / "page")]
    command += [
        "--out",
        str(tmp_path / "site"),
        "--client-id",
        "c",
        "--api",
        "https://app.test/api",
    ]
    subprocess.run(command, check=True)
    site = json.loads((tmp_path / "site" / "staticwebapp.config.json").read_text())
    headers: dict[str, str] = site["globalHeaders"]
    return headers


def test_the_page_has_them(page: dict[str, str]) -> None:
    assert page.items() >= COMMON.items()
    policy = dict(each.strip().split(" ", 1) for each in page["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert policy["connect-src"].split()[-1] == "https://app.test"
