"""Checks of Graph and Outlook: each act is done in Outlook, and must come to the session."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import httpx

from scripts.verify.api import Json, T, described, until
from scripts.verify.desk import IMMUTABLE, MINUTES, Desk, Event, tell
from scripts.verify.report import CameOtherwise, NotRun, Report

NUMBERS: Final = (14, 15, 16, 17, 18, 28, 29, 30, 31, 32)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Meeting:
    """A booked session with its event. *start*: as the app has it."""

    session_id: str
    start: str
    event: Event


class OutlookChecks:
    """The checks, with a session for each group of them."""

    def __init__(self, desk: Desk, report: Report, *, alias: str, hand_seconds: float) -> None:
        """Only store.

        *alias*: another address of Ada's. *hand_seconds*: the patience with what a person does.
        """
        self._desk, self._report = desk, report
        self._alias, self._hand_seconds = alias, hand_seconds
        self._booking = asyncio.Lock()

    async def run(self) -> None:
        """Run the wanted groups at the same time. Each has days of its own."""
        if not self._alias:
            self._report.skip([31], "no --alias")
        if not self._hand_seconds:
            self._report.skip([16], "it needs a person at Outlook: --by-hand MINUTES waits for one")
        groups: tuple[tuple[set[int], bool, Callable[[_Meeting], Awaitable[None]]], ...] = (
            ({28, 14, 32, 29, 30}, True, self._follow),
            ({17, 18}, True, self._all_day),
            ({15}, True, self._deleted),
            ({31}, bool(self._alias), self._known_by_alias),
            ({16}, bool(self._hand_seconds), self._restored),
        )
        async with asyncio.TaskGroup() as tasks:
            for numbers, is_possible, group in groups:
                if is_possible and numbers & self._report.wanted:
                    tasks.create_task(self._group(numbers, group))

    async def _group(self, numbers: set[int], group: Callable[[_Meeting], Awaitable[None]]) -> None:
        try:
            meeting = await self._book()
        except NotRun as reason:
            self._report.skip(numbers, str(reason))
        except (CameOtherwise, httpx.HTTPError) as error:
            await self._report.run(28, _raised(error))
            self._report.skip(numbers, "booking does not work: see 28")
        else:
            await group(meeting)

    async def _book(self) -> _Meeting:
        async with self._booking:  # each sees the days of those before
            session = await self._desk.book()
        event, _ = await self._until(
            lambda: self._desk.event_of(session["id"]), "the event in Ben's calendar"
        )
        return _Meeting(session["id"], session["start"], event)

    async def _until(self, look: Callable[[], Awaitable[T | None]], what: str) -> tuple[T, float]:
        return await until(look, self._desk.patience_seconds, what)

    async def _seen(
        self, meeting: _Meeting, test: Callable[[Json], bool], what: str
    ) -> tuple[Json, float]:
        """Return the session as soon as it passes *test*, and the seconds until then."""

        async def look() -> Json | None:
            session = await self._desk.session(meeting.session_id)
            return session if test(session) else None

        return await self._until(look, what)

    # --- answers, moves, cancellations

    async def _follow(self, meeting: _Meeting) -> None:
        wanted = self._report.wanted
        for number, check, leads_to in (
            (28, self._invited, 28),
            (14, self._accepted, 32),
            (32, self._in_feed, 32),
            (29, self._moved, 29),
            (30, self._cancelled, 30),
        ):
            if wanted & {number, leads_to}:
                await self._report.run(number, check(meeting))

    async def _invited(self, meeting: _Meeting) -> str:
        _, passed = await self._invitation(meeting)
        return f"in both calendars, Ada's after {passed:.0f} s"

    async def _invitation(self, meeting: _Meeting) -> tuple[str, float]:
        return await self._until(
            lambda: self._desk.invitation(meeting.event.uid), "the invitation in Ada's calendar"
        )

    async def _accepted(self, meeting: _Meeting) -> str:
        invitation, _ = await self._invitation(meeting)
        await self._desk.graph.call(
            "POST",
            "users/{}/events/{}/accept",
            self._desk.people.ada_id,
            invitation,
            expect=202,
            headers=IMMUTABLE,
            json={"sendResponse": True},
        )
        _, passed = await self._seen(
            meeting, lambda session: _responses(session) == ["accepted"], "the answer"
        )
        return f"accepted after {passed:.0f} s"

    async def _in_feed(self, meeting: _Meeting) -> str:
        async def look() -> Json | None:
            for each in await self._desk.changes():
                if (each["session_id"], each["kind"]) == (meeting.session_id, "session.responded"):
                    return each
            return None

        change, _ = await self._until(look, "the answer in the feed")
        if change["cause"] != "outlook":
            raise CameOtherwise(f"the cause is {change['cause']}: no notification led to it")
        lag = change["lag_ms"]
        return "cause outlook" + ("" if lag is None else f", lag_ms {lag}")

    async def _moved(self, meeting: _Meeting) -> str:
        start = await self._desk.take_slot()
        await self._desk.as_ben("PATCH", "", meeting.event, 200, _hours(start))
        session, passed = await self._seen(
            meeting, lambda session: bool(session["start"] == start), "the new time"
        )
        if _responses(session) != ["pending"]:
            raise CameOtherwise(f"the new time, and Ada's answer is {_responses(session)}")
        return f"the new time after {passed:.0f} s, and the answer is pending"

    async def _cancelled(self, meeting: _Meeting) -> str:
        await self._desk.as_ben("POST", "/cancel", meeting.event, 202, {"comment": ""})
        return await self._until_cancelled(meeting)

    async def _until_cancelled(self, meeting: _Meeting) -> str:
        _, passed = await self._seen(meeting, _is_cancelled, "the cancellation")
        return f"cancelled after {passed:.0f} s"

    # --- all-day

    async def _all_day(self, meeting: _Meeting) -> None:
        day = date.fromisoformat(self._desk.local(meeting.start)[:10])
        await self._report.run(17, self._made_all_day(meeting, day))
        await self._report.run(18, self._busy_all_day(day))

    async def _made_all_day(self, meeting: _Meeting, day: date) -> str:
        await self._desk.as_ben(
            "PATCH",
            "",
            meeting.event,
            200,
            {
                "isAllDay": True,
                "start": {"dateTime": f"{day}T00:00:00", "timeZone": self._desk.zone},
                "end": {"dateTime": f"{day + _DAY}T00:00:00", "timeZone": self._desk.zone},
            },
        )
        session, passed = await self._seen(
            meeting, lambda session: bool(session["all_day"]), "all_day"
        )
        seen = session["dates"]["first_on"], session["dates"]["last_on"]
        if seen != (day.isoformat(), day.isoformat()):
            raise CameOtherwise(f"dates {' to '.join(seen)} for {day} in {self._desk.zone}")
        return f"all_day on the day of {self._desk.zone} after {passed:.0f} s"

    async def _busy_all_day(self, day: date) -> str:
        midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self._desk.zone))
        wanted = _utc(midnight), _utc(midnight + _DAY)
        schedule = await self._desk.graph.call(
            "POST",
            "users/{}/calendar/getSchedule",
            self._desk.people.ben_id,
            headers=IMMUTABLE,
            json={
                "schedules": [self._desk.people.ben_address],
                "startTime": {"dateTime": _utc(midnight - _DAY), "timeZone": "UTC"},
                "endTime": {"dateTime": _utc(midnight + 2 * _DAY), "timeZone": "UTC"},
                "availabilityViewInterval": 60,
            },
        )
        spans = [
            (each["start"]["dateTime"][:19], each["end"]["dateTime"][:19])
            for each in schedule["value"][0].get("scheduleItems", [])
        ]
        if wanted in spans:
            return f"busy from midnight to midnight of {self._desk.zone}"
        if (f"{day}T00:00:00", f"{day + _DAY}T00:00:00") in spans:
            raise CameOtherwise("busy at UTC's midnights")
        raise CameOtherwise("busy neither at Ben's midnights nor at UTC's")

    # --- deleted, restored, alias

    async def _deleted(self, meeting: _Meeting) -> None:
        await self._report.run(15, self._gone(meeting))

    async def _gone(self, meeting: _Meeting) -> str:
        await self._desk.as_ben("DELETE", "", meeting.event, 204)
        reply = await self._desk.graph.reply(
            "GET",
            "users/{}/events/{}",
            self._desk.people.ben_id,
            meeting.event.id,
            headers=IMMUTABLE,
        )
        try:
            said = f"{described(reply)}; {await self._until_cancelled(meeting)}"
        except CameOtherwise as late:
            raise CameOtherwise(f"{described(reply)}; {late}") from late
        if not said.startswith("404 ErrorItemNotFound;"):
            raise CameOtherwise(said)
        return said

    async def _restored(self, meeting: _Meeting) -> None:
        await self._report.run(16, self._deleted_and_restored(meeting))

    async def _deleted_and_restored(self, meeting: _Meeting) -> str:
        when = f"{self._desk.local(meeting.start).replace('T', ' ')} in {self._desk.zone}"
        tell(f"16: delete the meeting of {when} as Ben in Outlook, without sending a cancellation.")
        seconds = self._hand_seconds

        async def look(*, cancelled: bool) -> Json | None:
            session = await self._desk.session(meeting.session_id)
            return session if _is_cancelled(session) == cancelled else None

        await until(lambda: look(cancelled=True), seconds, "the cancellation")
        tell("16: now restore it from Deleted Items.")
        _, passed = await until(lambda: look(cancelled=False), seconds, "the restored session")
        kinds = [
            each["kind"]
            for each in await self._desk.changes()
            if each["session_id"] == meeting.session_id
        ]
        if "session.restored" not in kinds:
            raise CameOtherwise(f"the session is scheduled, and the feed has {', '.join(kinds)}")
        return f"session.restored, {passed:.0f} s after it was asked for"

    async def _known_by_alias(self, meeting: _Meeting) -> None:
        await self._report.run(31, self._invited_by_alias(meeting))

    async def _invited_by_alias(self, meeting: _Meeting) -> str:
        # The time as well, so that it is seen when the app has read the event.
        start = await self._desk.take_slot()
        await self._desk.as_ben(
            "PATCH",
            "",
            meeting.event,
            200,
            {
                "attendees": [{"emailAddress": {"address": self._alias}, "type": "required"}],
                **_hours(start),
            },
        )
        session, _ = await self._seen(
            meeting, lambda session: bool(session["start"] == start), "the new time"
        )
        seen = [(each["object_id"], each["invited"]) for each in session["attendees"]]
        if seen != [(self._desk.people.ada_id, True)]:
            ours = sum(object_id == self._desk.people.ada_id for object_id, _ in seen)
            raise CameOtherwise(f"{len(seen)} attendees, {ours} of them Ada")
        return "Ada stays the one attendee"


async def _raised(error: Exception) -> str:
    raise error


def _responses(session: Json) -> list[str]:
    return [str(each["response"]) for each in session["attendees"]]


def _is_cancelled(session: Json) -> bool:
    return bool(session["state"] == "cancelled")


def _hours(start: str) -> Json:
    """Return the times of an event at *start*, as for Graph."""
    begins = datetime.fromisoformat(start)
    return {
        name: {"dateTime": _utc(at), "timeZone": "UTC"}
        for name, at in (("start", begins), ("end", begins + timedelta(minutes=MINUTES)))
    }


def _utc(at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo('UTC')):%Y-%m-%dT%H:%M:%S}"
