"""Delta tokens: the state of a window that each caller has read.

Source: https://learn.microsoft.com/graph/delta-query-events
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from local.graph.errors import GraphError


@dataclass(frozen=True, slots=True)
class DeltaState:
    """The state behind a token."""

    mailbox_id: str
    start: datetime
    end: datetime
    since: int
    """The version up to which the caller has read all changes; 0 in the first round."""
    until: int = 0
    """The version at which the round began, for its later pages."""
    skip: int = 0


@dataclass(slots=True)
class DeltaTokens:
    """The issued tokens. They live until `expire`, which acts like a full cache of Outlook."""

    _states: dict[str, DeltaState] = field(default_factory=dict)

    def new(self, state: DeltaState) -> str:
        """Return a token for *state*."""
        token = secrets.token_urlsafe(18)
        self._states[token] = state
        return token

    def state(self, token: str, mailbox_id: str) -> DeltaState:
        """Return the state behind *token*. GraphError 410 if it is stale or foreign."""
        state = self._states.get(token)
        if state is None or state.mailbox_id != mailbox_id:
            raise GraphError(
                410,
                "syncStateNotFound",
                "The sync state generation is not found; continuing will result in a full resync.",
            )
        return state

    def expire(self) -> None:
        """Make every token stale."""
        self._states.clear()
