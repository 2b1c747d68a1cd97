"""Stores what callers have spent: a row in the mailbox's partition, or beside the organization.

There is one row for each spender and kind of spending, which is written over: nothing is to be
cleaned up. It is removed with the rows around it.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Row, Tables
from shared.adapters.tables.keys import MAILBOXES, ORGANIZATIONS, Key
from shared.adapters.tables.retry import as_retryable, retry_on_conflict
from shared.adapters.tables.values import instant, moment, present
from shared.limits.model import Spender, Usage, Window

_NOTHING: Final = Usage()


class TableUsages:
    """Implements `UsageStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def update(self, spender: Spender, change: Callable[[Usage], Usage]) -> Usage:
        """Apply *change* to the stored usage; return it."""
        table, key = _place(spender)

        async def attempt(_: int) -> Usage:
            row = await self._tables.get(table, key)
            stored = _usage(row) if row else _NOTHING
            changed = change(stored)
            if changed != stored:
                put = Put(key, _values(changed), row.etag if row else None)
                with as_retryable():
                    await self._tables.put(table, put)
            return changed

        return await retry_on_conflict(attempt)


def _place(spender: Spender) -> tuple[str, Key]:
    if spender.mailbox:
        return MAILBOXES, keys.usage(spender.mailbox, spender.spending)
    return ORGANIZATIONS, keys.usage_of_organization(spender.organization_id, spender.spending)


def _values(usage: Usage) -> dict[str, Any]:
    return present(
        {
            "minute_at": instant(usage.minute.began_at),
            "minute_spent": usage.minute.spent,
            "day_at": instant(usage.day.began_at),
            "day_spent": usage.day.spent,
            "keys": " ".join(f"{key}:{spent}" for key, spent in usage.admitted.items()) or None,
            "unanswered": usage.unanswered,
        }
    )


def _usage(row: Row) -> Usage:
    values = row.values
    return Usage(
        minute=Window(moment(values["minute_at"]), values["minute_spent"]),
        day=Window(moment(values["day_at"]), values["day_spent"]),
        admitted=dict(_admitted(values.get("keys", ""))),
        unanswered=values["unanswered"],
    )


def _admitted(text: str) -> Iterator[tuple[str, int]]:
    for entry in text.split():
        key, _, spent = entry.partition(":")
        if spent:  # an older release stored keys alone
            yield key, int(spent)
