"""Saves the rows of the app's tables into a file, and puts the rows of such a file back.

    python -m scripts.tables save https://ACCOUNT.table.core.windows.net FILE
    python -m scripts.tables restore https://ACCOUNT.table.core.windows.net FILE

The operator needs "Storage Table Data Reader" on the account to save, "Storage Table Data
Contributor" to restore, and an `az login`. The app may run while rows are saved, and is stopped
while they are restored. A table that has rows is not restored: rows that the app deleted since
would come back beside those that replaced them. `--table` names the tables that were lost.

The file has ids, addresses, times and answers of people: only its owner may read it.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient

from scripts.signed_in import advice, cli_credential
from shared.adapters.tables.client import table_service
from shared.adapters.tables.keys import (
    CHANGE_COUNTER,
    CHANGES,
    DUE,
    MAILBOXES,
    ORGANIZATION,
    ORGANIZATIONS,
    SUBSCRIPTION,
    TABLES,
    Key,
    due_bucket,
    kind_of_due,
)
from shared.adapters.tables.keys import instant as sortable
from shared.adapters.tables.values import instant, moment
from shared.concurrency import gather_limited
from shared.jobs import DueKind
from shared.subscriptions.model import RENEWAL_INTERVAL

_AT_ONCE: Final = 16
_EARLIER: Final = {
    DueKind.RECONCILIATION: timedelta(hours=6),
    DueKind.RENEWAL: RENEWAL_INTERVAL,
}
"""How long before an item its writing can be: so much earlier, each is due, in the same order."""
_LOST: Final = 1_000_000
"""Numbers of changes that may have been given out after the file was saved."""
_LINES: Final = 1000
_PLAIN: Final = (str, bool, int, float)
"""The types of the values in our rows; the service has others."""


class BadFile(Exception):
    """The file is not a whole one of `save`, or cannot become one; the message says why."""


async def save(service: TableServiceClient, file: Path) -> int:
    """Write every row of the app's tables into *file*, and return how many lines it has.

    Raises BadFile for a value that a line cannot carry. *file* is complete or not there.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    count = 0
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        # A due item may move while the tables are read. First and last, one reading has it.
        for table in (DUE, *(each for each in TABLES if each != DUE), DUE):
            try:
                async for entity in service.get_table_client(table).list_entities():
                    out.write(json.dumps([table, _checked(table, entity)]) + "\n")
                    count += 1
            except ResourceNotFoundError:
                continue  # the app makes a table when it first needs it
        out.write(json.dumps({"lines": count}) + "\n")
    unfinished.replace(file)
    return count


@dataclass(frozen=True, slots=True)
class Restored:
    """The rows that were put back, and the organizations among them."""

    rows: int
    organizations: tuple[str, ...]


async def restore(
    service: TableServiceClient,
    file: Path,
    now: datetime,
    tables: Collection[str] = TABLES,
    *,
    is_continued: bool = False,
) -> Restored:
    """Write the rows of *file* into the *tables*, which are empty.

    Every session comes due, to be read from Outlook, in the order in which they would have; and
    every subscription, which may lead to another host. Numbers of changes skip those that were
    given out after the file was saved, so the platform's cursor stays good. *is_continued*: an
    earlier restore of this file was interrupted; rows that exist are kept.

    Raises BadFile before it writes anything: for a file that is cut off, or a table with rows.
    """
    _check_whole(file)
    for table in tables:
        await service.create_table_if_not_exists(table)
        if not is_continued and await _has_rows(service, table):
            raise BadFile(
                f"{table} has rows. Name the tables that were lost, with --table; or --continue, "
                "if an earlier restore of this file was interrupted. Nothing was written."
            )
    written, organizations = 0, set[str]()
    with file.open() as lines:
        rows = (row for row in _rows(lines) if row[0] in tables)
        while some := list(islice(rows, _LINES)):
            done = await gather_limited(
                (_insert(service, table, entity, now) for table, entity in some), at_once=_AT_ONCE
            )
            written += sum(done)
            organizations |= {
                entity["PartitionKey"]
                for table, entity in some
                if table == ORGANIZATIONS and entity["RowKey"] == ORGANIZATION
            }
    return Restored(written, tuple(sorted(organizations)))


async def _has_rows(service: TableServiceClient, table: str) -> bool:
    async for _ in service.get_table_client(table).list_entities(results_per_page=1):
        return True
    return False


async def _insert(
    service: TableServiceClient, table: str, entity: dict[str, Any], now: datetime
) -> bool:
    try:
        await service.get_table_client(table).create_entity(_renewed(table, entity, now))
    except ResourceExistsError:
        return False
    return True


def _renewed(table: str, entity: dict[str, Any], now: datetime) -> dict[str, Any]:
    if table == CHANGES and entity["RowKey"] == CHANGE_COUNTER:
        return entity | {"last": str(max(int(entity["last"]) + _LOST, int(now.timestamp())))}
    if table == MAILBOXES and entity["RowKey"] == SUBSCRIPTION and "expires_at" in entity:
        # From half of its life on it is renewed, and replaced if it notifies another host.
        half = now + RENEWAL_INTERVAL
        return entity | {"expires_at": min(entity["expires_at"], instant(half), key=moment)}
    kind = kind_of_due(Key(entity["PartitionKey"], entity["RowKey"])) if table == DUE else None
    if kind not in _EARLIER:
        return entity
    due_at = moment(entity["due_at"]) - _EARLIER[kind]
    _, _, whose = entity["RowKey"].partition(";")
    return entity | {
        "PartitionKey": due_bucket(kind, due_at),
        "RowKey": f"{sortable(due_at)};{whose}",
        "due_at": instant(due_at),
    }


def _checked(table: str, entity: dict[str, Any]) -> dict[str, Any]:
    for name, value in entity.items():
        if not isinstance(value, _PLAIN):
            kind = type(value).__name__
            raise BadFile(f"A row of {table} has {name} as {kind}, which a line cannot carry.")
    return dict(entity)


def _check_whole(file: Path) -> None:
    last, count = "", -1
    with file.open() as lines:
        for line in lines:
            last, count = line, count + 1
    try:
        is_whole = json.loads(last) == {"lines": count}
    except ValueError:
        is_whole = False
    if not is_whole:
        raise BadFile(f"{file} is not a whole file of `save`. Nothing was written.")


def _rows(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in lines:
        row = json.loads(line)
        if isinstance(row, list):
            yield row[0], row[1]


async def _main(options: argparse.Namespace) -> str:
    url, file = options.url, options.file
    async with cli_credential() as credential, table_service(url, credential) as service:
        if options.act == "save":
            return f"{await save(service, file)} rows are in {file}."
        done = await restore(
            service,
            file,
            datetime.now(UTC),
            options.table or TABLES,
            is_continued=options.is_continued,
        )
        return (
            f"{done.rows} rows were put back, of {len(done.organizations)} organizations: "
            f"{', '.join(done.organizations)}\n"
            "Repeat each DELETE of an organization or pairing that was made after the save."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Save or restore, and print how many rows. Returns 1 with a sentence if that is refused."""
    parser = argparse.ArgumentParser(prog="python -m scripts.tables", description=__doc__)
    parser.add_argument("act", choices=("save", "restore"))
    parser.add_argument("url", help="the account's table service")
    parser.add_argument("file", type=Path)
    parser.add_argument("--table", action="append", choices=TABLES, help="restore this one; repeat")
    parser.add_argument(
        "--continue",
        dest="is_continued",
        action="store_true",
        help="an earlier restore of this file was interrupted",
    )
    options = parser.parse_args(arguments)
    role = f"Storage Table Data {'Reader' if options.act == 'save' else 'Contributor'}"
    try:
        said = asyncio.run(_main(options))
    except AzureError as error:
        sys.stderr.write(f"{advice(error, 'tables', role)}\n")
        return 1
    except (BadFile, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
