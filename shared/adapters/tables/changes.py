"""Stores the change feed as numbered rows, one partition per organization.

The transaction that writes changes also replaces a counter row, conditional on its ETag. Every
number below the counter's therefore has a row, and the numbers are in the order of the writes. A
reader that has read number 7 cannot miss a 6. No clocks are compared, and readers need no delay.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import uuid4
from weakref import WeakValueDictionary

from shared.adapters.tables import keys
from shared.adapters.tables.client import TRANSACTION_ROWS, Put, Remove, Row, Tables
from shared.adapters.tables.keys import CHANGES
from shared.adapters.tables.retry import as_retryable, retry_on_conflict
from shared.adapters.tables.values import cursor as opaque
from shared.adapters.tables.values import instant, moment, present, read_cursor
from shared.changes.model import Change, ChangeKind
from shared.errors import Invalid, StaleRow
from shared.ids import OrganizationId, PairingId, SessionId

_TRANSACTION_CHANGES: Final = TRANSACTION_ROWS - 1
"""Limit of changes in one transaction, which also has the counter row."""


class TableChanges:
    """Implements `ChangeStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # A lock per organization serializes the writers of this process; writers of several
        # processes are serialized by the counter's ETag.
        self._turns: WeakValueDictionary[OrganizationId, asyncio.Lock] = WeakValueDictionary()

    async def append(self, changes: Iterable[Change]) -> None:
        """Add *changes* at the end."""
        by_organization: dict[OrganizationId, list[Change]] = {}
        for change in changes:
            by_organization.setdefault(change.organization_id, []).append(change)
        for organization_id, its in by_organization.items():
            turn = self._turns.setdefault(organization_id, asyncio.Lock())
            for start in range(0, len(its), _TRANSACTION_CHANGES):
                async with turn:
                    await self._append(organization_id, its[start : start + _TRANSACTION_CHANGES])

    async def after(
        self, organization_id: OrganizationId, cursor: str | None, limit: int
    ) -> tuple[Sequence[Change], str | None]:
        """Return up to *limit* changes after *cursor*, oldest first, and the cursor after them."""
        last = _number(cursor) if cursor else 0
        rows = await self._tables.between(CHANGES, keys.changes_after(organization_id, last), limit)
        if not rows:
            return [], cursor
        return [_change(row, organization_id) for row in rows], _cursor(rows[-1])

    async def recent(self, organization_id: OrganizationId, limit: int) -> Sequence[Change]:
        """Return the last *limit* changes, oldest first."""
        counter = await self._tables.get(CHANGES, keys.change_counter(organization_id))
        if counter is None:
            return []
        before = max(0, int(counter.values["last"]) - limit)
        rows = await self._tables.between(
            CHANGES, keys.changes_after(organization_id, before), limit
        )
        return [_change(row, organization_id) for row in rows]

    async def delete(
        self, organization_id: OrganizationId, *, before: datetime | None = None
    ) -> int:
        """Remove the oldest changes, those before *before*; return how many.

        Without *before* all changes are removed, with the counter and the delivery state.
        """
        removed = 0
        while rows := await self._tables.between(
            CHANGES, keys.changes_after(organization_id, 0), TRANSACTION_ROWS
        ):
            old = [row for row in rows if before is None or moment(row.values["at"]) < before]
            try:
                await self._tables.transact(CHANGES, [Remove(row.key) for row in old])
            except StaleRow:
                continue  # a concurrent removal took one of them: read again
            removed += len(old)
            if len(old) < len(rows):
                return removed
        if before is None:
            await self._tables.remove(CHANGES, keys.change_counter(organization_id))
            await self._tables.remove(CHANGES, keys.delivery(organization_id))
        return removed

    async def _append(self, organization_id: OrganizationId, changes: Sequence[Change]) -> None:
        key = keys.change_counter(organization_id)
        # The token in the stored rows shows that an append with an unknown outcome succeeded.
        token = uuid4().hex
        first = 0

        async def attempt(unsure: int) -> None:
            nonlocal first
            if unsure:
                row = await self._tables.get(CHANGES, keys.change(organization_id, first))
                if row and row.values["token"] == token:
                    return
            counter = await self._tables.get(CHANGES, key)
            last = int(counter.values["last"]) if counter else 0
            first = last + 1
            numbered = [
                Put(keys.change(organization_id, number), _values(change, token))
                for number, change in enumerate(changes, first)
            ]
            values = present({"last": last + len(changes)})
            with as_retryable():
                await self._tables.transact(
                    CHANGES, [Put(key, values, counter.etag if counter else None), *numbered]
                )

        await retry_on_conflict(attempt)


def _cursor(row: Row) -> str:
    return opaque(str(keys.change_number(row.key)))


def _number(given: str) -> int:
    text = read_cursor(given)
    if not (text.isascii() and text.isdigit() and len(text) <= keys.NUMBER_DIGITS):
        raise Invalid("query.cursor", "This cursor was not given out here.")
    return int(text)


def _values(change: Change, token: str) -> dict[str, Any]:
    return present({"token": token, "at": instant(change.at), **change.as_values()})


def _change(row: Row, organization_id: OrganizationId) -> Change:
    values = row.values
    pairing_id, session_id = values.get("pairing_id"), values.get("session_id")
    return Change(
        organization_id=organization_id,
        at=moment(values["at"]),
        kind=ChangeKind(values["kind"]),
        cause=values["cause"],
        pairing_id=PairingId(pairing_id) if pairing_id else None,
        session_id=SessionId(session_id) if session_id else None,
        lag_ms=values.get("lag_ms"),
        detail=values["detail"],
    )
