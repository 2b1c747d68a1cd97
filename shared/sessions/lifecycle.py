"""What may happen to a session in which state: a table, not a ladder of ifs."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from shared.errors import Conflict
from shared.sessions.model import SessionState


class Action(StrEnum):
    """What can be done with a session, or happen to it."""

    CONFIRM = "confirm"
    """Outlook has the event."""
    RESCHEDULE = "reschedule"
    CANCEL = "cancel"
    RESPOND = "respond"


TRANSITIONS: Final[Mapping[tuple[SessionState, Action], SessionState]] = {
    (SessionState.REQUESTED, Action.CONFIRM): SessionState.SCHEDULED,
    # Two who finish the same booking (a retry, the verify job) both confirm it.
    (SessionState.SCHEDULED, Action.CONFIRM): SessionState.SCHEDULED,
    (SessionState.SCHEDULED, Action.RESCHEDULE): SessionState.SCHEDULED,
    (SessionState.SCHEDULED, Action.RESPOND): SessionState.SCHEDULED,
    (SessionState.SCHEDULED, Action.CANCEL): SessionState.CANCELLED,
    # An organizer may delete the event after we cancelled it: a repeat, not an error.
    (SessionState.CANCELLED, Action.CANCEL): SessionState.CANCELLED,
}


def after(state: SessionState, action: Action) -> SessionState:
    """Return the state that *action* leads to from *state*, or raise Conflict."""
    try:
        return TRANSITIONS[state, action]
    except KeyError:
        raise Conflict(f"A session that is {state} cannot be changed like that.") from None
