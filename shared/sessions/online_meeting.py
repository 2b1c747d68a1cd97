"""What became of the wish for an online meeting. Pure."""

from dataclasses import replace
from typing import Final

from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.model import (
    CalendarEvent,
    MeetingProvider,
    OnlineMeeting,
    OnlineMeetingReason,
    OnlineMeetingState,
)

ANOTHER_PROVIDER: Final = frozenset(
    {OnlineMeetingReason.SKYPE_RETIRED, OnlineMeetingReason.TEAMS_NOT_OFFERED}
)
"""Reasons that hold although there is a link: it is not the one that was asked for."""


def online_meeting_of(known: OnlineMeeting, event: CalendarEvent) -> OnlineMeeting:
    """Return what became of the wish in a newly created event.

    201 does not promise a link: Graph may drop the online meeting, fill the link in later, or make
    it somebody else's than was asked for.
    """
    if known.wanted is OnlineMeetingChoice.NONE:
        return OnlineMeeting()
    if not event.is_online_meeting and not event.join_url:
        reason = known.reason
        if reason in {None, OnlineMeetingReason.SKYPE_RETIRED}:
            reason = OnlineMeetingReason.NOT_CREATED
        return replace(known, state=OnlineMeetingState.UNAVAILABLE, reason=reason)
    return replace(
        known,
        state=OnlineMeetingState.READY if event.join_url else OnlineMeetingState.PENDING,
        join_url=event.join_url,
        reason=_why_another(known, event.provider),
        provider=event.provider,
    )


def resolve_skype(
    offered: frozenset[OnlineMeetingChoice],
) -> tuple[OnlineMeetingChoice, OnlineMeetingReason | None]:
    """Return what to ask for when somebody wants Skype, and what they are told."""
    if OnlineMeetingChoice.SKYPE in offered:
        return OnlineMeetingChoice.SKYPE, None
    return OnlineMeetingChoice.AUTO, OnlineMeetingReason.SKYPE_RETIRED


def fallback_provider(
    asked: OnlineMeetingChoice, offered: frozenset[OnlineMeetingChoice]
) -> OnlineMeetingChoice | None:
    """Return what to ask for when Graph refused an event that asked for *asked*.

    None: a calendar that offers *offered* did not refuse it because of that.
    """
    match asked:
        case OnlineMeetingChoice.NONE:
            return None
        case OnlineMeetingChoice.SKYPE:
            # It may still be listed where it is gone.
            has_teams = OnlineMeetingChoice.TEAMS in offered
            return OnlineMeetingChoice.TEAMS if has_teams else OnlineMeetingChoice.NONE
        case OnlineMeetingChoice.TEAMS if offered and OnlineMeetingChoice.TEAMS not in offered:
            return OnlineMeetingChoice.AUTO
    return None if offered else OnlineMeetingChoice.NONE


def missing_meeting_reason(
    wanted: OnlineMeetingChoice, offered: frozenset[OnlineMeetingChoice]
) -> OnlineMeetingReason:
    """Return why a calendar that offers *offered* made no online meeting."""
    if not offered:
        return OnlineMeetingReason.NOT_OFFERED
    if wanted is OnlineMeetingChoice.TEAMS and wanted not in offered:
        return OnlineMeetingReason.TEAMS_NOT_OFFERED
    return OnlineMeetingReason.NOT_CREATED


def is_link_pending(known: OnlineMeeting) -> bool:
    """Tell whether it is worth looking again for a link."""
    return (
        known.state is OnlineMeetingState.PENDING or known.reason is OnlineMeetingReason.NOT_CREATED
    )


def mark_link_overdue(known: OnlineMeeting) -> OnlineMeeting:
    """Return it as it is when the link has been waited for long enough; it may yet come."""
    return replace(
        known, state=OnlineMeetingState.UNAVAILABLE, reason=OnlineMeetingReason.LINK_OVERDUE
    )


def _why_another(
    known: OnlineMeeting, provider: MeetingProvider | None
) -> OnlineMeetingReason | None:
    """Return why a meeting of *provider* was made, if another one was wanted."""
    match known.wanted, provider:
        case OnlineMeetingChoice.SKYPE, MeetingProvider.TEAMS:
            return OnlineMeetingReason.SKYPE_RETIRED
        case OnlineMeetingChoice.TEAMS, MeetingProvider.SKYPE:
            return OnlineMeetingReason.TEAMS_NOT_OFFERED
    return known.reason if provider is None and known.reason in ANOTHER_PROVIDER else None
