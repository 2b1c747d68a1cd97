"""The control API: the simulator's switches, faults, clock, people and logs, over HTTP.

Thin: everything here is a method elsewhere, which tests in the same process call directly.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from datetime import date, datetime, timedelta
from typing import Any, get_args

from aiohttp import web

from local.graph.acts import perform
from local.graph.errors import GraphError, Json
from local.graph.faults import FaultRule
from local.graph.notifications import LifecycleEvent
from local.graph.outlook import NoSuchEvent, NotYetDelivered
from local.graph.simulator import GraphSimulator
from local.graph.times import instant_text, parse_instant, zone_named
from local.world import MailboxKind, Person, WorkingHours

_RuleFields = {f.name for f in fields(FaultRule)} - {"id", "hits", "checked_count"}


class _Refused(Exception):
    pass


def control_routes(simulator: GraphSimulator) -> list[web.RouteDef]:
    """Return the routes under ``/_control``."""
    control = _Control(simulator)
    table: list[tuple[str, str, Callable[[web.Request], Awaitable[Any]]]] = [
        ("GET", "/switches", control.show_switches),
        ("PATCH", "/switches", control.set_switches),
        ("GET", "/faults", control.list_faults),
        ("POST", "/faults", control.add_fault),
        ("DELETE", "/faults", control.clear_faults),
        ("GET", "/clock", control.show_clock),
        ("POST", "/clock/advance", control.advance),
        ("POST", "/run-due", control.run_due),
        ("POST", "/settle", control.settle),
        ("GET", "/people", control.list_people),
        ("PATCH", "/people/{who}", control.change_person),
        ("GET", "/people/{who}/events", control.list_events),
        ("GET", "/people/{who}/events/{which}", control.show_event),
        ("POST", "/people/{who}/acts/{act}", control.act),
        ("GET", "/requests", control.list_requests),
        ("GET", "/requests/count", control.count_requests),
        ("DELETE", "/requests", control.reset_requests),
        ("GET", "/mail", control.list_mail),
        ("DELETE", "/mail", control.reset_mail),
        ("GET", "/subscriptions", control.list_subscriptions),
        ("POST", "/subscriptions/{id}/lifecycle/{event}", control.lifecycle),
        ("GET", "/notifications", control.show_tally),
        ("POST", "/delta/expire", control.expire_delta),
    ]
    return [
        web.route(method, f"/_control{path}", _as_json(handler)) for method, path, handler in table
    ]


def _as_json(
    handler: Callable[[web.Request], Awaitable[Any]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            found = await handler(request)
        except NotYetDelivered as waiting:
            return web.json_response(
                {"error": str(waiting)}, status=409, headers={"Retry-After": "1"}
            )
        except NoSuchEvent as missing:
            return web.json_response({"error": str(missing)}, status=404)
        except KeyError as missing:
            return web.json_response({"error": f"unknown: {missing}"}, status=404)
        except GraphError as refused:
            problem = {"error": refused.message, "code": refused.code}
            return web.json_response(problem, status=refused.status)
        except (_Refused, TypeError, ValueError) as refused:
            return web.json_response({"error": str(refused)}, status=400)
        return web.json_response({} if found is None else found)

    return answer


class _Control:
    def __init__(self, simulator: GraphSimulator) -> None:
        self._simulator = simulator
        self._site = simulator.backend

    async def show_switches(self, _: web.Request) -> Json:
        return self._simulator.switches.as_json()

    async def set_switches(self, request: web.Request) -> Json:
        for name, value in (await _body(request)).items():
            self._simulator.switches.set(name, value)
        return self._simulator.switches.as_json()

    async def list_faults(self, _: web.Request) -> list[Json]:
        return [rule.as_json() for rule in self._simulator.faults.rules]

    async def add_fault(self, request: web.Request) -> Json:
        body = await _body(request)
        unknown = body.keys() - _RuleFields
        if unknown:
            raise _Refused(f"a rule has no {unknown.pop()}")
        return self._simulator.faults.add(FaultRule(**body)).as_json()

    async def clear_faults(self, _: web.Request) -> None:
        self._simulator.faults.clear()

    async def show_clock(self, _: web.Request) -> Json:
        return {"now": instant_text(self._site.clock.now())}

    async def advance(self, request: web.Request) -> Json:
        seconds = float((await _body(request)).get("seconds", 0))
        await self._simulator.advance(timedelta(seconds=seconds))
        return {"now": instant_text(self._site.clock.now())}

    async def run_due(self, _: web.Request) -> None:
        await self._simulator.run_due()

    async def settle(self, request: web.Request) -> Json:
        seconds = (await _body(request)).get("within_seconds")
        if seconds is None:
            await self._simulator.settle()
        else:
            await self._simulator.settle(timedelta(seconds=float(seconds)))
        return {"now": instant_text(self._site.clock.now())}

    async def list_people(self, _: web.Request) -> list[Json]:
        return [_person_json(person) for person in self._site.world.people()]

    async def change_person(self, request: web.Request) -> Json:
        person = self._site.world.person(request.match_info["who"])
        for name, value in (await _body(request)).items():
            if name == "kind":
                person.kind = MailboxKind(value)
            elif name == "zone" and isinstance(value, str):
                zone_named(value)
                person.zone = value
            elif name == "hours" and isinstance(value, dict):
                hours = asdict(person.hours) | value
                person.hours = WorkingHours(tuple(hours.pop("days")), **hours)
            elif name == "hours_zone" and isinstance(value, str | None):
                person.hours_zone = value
            elif name in {"teams", "assigned", "in_scope"} and isinstance(value, bool):
                setattr(person, name, value)
            else:
                raise _Refused(f"{name} cannot be set to {value!r}")
        return _person_json(person)

    async def list_events(self, request: web.Request) -> list[Json]:
        now = self._site.clock.now()
        start = _instant(request.query.get("start")) or now
        end = _instant(request.query.get("end")) or start + timedelta(days=7)
        found = self._simulator.outlook.events(request.match_info["who"], start, end)
        return [self._simulator.outlook.get(event) for event in found]

    async def show_event(self, request: web.Request) -> Json:
        found = self._simulator.outlook.find(
            request.match_info["who"],
            request.match_info["which"],
            on=_date(request.query.get("on")),
        )
        return self._simulator.outlook.get(found)

    async def act(self, request: web.Request) -> Json | None:
        outlook, body = self._simulator.outlook, await _body(request)
        act, who = request.match_info["act"], request.match_info["who"]
        made = outlook.invite(who, body) if act == "invite" else perform(outlook, act, who, body)
        return outlook.get(made) if made else None

    async def list_requests(self, _: web.Request) -> list[Json]:
        return [entry.as_json() for entry in self._simulator.requests.entries]

    async def count_requests(self, request: web.Request) -> Json:
        method, operation = request.query.get("method"), request.query.get("operation")
        return {"count": self._simulator.requests.count(method, operation)}

    async def reset_requests(self, _: web.Request) -> None:
        self._simulator.requests.reset()

    async def list_mail(self, _: web.Request) -> list[Json]:
        return [message.as_json() for message in self._simulator.mail]

    async def reset_mail(self, _: web.Request) -> None:
        self._simulator.mail.clear()

    async def list_subscriptions(self, _: web.Request) -> list[Json]:
        return [
            one.as_json() | {"mailbox": one.mailbox_id, "isPaused": one.is_paused}
            for one in self._site.subscriptions.all()
        ]

    async def lifecycle(self, request: web.Request) -> None:
        subscription = self._site.subscriptions.find(request.match_info["id"])
        if subscription is None:
            raise KeyError(request.match_info["id"])
        event = request.match_info["event"]
        tell = bool((await _body(request)).get("tell", True))
        notifier = self._site.notifier
        if event == "subscriptionRemoved":
            notifier.end(subscription, tell=tell)
        elif event == "reauthorizationRequired":
            notifier.require_reauthorization(subscription)
        elif event in get_args(LifecycleEvent):
            notifier.lifecycle(subscription, "missed")
        else:
            raise _Refused(f"no lifecycle event is called {event}")

    async def show_tally(self, _: web.Request) -> Json:
        tally = self._simulator.tally
        return {f.name: getattr(tally, f.name) for f in fields(tally)}

    async def expire_delta(self, _: web.Request) -> None:
        self._site.delta.expire()


def _person_json(person: Person) -> Json:
    return {
        "key": person.key,
        "id": person.object_id,
        "tenant": person.tenant_id,
        "name": person.name,
        "address": person.address,
        "kind": person.kind.value,
        "zone": person.zone,
        "hours": asdict(person.hours),
        "hours_zone": person.hours_zone,
        "teams": person.teams,
        "assigned": person.assigned,
        "in_scope": person.in_scope,
        "about": person.about,
    }


async def _body(request: web.Request) -> Json:
    raw = await request.read()
    body = json.loads(raw) if raw else {}
    if not isinstance(body, dict):
        raise _Refused("the body must be an object")
    return body


def _instant(text: str | None) -> datetime | None:
    return parse_instant(text, "time") if text else None


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
