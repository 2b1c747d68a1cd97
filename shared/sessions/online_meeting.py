"""What became of the wish for an online meeting. Pure."""

from dataclasses import replace

from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.model import (
    OnlineMeeting,
    OnlineMeetingReason,
    OnlineMeetingState,
    SeenEvent,
)


def online_meeting_of(known: OnlineMeeting, seen: SeenEvent) -> OnlineMeeting:
    """Return what became of the wish in a newly created event.

    201 does not promise a link: Graph may drop the online meeting, or fill the link in later.
    """
    if known.wanted is OnlineMeetingChoice.NONE:
        return OnlineMeeting()
    if seen.join_url:
        return replace(known, state=OnlineMeetingState.READY, join_url=seen.join_url)
    if seen.is_online_meeting:
        return replace(known, state=OnlineMeetingState.PENDING)
    reason = known.reason
    if reason in {None, OnlineMeetingReason.SKYPE_RETIRED}:
        reason = OnlineMeetingReason.NOT_CREATED
    return replace(known, state=OnlineMeetingState.UNAVAILABLE, reason=reason)


def instead_of_skype(
    offered: frozenset[OnlineMeetingChoice],
) -> tuple[OnlineMeetingChoice, OnlineMeetingReason | None]:
    """Return what to ask for when somebody wants Skype, and what they are told."""
    if OnlineMeetingChoice.SKYPE in offered:
        return OnlineMeetingChoice.SKYPE, None
    return OnlineMeetingChoice.AUTO, OnlineMeetingReason.SKYPE_RETIRED


def why_none(offered: frozenset[OnlineMeetingChoice]) -> OnlineMeetingReason:
    """Return why a calendar that offers *offered* made no online meeting."""
    return OnlineMeetingReason.NOT_CREATED if offered else OnlineMeetingReason.NOT_OFFERED


def overdue(known: OnlineMeeting) -> OnlineMeeting:
    """Return it as it is when the link has been waited for long enough; it may yet come."""
    return replace(
        known, state=OnlineMeetingState.UNAVAILABLE, reason=OnlineMeetingReason.LINK_OVERDUE
    )
