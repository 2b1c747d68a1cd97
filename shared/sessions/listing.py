"""Listing the sessions of a mailbox."""

from collections.abc import Sequence
from datetime import datetime

from shared.ids import Mailbox
from shared.sessions.model import Session, SessionState
from shared.sessions.ports import SessionStore


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
