"""The lifecycle of a session, as a table from state and action to the next state."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from shared.errors import Conflict
from shared.sessions.model import SessionState


class Action(StrEnum):
    """A change of a session, by a caller or in Outlook."""

    CONFIRM = "confirm"
    """Outlook has the event."""
    RESCHEDULE = "reschedule"
    CANCEL = "cancel"
    RESPOND = "respond"


TRANSITIONS: Final[Mapping[tuple[SessionState, Action], SessionState]] = {
    (SessionState.REQUESTED, Action.CONFIRM): SessionState.SCHEDULED,
    # A retry and the recovery job may both confirm the same booking.
    (SessionState.SCHEDULED, Action.CONFIRM): SessionState.SCHEDULED,
    (SessionState.SCHEDULED, Action.RESCHEDULE): SessionState.SCHEDULED,
    (SessionState.SCHEDULED, Action.RESPOND): SessionState.SCHEDULED,
    (SessionState.SCHEDULED, Action.CANCEL): SessionState.CANCELLED,
    # The organizer may delete the event after the app has cancelled it: a repetition, no error.
    (SessionState.CANCELLED, Action.CANCEL): SessionState.CANCELLED,
}


def after(state: SessionState, action: Action) -> SessionState:
    """Return the state after *action*. Raises Conflict: *state* does not allow it."""
    try:
        return TRANSITIONS[state, action]
    except KeyError:
        raise Conflict(f"A session that is {state} cannot be changed like that.") from None
