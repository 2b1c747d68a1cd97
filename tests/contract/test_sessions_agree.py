"""The fake and the adapter, given the same long story, say the same at every step."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.adapters.tables.client import Tables
from shared.adapters.tables.sessions import TableSessions
from shared.errors import SchedulingError
from shared.ids import Mailbox, SessionId
from shared.sessions.model import HOLD_FOR, Hold, Session, SessionState
from shared.sessions.ports import SessionStore
from shared.timespan import TimeSpan
from tests.builders import NOW, a_mailbox, a_session, an_event_id, at
from tests.fakes import InMemorySessions

STEPS = 80
ACTS = (*("hold", "open", "save", "settle", "move") * 3, "take_back", "release", "purge")
WINDOW = TimeSpan(at(0, day=-1), at(0, day=5))


@pytest.mark.parametrize("seed", range(3))
async def test_fake_and_adapter_agree(tables: Tables, seed: int) -> None:
    chance = random.Random(seed)
    tenant = a_mailbox().tenant_id
    people = [a_mailbox(tenant) for _ in range(3)]
    drafts = [
        a_session(*chance.sample(people[1:], chance.randint(1, 2)), organizer=people[0])
        if chance.random() < 0.5
        else a_session(people[0], organizer=chance.choice(people[1:]))
        for _ in range(5)
    ]
    worlds = (World(InMemorySessions()), World(TableSessions(tables)))
    now = NOW
    for step in range(STEPS):
        act = Act(
            chance.choice(ACTS),
            chance.choice(drafts),
            _span(chance),
            chance.choice(list(SessionState)),
            with_pending=chance.random() < 0.3,
            seed=chance.random(),
        )
        now += timedelta(minutes=chance.choice((0, 0, 1, 6)))
        expected, got = [await world.act(act, now) for world in worlds]
        assert got == expected, (step, act)
        for person in people:
            expected, got = [await world.view(person, drafts, now) for world in worlds]
            assert got == expected, (step, act)


class Act:
    """One thing to do."""

    def __init__(
        self,
        what: str,
        draft: Session,
        span: TimeSpan,
        state: SessionState,
        *,
        with_pending: bool,
        seed: float,
    ) -> None:
        self.what = what
        self.draft = draft
        self.span = span
        self.state = state
        self.with_pending = with_pending
        self.mailbox = draft.holders[int(seed * len(draft.holders))]
        self.event_id = an_event_id() if seed < 0.5 else None

    def __repr__(self) -> str:
        return f"{self.what} {self.draft.id[:4]} {self.mailbox.object_id[:4]} {self.span}"


class World:
    """One store, and the sessions as last seen in it: their versions are its own."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._seen: dict[SessionId, Session] = {}

    async def act(self, act: Act, now: datetime) -> object:
        """Do it; return what it came to."""
        session = self._seen.get(act.draft.id, act.draft)
        hold = Hold(session.id, act.span, now + HOLD_FOR)
        try:
            match act.what:
                case "hold" if act.mailbox != session.organizer:
                    await self._store.hold(act.mailbox, hold, session.organizer, now)
                case "open":
                    self._seen[session.id] = await self._store.open(
                        replace(act.draft, span=act.span, held_until=now + HOLD_FOR), now
                    )
                case "save":
                    self._seen[session.id] = await self._store.save(
                        replace(
                            session,
                            span=act.span,
                            state=act.state,
                            changed_at=now,
                            event_id=act.event_id or session.event_id,
                            held_until=now + HOLD_FOR,
                            pending_span=TimeSpan(
                                act.span.start + timedelta(hours=3),
                                act.span.end + timedelta(hours=3),
                            )
                            if act.with_pending
                            else None,
                        )
                    )
                case "settle":
                    await self._store.settle(act.mailbox, session)
                case "move":
                    await self._store.move(act.mailbox, session, hold, now)
                case "take_back":
                    await self._store.take_back(act.mailbox, hold)
                case "release":
                    await self._store.release(act.mailbox, session.id)
                case "purge":
                    await self._store.purge(session)
        except SchedulingError as error:
            return type(error)
        return None

    async def view(self, person: Mailbox, drafts: list[Session], now: datetime) -> object:
        """Return all that *person*'s mailbox shows, versions apart."""
        listed, cursor = await self._store.of_mailbox(
            person, since=None, until=None, after=None, limit=50
        )
        early, _ = await self._store.of_mailbox(
            person, since=at(0, day=1), until=at(0, day=3), after=None, limit=2
        )
        shown = [
            await self._store.of_event(person, seen.event_id)
            for draft in drafts
            if (seen := self._seen.get(draft.id)) and seen.event_id
        ]
        return (
            await self._store.holds(person, WINDOW, now),
            [replace(session, version="") for session in (*listed, *early)],
            cursor,
            [session and replace(session, version="") for session in shown],
        )


def _span(chance: random.Random) -> TimeSpan:
    start = at(chance.choice((9, 23)), chance.choice((0, 30, 45)), day=chance.randint(1, 2))
    return TimeSpan.lasting(start, timedelta(minutes=chance.choice((30, 60))))
