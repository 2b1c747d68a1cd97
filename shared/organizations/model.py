"""An organization: a customer of the mentoring platform, its tenant, its settings."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from shared.ids import Mailbox, OrganizationId, TenantId

STEPS_MINUTES = (5, 10, 15, 30, 60)
"""The distances between slot starts that may be asked for."""


class ConsentState(StrEnum):
    """Whether the customer's admin has approved the app."""

    PENDING = "pending"
    GRANTED = "granted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class AccessMode(StrEnum):
    """Whose rights write into calendars."""

    DELEGATED = "delegated"
    """The signed-in user's, on-behalf-of."""
    APPLICATION = "application"
    """The app's own; the platform names who acts."""


class SyncMode(StrEnum):
    """How answers given in Outlook are found."""

    PUSH = "push"
    POLL = "poll"


class OnlineMeetingChoice(StrEnum):
    """What kind of online meeting is asked for."""

    AUTO = "auto"
    TEAMS = "teams"
    SKYPE = "skype"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class OrganizationSettings:
    """What an organization may choose. Bounds are checked here, so that a bad one cannot exist."""

    access_mode: AccessMode = AccessMode.DELEGATED
    sync_mode: SyncMode = SyncMode.PUSH
    tentative_is_busy: bool = True
    minimum_notice: timedelta = timedelta(hours=2)
    """0 to 14 days."""
    horizon: timedelta = timedelta(days=90)
    """How far ahead a session may start: 1 to 365 days."""
    buffer_before: timedelta = timedelta()
    """Free time kept before a session: 0 to 120 minutes, in multiples of 5."""
    buffer_after: timedelta = timedelta()
    step_minutes: int = 15
    online_meeting: OnlineMeetingChoice = OnlineMeetingChoice.AUTO
    retention: timedelta = timedelta(days=30)
    """How long an ended session is kept: 1 to 365 days."""
    owner_address: str | None = None
    """Whom events about trouble name."""

    def __post_init__(self) -> None:
        _between("minimum_notice", self.minimum_notice, timedelta(), timedelta(days=14))
        _between("horizon", self.horizon, timedelta(days=1), timedelta(days=365))
        _between("retention", self.retention, timedelta(days=1), timedelta(days=365))
        for name, buffer in (("before", self.buffer_before), ("after", self.buffer_after)):
            _between(f"buffer_{name}", buffer, timedelta(), timedelta(minutes=120))
            if buffer % timedelta(minutes=5):
                raise ValueError(f"buffer_{name} is a multiple of 5 minutes")
        if self.step_minutes not in STEPS_MINUTES:
            raise ValueError(f"step_minutes is one of {STEPS_MINUTES}")


@dataclass(frozen=True, slots=True)
class Organization:
    """A customer: one tenant, one consent, one set of settings."""

    id: OrganizationId
    tenant_id: TenantId | None
    """None until consent was proven, unless the platform named the tenant when it created this."""
    created_at: datetime
    consent: ConsentState = ConsentState.PENDING
    consent_changed_at: datetime | None = None
    settings: OrganizationSettings = field(default_factory=OrganizationSettings)
    consent_nonce: str | None = field(default=None, repr=False)
    """Names the one consent link that counts; None once it was used."""
    is_closing: bool = False
    """Offboarding has begun: nothing new is started for it."""
    version: str = ""
    """The stored row's etag; empty before it is stored."""


@dataclass(frozen=True, slots=True)
class ActingUser:
    """On whose behalf Graph is called.

    With *assertion* (the caller's own access token): as that user, on-behalf-of. Without: the app
    by itself, in that mailbox.
    """

    mailbox: Mailbox
    assertion: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller who proved to be a person of an organization."""

    organization: Organization
    acting: ActingUser

    @property
    def mailbox(self) -> Mailbox:
        """Return the caller's own calendar."""
        return self.acting.mailbox


def _between(name: str, value: timedelta, low: timedelta, high: timedelta) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is between {low} and {high}")
