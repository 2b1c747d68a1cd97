"""Stores the change feed as numbered rows, one partition per organization.

The transaction that writes changes also replaces a counter row, conditional on its ETag. Every
number below the counter's therefore has a row, and the numbers are in the order of the writes. A
reader that has read number 7 cannot miss a 6. No clocks are compared, and readers need no delay.

The first number of a feed is the second in which it began. A feed that begins again, because its
rows were lost, goes on above the numbers of the lost one, which had fewer than one change a second.
So a reader's cursor stays good.

The same transaction inserts a row under the id of each change. A change that is appended again is
refused by it, whether its first transaction was answered or not.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from weakref import WeakValueDictionary

from shared.adapters.tables import keys
from shared.adapters.tables.client import TRANSACTION_ROWS, Put, Remove, Row, Tables
from shared.adapters.tables.keys import CHANGES
from shared.adapters.tables.retry import as_retryable, retry_on_conflict
from shared.adapters.tables.values import cursor as opaque
from shared.adapters.tables.values import instant, moment, present, read_cursor
from shared.changes.model import Change, change_kind
from shared.errors import Invalid, StaleRow
from shared.ids import ObjectId, OrganizationId, PairingId, SessionId

_TRANSACTION_CHANGES: Final = (TRANSACTION_ROWS - 1) // 2
"""Limit of changes in one transaction, which has two rows of each, and the counter row."""
_COUNTERS: Final = 500
"""Limit of feeds whose counter this process caches."""


class TableChanges:
    """Implements `ChangeStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # A lock per organization serializes the writers of this process; writers of several
        # processes are serialized by the counter's ETag.
        self._turns: WeakValueDictionary[OrganizationId, asyncio.Lock] = WeakValueDictionary()
        self._counters: OrderedDict[OrganizationId, _Counter] = OrderedDict()

    async def append(self, changes: Iterable[Change]) -> None:
        """Add *changes* at the end, except those that are in the feed."""
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
            CHANGES, keys.changes_after(organization_id, 0), TRANSACTION_ROWS // 2
        ):
            old = [row for row in rows if before is None or moment(row.values["at"]) < before]
            ids = [row.values["id"] for row in old if "id" in row.values]
            places = [row.key for row in old] + [
                keys.change_id(organization_id, each) for each in ids
            ]
            try:
                await self._tables.transact(CHANGES, list(map(Remove, places)))
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
        # The first attempt guesses that the changes are new, and that no other process has appended
        # since. The conditions of the transaction check both.
        counter = self._counters.pop(organization_id, None)
        new, is_first = changes, True

        async def attempt(_: int) -> None:
            nonlocal counter, new, is_first
            if not is_first:
                counter, new = None, await self._unknown(organization_id, changes)
            is_first = False
            if new:
                counter = counter or await self._read_counter(organization_id, new[0].at)
                counter = await self._write(organization_id, counter, new)

        await retry_on_conflict(attempt)
        if counter is not None:
            self._counters[organization_id] = counter
            if len(self._counters) > _COUNTERS:
                self._counters.popitem(last=False)

    async def _unknown(
        self, organization_id: OrganizationId, changes: Sequence[Change]
    ) -> Sequence[Change]:
        """Return those of *changes* that are not in the feed."""
        places = [keys.change_id(organization_id, change.id) for change in changes]
        known = await self._tables.get_many(CHANGES, places)
        return [c for c, key in zip(changes, places, strict=True) if key not in known]

    async def _read_counter(self, organization_id: OrganizationId, now: datetime) -> "_Counter":
        row = await self._tables.get(CHANGES, keys.change_counter(organization_id))
        if row is None:
            return _Counter(int(now.timestamp()), None)
        return _Counter(int(row.values["last"]), row.etag)

    async def _write(
        self, organization_id: OrganizationId, counter: "_Counter", changes: Sequence[Change]
    ) -> "_Counter":
        last = counter.last + len(changes)
        key = keys.change_counter(organization_id)
        rows = [Put(key, present({"last": str(last)}), counter.etag)]
        for number, change in enumerate(changes, counter.last + 1):
            rows.append(Put(keys.change(organization_id, number), _values(change)))
            rows.append(
                Put(keys.change_id(organization_id, change.id), present({"number": str(number)}))
            )
        with as_retryable():
            etags = await self._tables.transact(CHANGES, rows)
        return _Counter(last, etags[0])


@dataclass(frozen=True, slots=True)
class _Counter:
    """The counter row of a feed. *etag* None: it does not exist."""

    last: int
    etag: str | None


def _cursor(row: Row) -> str:
    return opaque(str(keys.change_number(row.key)))


def _number(given: str) -> int:
    text = read_cursor(given)
    if not (text.isascii() and text.isdigit() and len(text) <= keys.NUMBER_DIGITS):
        raise Invalid("query.cursor", "This cursor was not given out here.")
    return int(text)


def _values(change: Change) -> dict[str, Any]:
    return present({**change.as_values(), "at": instant(change.at), "id": change.id})


def _change(row: Row, organization_id: OrganizationId) -> Change:
    values = row.values
    pairing_id, session_id = values.get("pairing_id"), values.get("session_id")
    object_id = values.get("object_id")
    return Change(
        organization_id=organization_id,
        at=moment(values["at"]),
        kind=change_kind(values["kind"]),
        cause=values["cause"],
        pairing_id=PairingId(pairing_id) if pairing_id else None,
        session_id=SessionId(session_id) if session_id else None,
        lag_ms=values.get("lag_ms"),
        detail=values["detail"],
        attendee=values.get("attendee"),
        object_id=ObjectId(object_id) if object_id else None,
        remedy=values.get("remedy", ""),
        id=values.get("id", ""),
    )
