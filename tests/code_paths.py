"""Prints which files a request runs through: ``python -m tests.code_paths [--files]``.

The real functions run on fakes, so adapters and SDKs are not counted: what is left is what a
reader follows from the route to the rule. Only files with a function that ran count.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import azure.functions as func

from shared.adapters.queues import notification_messages
from shared.ids import EventId, SubscriptionId
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.sessions.model import ResponseState
from tests.builders import NOW
from tests.edge.api import Api, an_api, on_fakes

_ROOT: Final = Path(__file__).parent.parent
_PRODUCT: Final = (str(_ROOT / "functions"), str(_ROOT / "shared"))


@contextmanager
def files_run() -> Iterator[set[str]]:
    """Collect the product's files that have a function run while the block runs."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_PRODUCT) and code.co_name != "<module>":
            found.add(str(Path(code.co_filename).relative_to(_ROOT)))

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


async def _book(api: Api) -> None:
    body = {"start": "2026-03-03T10:00:00Z", "duration_minutes": 30, "time_zone": "Europe/Berlin"}
    reply = await api.call(
        "POST",
        f"pairings/{api.env.pairing.id}/sessions",
        body=body,
        headers={"idempotency-key": "key"},
    )
    assert reply.status_code == 201, reply.get_body()


async def _look(api: Api) -> None:
    window = "from=2026-03-03T00:00:00Z&to=2026-03-10T00:00:00Z&duration_minutes=30"
    reply = await api.call("GET", f"pairings/{api.env.pairing.id}/availability?{window}")
    assert reply.status_code == 200, reply.get_body()


async def _hear(api: Api) -> None:
    from functions import notifications

    (event,) = api.env.outlook.events
    event_id = api.env.calendar.answered(
        event, api.env.address(api.env.mentor), ResponseState.ACCEPTED
    ).event_id
    changed = ChangedEvent(EventId(event_id), "new", deleted=False)
    changes = MailboxChanges(api.env.mentee, SubscriptionId("s"), (changed,), ())
    (message,) = notification_messages([changes], NOW.isoformat())
    builder: Any = notifications.follow_outlook
    handler: Callable[[Any], Awaitable[None]] = builder._function.get_user_function()
    await handler(func.QueueMessage(body=message))
    (session,) = (
        await api.env.sessions.list_by_mailbox(
            api.env.mentee, since=None, until=None, after=None, limit=1
        )
    )[0]
    assert {a.response.state for a in session.attendees} == {ResponseState.ACCEPTED}


async def _run() -> dict[str, set[str]]:
    api, found = await an_api(), {}
    with on_fakes(api.adapters):
        for name, act in (("availability", _look), ("booking", _book), ("notification", _hear)):
            with files_run() as files:
                await act(api)
            found[name] = files
    return found


def paths() -> dict[str, set[str]]:
    """Return the files by what runs through them: availability, booking, notification."""
    return asyncio.run(_run())


def main(arguments: list[str]) -> None:
    """Print the numbers of files, with ``--files`` the files."""
    for name, files in paths().items():
        print(f"{name}: {len(files)} files")
        if "--files" in arguments:
            print(*(f"  {each}" for each in sorted(files)), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
