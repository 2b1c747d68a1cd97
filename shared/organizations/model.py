"""An organization: a customer of the mentoring platform, its tenant, its settings."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from shared.ids import Mailbox, OrganizationId, TenantId

MAX_BUFFER = timedelta(minutes=120)
"""The longest free time that is kept before or after a session."""
STEPS_MINUTES = (5, 10, 15, 30, 60)
"""The distances between the starts of slots that a request may have."""


class ConsentState(StrEnum):
    """Whether the customer's admin has approved the app."""

    PENDING = "pending"
    GRANTED = "granted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class AccessMode(StrEnum):
    """The rights that calendars are written with."""

    DELEGATED = "delegated"
    """The signed-in user's, on-behalf-of."""
    APPLICATION = "application"
    """The app's own; the platform names the acting participant."""


class SyncMode(StrEnum):
    """How changes made in Outlook are found: by notifications, or by reading every 5 minutes."""

    PUSH = "push"
    POLL = "poll"


class OnlineMeetingChoice(StrEnum):
    """The kind of online meeting that a booking requests."""

    AUTO = "auto"
    TEAMS = "teams"
    SKYPE = "skype"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class OrganizationSettings:
    """The settings of an organization. The bounds are checked here, so all instances are valid."""

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
    """The contact that the change feed names where there is trouble."""

    def __post_init__(self) -> None:
        _between("minimum_notice", self.minimum_notice, timedelta(), timedelta(days=14))
        _between("horizon", self.horizon, timedelta(days=1), timedelta(days=365))
        _between("retention", self.retention, timedelta(days=1), timedelta(days=365))
        for name, buffer in (("before", self.buffer_before), ("after", self.buffer_after)):
            _between(f"buffer_{name}", buffer, timedelta(), MAX_BUFFER)
            if buffer % timedelta(minutes=5):
                raise ValueError(f"buffer_{name} is a multiple of 5 minutes")
        if self.step_minutes not in STEPS_MINUTES:
            raise ValueError(f"step_minutes is one of {STEPS_MINUTES}")


@dataclass(frozen=True, slots=True)
class PendingSettings:
    """Settings that wait for the administrator's consent. None: not asked for."""

    access_mode: AccessMode | None = None
    retention: timedelta | None = None

    def __bool__(self) -> bool:
        return self != PendingSettings()


@dataclass(frozen=True, slots=True)
class Organization:
    """A customer: one tenant, one consent, one set of settings."""

    id: OrganizationId
    tenant_id: TenantId | None
    """None before consent is proven, unless the platform named the tenant at creation."""
    created_at: datetime
    consent: ConsentState = ConsentState.PENDING
    consent_changed_at: datetime | None = None
    settings: OrganizationSettings = field(default_factory=OrganizationSettings)
    """The settings in force."""
    pending: PendingSettings = PendingSettings()
    consent_nonce: str | None = field(default=None, repr=False)
    """The nonce of the only valid consent link; None after it was used, or more was asked for."""
    denied_since: datetime | None = None
    """Since when every mailbox of the tenant refuses the app; None: some can be read."""
    is_closing: bool = False
    """Offboarding has begun: no new work is started for this organization."""
    version: str = ""
    """The stored row's etag; empty before it is stored."""

    @property
    def is_connected(self) -> bool:
        """Return whether an administrator of the tenant has once proven to be one, and consented.

        The tenant of any other organization is only named: nothing of it is touched.
        """
        return self.consent in {ConsentState.GRANTED, ConsentState.WITHDRAWN}


@dataclass(frozen=True, slots=True)
class ActingUser:
    """The identity that Graph is called with.

    With *assertion* (the caller's own access token) the app calls as that user, on-behalf-of.
    Without it the app calls as itself, in that mailbox.
    """

    mailbox: Mailbox
    assertion: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated person of an organization."""

    organization: Organization
    acting: ActingUser

    @property
    def mailbox(self) -> Mailbox:
        """Return the caller's own calendar."""
        return self.acting.mailbox


def _between(name: str, value: timedelta, low: timedelta, high: timedelta) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is between {low} and {high}")
