"""Sessions and the time they hold, one partition per mailbox.

What a session changes in one mailbox is one transaction whose every row is conditional: on the
version read, or on being absent. Who is overtaken reads again and decides again, so two who want
the same time cannot both get it.

Across mailboxes there are no transactions; the order of writes is the use-case's. A row left behind
by a process that died is harmless: holds run out, and a pointer without a session is no session.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from shared.adapters.tables import keys
from shared.adapters.tables.client import (
    Overtaken,
    Put,
    Remove,
    Row,
    Tables,
    Unsure,
    Write,
    contended,
    deciding_again,
)
from shared.adapters.tables.keys import MAILBOXES
from shared.adapters.tables.session_rows import (
    day_values,
    days_of,
    holds_in,
    index_values,
    organizer_of,
    pointer_values,
    series_of,
    series_values,
    session_of,
    session_values,
)
from shared.adapters.tables.values import cursor, moment, present, read_cursor
from shared.errors import NotFound, SlotTaken, StaleRow, StoreUnavailable
from shared.ids import EventId, Mailbox, SeriesId, SessionId
from shared.sessions.holding import (
    colliding,
    held_days,
    holds_besides,
    holds_in_mailbox,
    holds_of,
    holds_settled,
    is_confirmed,
)
from shared.sessions.model import Hold, Session, SessionState
from shared.sessions.series import Series
from shared.timespan import TimeSpan

_REMEMBERED: Final = 500
"""Bookings under way in one process of which it is known what they wrote."""


class TableSessions:
    """Implements `SessionStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._just_written: OrderedDict[tuple[Mailbox, SessionId], _Entry] = OrderedDict()

    async def hold(self, mailbox: Mailbox, hold: Hold, organizer: Mailbox, now: datetime) -> bool:
        """Take *hold*'s span in an attendee's *mailbox*; tell whether it was there already."""
        is_new = True

        async def attempt(unsure: int) -> bool:
            nonlocal is_new
            entry = await self._read(mailbox, hold.session_id, [hold.span], is_new=is_new)
            is_new = False
            if is_confirmed(entry.held, hold):
                return True
            if unsure and hold in entry.held:
                return False  # ours, though nobody said so
            entry.ensure_free(hold, now)
            pointer = pointer_values(hold.session_id, organizer, hold.span.start, None)
            changes = [
                entry.own_row(pointer),
                *entry.rewritten([hold], hold.span.start, organizer, now),
            ]
            self._remember(entry.after(changes, await self._commit(changes)))
            return entry.own is not None

        return await contended(attempt)

    async def open(
        self, session: Session, now: datetime, *, whatever_is_held: bool = False
    ) -> Session:
        """Take the span in the organizer's mailbox and store the new session."""
        is_new = True

        async def attempt(unsure: int) -> Session:
            nonlocal is_new
            entry = await self._read(session.organizer, session.id, [session.span], is_new=is_new)
            if entry.own:
                if unsure and _says(entry.own, session):
                    return replace(session, version=entry.own.etag)
                raise StaleRow("The session is there already.")
            wanted = holds_of(session)
            assumed_new, is_new = is_new, False
            if not whatever_is_held and not entry.are_free(wanted, now):
                if assumed_new:
                    raise Overtaken("Its own row comes first: look at that too.")
                raise SlotTaken("Another session holds this time.")
            changes = [
                entry.own_row(session_values(session)),
                *entry.rewritten(wanted, session.span.start, session.organizer, now),
            ]
            etags = await self._commit(changes)
            self._remember(entry.after(changes, etags))
            return replace(session, version=etags[0])

        return await contended(attempt)

    async def save(self, session: Session) -> Session:
        """Replace the stored session and what the organizer's mailbox says of it."""

        async def attempt(unsure: int) -> Session:
            known = self._recall(session.organizer, session.id)
            own = known.own if known else None
            if own is None or own.etag != session.version:
                known = None
                own = await self._tables.get(MAILBOXES, keys.session(session.organizer, session.id))
            if own and unsure and _says(own, session):
                return replace(session, version=own.etag)
            if own is None or own.etag != session.version:
                raise StaleRow("The session changed since it was read.")
            stored = session_of(own.values, session.organizer, own.etag)
            etags = await self._commit(
                [
                    Put(own.key, session_values(session), own.etag),
                    *_event_rows(stored, session),
                    *await self._moved(stored, session, known, own),
                ]
            )
            return replace(session, version=etags[0])

        return await contended(attempt)

    async def settle(self, mailbox: Mailbox, session: Session) -> None:
        """Make an attendee's *mailbox* say what *session* says."""
        if mailbox == session.organizer:
            return  # `save` did it

        async def attempt(_: int) -> None:
            wanted = holds_in_mailbox(session, mailbox)
            entry = await self._known_or_read(
                self._recall(mailbox, session.id), mailbox, session.id, wanted
            )
            if entry.settled_at and entry.settled_at > session.changed_at:
                return
            wanted = holds_settled(session, mailbox, entry.held)
            changes = entry.rewritten(wanted, session.span.start, session.organizer)
            if changes or entry.own is None:
                pointer = pointer_values(
                    session.id, session.organizer, session.span.start, session.changed_at
                )
                await self._commit([entry.own_row(pointer), *changes])

        await contended(attempt)

    async def move(self, mailbox: Mailbox, session: Session, to: Hold, now: datetime) -> None:
        """Take *to* besides what *session* holds in *mailbox*."""

        async def attempt(_: int) -> None:
            entry = await self._read(mailbox, session.id, [session.span, to.span])
            if entry.settled_at and entry.settled_at > session.changed_at:
                raise StaleRow("The session changed since it was read.")
            wanted = holds_besides(session, to, mailbox, entry.held, now)
            if mailbox == session.organizer and not (
                entry.own and entry.own.etag == session.version
            ):
                raise StaleRow("The session changed since it was read.")
            entry.ensure_free(to, now)
            start = entry.start or session.span.start
            changes = entry.rewritten(wanted, start, session.organizer, now)
            # The organizer's own row stays as it is, so that its version does.
            if entry.own is None:
                pointer = pointer_values(session.id, session.organizer, start, None)
                changes = [entry.own_row(pointer), *changes]
            await self._commit(changes)

        await contended(attempt)

    async def take_back(self, mailbox: Mailbox, hold: Hold) -> None:
        """Free just *hold*, if *mailbox* still has it like that."""

        async def attempt(_: int) -> None:
            entry = await self._read(mailbox, hold.session_id, [hold.span])
            if entry.own is None or entry.start is None or hold not in entry.held:
                return
            others = [h for h in entry.held if h.session_id == hold.session_id and h != hold]
            organizer = organizer_of(entry.own.values, mailbox)
            await self._commit(entry.rewritten(sorted(others, key=_span), entry.start, organizer))

        await contended(attempt)

    async def release(
        self, mailbox: Mailbox, session_id: SessionId, *, of: datetime | None = None
    ) -> None:
        """Free what *session_id* holds in *mailbox* and remove its row."""
        await self._remove(mailbox, session_id, only_requested=True, of=of)

    async def get(self, mailbox: Mailbox, session_id: SessionId) -> Session:
        """Return the session that *mailbox* organizes or was invited to."""
        row = await self._tables.get(MAILBOXES, keys.session(mailbox, session_id))
        if row and (organizer := organizer_of(row.values, mailbox)) != mailbox:
            mailbox = organizer
            row = await self._tables.get(MAILBOXES, keys.session(mailbox, session_id))
        if row is None:
            raise NotFound("There is no such session.")
        return session_of(row.values, mailbox, row.etag)

    async def of_event(self, mailbox: Mailbox, event_id: EventId) -> Session | None:
        """Return the session that *event_id* of the organizer's *mailbox* shows."""
        shown = await self.shown_by(mailbox, event_id)
        return shown if isinstance(shown, Session) else None

    async def shown_by(self, mailbox: Mailbox, event_id: EventId) -> Session | Series | None:
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

    async def put_series(self, series: Series) -> Series:
        """Store *series* and its master in the event index."""
        key = keys.series(series.organizer, series.id)
        changes: list[Write] = [Put(key, series_values(series), series.version or None)]
        if series.event_id:
            values = present({"series_id": series.id})
            changes.append(Put(keys.event(series.organizer, series.event_id), values, force=True))

        async def attempt(unsure: int) -> Series:
            if unsure:
                stored = await self.get_series(series.organizer, series.id)
                if stored and replace(stored, version=series.version) == series:
                    return stored
            try:
                etags = await self._tables.transact(MAILBOXES, changes)
            except StoreUnavailable as error:
                raise Unsure(str(error)) from error
            return replace(series, version=etags[0])

        return await contended(attempt)

    async def get_series(self, mailbox: Mailbox, series_id: SeriesId) -> Series | None:
        """Return the series that *mailbox* organizes."""
        row = await self._tables.get(MAILBOXES, keys.series(mailbox, series_id))
        return series_of(row.values, mailbox, row.etag) if row else None

    async def remove_series(self, mailbox: Mailbox, series_id: SeriesId) -> int:
        """Remove the rows of the series itself; return how many."""
        series = await self.get_series(mailbox, series_id)
        if series is None:
            return 0
        if series.event_id:
            await self._tables.remove(MAILBOXES, keys.event(mailbox, series.event_id))
        await self._tables.remove(MAILBOXES, keys.series(mailbox, series_id))
        return 2 if series.event_id else 1

    async def of_mailbox(
        self,
        mailbox: Mailbox,
        *,
        since: datetime | None,
        until: datetime | None,
        after: str | None,
        limit: int,
    ) -> tuple[Sequence[Session], str | None]:
        """Return a page of sessions that start in [since, until), by start; the cursor or None."""
        rows = keys.starts(mailbox, since, until, after=read_cursor(after) if after else None)
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
        found = {hold for row in rows for hold in holds_in(row.values)}
        return sorted(
            (hold for hold in found if hold.counts_at(now) and hold.span.overlaps(window)),
            key=lambda hold: (hold.span, hold.session_id),
        )

    async def purge(self, session: Session) -> int:
        """Remove every row of *session* in every mailbox; return how many rows."""
        removed = 0
        for mailbox in session.holders:  # the organizer's last: by it a second run finds the rest
            removed += await self._remove(mailbox, session.id, only_requested=False)
        return removed

    async def _remove(
        self,
        mailbox: Mailbox,
        session_id: SessionId,
        *,
        only_requested: bool,
        of: datetime | None = None,
    ) -> int:
        """Remove what *mailbox* has of the session; return how many rows that were."""

        async def attempt(_: int) -> int:
            entry = await self._read(mailbox, session_id, [])
            if entry.own is None:
                return 0
            state = entry.own.values.get("state")
            if only_requested and state not in {None, SessionState.REQUESTED}:
                raise StaleRow("The session was confirmed meanwhile.")
            if of and any(
                hold.counts_until != of for hold in entry.held if hold.session_id == session_id
            ):
                return 0
            changes = entry.removed()
            if event_id := entry.own.values.get("event_id"):
                changes.append(Remove(keys.event(mailbox, event_id)))
            await self._commit(changes)
            return sum(isinstance(change, Remove) for change in changes)

        return await contended(attempt)

    async def _moved(
        self, stored: Session, session: Session, known: "_Entry | None", own: Row
    ) -> list[Write]:
        """Return what a save changes in the days and the time index: often nothing."""
        wanted = holds_of(session)
        if holds_of(stored) == wanted and stored.span.start == session.span.start:
            return []
        entry = await self._known_or_read(known, session.organizer, session.id, wanted, own=own)
        return entry.rewritten(wanted, session.span.start, session.organizer)

    async def _named(self, mailbox: Mailbox, index: Sequence[Row]) -> list[Session]:
        """Return the sessions that rows of the time index name, as far as they exist."""
        places = {
            keys.session(organizer, SessionId(row.values["session_id"])): organizer
            for row in index
            for organizer in (organizer_of(row.values, mailbox),)
        }
        rows = await self._tables.get_many(MAILBOXES, list(places))
        return [session_of(row.values, places[key], row.etag) for key, row in rows.items()]

    async def _known_or_read(
        self,
        known: "_Entry | None",
        mailbox: Mailbox,
        session_id: SessionId,
        wanted: Iterable[Hold],
        *,
        own: Row | None = None,
    ) -> "_Entry":
        """Return *known* if it has every day of *wanted*, else what is stored."""
        spans = [hold.span for hold in wanted]
        if known and known.days.keys() >= set(held_days(spans)):
            return known
        return await self._read(mailbox, session_id, spans, own=own)

    async def _read(
        self,
        mailbox: Mailbox,
        session_id: SessionId,
        spans: Iterable[TimeSpan],
        *,
        own: Row | None = None,
        is_new: bool = False,
    ) -> "_Entry":
        """Return what *mailbox* says about the session and about the days of *spans*.

        The session's row is not read if it is given as *own*, nor if the session *is_new*: where
        that turns out wrong, making the row is refused.
        """
        own_key = keys.session(mailbox, session_id)
        day_keys = {keys.day(mailbox, day): day for day in held_days(spans)}
        wanted = [*day_keys, *(() if own or is_new else (own_key,))]
        rows = await self._tables.get_many(MAILBOXES, wanted)
        own = own or rows.get(own_key)
        index = None
        if own:
            start = moment(own.values["start"])
            index = await self._tables.get(MAILBOXES, keys.starts_at(mailbox, start, session_id))
            if index is None:
                raise Overtaken("The session moved while it was read.")
            more = {keys.day(mailbox, day): day for day in days_of(index.values)}
            rows |= await self._tables.get_many(
                MAILBOXES, [key for key in more if key not in day_keys]
            )
            day_keys |= more
        return _Entry(
            mailbox, session_id, own, index, {day: rows.get(key) for key, day in day_keys.items()}
        )

    def _remember(self, entry: "_Entry") -> None:
        """Keep what was just written, so that the next step of a booking need not read it."""
        self._just_written[entry.mailbox, entry.session_id] = entry
        if len(self._just_written) > _REMEMBERED:
            self._just_written.popitem(last=False)

    def _recall(self, mailbox: Mailbox, session_id: SessionId) -> "_Entry | None":
        """Return what was just written, once. Who is overtaken with it has to read."""
        return self._just_written.pop((mailbox, session_id), None)

    async def _commit(self, changes: Sequence[Write]) -> list[str]:
        with deciding_again():
            return await self._tables.transact(MAILBOXES, changes)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the partition of one mailbox says about one session."""

    mailbox: Mailbox
    session_id: SessionId
    own: Row | None
    """The session, or the pointer to it."""
    index: Row | None
    days: dict[date, Row | None]
    """Every day it holds something of, and every day it is to hold something of."""

    @property
    def start(self) -> datetime | None:
        """Return the start under which the time index has it."""
        return moment(self.own.values["start"]) if self.own else None

    @property
    def settled_at(self) -> datetime | None:
        """Return which version of the session a pointer was settled with."""
        text = self.own.values.get("changed_at") if self.own else None
        return moment(text) if text else None

    @property
    def held(self) -> set[Hold]:
        """Return the holds of these days, whoever's."""
        return {
            hold for row in self.days.values() if row is not None for hold in holds_in(row.values)
        }

    def ensure_free(self, wanted: Hold, now: datetime) -> None:
        """Raise SlotTaken if another session's hold counts and overlaps."""
        if not self.are_free([wanted], now):
            raise SlotTaken("Another session holds this time.")

    def are_free(self, wanted: Iterable[Hold], now: datetime) -> bool:
        """Tell whether no other session's hold counts and overlaps."""
        held = self.held
        return not any(colliding(held, hold.span, self.session_id, now) for hold in wanted)

    def own_row(self, values: dict[str, object]) -> Put:
        """Return the change that writes the session or the pointer."""
        key = keys.session(self.mailbox, self.session_id)
        return Put(key, values, self.own.etag if self.own else None)

    def rewritten(
        self,
        wanted: Sequence[Hold],
        start: datetime,
        organizer: Mailbox,
        now: datetime | None = None,
    ) -> list[Write]:
        """Return the changes after which the session holds *wanted* and is found at *start*.

        With *now*, holds of others that stopped counting are swept out of the rows it rewrites.
        """
        key = keys.starts_at(self.mailbox, start, self.session_id)
        days = held_days(hold.span for hold in wanted)
        values = index_values(self.session_id, organizer, self.mailbox, days)
        changes = self._days_rewritten(wanted, now)
        if self.index is None:
            changes.append(Put(key, values))
        elif self.index.key != key:
            changes += [Remove(self.index.key, self.index.etag), Put(key, values)]
        elif days_of(self.index.values) != days:
            changes.append(Put(key, values, self.index.etag))
        return changes

    def after(self, changes: Sequence[Write], etags: Sequence[str]) -> "_Entry":
        """Return what there is after *changes* were made, which gave the rows *etags*."""
        own, index, days = self.own, self.index, dict(self.days)
        own_key = keys.session(self.mailbox, self.session_id)
        day_of = {keys.day(self.mailbox, day): day for day in days}
        for change, etag in zip(changes, etags, strict=True):
            row = Row(change.key, change.values, etag) if isinstance(change, Put) else None
            if change.key == own_key:
                own = row
            elif change.key in day_of:
                days[day_of[change.key]] = row
            else:
                index = row or index
        return replace(self, own=own, index=index, days=days)

    def removed(self) -> list[Write]:
        """Return the changes after which nothing of the session is left."""
        rows = [row for row in (self.own, self.index) if row]
        return [*(Remove(row.key, row.etag) for row in rows), *self._days_rewritten([], None)]

    def _days_rewritten(self, wanted: Sequence[Hold], now: datetime | None) -> list[Write]:
        changes: list[Write] = []
        for day, row in self.days.items():
            before = holds_in(row.values) if row else []
            after = [
                hold
                for hold in before
                if hold.session_id != self.session_id and (now is None or hold.counts_at(now))
            ]
            after += [hold for hold in wanted if day in held_days([hold.span])]
            # An unchanged row needs no condition: with this session's hold in it nobody else gets
            # the time, and without it nothing was wanted of that day.
            if set(after) == set(before):
                continue
            key = keys.day(self.mailbox, day)
            etag = row.etag if row else None
            changes.append(Put(key, day_values(after), etag) if after else Remove(key, etag))
        return changes


def _says(own: Row, session: Session) -> bool:
    """Tell whether the stored row is just what *session* was to be stored as."""
    wanted = session_values(session)
    stored = {name: value for name, value in own.values.items() if name in wanted}
    return stored == wanted and not (
        own.values.keys() - wanted.keys() - {"PartitionKey", "RowKey", "Timestamp"}
    )


def _event_rows(stored: Session, session: Session) -> list[Write]:
    """Return the changes after which the event index finds *session*."""
    if stored.event_id == session.event_id:
        return []
    changes: list[Write] = []
    if stored.event_id:
        changes.append(Remove(keys.event(session.organizer, stored.event_id)))
    if session.event_id:
        values = present({"session_id": session.id})
        changes.append(Put(keys.event(session.organizer, session.event_id), values, force=True))
    return changes


def _span(hold: Hold) -> TimeSpan:
    return hold.span


def _starts_within(session: Session, since: datetime | None, until: datetime | None) -> bool:
    start = session.span.start
    return (since is None or start >= since) and (until is None or start < until)
