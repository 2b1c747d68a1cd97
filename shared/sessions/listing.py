"""Listing the sessions of a mailbox, and counting those without an answer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from shared.clock import Clock
from shared.ids import Mailbox
from shared.sessions.model import ResponseState, Session, SessionState
from shared.sessions.ports import SessionStore

_PAGE: Final = 200


async def list_sessions(
    mailbox: Mailbox,
    *,
    since: datetime | None,
    until: datetime | None,
    state: SessionState | None,
    after: str | None,
    limit: int,
    sessions: SessionStore,
) -> tuple[Sequence[Session], str | None]:
    """Return a page of sessions by start, and the cursor of the next page or None.

    With *state* a page may be shorter than *limit*, even empty, and still have a next page: the
    filter is applied after the read.
    """
    page, cursor = await sessions.list_by_mailbox(
        mailbox, since=since, until=until, after=after, limit=limit
    )
    return [s for s in page if state is None or s.state is state], cursor


async def count_unanswered(
    organizer: Mailbox, most: int, *, sessions: SessionStore, clock: Clock
) -> int:
    """Return the number of *organizer*'s dates ahead that an attendee has not answered.

    Counts up to *most*, since it reads every session ahead.
    """
    found, after = 0, None
    while True:
        page, after = await sessions.list_by_mailbox(
            organizer, since=clock.now(), until=None, after=after, limit=_PAGE
        )
        found += sum(_is_unanswered(session, organizer) for session in page)
        if found >= most or after is None:
            return min(found, most)


def _is_unanswered(session: Session, organizer: Mailbox) -> bool:
    return (
        session.organizer == organizer
        and session.state is not SessionState.CANCELLED
        and any(
            a.invited and not a.forwarded and a.response.state is ResponseState.PENDING
            for a in session.attendees
        )
    )
