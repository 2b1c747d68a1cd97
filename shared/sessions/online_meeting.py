"""What became of the wish for an online meeting. Pure."""

from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.model import (
    OnlineMeeting,
    OnlineMeetingReason,
    OnlineMeetingState,
    SeenEvent,
)


def online_meeting_of(wanted: OnlineMeetingChoice, seen: SeenEvent) -> OnlineMeeting:
    """Return what became of *wanted* in a newly created event.

    201 does not promise a link: Graph may drop the online meeting, or fill the link in later.
    """
    if wanted is OnlineMeetingChoice.NONE:
        return OnlineMeeting()
    if seen.join_url:
        return OnlineMeeting(wanted, OnlineMeetingState.READY, seen.join_url)
    if seen.is_online_meeting:
        return OnlineMeeting(wanted, OnlineMeetingState.PENDING)
    return OnlineMeeting(
        wanted, OnlineMeetingState.UNAVAILABLE, reason=OnlineMeetingReason.NOT_CREATED
    )
