"""Saving the app's tables and putting them back, on the real emulator."""

import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableServiceClient

from local.azurite import Azurite
from scripts.tables import BadFile, Restored, main, restore, save
from shared.adapters.tables.changes import TableChanges
from shared.adapters.tables.client import Tables, table_service
from shared.adapters.tables.due import TableDue
from shared.adapters.tables.keys import TABLES
from shared.adapters.tables.organizations import TableOrganizations
from shared.changes.model import Change, ChangeKind
from shared.ids import OrganizationId
from shared.jobs import DueItem, DueKind
from shared.organizations.model import Organization
from tests.builders import a_mailbox, a_tenant
from tests.contract.conftest import KEY

NOW = datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
CONTOSO = OrganizationId("contoso")


@pytest.fixture
async def service(
    storage: Azurite, transport: AioHttpTransport
) -> AsyncIterator[TableServiceClient]:
    """Provide an account without tables."""
    async with table_service(storage.tables_url, KEY, transport) as tables:
        await wiped(tables)
        yield tables


async def wiped(service: TableServiceClient) -> None:
    async for table in service.list_tables():
        await service.delete_table(table.name)


def a_change(id_: str, at: datetime = NOW) -> Change:
    return Change(organization_id=CONTOSO, at=at, kind=ChangeKind.SCHEDULED, cause="api", id=id_)


async def read(changes: TableChanges, cursor: str | None) -> tuple[list[str], str | None]:
    found, after = await changes.after(CONTOSO, cursor, 100)
    return [change.id for change in found], after


async def test_every_row_comes_back_as_it_was(service: TableServiceClient, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    rows = {}
    for table in TABLES:
        client = await service.create_table_if_not_exists(table)
        for number in range(30):
            row = {
                "PartitionKey": f"purge;{number % 3}",
                "RowKey": f"Łódź {number} \u2028 عربي",
                "text": "a\nb" * number,
                "number": number,
                "flag": number % 2 == 0,
            }
            await client.create_entity(row)
            rows[table, row["RowKey"]] = row
    assert await save(service, file) == 30 * (len(TABLES) + 1)  # the due items twice
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await wiped(service)
    done = await restore(service, file, NOW)
    assert done == Restored(30 * len(TABLES), ())
    for table in TABLES:
        async for entity in service.get_table_client(table).list_entities():
            assert dict(entity) == rows.pop((table, entity["RowKey"]))
    assert not rows
    assert (await restore(service, file, NOW, is_continued=True)).rows == 0


async def test_a_table_that_has_rows_is_not_restored(
    service: TableServiceClient, tmp_path: Path
) -> None:
    file = tmp_path / "rows"
    lost, kept = TABLES[0], TABLES[1]
    for table in (lost, kept):
        client = await service.create_table_if_not_exists(table)
        for name in ("old", "same"):
            await client.create_entity({"PartitionKey": "p", "RowKey": name, "text": "saved"})
    await save(service, file)
    await client.delete_entity("p", "old")  # as an index row of a session that moved
    await client.upsert_entity({"PartitionKey": "p", "RowKey": "same", "text": "newer"})
    await service.delete_table(lost)
    with pytest.raises(BadFile, match=f"{kept} has rows"):
        await restore(service, file, NOW)
    assert (await restore(service, file, NOW, [lost])).rows == 2
    (row,) = [dict(entity) async for entity in client.list_entities()]
    assert row["text"] == "newer"
    # An interrupted restore goes on; rows that are there are kept.
    await client.delete_entity("p", "same")
    await client.create_entity({"PartitionKey": "p", "RowKey": "same", "text": "first half"})
    assert (await restore(service, file, NOW, [kept], is_continued=True)).rows == 1
    assert (await client.get_entity("p", "same"))["text"] == "first half"


async def test_the_organizations_that_came_back_are_named(
    service: TableServiceClient, tmp_path: Path
) -> None:
    file = tmp_path / "rows"
    organizations = TableOrganizations(Tables(service))
    for name in ("fabrikam", "contoso"):
        await organizations.create(Organization(OrganizationId(name), a_tenant(), created_at=NOW))
    await save(service, file)
    await wiped(service)
    # Each has a row that claims its tenant as well.
    assert await restore(service, file, NOW) == Restored(4, ("contoso", "fabrikam"))


async def test_sessions_come_due_at_once_the_nearest_first(
    service: TableServiceClient, tmp_path: Path
) -> None:
    file, due = tmp_path / "rows", TableDue(Tables(service))
    tenant = a_tenant()
    mailboxes = [a_mailbox(tenant) for _ in range(3)]
    items = [
        DueItem(NOW + timedelta(hours=hours), DueKind.RECONCILIATION, CONTOSO, mailbox, "session")
        for hours, mailbox in zip((6, 0.25, 1), mailboxes, strict=True)
    ]
    await due.put(items)
    await save(service, file)
    await wiped(service)
    await restore(service, file, NOW)
    found = [one async for page in due.due(DueKind.RECONCILIATION, NOW) for one in page]
    assert [one.mailbox for one in found] == [mailboxes[1], mailboxes[2], mailboxes[0]]


async def test_a_file_that_is_cut_off_restores_nothing(
    service: TableServiceClient, tmp_path: Path
) -> None:
    file = tmp_path / "rows"
    client = await service.create_table_if_not_exists(TABLES[0])
    for number in range(5):
        await client.create_entity({"PartitionKey": "p", "RowKey": str(number)})
    await save(service, file)
    whole = file.read_text().splitlines(keepends=True)
    await wiped(service)
    for cut in (whole[:-1], whole[1:], [], ["half a li"]):
        file.write_text("".join(cut))
        with pytest.raises(BadFile, match="not a whole file"):
            await restore(service, file, NOW)
    assert [table async for table in service.list_tables()] == []


async def test_a_value_that_a_line_cannot_carry_is_said(
    service: TableServiceClient, tmp_path: Path
) -> None:
    client = await service.create_table_if_not_exists(TABLES[0])
    await client.create_entity({"PartitionKey": "p", "RowKey": "r", "blob": b"bytes"})
    with pytest.raises(BadFile, match="blob as bytes"):
        await save(service, tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


async def test_a_readers_cursor_stays_good_after_a_restore(
    service: TableServiceClient, tmp_path: Path
) -> None:
    file = tmp_path / "rows"
    changes = TableChanges(Tables(service))
    await changes.append(a_change(f"before {number}") for number in range(3))
    await save(service, file)
    await changes.append(a_change(f"lost {number}") for number in range(20))
    _, cursor = await read(changes, None)
    await wiped(service)
    await restore(service, file, NOW + timedelta(hours=1))
    # The same process goes on, with what it remembers; then another one.
    await changes.append([a_change("after")])
    await TableChanges(Tables(service)).append([a_change("later")])
    assert (await read(changes, cursor))[0] == ["after", "later"]
    assert (await read(changes, None))[0] == [*(f"before {n}" for n in range(3)), "after", "later"]


async def test_a_readers_cursor_stays_good_when_the_feed_begins_again(
    service: TableServiceClient,
) -> None:
    await TableChanges(Tables(service)).append(a_change(str(number)) for number in range(20))
    _, cursor = await read(TableChanges(Tables(service)), None)
    await wiped(service)
    later = NOW + timedelta(minutes=5)
    await TableChanges(Tables(service)).append([a_change("after", later)])
    assert (await read(TableChanges(Tables(service)), cursor))[0] == ["after"]


def test_without_a_sign_in_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["save", "https://account.table.test", str(tmp_path / "rows")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("Run: az login")
