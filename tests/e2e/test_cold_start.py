"""A fresh process with telemetry on: no thread imports the modules that first requests import.

Python 3.13.6 and later raise `_DeadlockError` in one of two threads that import from one package in
an unlucky order, which the process forces. On other versions the list of imports shows the fault.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import a_stage
from tests.e2e.packaged import APP_DIR, ROOT, python

_PROGRAM = (ROOT / "tests" / "cold_start.py").read_text(encoding="utf-8")
_NOWHERE = "https://localhost:9"
_SETTINGS = {
    "STORAGE_TABLES_URL": _NOWHERE,
    "STORAGE_QUEUES_URL": _NOWHERE,
    "KEY_VAULT_URL": _NOWHERE,
    "MANAGED_IDENTITY_CLIENT_ID": "identity",
    "APP_CLIENT_ID": "app",
    "PLATFORM_TENANT_ID": "tenant",
    "PLATFORM_CLIENT_IDS": "platform",
    "PUBLIC_URL": _NOWHERE,
    "LOGIN_URL": _NOWHERE,
    "GRAPH_URL": _NOWHERE,
    "IDENTITY_ENDPOINT": "http://localhost:9/msi/token",
    "IDENTITY_HEADER": "header",
    "TELEMETRY": "traces",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": (
        f"InstrumentationKey=6c1d5b1e-9d0c-4a43-8f6e-1d2b8c4f7a10;IngestionEndpoint={_NOWHERE}/"
    ),
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
}
_SOON = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_METRIC_EXPORT_INTERVAL": "500"}


async def cold_start(settings: Mapping[str, str], *requests: Mapping[str, Any]) -> Any:
    """Return the report of a process that answers *requests* and ends."""
    interpreter = python(APP_DIR) if APP_DIR else [sys.executable, "-W", "ignore", "-c"]
    process = await asyncio.create_subprocess_exec(
        *interpreter,
        _PROGRAM,
        json.dumps(requests),
        cwd=APP_DIR or ROOT,
        env=os.environ | settings | _SOON,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


async def test_threads_import_nothing_when_nothing_answers() -> None:
    report = await cold_start(_SETTINGS, {"function": "show_health"})
    assert report == {"statuses": [503], "imported_elsewhere": []}


@pytest.mark.parametrize("insights_are_down", [False, True])
async def test_threads_import_nothing_while_people_book(
    tmp_path: Path, *, insights_are_down: bool
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with a_stage(tmp_path, telemetry=True) as stage:
        stage.cloud.insights.is_down = insights_are_down
        slot = (await stage.slots())[0]
        ben = {"authorization": f"Bearer {stage.token('ben')}"}
        book = {
            "function": "book_session",
            "route": {"pairing_id": "ada-ben"},
            "headers": ben
            | {
                "content-type": "application/json",
                "idempotency-key": "one",
                "traceparent": f"00-{trace}-b7ad6b7169203331-01",
            },
            "body": json.dumps(
                {"start": slot["start"], "duration_minutes": 30, "time_zone": "Europe/Berlin"}
            ),
        }
        platform = {"authorization": f"Bearer {stage.token('platform')}"}
        report = await cold_start(
            stage.cloud.environment,
            book,
            {"function": "list_organizations", "headers": platform},
            {"function": "show_health"},
        )
        sent = json.dumps(stage.cloud.insights.envelopes)
    assert report == {"statuses": [201, 200, 200], "imported_elsewhere": []}
    assert (trace in sent) is not insights_are_down
