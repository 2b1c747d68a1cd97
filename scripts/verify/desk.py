"""The sessions that the checks book for two test people, their events, and the cleanup."""

import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx

from scripts.verify.api import Api, Json, described
from scripts.verify.report import CameOtherwise, NotRun, Report
from shared.adapters.graph.event_serialization import PROPERTY_ID

MINUTES: Final = 30
_FIRST_DAY: Final = timedelta(days=2)
_LAST_DAY: Final = timedelta(days=21)
"""When sessions are booked: none begins while the checks run."""
_TITLE: Final = "A test of Mentor Calendar, soon cancelled"
IMMUTABLE: Final = {"prefer": 'IdType="ImmutableId", outlook.timezone="UTC"'}
_UNCLEAR: Final = (httpx.HTTPError, CameOtherwise)


class Refused(Exception):
    """Nothing was done, since others could be touched; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of Ben's calendar."""

    id: str
    """Immutable."""
    uid: str


@dataclass(frozen=True, slots=True)
class People:
    """The two test people. None of this is in the report."""

    ben_id: str
    ben_address: str
    ada_id: str


@dataclass
class Desk:
    """Books sessions of Ben with Ada, one after the other, and knows each that it booked."""

    ben: Api
    """The app, as Ben."""
    platform: Api | None
    """The app, as the platform's backend."""
    graph: Api
    organization: str
    pairing: str
    people: People
    zone: str
    patience_seconds: float
    cursor: str | None = None
    """The end of the change feed when the checks began."""
    _booked: list[str] = field(default_factory=list)
    _unanswered: dict[str, Json] = field(default_factory=dict)
    """Bodies of bookings without an answer, by Idempotency-Key."""
    _days: set[str] = field(default_factory=set)

    async def book(self) -> Json:
        """Book a session on a day of its own."""
        body = {
            "start": await self.take_slot(),
            "duration_minutes": MINUTES,
            "time_zone": self.zone,
            "title": _TITLE,
            "online_meeting": "none",
        }
        key = secrets.token_hex(16)
        self._unanswered[key] = body
        session = await self._post(key, body)
        self._booked.append(session["id"])
        return session

    async def take_slot(self) -> str:
        """Return the start of a free slot on a day that has no session of the checks.

        Raises NotRun: there is none.
        """
        for slot in await self._slots():
            day = self.local(slot["start"])[:10]
            if day not in self._days:
                self._days.add(day)
                return str(slot["start"])
        raise NotRun("the pairing has too few days with a free slot in the next three weeks")

    async def _slots(self) -> list[Json]:
        now = datetime.now(UTC).replace(microsecond=0)
        query = {
            "from": (now + _FIRST_DAY).isoformat(),
            "to": (now + _LAST_DAY).isoformat(),
            "duration_minutes": str(MINUTES),
        }
        found = await self.ben.call("GET", "pairings/{}/availability", self.pairing, params=query)
        return list(found["slots"])

    async def _post(self, key: str, body: Json) -> Json:
        reply = await self.ben.reply(
            "POST",
            "pairings/{}/sessions",
            self.pairing,
            json=body,
            headers={"idempotency-key": key},
        )
        if reply.status_code < 500:
            del self._unanswered[key]
        if reply.status_code != 201:
            raise CameOtherwise(f"POST pairings/{{}}/sessions: {described(reply)}")
        session: Json = reply.json()
        return session

    def local(self, instant: str) -> str:
        """Return *instant* as local time of the zone, ``2026-11-30T10:00``."""
        at = datetime.fromisoformat(instant)
        return f"{at.astimezone(ZoneInfo(self.zone)):%Y-%m-%dT%H:%M}"

    # --- what the app and Outlook have

    async def session(self, session_id: str) -> Json:
        """Return the session as Ben sees it."""
        return await self.ben.call("GET", "sessions/{}", session_id)

    async def event_of(self, session_id: str) -> Event | None:
        """Return the session's event in Ben's calendar, by the app's property."""
        has_it = (
            f"singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY_ID}' "
            f"and ep/value eq '{session_id}')"
        )
        found = await self._events(self.people.ben_id, has_it)
        return Event(found[0]["id"], found[0]["iCalUId"]) if found else None

    async def invitation(self, uid: str) -> str | None:
        """Return the id of the event of *uid* in Ada's calendar."""
        found = await self._events(self.people.ada_id, f"iCalUId eq '{uid}'")
        return str(found[0]["id"]) if found else None

    async def _events(self, mailbox: str, condition: str) -> list[Json]:
        query = {"$filter": condition, "$select": "id,iCalUId"}
        page = await self.graph.call(
            "GET", "users/{}/events", mailbox, params=query, headers=IMMUTABLE
        )
        return list(page["value"])

    async def as_ben(
        self, method: str, act: str, event: Event, expect: int, body: Json | None = None
    ) -> None:
        """Do something to Ben's event. *act*: the end of its path. *expect*: the status."""
        options: dict[str, Any] = {} if body is None else {"json": body}
        template = f"users/{{}}/events/{{}}{act}"
        await self.graph.call(
            method, template, self.people.ben_id, event.id,
            expect=expect, headers=IMMUTABLE, **options,
        )  # fmt: skip

    async def changes(self) -> list[Json]:
        """Return the changes of the organization since the checks began."""
        if self.platform is None:
            raise NotRun("no $PLATFORM")
        found: list[Json] = []
        cursor = self.cursor
        while True:
            query = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
            page = await self.platform.call(
                "GET", "organizations/{}/changes", self.organization, params=query
            )
            if not page["items"]:
                return found
            found += page["items"]
            cursor = page["next"]

    # --- the end

    async def clear(self, report: Report) -> None:
        """Cancel all that was booked; the report gets the ids of what cannot be."""
        for key, body in list(self._unanswered.items()):
            try:  # the same request has the same session
                self._booked.append((await self._post(key, body))["id"])
            except _UNCLEAR:
                continue
        for session_id in self._booked:
            if not await self._cancel(session_id):
                report.left_behind.append(session_id)

    async def _cancel(self, session_id: str) -> bool:
        try:
            await self.ben.call("POST", "sessions/{}/cancel", session_id, json={})
        except _UNCLEAR:
            return await self._cancel_in_outlook(session_id)
        return True

    async def _cancel_in_outlook(self, session_id: str) -> bool:
        try:
            if event := await self.event_of(session_id):
                await self.as_ben("POST", "/cancel", event, 202, {"comment": ""})
        except _UNCLEAR:
            return False
        return True


@asynccontextmanager
async def a_desk(desk: Desk, report: Report, *, beside_others: bool) -> AsyncIterator[None]:
    """Look first whether *desk* may book, and clear it at the end, also after a failure.

    Raises:
        NotRun: it may not; the message says why.
        Refused: the pairing has other sessions ahead.
    """
    others = await _count_upcoming(desk)
    if others and not beside_others:
        raise Refused(
            f"The pairing has {others} other sessions ahead, and its people may be real. Choose a "
            "pairing of two test people, cancel what a former run left, or say --beside-others."
        )
    await _try_graph(desk)
    if desk.platform:
        desk.cursor = await _end_of_feed(desk.platform, desk.organization)
    try:
        yield
    finally:
        await desk.clear(report)


async def _count_upcoming(desk: Desk) -> int:
    query = {"from": datetime.now(UTC).isoformat(), "state": "scheduled", "limit": "100"}
    count, cursor = 0, ""
    while True:
        page = await desk.ben.call(
            "GET", "sessions", params=query | ({"cursor": cursor} if cursor else {})
        )
        count += len([each for each in page["items"] if each["pairing_id"] == desk.pairing])
        if not (cursor := page["next"]):
            return count


async def _try_graph(desk: Desk) -> None:
    for name, mailbox in (("Ben", desk.people.ben_id), ("Ada", desk.people.ada_id)):
        reply = await desk.graph.reply("GET", "users/{}/calendar", mailbox)
        if reply.status_code != 200:
            raise NotRun(f"$GRAPH does not open the calendar of {name}: {described(reply)}")


async def _end_of_feed(platform: Api, organization: str) -> str | None:
    cursor: str | None = None
    while True:
        query = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
        page = await platform.call("GET", "organizations/{}/changes", organization, params=query)
        if not page["items"]:
            return cursor
        cursor = page["next"]


async def find_people(ben: Api, pairing: str) -> People:
    """Return Ben, who calls, and Ada, the other participant.

    Raises NotRun: they are not two people of the tenant.
    """
    found = (await ben.call("GET", "pairings/{}", pairing))["participants"]
    mine = [each for each in found if each["is_me"]]
    others = [each for each in found if not each["is_me"]]
    if len(mine) != 1 or len(others) != 1 or others[0]["object_id"] is None:
        raise NotRun("the pairing is not one of $BEN and one other person of the tenant")
    return People(mine[0]["object_id"], mine[0]["address"], others[0]["object_id"])


def tell(line: str) -> None:
    """Say *line* to the person at the terminal: the report alone goes to the standard output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
