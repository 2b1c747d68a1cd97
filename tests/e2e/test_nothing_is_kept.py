"""What a full run leaves behind: no name and no text in any table, no address in a log."""

import logging

import pytest

from shared.adapters.tables.client import table_service
from shared.adapters.tables.keys import TABLES
from shared.settings import Settings
from shared.wiring import Wiring
from tests.e2e.conftest import Stage, settings_in_process

_TEXTS = ("Secret-title", "Secret-agenda", "Secret-place", "Secret-comment")


async def test_tables_and_logs_hold_no_names_and_no_texts(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    session = await stage.book(
        title="Secret-title", agenda="Secret-agenda", location="Secret-place"
    )
    await stage.settled()
    path = f"sessions/{session['id']}"
    answer = {"response": "tentative", "comment": "Secret-comment"}
    assert (await stage.call("ada", "POST", f"{path}/response", json=answer)).status_code == 202
    await stage.settled()
    await stage.call("ben", "POST", f"{path}/cancel", json={"comment": "Secret-comment"})
    await stage.settled()

    rows = await _rows(stage)
    assert {table for table, _ in rows} == set(TABLES)
    people = [p.name for p in stage.cloud.world.people()]
    for table, row in rows:
        assert "schema" in row, (table, row)
        text = repr(row)
        assert [word for word in (*_TEXTS, *people) if word in text] == [], table
    lines = [r.getMessage() for r in caplog.records if r.name == "mentor_calendar"]
    assert len(lines) > 10
    assert [line for line in lines if "@" in line] == []


async def _rows(stage: Stage) -> list[tuple[str, dict[str, object]]]:
    environment = stage.cloud.environment
    with settings_in_process(environment):
        adapters = Wiring(Settings.from_environment(environment))
        try:
            identity = adapters.credentials.managed_identity
            transport = adapters.credentials.transport()
            url = adapters.settings.storage_tables_url
            async with table_service(url, identity, transport) as service:
                return [
                    (table, dict(row))
                    for table in TABLES
                    async for row in service.get_table_client(table).list_entities()
                ]
        finally:
            await adapters.aclose()
