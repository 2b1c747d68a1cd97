"""A small Outlook: each seeded person's simulated mailbox as a week, with the acts of people.

It is plain on purpose, so that it is not mistaken for the product, or for Outlook.
"""

import html
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from local.graph.control import control_routes
from local.graph.mailbox import Event
from local.graph.simulator import GraphSimulator
from local.graph.times import parse_instant
from local.seed import zone_of
from local.world import MailboxKind, Person

_FILES: Final = Path(__file__).parent / "files"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
}
_ANSWERS: Final = {
    "organizer": "organizer",
    "accepted": "accepted",
    "tentativelyAccepted": "tentative",
    "declined": "declined",
}


class OutlookPages:
    """Serves the pages for the mailboxes of one simulated Graph.

    The acts go to the simulator's own control API. It is served here as well, since a page may only
    call its own origin.
    """

    def __init__(self, graph: GraphSimulator) -> None:
        self._graph = graph
        self._world = graph.backend.world

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        app.router.add_get("/", self._people)
        app.router.add_get("/{who:[a-z]+}", self._mailbox)
        app.router.add_get("/{who:[a-z]+}/events", self._events)
        app.router.add_static("/files", _FILES)
        app.add_routes(control_routes(self._graph))
        return app

    async def _people(self, _: web.Request) -> web.Response:
        listed = "".join(
            f'<li><a href="/{html.escape(each.key)}">{html.escape(each.name)}</a>'
            f" <small>{html.escape(each.address)} · {html.escape(each.about)}</small></li>"
            for each in self._with_mailbox()
        )
        return _page("Simulated mailboxes", f"<h1>Whose mailbox?</h1><ul>{listed}</ul>")

    async def _mailbox(self, request: web.Request) -> web.Response:
        person = self._person(request)
        return _page(
            f"{person.name}: simulated mailbox",
            f'<header><h1>{html.escape(person.name)}</h1><a href="/">Everybody</a>'
            '<span><button id="previous">Earlier</button> <b id="range"></b>'
            ' <button id="next">Later</button></span><button id="new">New appointment</button>'
            '<span class="hint">Drag what is theirs; click an empty place for a private'
            " appointment.</span></header>"
            '<p id="trouble" role="alert"></p>'
            '<div id="week" role="region" aria-labelledby="range" tabindex="0"></div>'
            '<h2>Deleted Items</h2><ul id="deleted"></ul>'
            '<dialog id="entry" aria-labelledby="subject"></dialog>'
            f'<datalist id="people">{self._addresses()}</datalist>'
            '<datalist id="calendars"></datalist>'
            '<script type="module" src="/files/outlook.js"></script>',
            attributes=f'data-who="{html.escape(person.key)}" '
            f'data-address="{html.escape(person.address)}" data-zone="{zone_of(person).key}"',
        )

    async def _events(self, request: web.Request) -> web.Response:
        person = self._person(request)
        try:
            start = parse_instant(request.query["start"], "start")
        except (KeyError, ValueError):
            raise web.HTTPBadRequest(text="start is missing") from None
        mailbox = self._graph.backend.store.mailbox(person)
        found = mailbox.view(start, start + timedelta(days=8), calendar=None)
        return web.json_response(
            {
                "events": [_shown(event) for event in found],
                "deleted": [_shown(event) for event in mailbox.deleted()],
                "calendars": mailbox.calendars,
            }
        )

    def _addresses(self) -> str:
        return "".join(
            f'<option value="{html.escape(each.address)}">{html.escape(each.name)}</option>'
            for each in self._with_mailbox()
        )

    def _with_mailbox(self) -> Iterator[Person]:
        without = {MailboxKind.ABSENT, MailboxKind.UNLICENSED}
        return (each for each in self._world.people() if each.kind not in without)

    def _person(self, request: web.Request) -> Person:
        for person in self._with_mailbox():
            if person.key == request.match_info["who"]:
                return person
        raise web.HTTPNotFound(text="Nobody with a mailbox is called so.")


def _shown(event: Event) -> dict[str, Any]:
    """Return the page's data of *event*. Instants are UTC."""
    details = event.details
    return {
        "id": (event.master or event).id(immutable=True),
        "on": event.occurrence_on.isoformat() if event.occurrence_on else None,
        "subject": details.subject,
        "start": event.start_at.isoformat(),
        "end": event.end_at.isoformat(),
        "isAllDay": details.is_all_day,
        "showAs": event.show_as,
        "isOrganizer": event.is_organizer,
        "isCancelled": event.is_cancelled,
        "organizer": details.organizer_name,
        "response": _ANSWERS.get(event.response, "pending"),
        "attendees": [
            {
                "address": each.address,
                "name": each.name,
                "kind": each.kind,
                "response": _ANSWERS.get(each.response, "pending"),
            }
            for each in details.attendees
        ],
        "calendar": (event.master or event).calendar,
        "joinUrl": details.join_url,
    }


def _page(title: str, body: str, *, attributes: str = "") -> web.Response:
    return web.Response(
        text=f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}'
        '</title><meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="/files/outlook.css">'
        f'<body {attributes}><p class="simulated">Simulated: this is the local cloud, not Outlook.'
        f"</p>{body}</body></html>",
        content_type="text/html",
        headers=_HEADERS,
    )
