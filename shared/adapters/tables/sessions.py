"""Sessions and the time they hold, one partition per mailbox.

A session's changes in one mailbox are one transaction, in which each row is conditional: on the
version read, or on its absence. After an ETag conflict the rows are read and the decision is made
again, so two concurrent requests cannot both get the same time.

No transaction spans mailboxes; the use-case decides the order of the writes. Rows left by a process
that crashed are harmless: holds expire, and a pointer without a session counts as no session.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Row, Tables, Write, transactions
from shared.adapters.tables.keys import MAILBOXES, Key
from shared.adapters.tables.ledger_rows import difference, with_rows
from shared.adapters.tables.retry import (
    ConcurrencyConflict,
    OutcomeUnknown,
    as_retryable,
    retry_on_conflict,
)
from shared.adapters.tables.series_rows import series_of
from shared.adapters.tables.session_rows import entry_of, holds_in, organizer_of, session_values
from shared.adapters.tables.values import cursor, read_cursor
from shared.changes.ports import ChangeStore
from shared.errors import NotFound, SchedulingError, StaleRow, StoreUnavailable
from shared.ids import EventId, Mailbox, SeriesId, SessionId
from shared.sessions.holds import Hold, active_holds, held_days
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
from shared.sessions.model import Session
from shared.sessions.series import Series
from shared.timespan import TimeSpan

_CACHED: Final = 500
"""Limit of sessions whose last write this process caches."""
_CACHED_SECONDS: Final = 10.0
"""Lifetime of a cached write: no request lasts longer."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The rows read of a partition, with their ETags. None: the row does not exist."""

    ledger: MailboxLedger
    etags: dict[Key, str | None]


@dataclass(frozen=True, slots=True)
class _Decision:
    """The ledger decided on the basis of *read*, and the writes that store it."""

    read: _Read
    after: MailboxLedger
    writes: list[Write]


class TableSessions:
    """Implements `SessionStore` on Table Storage."""

    def __init__(self, tables: Tables, changes: ChangeStore) -> None:
        self._tables = tables
        self._changes = changes
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
        """Read or guess the rows, *decide*, write the difference; retry after an ETag conflict."""
        own = _own_key(mailbox, key)
        days = [keys.day(mailbox, day) for day in held_days(spans)]
        nothing = _Read(MailboxLedger(mailbox, is_whole=False), {})
        guess = await self._guess(own, nothing, days, expects_new=expects_new)
        lost: _Decision | None = None

        async def attempt(_: int) -> LedgerChange:
            nonlocal guess, lost
            known, guess = guess, None
            decision = await self._decide_on_guess(decide, known)
            if decision is None:
                fresh = known if known and own not in known.etags else nothing
                read = await self._read(fresh, [own, *days])
                try:
                    decision = await self._decide(decide, read)
                except StaleRow:
                    if lost and (stored := _as_stored(lost, read.ledger)):
                        return stored
                    raise
            if not decision.writes:
                done = lost or decision  # an earlier write of unknown outcome was stored
                return LedgerChange(done.read.ledger, done.after)
            try:
                return LedgerChange(decision.read.ledger, await self._write(own, decision))
            except OutcomeUnknown:
                lost = decision
                raise

        return await retry_on_conflict(attempt)

    async def publish(self, sessions: Sequence[Session]) -> list[Session]:
        """Append the outboxes to the feed, and empty them in the rows and in the cache.

        After a failure to empty them the entries stay: the next reader appends them again, and the
        feed has their ids.
        """
        if not any(session.outbox for session in sessions):
            return list(sessions)
        await self._changes.append(news for session in sessions for news in session.outbox)
        emptied = await self._empty([s for s in sessions if s.outbox])
        return [emptied.get(session.id, session) for session in sessions]

    async def get(self, mailbox: Mailbox, session_id: SessionId) -> Session:
        """Return the session that *mailbox* organizes or was invited to."""
        entry = await self._entry(mailbox, session_id)
        if isinstance(entry, Pointer):
            entry = await self._entry(entry.organizer, session_id)
        if not isinstance(entry, Session):
            raise NotFound("There is no such session.")
        return (await self.publish([entry]))[0]

    async def find_by_event(self, mailbox: Mailbox, event_id: EventId) -> Session | Series | None:
        """Return the session or series of an event of the organizer's *mailbox*, or None."""
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
        """Return the series that *mailbox* organizes, or None."""
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
        sessions = await self._load_listed(mailbox, page)
        return (
            sorted(
                # After a move in Outlook an attendee's time index lags behind for a moment.
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

    async def _guess(
        self, own: Key, nothing: _Read, days: Sequence[Key], *, expects_new: bool
    ) -> _Read | None:
        """Return a guess of the rows, which saves a read; None: there is none.

        The guess is the cached last write of *own*. With *expects_new* it is the *days* as read,
        without a row of *own*. The write's conditions check it.
        """
        guess = self._take_cached(own)
        if guess is None and expects_new:
            guess = await self._read(nothing, days)
        return guess

    async def _decide_on_guess(self, decide: Decide, guess: _Read | None) -> _Decision | None:
        """Return the decision on *guess*, or None if the rows have to be read first.

        A refusal or a decision without writes may come from a wrong guess, and no conditional
        write would show that.
        """
        if guess:
            with suppress(SchedulingError):
                decision = await self._decide(decide, guess)
                return decision if decision.writes else None
        return None

    async def _decide(self, decide: Decide, read: _Read) -> _Decision:
        """Return the decision on *read*. Reads the further rows that *decide* asks for (Unread)."""
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
        """Return *known*, extended by a read of the *wanted* rows that it lacks."""
        missing = [key for key in wanted if key not in known.etags]
        found = await self._tables.get_many(MAILBOXES, missing)
        rows = {key: found.get(key) for key in missing}
        etags = {key: row.etag if row else None for key, row in rows.items()}
        return _Read(with_rows(known.ledger, rows), known.etags | etags)

    async def _write(self, own: Key, decision: _Decision) -> MailboxLedger:
        """Write the decision and cache it; return the ledger with the ETags of the stored rows."""
        read, after, writes = decision.read, decision.after, decision.writes
        with as_retryable():
            versions = await self._tables.transact(MAILBOXES, writes)
        etags = dict(zip((write.key for write in writes), versions, strict=True))
        after = stamped(
            LedgerChange(read.ledger, after), lambda e: etags[_key_of(after.mailbox, e)]
        )
        written = _Read(after, read.etags | {key: etag or None for key, etag in etags.items()})
        self._write_cache[own] = written, time.monotonic()
        if len(self._write_cache) > _CACHED:
            self._write_cache.popitem(last=False)
        return after

    def _take_cached(self, own: Key) -> _Read | None:
        """Pop the cached result of the last write. One-shot: after a conflict, re-read."""
        written, at = self._write_cache.pop(own, (None, 0.0))
        return written if time.monotonic() < at + _CACHED_SECONDS else None

    async def _empty(self, sessions: Sequence[Session]) -> dict[SessionId, Session]:
        """Empty the outboxes; return the sessions as stored, without those that another changed."""
        emptied = {keys.session(s.organizer, s.id): replace(s, outbox=()) for s in sessions}
        stored: dict[SessionId, Session] = {}
        for writes in transactions(
            Put(key, session_values(session), session.version) for key, session in emptied.items()
        ):
            with suppress(StaleRow, StoreUnavailable):
                etags = await self._tables.transact(MAILBOXES, writes)
                for write, etag in zip(writes, etags, strict=True):
                    session = replace(emptied[write.key], version=etag)
                    stored[session.id] = session
                    self._update_cached(write.key, session)
        return stored

    def _update_cached(self, own: Key, session: Session) -> None:
        written, at = self._write_cache.get(own, (None, 0.0))
        if written:
            sessions = {**written.ledger.sessions, session.id: session}
            ledger = replace(written.ledger, sessions=sessions)
            self._write_cache[own] = _Read(ledger, written.etags | {own: session.version}), at

    async def _entry(self, mailbox: Mailbox, session_id: SessionId) -> Session | Pointer | None:
        row = await self._tables.get(MAILBOXES, keys.session(mailbox, session_id))
        return entry_of(row.values, mailbox, row.etag) if row else None

    async def _load_listed(self, mailbox: Mailbox, index: Sequence[Row]) -> list[Session]:
        """Return the sessions of rows of the time index, except those that no longer exist."""
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
    """Return the change of *lost* if *stored* is its result: the write succeeded unanswered.

    Another worker may have emptied the outbox since.
    """
    before, entries = lost.read.ledger, (*stored.sessions.values(), *stored.series.values())
    versions = {e.id: e.version for e in entries if not isinstance(e, Pointer)}
    after = stamped(LedgerChange(before, lost.after), lambda entry: versions.get(entry.id, ""))
    is_there = (_without_outboxes(after), after.series) == (
        _without_outboxes(stored),
        stored.series,
    )
    return LedgerChange(before, replace(after, sessions=stored.sessions)) if is_there else None


def _without_outboxes(ledger: MailboxLedger) -> dict[SessionId, Session | Pointer]:
    return {
        i: replace(e, outbox=()) if isinstance(e, Session) else e
        for i, e in ledger.sessions.items()
    }


def _starts_within(session: Session, since: datetime | None, until: datetime | None) -> bool:
    start = session.span.start
    return (since is None or start >= since) and (until is None or start < until)
