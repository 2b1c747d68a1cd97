"""Organizations: settings, consent, diagnosis, removal."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator

from functions.schemas.base import (
    _ADDRESS,
    _GUID,
    Address,
    Body,
    Guid,
    Reply,
    ResponseInstant,
    Step,
)
from shared.ids import TenantId
from shared.organizations.diagnosis import Finding, FindingState
from shared.organizations.model import (
    AccessMode,
    ConsentState,
    OnlineMeetingChoice,
    Organization,
    OrganizationSettings,
    PendingSettings,
    SyncMode,
)

if TYPE_CHECKING:
    from shared.administration.diagnosis import DiagnosisReport
    from shared.administration.offboarding import Removal


class OrganizationBrief(Reply):
    """The part of an organization that its participants may see."""

    id: str
    consent: ConsentState
    access_mode: AccessMode
    sync_mode: SyncMode


class FindingBody(Reply):
    """One capability that was probed: its state and, if it fails, the remedy."""

    capability: str
    state: Literal["works", "fails", "unknown"]
    meaning: str
    """One sentence for people."""
    code: str | None = None
    """Microsoft's error code or AADSTS number."""
    issue: str | None = None
    """Our stable name of the cause."""
    responsible: str | None = None
    """The party that must act: `entra_admin`, `exchange_admin`, `user`, `platform`, `us` (the
    operator of this deployment) or `nobody` (it passes by itself)."""
    remedy: str | None = None
    takes_effect: str | None = None
    """How long the remedy takes to have an effect."""
    link: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """Return the body of *finding*."""
        return cls(
            capability=finding.capability,
            state=finding.state.value,
            meaning=finding.meaning,
            code=finding.code,
            issue=finding.issue,
            responsible=finding.responsible,
            remedy=finding.remedy,
            takes_effect=finding.takes_effect,
            link=finding.link,
            request_id=finding.request_id,
        )


def organization_brief(organization: Organization) -> OrganizationBrief:
    """Return the part of *organization* that its participants may see."""
    return OrganizationBrief(
        id=organization.id,
        consent=organization.consent,
        access_mode=organization.settings.access_mode,
        sync_mode=organization.settings.sync_mode,
    )


class SettingsChange(Body):
    """Settings to change. Absent fields stay, or have their default in a new organization."""

    access_mode: AccessMode | None = None
    """`delegated` (default): calendars are written with the participant's own sign-in.
    `application`: with the app's rights; pending until an administrator approves it."""
    sync_mode: SyncMode | None = None
    """`push` (default): Graph notifies of changes. `poll`: calendars are read every 5 minutes."""
    tentative_is_busy: bool | None = None
    """Whether tentative entries block a slot; default true."""
    minimum_notice_minutes: int | None = Field(default=None, ge=0, le=14 * 24 * 60)
    """How soon a session may start; default 120."""
    horizon_days: int | None = Field(default=None, ge=1, le=365)
    """How far ahead a session may start; default 90."""
    buffer_before_minutes: int | None = Field(default=None, ge=0, le=120, multiple_of=5)
    """Free time kept before a session; default 0."""
    buffer_after_minutes: int | None = Field(default=None, ge=0, le=120, multiple_of=5)
    """Free time kept after a session; default 0."""
    step_minutes: Step | None = None
    """Distance between the starts of slots; default 15."""
    online_meeting: OnlineMeetingChoice | None = None
    """The online meeting of a booking that names none; default `auto`."""
    retention_days: int | None = Field(default=None, ge=1, le=365)
    """How long an ended session is kept; default 30. More is pending until an administrator
    approves it."""
    owner_address: Address | None = None
    """The contact in changes that report trouble; default none. null removes it."""

    def applied_to(self, settings: OrganizationSettings) -> OrganizationSettings:
        """Return *settings* with the changes."""
        changes: dict[str, Any] = {}
        for name in self.model_fields_set:
            value = getattr(self, name)
            if value is None and name != "owner_address":
                continue
            known = _DURATIONS.get(name)
            changes[known[0] if known else name] = value * known[1] if known else value
        return replace(settings, **changes)


_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)


_DURATIONS = {
    "minimum_notice_minutes": ("minimum_notice", _MINUTE),
    "horizon_days": ("horizon", _DAY),
    "buffer_before_minutes": ("buffer_before", _MINUTE),
    "buffer_after_minutes": ("buffer_after", _MINUTE),
    "retention_days": ("retention", _DAY),
}


class SettingsBody(Reply):
    """All settings of an organization."""

    access_mode: AccessMode
    sync_mode: SyncMode
    tentative_is_busy: bool
    minimum_notice_minutes: int
    horizon_days: int
    buffer_before_minutes: int
    buffer_after_minutes: int
    step_minutes: int
    online_meeting: OnlineMeetingChoice
    retention_days: int
    owner_address: str | None

    @classmethod
    def of(cls, settings: OrganizationSettings) -> Self:
        """Return the body of *settings*."""
        return cls(
            access_mode=settings.access_mode,
            sync_mode=settings.sync_mode,
            tentative_is_busy=settings.tentative_is_busy,
            minimum_notice_minutes=settings.minimum_notice // _MINUTE,
            horizon_days=settings.horizon // _DAY,
            buffer_before_minutes=settings.buffer_before // _MINUTE,
            buffer_after_minutes=settings.buffer_after // _MINUTE,
            step_minutes=settings.step_minutes,
            online_meeting=settings.online_meeting,
            retention_days=settings.retention // _DAY,
            owner_address=settings.owner_address,
        )


class PendingSettingsBody(Reply):
    """Settings that begin when an administrator approves them through a consent link made later."""

    access_mode: AccessMode | None
    """null: it stays as it is."""
    retention_days: int | None

    @classmethod
    def of(cls, pending: PendingSettings) -> Self | None:
        """Return the body of *pending*; None if nothing is."""
        if not pending:
            return None
        days = pending.retention // _DAY if pending.retention else None
        return cls(access_mode=pending.access_mode, retention_days=days)


class NewOrganization(Body):
    """A new customer."""

    tenant_id: Guid | None = None
    """The customer's Entra tenant. If it is named, no other tenant can use the consent link."""
    settings: SettingsChange = SettingsChange()

    @property
    def tenant(self) -> TenantId | None:
        """Return the named tenant, or None."""
        return TenantId(self.tenant_id) if self.tenant_id else None


class OrganizationChange(Body):
    """A change of an organization."""

    settings: SettingsChange


class OrganizationBody(Reply):
    """A customer."""

    id: str
    tenant_id: str | None
    """null before an administrator has approved the app, unless the platform named the tenant."""
    consent: ConsentState
    consent_changed_at: ResponseInstant | None
    is_closing: bool
    """Whether its removal has begun."""
    created_at: ResponseInstant
    settings: SettingsBody
    """In force."""
    pending_settings: PendingSettingsBody | None
    """null: none are pending."""

    @classmethod
    def of(cls, organization: Organization) -> Self:
        """Return the body of *organization*."""
        return cls(
            id=organization.id,
            tenant_id=organization.tenant_id,
            consent=organization.consent,
            consent_changed_at=organization.consent_changed_at,
            is_closing=organization.is_closing,
            created_at=organization.created_at,
            settings=SettingsBody.of(organization.settings),
            pending_settings=PendingSettingsBody.of(organization.pending),
        )


class OrganizationList(Reply):
    """A page of organizations."""

    items: list[OrganizationBody]
    next: str | None
    """Cursor of the next page."""


class RemovalQuery(Body):
    """How to remove an organization."""

    cancel_sessions: bool = False
    """Also cancel upcoming sessions in the calendars; in application mode only."""


class RemovalBody(Reply):
    """The counts of what this request removed."""

    complete: bool
    """false: some data is left. Repeat the request."""
    subscriptions: int
    """Deleted at Graph."""
    subscriptions_left: int
    """Graph refused to delete these; they expire within a week."""
    sessions: int
    sessions_cancelled: int
    sessions_not_cancelled: int
    """Graph refused to cancel these: their organizers must cancel them."""
    pairings: int
    mailboxes: int
    rows: dict[str, int]
    """Rows of mailboxes, by kind."""
    reminders: int
    changes: int
    organizations: int

    @classmethod
    def of(cls, removal: "Removal") -> Self:
        """Return the body of *removal*."""
        return cls(
            complete=removal.is_complete,
            subscriptions=removal.subscriptions,
            subscriptions_left=removal.subscriptions_left,
            sessions=removal.sessions,
            sessions_cancelled=removal.sessions_cancelled,
            sessions_not_cancelled=removal.sessions_not_cancelled,
            pairings=removal.pairings,
            mailboxes=removal.mailboxes,
            rows=dict(sorted(removal.rows.items())),
            reminders=removal.due,
            changes=removal.changes,
            organizations=removal.organizations,
        )


class DiagnosticsQuery(Body):
    """The mailbox to probe."""

    mailbox: str | None = Field(default=None, max_length=320)
    """Object id or address of one person; without it only the tenant is probed."""

    @field_validator("mailbox")
    @classmethod
    def _named(cls, mailbox: str | None) -> str | None:
        if mailbox and not (re.fullmatch(_GUID, mailbox) or re.fullmatch(_ADDRESS, mailbox)):
            raise ValueError("must be an object id or an address")
        return mailbox


class DiagnosticsBody(Reply):
    """The findings about a tenant and one mailbox: what works, who must act, and how."""

    organization_id: str
    consent: ConsentState
    mailbox: str | None
    """Object id of the person whose mailbox was probed."""
    checked_at: ResponseInstant
    healthy: bool
    """Whether no capability is known to fail."""
    findings: list[FindingBody]

    @classmethod
    def of(cls, report: "DiagnosisReport", checked_at: datetime) -> Self:
        """Return the body of *report*."""
        return cls(
            organization_id=report.organization.id,
            consent=report.organization.consent,
            mailbox=report.mailbox.object_id if report.mailbox else None,
            checked_at=checked_at,
            healthy=not any(f.state is FindingState.FAILS for f in report.findings),
            findings=[FindingBody.of(finding) for finding in report.findings],
        )
