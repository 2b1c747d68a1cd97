"""Converts a mailbox's ledger to the rows of its partition, and a change to writes. Pure.

A new kind of row needs a field of the ledger, a line in `_rows_of` and, if it is read, a line in
`with_rows`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Remove, Row, Write
from shared.adapters.tables.keys import Key
from shared.adapters.tables.series_rows import series_of, series_values
from shared.adapters.tables.session_rows import (
    day_values,
    entry_of,
    event_values,
    holds_in,
    listing_of,
    listing_values,
    pointer_values,
    session_values,
)
from shared.sessions.ledger import LedgerChange, MailboxLedger
from shared.sessions.model import Session


def with_rows(ledger: MailboxLedger, rows: Mapping[Key, Row | None]) -> MailboxLedger:
    """Return *ledger* with the entries of *rows*. None: the row does not exist."""
    box = ledger.mailbox
    sessions, listings = dict(ledger.sessions), dict(ledger.listings)
    holds, series = dict(ledger.holds), dict(ledger.series)
    for key, row in rows.items():
        match keys.kind(key), row:
            case "day", _:
                holds[keys.day_of(key)] = tuple(holds_in(row.values)) if row else ()
            case "session", Row():
                entry = entry_of(row.values, box, row.etag)
                sessions[entry.id] = entry
            case "at", Row():
                listing = listing_of(row.values, box, keys.start_of(key))
                listings[listing.id] = listing
            case "series", Row():
                found = series_of(row.values, box, row.etag)
                series[found.id] = found
    return replace(ledger, sessions=sessions, listings=listings, holds=holds, series=series)


def difference(change: LedgerChange, etags: Mapping[Key, str | None]) -> list[Write]:
    """Return the writes of *change*, each conditional on the ETag in *etags*, or on absence.

    Rows of the event index are written unconditionally: they follow from the other rows, and the
    ledger never reads them.
    """
    before, after = map(_rows_of, change)
    writes: list[Write] = [
        Put(key, write(*what), etags.get(key), force=keys.kind(key) == "event")
        for key, (write, *what) in after.items()
        if before.get(key) != after[key]
    ]
    return writes + [Remove(key, etags.get(key)) for key in before if key not in after]


def _rows_of(ledger: MailboxLedger) -> dict[Key, tuple[Any, ...]]:
    """Return each row as its serializing function with arguments; equal ones give equal rows."""
    box = ledger.mailbox
    rows: dict[Key, tuple[Any, ...]] = {}
    for entry in ledger.sessions.values():
        values = session_values if isinstance(entry, Session) else pointer_values
        rows[keys.session(box, entry.id)] = (values, entry)
    for listing in ledger.listings.values():
        rows[keys.time_index_key(box, listing.start, listing.id)] = (listing_values, listing, box)
    for day, holds in ledger.holds.items():
        if holds:
            rows[keys.day(box, day)] = (day_values, holds)
    for series in ledger.series.values():
        rows[keys.series(box, series.id)] = (series_values, series)
    for event_id, shown in ledger.events.items():
        rows[keys.event(box, event_id)] = (event_values, shown)
    return rows
