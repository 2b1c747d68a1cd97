"""The acts of people by name, for the control API, the command line and the page."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from inspect import signature
from typing import Any, Final

from local.graph.errors import Json
from local.graph.mailbox import Event
from local.graph.outlook import Outlook
from local.graph.times import parse_instant

ACTS: Final[Mapping[str, Callable[..., Event | None]]] = {
    "accept": Outlook.accept,
    "decline": Outlook.decline,
    "tentative": Outlook.tentative,
    "propose": Outlook.propose,
    "move": Outlook.move,
    "all-day": Outlook.all_day,
    "timed": Outlook.timed,
    "split": Outlook.split,
    "cancel": Outlook.cancel,
    "delete": Outlook.delete,
    "restore": Outlook.restore,
    "attend": Outlook.attend,
    "forward": Outlook.forward,
    "move-to": Outlook.move_to,
    "edit": Outlook.edit,
    "busy": Outlook.busy,
}
"""A request's members are the parameters by name; ``session`` or ``event`` is *which*."""


def _instant(text: str) -> datetime:
    return parse_instant(text, "time")


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "on": date.fromisoformat,
    "first": date.fromisoformat,
    "last": date.fromisoformat,
    "start": _instant,
    "end": _instant,
    "send": bool,
    "hard": bool,
    "decline": bool,
    "recurrence": dict,
    "changes": dict,
}
"""How members are read that are no texts."""


def needs(act: str) -> list[str]:
    """Return the names of the parameters that *act* cannot do without."""
    _, _, *others = signature(ACTS[act]).parameters.values()
    return [each.name for each in others if each.default is each.empty]


def perform(outlook: Outlook, act: str, who: str, body: Json) -> Event | None:
    """Perform *act* as the body of a request describes it. Members it has no use for are ignored.

    Raises:
        ValueError: no such act, or a member that it needs is missing.
        NoSuchEvent, GraphError: as the methods of `Outlook`.
    """
    if act not in ACTS:
        raise ValueError(f"nobody can {act}")
    given = body | {"which": body.get("session") or body.get("event")}
    if missing := [name for name in needs(act) if not given.get(name)]:
        raise ValueError(f"{missing[0].replace('which', 'session')} is missing")
    taken = {
        name: _READERS.get(name, str)(given[name])
        for name in list(signature(ACTS[act]).parameters)[2:]
        if given.get(name) is not None
    }
    return ACTS[act](outlook, who, **taken)
