"""The requested online meeting: provider, state and reason, and their rules. Pure."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from shared.organizations.model import OnlineMeetingChoice

if TYPE_CHECKING:
    from shared.sessions.calendar_events import CalendarEvent


class OnlineMeetingState(StrEnum):
    """The state of the requested online meeting."""

    NONE = "none"
    """Not requested."""
    READY = "ready"
    PENDING = "pending"
    """Requested; Graph has not created the join link yet."""
    UNAVAILABLE = "unavailable"
    """There is none; `OnlineMeeting.reason` has the cause."""


class OnlineMeetingReason(StrEnum):
    """Why there is no online meeting, or one of another provider than requested."""

    NOT_OFFERED = "not_offered"
    """The organizer's calendar allows no online meetings."""
    SKYPE_RETIRED = "skype_retired"
    """Skype was requested and is not offered; Teams was used instead, if offered."""
    TEAMS_NOT_OFFERED = "teams_not_offered"
    """Teams was requested and is not offered; the calendar's other provider was used, if any."""
    NOT_CREATED = "not_created"
    """Graph accepted the event without making it an online meeting."""
    LINK_OVERDUE = "link_overdue"
    """Graph announced an online meeting and never created its link."""


class MeetingProvider(StrEnum):
    """The provider of an online meeting."""

    TEAMS = "teams"
    SKYPE = "skype"


@dataclass(frozen=True, slots=True)
class OnlineMeeting:
    """The online meeting of a session: as requested, and as Outlook has it."""

    wanted: OnlineMeetingChoice = OnlineMeetingChoice.NONE
    state: OnlineMeetingState = OnlineMeetingState.NONE
    join_url: str | None = None
    """Opaque: its format is not documented, so it is never parsed."""
    reason: OnlineMeetingReason | None = None
    provider: MeetingProvider | None = None
    """The provider in Outlook; None without an online meeting, or if Graph does not name one."""


NOT_REQUESTED: Final = OnlineMeeting()
ANOTHER_PROVIDER: Final = frozenset(
    {OnlineMeetingReason.SKYPE_RETIRED, OnlineMeetingReason.TEAMS_NOT_OFFERED}
)
"""Reasons that stay although there is a link: it is of another provider than requested."""


def online_meeting_of(known: OnlineMeeting, event: "CalendarEvent") -> OnlineMeeting:
    """Return the state of the requested online meeting in a newly created event.

    A 201 does not guarantee a link: Graph may drop the online meeting, add the link later, or use
    another provider than requested. This was observed; it is not documented.
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
    """Return the provider to request for Skype, and the reason for any other one than Skype."""
    if OnlineMeetingChoice.SKYPE in offered:
        return OnlineMeetingChoice.SKYPE, None
    return OnlineMeetingChoice.AUTO, OnlineMeetingReason.SKYPE_RETIRED


def fallback_provider(
    requested: OnlineMeetingChoice, offered: frozenset[OnlineMeetingChoice]
) -> OnlineMeetingChoice | None:
    """Return the provider to request after Graph refused an event with *requested*.

    None: the provider is not the cause, since the calendar offers it (*offered*).
    """
    match requested:
        case OnlineMeetingChoice.NONE:
            return None
        case OnlineMeetingChoice.SKYPE:
            # A calendar may still list Skype after its retirement.
            has_teams = OnlineMeetingChoice.TEAMS in offered
            return OnlineMeetingChoice.TEAMS if has_teams else OnlineMeetingChoice.NONE
        case OnlineMeetingChoice.TEAMS if offered and OnlineMeetingChoice.TEAMS not in offered:
            return OnlineMeetingChoice.AUTO
    return None if offered else OnlineMeetingChoice.NONE


def missing_meeting_reason(
    wanted: OnlineMeetingChoice, offered: frozenset[OnlineMeetingChoice]
) -> OnlineMeetingReason:
    """Return the reason why a calendar that offers *offered* created no online meeting."""
    if not offered:
        return OnlineMeetingReason.NOT_OFFERED
    if wanted is OnlineMeetingChoice.TEAMS and wanted not in offered:
        return OnlineMeetingReason.TEAMS_NOT_OFFERED
    return OnlineMeetingReason.NOT_CREATED


def is_link_pending(known: OnlineMeeting) -> bool:
    """Return whether Graph may still add a join link."""
    return (
        known.state is OnlineMeetingState.PENDING or known.reason is OnlineMeetingReason.NOT_CREATED
    )


def mark_link_overdue(known: OnlineMeeting) -> OnlineMeeting:
    """Return *known* with its link marked overdue; a later link is recorded all the same."""
    return replace(
        known, state=OnlineMeetingState.UNAVAILABLE, reason=OnlineMeetingReason.LINK_OVERDUE
    )


def _why_another(
    known: OnlineMeeting, provider: MeetingProvider | None
) -> OnlineMeetingReason | None:
    """Return the reason for *provider*, if another one was requested."""
    match known.wanted, provider:
        case OnlineMeetingChoice.SKYPE, MeetingProvider.TEAMS:
            return OnlineMeetingReason.SKYPE_RETIRED
        case OnlineMeetingChoice.TEAMS, MeetingProvider.SKYPE:
            return OnlineMeetingReason.TEAMS_NOT_OFFERED
    return known.reason if provider is None and known.reason in ANOTHER_PROVIDER else None
