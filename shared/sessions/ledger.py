"""The ledger of one mailbox: its sessions and pointers, and the time they hold. Pure.

Every operation takes a ledger and returns the ledger after it, or raises SlotTaken or StaleRow. The
store reads the ledger, calls the operation and writes the difference (`SessionStore.change`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final, NamedTuple, TypeVar

from shared.errors import SlotTaken, StaleRow
from shared.ids import EventId, Mailbox, SeriesId, SessionId
from shared.sessions.holds import (
    Hold,
    conflicting_hold,
    days_of_holds,
    held_days,
    holds_after_sync,
    holds_during_move,
    is_confirmed,
    mailbox_holds,
    session_holds,
)
from shared.sessions.model import Session, SessionState
from shared.sessions.outbox import Origin, with_outbox
from shared.sessions.series import Series
from shared.timespan import TimeSpan

_Id = TypeVar("_Id")
_T = TypeVar("_T")
_STALE: Final = "The session changed since it was read."


class SeriesKey(NamedTuple):
    """Names a series where a bare id names a session."""

    id: SeriesId


@dataclass(frozen=True, slots=True)
class Pointer:
    """A reference to the session, stored in an attendee's mailbox in place of the session."""

    id: SessionId
    organizer: Mailbox
    start: datetime
    """The start under which the time index lists it."""
    synced_at: datetime | None = None
    """The session's *changed_at* when this mailbox was last synced; None if it only has a hold."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The time index's row of a session."""

    id: SessionId
    organizer: Mailbox
    start: datetime
    days: tuple[date, ...]
    """The UTC days whose rows have holds of the session."""


class Unread(Exception):
    """An operation needs rows that were not read: *days*, and the listing of *listing_of*."""

    def __init__(self, days: Iterable[date], listing_of: SessionId | None = None) -> None:
        super().__init__("The operation needs rows that were not read.")
        self.days = frozenset(days)
        self.listing_of = listing_of


@dataclass(frozen=True, slots=True)
class MailboxLedger:
    """The rows about sessions in a mailbox's partition, as far as they were read."""

    mailbox: Mailbox
    sessions: Mapping[SessionId, Session | Pointer] = field(default_factory=dict)
    """Sessions that the mailbox organizes, and pointers to those it is invited to."""
    listings: Mapping[SessionId, Listing] = field(default_factory=dict)
    """The time index."""
    holds: Mapping[date, tuple[Hold, ...]] = field(default_factory=dict)
    """By UTC day; a hold over midnight is in both days."""
    series: Mapping[SeriesId, Series] = field(default_factory=dict)
    is_whole: bool = True
    """False: a day missing in *holds* was not read. True: it has no holds."""

    @property
    def events(self) -> dict[EventId, SessionId | SeriesKey]:
        """Return the event index: the session, or the series' master, of each event id."""
        shown: dict[EventId, SessionId | SeriesKey] = {
            e.event_id: e.id
            for e in self.sessions.values()
            if isinstance(e, Session) and e.event_id
        }
        masters = {i: SeriesKey(s.id) for s in self.series.values() for i in s.master_ids}
        return shown | masters

    @property
    def row_count(self) -> int:
        """Return the number of stored rows of this ledger."""
        days = sum(1 for holds in self.holds.values() if holds)
        found = len(self.sessions) + len(self.listings) + len(self.series) + len(self.events)
        return days + found

    def holds_on(self, days: Iterable[date]) -> set[Hold]:
        """Return the holds of all sessions on *days*. Raises Unread."""
        days = set(days)
        if not self.is_whole and (unread := days - self.holds.keys()):
            raise Unread(unread)
        return {hold for day in days for hold in self.holds.get(day, ())}

    def days_of(self, session_id: SessionId, spans: Iterable[TimeSpan] = ()) -> list[date]:
        """Return the days with holds of the session and of *spans*, in order. Raises Unread."""
        days = set(held_days(spans))
        if session_id in self.sessions:
            if session_id not in self.listings:
                raise Unread(days, session_id)
            days.update(self.listings[session_id].days)
        return sorted(days)

    def holds_of(self, session_id: SessionId, spans: Iterable[TimeSpan] = ()) -> set[Hold]:
        """Return the session's holds on its listed days and on those of *spans*. Raises Unread."""
        held = self.holds_on(self.days_of(session_id, spans))
        return {hold for hold in held if hold.session_id == session_id}


class LedgerChange(NamedTuple):
    """A ledger before and after an operation; *after* has the versions that were stored."""

    before: MailboxLedger
    after: MailboxLedger


Decide = Callable[[MailboxLedger], MailboxLedger]


# --- the operations


def place_hold(
    ledger: MailboxLedger, hold: Hold, organizer: Mailbox, now: datetime
) -> MailboxLedger:
    """Place *hold* for a session of *organizer*, and list the session in this mailbox.

    Replaces the session's holds here, unless exactly this span is held without an expiry. Raises
    SlotTaken.
    """
    if is_confirmed(ledger.holds_on(days_of_holds([hold])), hold):
        return ledger
    _require_free(ledger, hold, now)
    pointer = Pointer(hold.session_id, organizer, hold.span.start)
    return _with_entry(_holding(ledger, pointer, [hold], now), pointer)


def create(
    ledger: MailboxLedger, session: Session, now: datetime, *, ignore_holds: bool = False
) -> MailboxLedger:
    """Store a new session that this mailbox organizes, with its holds.

    *ignore_holds*: the event is in Outlook already, so holds of other sessions do not refuse it.
    Raises StaleRow (the session exists), SlotTaken.
    """
    if session.id in ledger.sessions:
        raise StaleRow("The session exists already.")
    wanted = session_holds(session)
    for hold in () if ignore_holds else wanted:
        _require_free(ledger, hold, now)
    return _with_entry(_holding(ledger, session, wanted, now), session)


def save(ledger: MailboxLedger, session: Session, origin: Origin) -> MailboxLedger:
    """Replace a session that this mailbox organizes, and its holds if they changed.

    Sets *changed_at* and the outbox. Raises StaleRow.
    """
    stored = _current(ledger, session)
    session = with_outbox(stored, session, origin)
    wanted = session_holds(session)
    if wanted != session_holds(stored) or session.span.start != stored.span.start:
        ledger = _holding(ledger, session, wanted)
    return _with_entry(ledger, session)


def sync_mailbox(ledger: MailboxLedger, session: Session) -> MailboxLedger:
    """Copy the holds, pointer and listing of *session* into an attendee's mailbox. Never raises.

    Ignored if a later *changed_at* was synced. Other sessions' holds do not matter: the event is in
    Outlook already.
    """
    if _was_synced_later(ledger, session):
        return ledger
    spans = [hold.kept_free for hold in mailbox_holds(session, ledger.mailbox)]
    wanted = holds_after_sync(session, ledger.mailbox, ledger.holds_of(session.id, spans))
    pointer = Pointer(session.id, session.organizer, session.span.start, session.changed_at)
    synced = _holding(ledger, pointer, wanted)
    if synced == ledger and session.id in ledger.sessions:
        return ledger
    return _with_entry(synced, pointer)


def hold_new_time(
    ledger: MailboxLedger, session: Session, to: Hold, now: datetime
) -> MailboxLedger:
    """Place *to*, the new time of a move, beside the holds that *session* has.

    The organizer's session row is not written, so its version stays. Raises SlotTaken; StaleRow if
    this mailbox has a later version of *session*.
    """
    if ledger.mailbox == session.organizer:
        _current(ledger, session)
    elif _was_synced_later(ledger, session):
        raise StaleRow(_STALE)
    _require_free(ledger, to, now)
    held = ledger.holds_of(session.id, [session.span, to.kept_free])
    wanted = holds_during_move(session, to, ledger.mailbox, held, now)
    entry = ledger.sessions.get(session.id) or Pointer(
        session.id, session.organizer, session.span.start
    )
    return _with_entry(_holding(ledger, entry, wanted, now), entry)


def remove_hold(ledger: MailboxLedger, hold: Hold) -> MailboxLedger:
    """Remove exactly *hold*, if it exists: its expiry identifies the attempt that placed it."""
    entry = ledger.sessions.get(hold.session_id)
    if entry is None:
        return ledger
    held = ledger.holds_of(hold.session_id, [hold.kept_free])
    if hold not in held:
        return ledger
    return _holding(ledger, entry, sorted(held - {hold}, key=lambda each: each.span))


def release(
    ledger: MailboxLedger, session_id: SessionId, *, only_expiring_at: datetime | None = None
) -> MailboxLedger:
    """Undo a booking: remove every row of the session in this mailbox.

    *only_expiring_at*: remove nothing if the session has a hold with another expiry, because
    another attempt at the same booking placed it. Raises StaleRow if the booking was confirmed.
    """
    entry = ledger.sessions.get(session_id)
    if isinstance(entry, Session) and entry.state is not SessionState.REQUESTED:
        raise StaleRow("The session was confirmed meanwhile.")
    if only_expiring_at and any(
        hold.expires_at != only_expiring_at for hold in ledger.holds_of(session_id)
    ):
        return ledger
    return remove(ledger, session_id)


def remove(ledger: MailboxLedger, session_id: SessionId) -> MailboxLedger:
    """Remove every row of the session in this mailbox. Idempotent."""
    entry = ledger.sessions.get(session_id)
    if entry is None:
        return ledger
    ledger = _holding(ledger, entry, ())
    return replace(
        ledger,
        sessions=_without(ledger.sessions, session_id),
        listings=_without(ledger.listings, session_id),
    )


def put_series(ledger: MailboxLedger, series: Series) -> MailboxLedger:
    """Store *series*; an empty version means a new one. Raises StaleRow for an old version."""
    known = ledger.series.get(series.id)
    if series.version != (known.version if known else ""):
        raise StaleRow("The series changed since it was read.")
    return replace(ledger, series={**ledger.series, series.id: series})


def remove_series(ledger: MailboxLedger, series_id: SeriesId) -> MailboxLedger:
    """Remove the series' own row, not its sessions. Idempotent."""
    return replace(ledger, series=_without(ledger.series, series_id))


def stamped(change: LedgerChange, version_of: Callable[[Session | Series], str]) -> MailboxLedger:
    """Return the ledger after *change*, with the new version of every row that was written."""
    before, after = change
    sessions = {
        i: e
        if isinstance(e, Pointer) or before.sessions.get(i) == e
        else replace(e, version=version_of(e))
        for i, e in after.sessions.items()
    }
    series = {
        i: e if before.series.get(i) == e else replace(e, version=version_of(e))
        for i, e in after.series.items()
    }
    return replace(after, sessions=sessions, series=series)


def listed_at(entry: Session | Pointer) -> datetime:
    """Return the start under which the time index lists *entry*."""
    return entry.start if isinstance(entry, Pointer) else entry.span.start


def _require_free(ledger: MailboxLedger, wanted: Hold, now: datetime) -> None:
    if conflicting_hold(ledger.holds_on(days_of_holds([wanted])), wanted, now):
        raise SlotTaken("Another session holds this time.")


def _current(ledger: MailboxLedger, session: Session) -> Session:
    """Return the stored session if *session* is based on it."""
    stored = ledger.sessions.get(session.id)
    if not isinstance(stored, Session) or stored.version != session.version:
        raise StaleRow(_STALE)
    return stored


def _was_synced_later(ledger: MailboxLedger, session: Session) -> bool:
    known = ledger.sessions.get(session.id)
    synced_at = known.synced_at if isinstance(known, Pointer) else None
    return synced_at is not None and synced_at > session.changed_at


def _holding(
    ledger: MailboxLedger,
    entry: Session | Pointer,
    wanted: Sequence[Hold],
    now: datetime | None = None,
) -> MailboxLedger:
    """Replace the session's holds with *wanted*, and its listing as *entry* has it.

    With *now*, expired holds of other sessions are removed from the same days.
    """
    spans = [hold.kept_free for hold in wanted]
    days = ledger.days_of(entry.id, spans)
    ledger.holds_on(days)  # one Unread for all days, so that one read is enough
    holds = dict(ledger.holds)
    for day in days:
        before = ledger.holds.get(day, ())
        others = [
            h for h in before if h.session_id != entry.id and (now is None or h.is_active_at(now))
        ]
        after = (*others, *(hold for hold in wanted if day in days_of_holds([hold])))
        # The order of holds does not matter: an unchanged set needs no write.
        if set(after) != set(before):
            holds[day] = after
    listing = Listing(entry.id, entry.organizer, listed_at(entry), tuple(held_days(spans)))
    return replace(ledger, holds=holds, listings={**ledger.listings, entry.id: listing})


def _with_entry(ledger: MailboxLedger, entry: Session | Pointer) -> MailboxLedger:
    return replace(ledger, sessions={**ledger.sessions, entry.id: entry})


def _without(entries: Mapping[_Id, _T], key: _Id) -> dict[_Id, _T]:
    return {k: v for k, v in entries.items() if k != key}
