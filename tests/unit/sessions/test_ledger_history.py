"""Random histories of a mailbox's ledger: complete, and read in parts as the store does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import combinations
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Row
from shared.adapters.tables.keys import Key
from shared.adapters.tables.ledger_rows import difference, with_rows
from shared.errors import SlotTaken, StaleRow
from shared.ids import SessionId
from shared.sessions import ledger
from shared.sessions.holds import Hold, session_holds
from shared.sessions.ledger import Decide, LedgerChange, MailboxLedger, Pointer, Unread, listed_at
from shared.sessions.model import HOLD_TTL, Session, SessionState
from shared.sessions.outbox import Origin
from shared.timespan import TimeSpan
from tests.builders import NOW, a_mailbox, a_session, an_event_id, at

ME = a_mailbox()
OTHER = a_mailbox(ME.tenant_id)
OWN = {f"own {n}": a_session(OTHER, organizer=ME) for n in range(3)}
INVITED = {f"invited {n}": a_session(ME, organizer=OTHER) for n in range(3)}
DRAFTS = OWN | INVITED
STARTS = [at(9, day=1), at(9, 30, day=1), at(10, day=1), at(23, 45, day=1), at(0, day=2)]
spans = st.builds(
    TimeSpan.lasting,
    st.sampled_from(STARTS),
    st.sampled_from([timedelta(minutes=30), timedelta(minutes=60)]),
)
own, invited = st.sampled_from(list(OWN)), st.sampled_from(list(INVITED))
_T = TypeVar("_T")


class History(RuleBasedStateMachine):
    """The ledger of ME, while sessions are booked, moved and cancelled, here and in Outlook."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.rows: dict[Key, Row] = {}
        self.versions = 0
        self.invited = {draft.id: draft for draft in INVITED.values()}
        """The organizer's rows of the sessions that ME is invited to."""
        self.by_outlook: set[SessionId] = set()
        """Sessions stored at times without a hold of theirs, as after a move in Outlook."""

    # --- the store

    @property
    def whole(self) -> MailboxLedger:
        return with_rows(MailboxLedger(ME), self.rows)

    def change(self, decide: Decide, session_id: SessionId) -> bool:
        """Apply *decide* to the complete ledger and to parts, with the same result.

        Returns False if it was refused.
        """
        before = self.whole
        expected, refusal = tried(lambda: decide(before))
        decided, same_refusal = tried(lambda: self.ask(decide, session_id))
        assert type(same_refusal) is type(refusal)
        if expected is None or decided is None:
            return False
        read, etags, after = decided
        for write in difference(LedgerChange(read, after), etags):
            self.versions += 1
            if isinstance(write, Put):
                self.rows[write.key] = Row(write.key, write.values, f"v{self.versions}")
            else:
                del self.rows[write.key]
        assert content_of(self.whole) == content_of(expected)
        assert self.active(self.whole, besides=session_id) == self.active(
            before, besides=session_id
        )
        return True

    def ask(
        self, decide: Decide, session_id: SessionId
    ) -> tuple[MailboxLedger, dict[Key, str | None], MailboxLedger]:
        read: dict[Key, Row | None] = {}
        wanted = [keys.session(ME, session_id)]
        while True:
            read |= {key: self.rows.get(key) for key in wanted}
            part = with_rows(MailboxLedger(ME, is_whole=False), read)
            try:
                after = decide(part)
            except Unread as unread:
                wanted = [keys.day(ME, day) for day in unread.days]
                if unread.listing_of:
                    start = listed_at(part.sessions[unread.listing_of])
                    wanted.append(keys.time_index_key(ME, start, unread.listing_of))
                assert set(wanted) - read.keys()
            else:
                return part, {key: row.etag if row else None for key, row in read.items()}, after

    def active(self, which: MailboxLedger, *, besides: SessionId | None = None) -> set[Hold]:
        held = {hold for holds in which.holds.values() for hold in holds}
        return {h for h in held if h.is_active_at(self.now) and h.session_id != besides}

    def holds(self, session_id: SessionId, span: TimeSpan) -> bool:
        return any((h.session_id, h.span) == (session_id, span) for h in self.active(self.whole))

    def stored(self, draft: Session) -> Session | None:
        entry = self.whole.sessions.get(draft.id)
        return entry if isinstance(entry, Session) else None

    # --- the rules

    @rule(minutes=st.sampled_from([1, 6, 11]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(name=invited, span=spans)
    def place_hold(self, name: str, span: TimeSpan) -> None:
        draft = DRAFTS[name]
        hold = Hold(draft.id, span, self.now + HOLD_TTL)
        decide = partial(ledger.place_hold, hold=hold, organizer=OTHER, now=self.now)
        self.change(decide, draft.id)

    @rule(name=own, span=spans)
    def create(self, name: str, span: TimeSpan) -> None:
        draft = DRAFTS[name]
        session = replace(draft, span=span, held_until=self.now + HOLD_TTL, changed_at=self.now)
        self.change(partial(ledger.create, session=session, now=self.now), draft.id)

    @rule(name=own, state=st.sampled_from(SessionState), span=spans, is_pending=st.booleans())
    def save(self, name: str, state: SessionState, span: TimeSpan, is_pending: bool) -> None:
        """Confirm, move, begin a move or cancel, also as after a change in Outlook."""
        draft = DRAFTS[name]
        if (session := self.stored(draft)) is None:
            return
        changed = replace(
            session,
            state=state,
            span=session.span if is_pending else span,
            pending_span=span if is_pending else None,
            held_until=self.now + HOLD_TTL,
            changed_at=self.now,
            event_id=session.event_id or an_event_id(),
        )
        wanted = [hold.span for hold in session_holds(changed)]
        if not all(self.holds(draft.id, each) for each in wanted):
            self.by_outlook.add(draft.id)
        assert self.change(partial(ledger.save, session=changed, origin=Origin()), draft.id)
        old = replace(changed, version="an older one")
        stale = partial(ledger.save, session=old, origin=Origin())
        assert not self.change(stale, draft.id)

    @rule(name=invited, is_on=st.booleans(), span=spans, is_late=st.booleans())
    def sync(self, name: str, is_on: bool, span: TimeSpan, is_late: bool) -> None:
        draft = DRAFTS[name]
        session = self.invited[draft.id]
        if not is_late or session.state is SessionState.REQUESTED:
            state = SessionState.SCHEDULED if is_on else SessionState.CANCELLED
            session = replace(session, state=state, span=span, changed_at=self.now)
        if not self.holds(draft.id, session.span):
            self.by_outlook.add(draft.id)
        mine = {h for h in self.active(self.whole) if h.session_id == draft.id}
        decide = partial(ledger.sync_mailbox, session=session)
        self.change(decide, draft.id)
        self.invited[draft.id] = session
        once = self.whole
        assert decide(once) == once
        if session.state is not SessionState.CANCELLED:
            assert {h.span for h in mine if h.expires_at} <= {h.span for h in self.active(once)}

    @rule(name=own | invited, span=spans)
    def hold_new_time(self, name: str, span: TimeSpan) -> None:
        draft = DRAFTS[name]
        session = self.invited.get(draft.id) or self.stored(draft) or draft
        if session.state is SessionState.REQUESTED:
            span = session.span  # its hold is renewed
        until = self.now + HOLD_TTL
        if not self.holds(draft.id, session.span):
            self.by_outlook.add(draft.id)
        before = self.active(self.whole)
        decide = partial(
            ledger.hold_new_time, session=session, to=Hold(draft.id, span, until), now=self.now
        )
        if self.change(decide, draft.id):
            after = {hold.span for hold in self.active(self.whole)}
            assert span in after
            assert {h.span for h in before if h.expires_at} <= after

    @rule(name=own | invited, span=spans, minutes=st.integers(0, 20))
    def remove_hold(self, name: str, span: TimeSpan, minutes: int) -> None:
        draft = DRAFTS[name]
        hold = Hold(draft.id, span, self.now + timedelta(minutes=minutes))
        before = self.active(self.whole)
        self.change(partial(ledger.remove_hold, hold=hold), draft.id)
        assert self.active(self.whole) == before - {hold}

    @rule(name=own | invited, only=st.none() | st.integers(0, 20))
    def release(self, name: str, only: int | None) -> None:
        draft = DRAFTS[name]
        before = self.whole
        until: datetime | None = None if only is None else self.now + timedelta(minutes=only)
        decide = partial(ledger.release, session_id=draft.id, only_expiring_at=until)
        others = any(h.expires_at != until for h in before.holds_of(draft.id))
        if self.change(decide, draft.id) and only is not None and others:
            assert content_of(self.whole) == content_of(before)

    @rule(name=own | invited)
    def remove(self, name: str) -> None:
        draft = DRAFTS[name]
        assert self.change(partial(ledger.remove, session_id=draft.id), draft.id)
        assert draft.id not in {h.session_id for h in self.active(self.whole)}
        self.by_outlook.discard(draft.id)

    # --- the invariants

    @invariant()
    def no_two_hold_the_same_time(self) -> None:
        for one, other in combinations(self.active(self.whole), 2):
            if one.session_id != other.session_id and one.span.overlaps(other.span):
                assert {one.session_id, other.session_id} & self.by_outlook

    @invariant()
    def whatever_is_held_is_listed(self) -> None:
        for day, holds in self.whole.holds.items():
            assert holds
            for hold in holds:
                assert day in self.whole.listings[hold.session_id].days
        assert self.whole.listings.keys() == self.whole.sessions.keys()


def tried(act: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
    """Return the result of *act*, or its refusal."""
    try:
        return act(), None
    except (SlotTaken, StaleRow) as refusal:
        return None, refusal


def content_of(which: MailboxLedger) -> MailboxLedger:
    """Return the ledger without versions of rows and without empty days."""
    sessions = {
        i: e if isinstance(e, Pointer) else replace(e, version="")
        for i, e in which.sessions.items()
    }
    return replace(which, sessions=sessions, holds={d: h for d, h in which.holds.items() if h})


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=100, stateful_step_count=40)
