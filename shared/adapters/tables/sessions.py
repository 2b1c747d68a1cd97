"""Sessions and the time they hold, one partition per mailbox.

What a session changes in one mailbox is one transaction whose every row is conditional: on the
version read, or on being absent. After an ETag conflict the rows are read and the ledger is asked
again, so two who want the same time cannot both get it.

Across mailboxes there are no transactions; the order of writes is the use-case's. A row left behind
by a process that died is harmless: holds run out, and a pointer without a session is no session.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.adapters.tables import keys
from shared.adapters.tables.client import Row, Tables, Write
from shared.adapters.tables.keys import MAILBOXES, Key
from shared.adapters.tables.ledger_rows import difference, with_rows
from shared.adapters.tables.retry import (
    ConcurrencyConflict,
    OutcomeUnknown,
    as_retryable,
    retry_on_conflict,
)
from shared.adapters.tables.session_rows import entry_of, holds_in, organizer_of, series_of
from shared.adapters.tables.values import cursor, read_cursor
from shared.errors import NotFound, SchedulingError, StaleRow
from shared.ids import EventId, Mailbox, SeriesId, SessionId
from shared.sessions.holds import active_holds, held_days
from shared.sessions.ledger import (
    Decide,
    LedgerChange,
    MailboxLedger,
    Pointer,
    SeriesKey,
    Unread,
    listed_at,
    stamped,
)
from shared.sessions.model import Hold, Session
from shared.sessions.series import Series
from shared.timespan import TimeSpan

_REMEMBERED: Final = 500
"""Of how many sessions it is known what this process wrote of them."""
_REMEMBERED_SECONDS: Final = 10.0
"""For how long that is a good guess: no request lasts longer."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What is known of a partition, and the version of each row. None: there is no such row."""

    ledger: MailboxLedger
    etags: dict[Key, str | None]


@dataclass(frozen=True, slots=True)
class _Decision:
    """What is to become of what was *read*."""

    read: _Read
    after: MailboxLedger
    writes: list[Write]


class TableSessions:
    """Implements `SessionStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._write_cache: OrderedDict[Key, tuple[_Read, float]] = OrderedDict()

    async def change(
        self,
        mailbox: Mailbox,
        key: SessionId | SeriesKey,
        spans: Iterable[TimeSpan],
        decide: Decide,
        *,
        expects_new: bool = False,
    ) -> LedgerChange:
        """Read, *decide*, write the difference; again after an ETag conflict.

        What was written a moment ago, and that there is nothing where a new session goes, is not
        read but guessed. A guess may be wrong, which only the write shows: where it leads to a
        refusal, or to nothing to write, the rows are read.
        """
        own = _own_key(mailbox, key)
        days = [keys.day(mailbox, day) for day in held_days(spans)]
        nothing = _Read(MailboxLedger(mailbox, is_whole=False), {})
        guess = self._take_cached(own)
        if guess is None and expects_new:
            guess = await self._read(nothing, days)
        lost: _Decision | None = None

        async def attempt(_: int) -> LedgerChange:
            nonlocal guess, lost
            known, guess = guess, None
            decision = None
            if known:
                with suppress(SchedulingError):
                    decision = await self._ask(decide, known)
            if decision is None or not decision.writes:
                fresh = known if known and own not in known.etags else nothing
                read = await self._read(fresh, [own, *days])
                try:
                    decision = await self._ask(decide, read)
                except StaleRow:
                    if lost and (stored := _as_stored(lost, read.ledger)):
                        return stored
                    raise
            if not decision.writes:
                done = lost or decision  # nothing is left to do of what got no answer
                return LedgerChange(done.read.ledger, done.after)
            try:
                return LedgerChange(decision.read.ledger, await self._write(own, decision))
            except OutcomeUnknown:
                lost = decision
                raise

        return await retry_on_conflict(attempt)

    async def get(self, mailbox: Mailbox, session_id: SessionId) -> Session:
        """Return the session that *mailbox* organizes or was invited to."""
        entry = await self._entry(mailbox, session_id)
        if isinstance(entry, Pointer):
            entry = await self._entry(entry.organizer, session_id)
        if not isinstance(entry, Session):
            raise NotFound("There is no such session.")
        return entry

    async def find_by_event(self, mailbox: Mailbox, event_id: EventId) -> Session | Series | None:
        """Return whose event of the organizer's *mailbox* it is."""
        row = await self._tables.get(
            MAILBOXES, keys.event(mailbox, event_id), ["session_id", "series_id"]
        )
        if row is None:
            return None
        if series_id := row.values.get("series_id"):
            return await self.get_series(mailbox, SeriesId(series_id))
        try:
            session = await self.get(mailbox, SessionId(row.values["session_id"]))
        except NotFound:
            return None
        return session if session.event_id == event_id else None

    async def get_series(self, mailbox: Mailbox, series_id: SeriesId) -> Series | None:
        """Return the series that *mailbox* organizes."""
        row = await self._tables.get(MAILBOXES, keys.series(mailbox, series_id))
        return series_of(row.values, mailbox, row.etag) if row else None

    async def list_by_mailbox(
        self,
        mailbox: Mailbox,
        *,
        since: datetime | None,
        until: datetime | None,
        after: str | None,
        limit: int,
    ) -> tuple[Sequence[Session], str | None]:
        """Return a page of sessions that start in [since, until), by start; the cursor or None."""
        rows = keys.time_index_range(
            mailbox, since, until, after=read_cursor(after) if after else None
        )
        found = await self._tables.between(
            MAILBOXES, rows, limit + 1, select=["session_id", "organizer"]
        )
        page = found[:limit]
        sessions = await self._named(mailbox, page)
        return (
            sorted(
                # An attendee's index may lag behind a move in Outlook for a moment.
                (s for s in sessions if _starts_within(s, since, until)),
                key=lambda session: (session.span.start, session.id),
            ),
            cursor(page[-1].key.row) if len(found) > limit else None,
        )

    async def holds(self, mailbox: Mailbox, window: TimeSpan, now: datetime) -> list[Hold]:
        """Return the holds that count at *now* and touch *window*, by start."""
        days = window.days()
        rows = await self._tables.between(
            MAILBOXES, keys.days(mailbox, days[0], days[-1]), len(days)
        )
        return active_holds((hold for row in rows for hold in holds_in(row.values)), window, now)

    async def _ask(self, decide: Decide, read: _Read) -> _Decision:
        """Return what is decided on *read*, and on what else the decision looks at."""
        while True:
            try:
                after = decide(read.ledger)
            except Unread as unread:
                read = await self._read_more(read, unread)
            else:
                writes = difference(LedgerChange(read.ledger, after), read.etags)
                return _Decision(read, after, writes)

    async def _read_more(self, read: _Read, unread: Unread) -> _Read:
        mailbox, session_id = read.ledger.mailbox, unread.listing_of
        wanted = [keys.day(mailbox, day) for day in unread.days]
        if session_id:
            start = listed_at(read.ledger.sessions[session_id])
            wanted.append(keys.time_index_key(mailbox, start, session_id))
        read = await self._read(read, wanted)
        if session_id and session_id not in read.ledger.listings:
            raise ConcurrencyConflict("The session moved while it was read.")
        return read

    async def _read(self, known: _Read, wanted: Iterable[Key]) -> _Read:
        """Return *known* with the *wanted* rows that it lacks."""
        missing = [key for key in wanted if key not in known.etags]
        found = await self._tables.get_many(MAILBOXES, missing)
        rows = {key: found.get(key) for key in missing}
        etags = {key: row.etag if row else None for key, row in rows.items()}
        return _Read(with_rows(known.ledger, rows), known.etags | etags)

    async def _write(self, own: Key, decision: _Decision) -> MailboxLedger:
        """Return the ledger with the versions that were stored."""
        read, after, writes = decision.read, decision.after, decision.writes
        with as_retryable():
            versions = await self._tables.transact(MAILBOXES, writes)
        etags = dict(zip((write.key for write in writes), versions, strict=True))
        after = stamped(
            LedgerChange(read.ledger, after), lambda e: etags[_key_of(after.mailbox, e)]
        )
        written = _Read(after, read.etags | {key: etag or None for key, etag in etags.items()})
        self._write_cache[own] = written, time.monotonic()
        if len(self._write_cache) > _REMEMBERED:
            self._write_cache.popitem(last=False)
        return after

    def _take_cached(self, own: Key) -> _Read | None:
        """Return what was written of it a moment ago, once."""
        written, at = self._write_cache.pop(own, (None, 0.0))
        return written if time.monotonic() < at + _REMEMBERED_SECONDS else None

    async def _entry(self, mailbox: Mailbox, session_id: SessionId) -> Session | Pointer | None:
        row = await self._tables.get(MAILBOXES, keys.session(mailbox, session_id))
        return entry_of(row.values, mailbox, row.etag) if row else None

    async def _named(self, mailbox: Mailbox, index: Sequence[Row]) -> list[Session]:
        """Return the sessions that rows of the time index name, as far as they exist."""
        places = {
            keys.session(organizer, SessionId(row.values["session_id"])): organizer
            for row in index
            for organizer in (organizer_of(row.values, mailbox),)
        }
        rows = await self._tables.get_many(MAILBOXES, list(places))
        entries = [entry_of(row.values, places[key], row.etag) for key, row in rows.items()]
        return [entry for entry in entries if isinstance(entry, Session)]


def _own_key(mailbox: Mailbox, key: SessionId | SeriesKey) -> Key:
    if isinstance(key, SeriesKey):
        return keys.series(mailbox, key.id)
    return keys.session(mailbox, key)


def _key_of(mailbox: Mailbox, entry: Session | Series) -> Key:
    if isinstance(entry, Series):
        return keys.series(mailbox, entry.id)
    return keys.session(mailbox, entry.id)


def _as_stored(lost: _Decision, stored: MailboxLedger) -> LedgerChange | None:
    """Return what *lost* came to if just that is *stored*: only the answer was lost."""
    before, entries = lost.read.ledger, (*stored.sessions.values(), *stored.series.values())
    versions = {e.id: e.version for e in entries if not isinstance(e, Pointer)}
    after = stamped(LedgerChange(before, lost.after), lambda entry: versions.get(entry.id, ""))
    is_there = (after.sessions, after.series) == (stored.sessions, stored.series)
    return LedgerChange(before, after) if is_there else None


def _starts_within(session: Session, since: datetime | None, until: datetime | None) -> bool:
    start = session.span.start
    return (since is None or start >= since) and (until is None or start < until)
