"""The data of a full run: no name and no text in any table, no address in a log."""

from shared.adapters.tables.client import table_service
from shared.adapters.tables.keys import TABLES
from tests.e2e.conftest import AppUnderTest, wiring_of

_TEXTS = ("Secret-title", "Secret-agenda", "Secret-place", "Secret-comment")


async def test_tables_and_logs_hold_no_names_and_no_texts(stage: AppUnderTest) -> None:
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
    assert len(stage.lines) > 10
    assert [line for line in stage.lines if "@" in line] == []


async def _rows(stage: AppUnderTest) -> list[tuple[str, dict[str, object]]]:
    async with wiring_of(stage.cloud) as adapters:
        identity = adapters.credentials.managed_identity
        transport = adapters.credentials.transport()
        url = adapters.settings.storage_tables_url
        async with table_service(url, identity, transport) as service:
            return [
                (table, dict(row))
                for table in TABLES
                async for row in service.get_table_client(table).list_entities()
            ]
