"""A client of Table Storage with few operations, our errors and a timeout for every call.

A missing table is created by the first call that needs it, so that the local cloud needs no
preparation. In Azure the Bicep template creates the tables.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError
from azure.data.tables import TableEntity, UpdateMode
from azure.data.tables.aio import TableClient, TableServiceClient

from shared.adapters.tables.keys import ORGANIZATIONS, Key, Rows
from shared.adapters.tables.values import check_schema
from shared.concurrency import gather_limited
from shared.errors import StaleRow, StoreUnavailable

if TYPE_CHECKING:
    from azure.core.pipeline.transport import AsyncHttpTransport

_CALL_SECONDS: Final = 8.0
"""Timeout of a call, retries included: a user waits for the answer."""
_WAIT: Final[dict[str, Any]] = {"connection_timeout": 2, "read_timeout": 3}
"""Timeouts of one attempt, in seconds. Every call has them: a shared transport has its own."""
_RETRY_ON: Final = frozenset({401, 403, 408, 429})
"""Refusals that pass: throttling, and role assignments that Azure has not propagated yet."""
TRANSACTION_ROWS: Final = 100
"""Limit of rows in one transaction.

Source: https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
"""

_T = TypeVar("_T")
# The SDK declares str, but returns and accepts a mapping.
_Token = Any


def table_service(
    url: str,
    credential: AsyncTokenCredential | AzureNamedKeyCredential,
    transport: "AsyncHttpTransport[Any, Any] | None" = None,
) -> TableServiceClient:
    """Return a client for one event loop; the caller closes it.

    *transport* shares the connections of the process; without it the client opens its own.
    """
    options: dict[str, Any] = {"transport": transport} if transport else {}
    return TableServiceClient(
        url,
        credential=credential,
        retry_total=2,
        retry_backoff_factor=0.1,
        retry_backoff_max=1,
        **options,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A stored row."""

    key: Key
    values: Mapping[str, Any]
    etag: str


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole row: replace the version *etag*, or, without *etag*, insert a new row."""

    key: Key
    values: Mapping[str, Any]
    etag: str | None = None
    force: bool = False
    """Insert or replace unconditionally."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove an existing row; with *etag* only that version."""

    key: Key
    etag: str | None = None


Write = Put | Remove


class Tables:
    """The tables of one storage account.

    Every method may raise StoreUnavailable. A write raises StaleRow if its condition is not met:
    the row exists, does not exist or has changed.
    """

    def __init__(self, service: TableServiceClient) -> None:
        self._service = service
        self._clients: dict[str, TableClient] = {}

    async def get(self, table: str, key: Key, select: Sequence[str] = ()) -> Row | None:
        """Return the row at *key*, with all values or the *select*ed ones; None if absent."""

        async def call() -> Row | None:
            try:
                entity = await self._client(table).get_entity(
                    key.partition, key.row, select=_selected(select), **_WAIT
                )
            except HttpResponseError as error:
                if error.status_code == 404 and not _is_missing_table(error):
                    return None
                raise
            return _row(entity, key)

        return await self._answer(table, call)

    async def get_many(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        """Return the rows at *keys* that exist. Up to 8 reads run concurrently."""
        wanted = list(dict.fromkeys(keys))
        rows = await gather_limited(self.get(table, key) for key in wanted)
        return {key: row for key, row in zip(wanted, rows, strict=True) if row}

    async def put(self, table: str, change: Put) -> str:
        """Write one row and return its etag."""
        return (await self.transact(table, [change]))[0]

    async def remove(self, table: str, key: Key, etag: str | None = None) -> None:
        """Remove the row at *key*, with *etag* only that version. An absent row is no error."""

        async def call() -> None:
            await self._client(table).delete_entity(
                key.partition, key.row, **_condition(etag), **_WAIT
            )

        await self._answer(table, call)

    async def transact(self, table: str, changes: Sequence[Write]) -> list[str]:
        """Write all *changes* to one partition, or none; return an ETag each, "" for a removal.

        A conditional write is sent once, because a retry of a stored one would be refused. After
        StoreUnavailable the outcome is unknown, so the caller re-reads and decides again.
        """
        options = dict(_WAIT)
        if not all(isinstance(change, Put) and change.force for change in changes):
            options["retry_total"] = 0
        operations = [_operation(change) for change in changes]

        async def call() -> list[str]:
            match operations:
                case []:
                    return []
                # A single write costs half of a transaction of one row.
                case [("update", entity, condition)]:
                    answers = [
                        await self._client(table).update_entity(entity, **condition, **options)
                    ]
                case [("upsert", entity, mode)]:
                    answers = [await self._client(table).upsert_entity(entity, **mode, **options)]
                case _:
                    answers = await self._client(table).submit_transaction(operations, **options)
            return [answer.get("etag", "") for answer in answers]

        return await self._answer(table, call)

    async def pages(
        self,
        table: str,
        query: str,
        parameters: Mapping[str, Any],
        *,
        size: int,
        select: Sequence[str] = (),
    ) -> AsyncIterator[list[Row]]:
        """Yield the rows of *query* in key order, in pages of 1 to *size* rows.

        Only one page is in memory. Empty pages, which the service may send, are skipped.
        https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination
        """
        token: _Token = None
        while True:

            async def call(token: _Token = token) -> tuple[list[Row], _Token]:
                found = (
                    self._client(table)
                    .query_entities(
                        query,
                        parameters=dict(parameters),
                        results_per_page=size,
                        select=_selected(select),
                        **_WAIT,
                    )
                    .by_page(token)
                )
                rows = [_row(entity) async for entity in await anext(found)]
                return rows, getattr(found, "continuation_token", None)

            rows, token = await self._answer(table, call)
            if rows:
                yield rows
            if not token:
                return

    async def first(
        self,
        table: str,
        query: str,
        parameters: Mapping[str, Any],
        limit: int,
        *,
        select: Sequence[str] = (),
    ) -> list[Row]:
        """Return the first *limit* rows of *query*."""
        rows: list[Row] = []
        async for page in self.pages(
            table, query, parameters, size=min(limit, 1000), select=select
        ):
            rows += page
            if len(rows) >= limit:
                break
        return rows[:limit]

    async def between(
        self, table: str, rows: Rows, limit: int, *, select: Sequence[str] = ()
    ) -> list[Row]:
        """Return the first *limit* of *rows*, by row key."""
        return await self.first(
            table,
            "PartitionKey eq @partition and RowKey gt @after and RowKey lt @before",
            rows._asdict(),
            limit,
            select=select,
        )

    async def ping(self) -> None:
        """Return if the tables answer, else raise StoreUnavailable. Reads one absent row."""
        await self.get(ORGANIZATIONS, Key("ping", "ping"), ["schema"])

    async def aclose(self) -> None:
        """Close the client."""
        await self._service.close()

    def _client(self, table: str) -> TableClient:
        if table not in self._clients:
            self._clients[table] = self._service.get_table_client(table)
        return self._clients[table]

    async def _answer(self, table: str, call: Callable[[], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                try:
                    return await call()
                except HttpResponseError as error:
                    if not _is_missing_table(error):
                        raise
                await self._create_table(table)
                return await call()
        except (AzureError, TimeoutError) as error:
            raise _translated(error) from error

    async def _create_table(self, table: str) -> None:
        with suppress(ResourceExistsError):  # a concurrent call created it
            await self._service.create_table(table, **_WAIT)


def transactions(changes: Iterable[Write]) -> list[list[Write]]:
    """Split *changes* into transactions: each of one partition and of up to 100 rows."""
    by_partition: dict[str, list[Write]] = {}
    for change in changes:
        by_partition.setdefault(change.key.partition, []).append(change)
    cut = []
    for rows in by_partition.values():
        rest = iter(rows)
        while chunk := list(islice(rest, TRANSACTION_ROWS)):
            cut.append(chunk)
    return cut


def _operation(change: Write) -> tuple[str, dict[str, Any], dict[str, Any]]:
    entity: dict[str, Any] = {"PartitionKey": change.key.partition, "RowKey": change.key.row}
    condition = _condition(change.etag)
    if isinstance(change, Remove):
        return ("delete", entity, condition)
    entity |= change.values
    if change.force:
        return ("upsert", entity, {"mode": UpdateMode.REPLACE})
    if change.etag is None:
        return ("create", entity, {})
    return ("update", entity, {"mode": UpdateMode.REPLACE} | condition)


def _condition(etag: str | None) -> dict[str, Any]:
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}


def _row(entity: TableEntity, key: Key | None = None) -> Row:
    check_schema(entity)
    return Row(
        key or Key(entity["PartitionKey"], entity["RowKey"]),
        entity,
        str(entity.metadata.get("etag", "")),
    )


def _selected(names: Sequence[str]) -> list[str] | None:
    return ["PartitionKey", "RowKey", *names] if names else None


def _is_missing_table(error: HttpResponseError) -> bool:
    return error.status_code == 404 and getattr(error, "error_code", "") == "TableNotFound"


def _translated(error: Exception) -> Exception:
    """Return our error for the SDK's *error*; *error* itself if our request was wrong."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if status in {404, 409, 412}:
        return StaleRow("The row changed since it was read.")
    if status is not None and 400 <= status < 500 and status not in _RETRY_ON:
        return error
    # Without the SDK's text, which can contain keys and addresses of the account.
    return StoreUnavailable(f"Table Storage did not answer ({status or type(error).__name__}).")
