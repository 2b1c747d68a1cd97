"""Requests that Schemathesis draws from our own document, to the whole app, as different callers.

Some keep to the document, others break one rule of it. Every reply has a documented status and
media type, and a body of its schema; no reply is a 5xx; a request that breaks a rule is refused;
and no route opens without a token, or with a wrong one.

`make fuzz` runs the same for longer, with another seed each time. The seed is printed. A run has
its time: a slow machine sends fewer requests.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.conftest import AppUnderTest
from tests.e2e.packaged import ROOT
from tests.e2e.slow_machine import TOOK_TOO_LONG, is_slow_machine
from tests.openapi import COMMITTED

SECONDS: Final = int(os.environ.get("FUZZ_SECONDS", "30"))
SEED: Final = os.environ.get("FUZZ_SEED", "17")
EXAMPLES: Final = 25
"""The most requests to an operation before the next one has its turn."""

CALLERS: Final = {
    "participant": ("ben", "show_me", ["--exclude-path-regex", "^/organizations"]),
    "platform": ("platform", "list_organizations", []),
    # From a tenant that is no customer's: Entra vouches for its people, and we know none.
    "stranger": ("nils", "show_docs", []),
}
"""Who calls, a function that answers them with 200 at least once, and options."""

_RULES: Final = f"""
hooks = "tests.e2e.fuzz_rules"
[generation]
database = "none"
with-security-parameters = false  # the token is the caller's; `ignored_auth` tries without it
max-examples = {EXAMPLES}
[analysis.constants]
enabled = false
[checks]
negative_data_rejection.expected-statuses = ["4xx"]
# A request may keep to the document and still not suit the calendar, the time or the state.
positive_data_acceptance.enabled = false
# The Functions host answers a method that no function has with 404, before our code runs.
unsupported_method.enabled = false
"""


@pytest.mark.timeout(SECONDS * 3 + 300)
@pytest.mark.parametrize("who", CALLERS)
async def test_no_request_is_answered_against_the_document(
    stage: AppUnderTest, who: str, tmp_path: Path
) -> None:
    person, opens, options = CALLERS[who]
    rules = tmp_path / "schemathesis.toml"
    rules.write_text(_RULES + _known(await _values(stage)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(rules), "run"),
        *(str(COMMITTED), "--url", f"{stage.http.base_url}/api"),
        *("--tls-verify", str(stage.cloud.certificate.authority)),
        *("--header", f"Authorization: Bearer {stage.token(person)}"),
        *("--max-time", str(SECONDS), "--seed", SEED, "--request-timeout", "60"),
        *("--warnings", "off", "--no-color", "--continue-on-failure", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    report, _ = await process.communicate()
    print(report.decode())  # noqa: T201  # shown where the test fails, with the seed
    assert process.returncode == 0
    assert any(f"function={opens} status=200 " in line for line in stage.lines)
    await stage.settled()


@pytest.mark.parametrize(
    ("status", "retry_after", "problem", "is_slow"),
    [
        (503, "5", TOOK_TOO_LONG, True),
        (503, "", TOOK_TOO_LONG, False),
        (503, "5", "/api/problems/store-unavailable", False),
        (500, "5", TOOK_TOO_LONG, False),
    ],
)
def test_only_a_slow_machine_is_no_fault(
    status: int, retry_after: str, problem: str, is_slow: bool
) -> None:
    body = json.dumps({"type": problem}).encode()
    assert is_slow_machine(status, retry_after, body) is is_slow


async def _values(stage: AppUnderTest) -> dict[str, Sequence[str | int]]:
    """Return values that exist or make sense, by parameter: random ones alone reach little."""
    session, people = await stage.book(), stage.cloud.world.person
    morning = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    starts = [f"{morning + timedelta(days=n):%Y-%m-%dT%H:%M:%SZ}" for n in range(1, 8)]
    return {
        "path.organization_id": ["contoso"],
        "path.pairing_id": ["ada-ben"],
        "path.session_id": [session["id"]],
        "path.attendee": [people("ada").object_id],
        "query.mailbox": [people("ada").object_id],
        "query.from": starts[:3],
        "query.to": starts[3:],
        "query.time_zone": ["Europe/Berlin"],
        "header.If-Match": ["*"],
        "body.start": starts,
        "body.duration_minutes": [30],
        "body.time_zone": ["Europe/Berlin"],
        "body.participants[*].address": [people(who).address for who in ("ada", "ben", "priya")],
        "body.participants[*].role": ["mentor", "mentee"],
    }


def _known(values: Mapping[str, Sequence[str | int]]) -> str:
    """Return *values* as configuration: three of four are taken from there, others are drawn."""
    lists = [
        f'"{name.replace("[*]", "")}" = {{ values = {json.dumps(v)} }}'
        for name, v in values.items()
    ]
    taken = [
        f'"{name}" = {{ dictionary = "{name.replace("[*]", "")}", probability = 0.75 }}'
        for name in values
    ]
    return "\n".join(["[dictionaries]", *lists, "[parameters]", *taken])
