"""A model of one event in the organizer's calendar: its version after each act of a person."""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from shared.adapters.graph.event_parsing import parse_event
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.model import ResponseState
from shared.timespan import DateSpan, TimeSpan

BEN, CHIDI, EVE = "ben", "chidi", "eve"
PARTICIPANTS = (BEN, CHIDI)
"""Known by object id. Eve is a stranger, whom no directory knows."""
FIRST_NAMES = {
    BEN: "ben@contoso.example",
    CHIDI: "chidi@contoso.example",
    EVE: "eve@partner.example",
}
ORGANIZER = "ada@contoso.example"
_WORDS = {
    "none": ResponseState.PENDING,
    "notResponded": ResponseState.PENDING,
    "accepted": ResponseState.ACCEPTED,
    "tentativelyAccepted": ResponseState.TENTATIVE,
    "declined": ResponseState.DECLINED,
}
Act = tuple[Any, ...]


def weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return a strategy that draws from each of *choices* as often as its weight says.

    `one_of` would draw equally often from every branch, and from equal ones once.
    """
    tickets = [number for number, (weight, _) in enumerate(choices) for _ in range(weight)]
    return st.sampled_from(tickets).flatmap(lambda number: choices[number][1])


_who = st.sampled_from([BEN, CHIDI, EVE])
_answer = st.tuples(
    st.just("answer"),
    st.sampled_from([BEN, CHIDI, BEN, CHIDI, EVE]),
    st.sampled_from(["accepted", "tentativelyAccepted", "declined"]),
    st.sampled_from([None, 5, 6]),  # the time proposed
    st.booleans(),  # whether Exchange could not match it, and adds a row
)
ACTS: st.SearchStrategy[Act] = weighted(
    (8, _answer),
    (2, st.tuples(st.just("remove"), _who)),
    (3, st.tuples(st.just("put back"), _who, st.sampled_from(["required", "optional"]))),
    (1, st.tuples(st.just("optional"), _who)),
    (1, st.tuples(st.just("rename"), st.sampled_from(PARTICIPANTS))),
    (2, st.tuples(st.just("show"), _who, st.sampled_from(["main", "first", "typed"]))),
    (2, st.tuples(st.just("move"), st.integers(0, 2))),
    (2, st.tuples(st.sampled_from(["all day", "whole days"]), st.integers(1, 2))),
    (1, st.sampled_from([("delete",), ("restore",)])),
)
"""Acts of people, common ones more often. One that is not possible changes nothing."""
LAST_ACTS: st.SearchStrategy[list[Act]] = st.sampled_from([[], [], [("cancel",)]])


@dataclass
class _Row:
    """A row of the attendee list."""

    who: str
    kind: str = "required"
    shown: str = "main"
    """The way in which the address is written."""
    response: str = "none"
    at: datetime | None = None
    proposed: TimeSpan | None = None


@dataclass
class EventModel:
    """The organizer's copy of an event, the attendees' copies, and the directory."""

    first: CalendarEvent
    """The event as it was booked."""
    span: TimeSpan = field(init=False)
    dates: DateSpan | None = None
    rows: list[_Row] = field(default_factory=lambda: [_Row(who) for who in PARTICIPANTS])
    names: dict[str, list[str]] = field(
        default_factory=lambda: {who: [name] for who, name in FIRST_NAMES.items()}
    )
    """The addresses of each person, the main one last: former ones stay as aliases."""
    copies: dict[str, bool | None] = field(
        default_factory=lambda: dict.fromkeys(PARTICIPANTS, False)
    )
    """Whether each person's own copy is cancelled; None: they have none."""
    is_there: bool = True
    """Whether the calendar has the event; otherwise it lies in Deleted Items."""
    is_told: bool = False
    """Whether the attendees got a cancellation. A restored event would be the organizer's alone."""
    version: int = 0
    now: int = 0
    """The number of acts so far, a second apart."""

    def __post_init__(self) -> None:
        self.span = self.first.span

    # --- what is seen

    def event(self) -> CalendarEvent | None:
        """Return the event as its calendar shows it; None if it is not there."""
        if not self.is_there:
            return None
        return parse_event(self._payload()) if self.version else self.first

    def answers(self) -> dict[str, tuple[ResponseState, TimeSpan | None]]:
        """Return the latest answer of each person who is invited, with the proposed time."""
        latest: dict[str, _Row] = {}
        for row in self.rows:
            other = latest.get(row.who)
            if other is None or (row.at and (other.at is None or other.at < row.at)):
                latest[row.who] = row
        return {who: (_WORDS[row.response], row.proposed) for who, row in latest.items()}

    def required(self) -> set[str]:
        """Return the people who are required."""
        return {row.who for row in self.rows if row.kind == "required"}

    def _payload(self) -> dict[str, Any]:
        """Return the event as Graph writes it. Its times of change are rough: two may be equal."""
        seconds = self.version - self.version % 2
        return {
            "id": self.first.event_id,
            "iCalUId": self.first.ical_uid,
            "@odata.etag": f"version {self.version}",
            "lastModifiedDateTime": (self.first.modified_at + timedelta(seconds=seconds)).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            ),
            "isAllDay": self.dates is not None,
            "isCancelled": False,
            "originalStartTimeZone": "UTC",
            "start": _graph_time(self.span.start),
            "end": _graph_time(self.span.end),
            "organizer": {"emailAddress": {"address": ORGANIZER}},
            "attendees": [self._attendee(row) for row in self.rows],
        }

    def _attendee(self, row: _Row) -> dict[str, Any]:
        name, names = row.who, self.names[row.who]
        address = {
            "main": names[-1],
            "first": names[0],
            "typed": f"{name.title()} Example <{names[-1].title()}>",
            "internal": f"/o=ExchangeLabs/ou=Group/cn=Recipients/cn={'0' * 32}-{name}",
        }[row.shown]
        attendee: dict[str, Any] = {
            "emailAddress": {"address": address, "name": name},
            "type": row.kind,
            "status": {"response": row.response, "time": "0001-01-01T00:00:00Z"},
        }
        if row.at:
            attendee["status"]["time"] = row.at.strftime("%Y-%m-%dT%H:%M:%SZ")
        if row.proposed:
            attendee["proposedNewTime"] = {
                "start": _graph_time(row.proposed.start),
                "end": _graph_time(row.proposed.end),
            }
        return attendee

    # --- what people do

    def act(self, act: Act) -> None:
        """Perform *act*, if it is possible now."""
        self.now += 1
        match act:
            case "rename", who:
                # A matter of the directory: no event gets a new version by it.
                self.names[who].append(f"{who}.{len(self.names[who])}@contoso.example")
            case ("restore",) if not self.is_there and not self.is_told:
                self.is_there = True
                self._changed()
            case _ if self.is_there and self._change(*act):
                self._changed()

    def _changed(self) -> None:
        self.version = self.now

    def _change(self, what: str, *how: Any) -> bool:
        match what, *how:
            case "answer", who, response, hours, is_unmatched:
                return self._answer(who, response, hours, is_unmatched=is_unmatched)
            case "remove", who:
                self.copies[who] = True if self.copies.get(who) is False else None
                self.rows = [row for row in self.rows if row.who != who]
            case "put back", who, kind if all(row.who != who for row in self.rows):
                self.rows.append(_Row(who, kind))
                self.copies[who] = False
            case "optional", who:
                for row in self._rows_of(who)[:1]:
                    row.kind = "optional" if row.kind == "required" else "required"
            case "show", who, shown:
                for row in self._rows_of(who)[:1]:
                    row.shown = shown
            case "move", int() as hours:
                self._move(_later(self.first.span, hours), None)
            case (("all day" | "whole days"), int() as days):
                day = self.first.span.start.date()
                dates = DateSpan(day, day + timedelta(days=days))
                # The same hours, and no all-day event.
                self._move(dates.span_in(UTC), dates if what == "all day" else None)
            case ("delete",):
                self.is_there = False  # nothing is sent, so the copies stay
                return False
            case ("cancel",):
                self.is_there, self.is_told = False, True
                self.copies = dict.fromkeys(self.copies, True)
                return False
        return True

    def _answer(self, who: str, response: str, hours: int | None, *, is_unmatched: bool) -> bool:
        rows = self._rows_of(who)
        if not rows:
            return False
        row = next((row for row in rows if row.shown == "internal"), None)
        if row is None and is_unmatched and who in PARTICIPANTS:
            row = _Row(who, "optional", "internal")
            self.rows.append(row)
        row = row if row and is_unmatched else rows[0]
        row.response, row.at = response, self.first.modified_at + timedelta(seconds=self.now)
        row.proposed = _later(self.first.span, hours) if hours else None
        self.copies[who] = None if response == "declined" else False
        return True

    def _move(self, span: TimeSpan, dates: DateSpan | None) -> None:
        if (span, dates) == (self.span, self.dates):
            return
        self.span, self.dates = span, dates
        for row in self.rows:
            row.response, row.at, row.proposed = "notResponded", None, None
            self.copies[row.who] = False

    def _rows_of(self, who: str) -> list[_Row]:
        return [row for row in self.rows if row.who == who]


def history(first: CalendarEvent, acts: list[Act]) -> list[EventModel]:
    """Return the calendar before the first of *acts*, and after each of them."""
    states = [EventModel(first)]
    for act in acts:
        states.append(deepcopy(states[-1]))
        states[-1].act(act)
    return states


def _later(span: TimeSpan, hours: int) -> TimeSpan:
    return TimeSpan.lasting(span.start + timedelta(hours=hours), timedelta(minutes=30))


def _graph_time(at: datetime) -> dict[str, str]:
    return {"dateTime": at.strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": "UTC"}
