"""Complete, valid objects for tests. A test names only the values that it is about.

Every call makes new ids, so that tests which share a storage account never collide.
"""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.changes.model import Change, ChangeKind
from shared.ids import (
    EventId,
    Mailbox,
    ObjectId,
    OrganizationId,
    PairingId,
    SeriesId,
    SessionId,
    SubscriptionId,
    TenantId,
)
from shared.jobs import DueItem, DueKind
from shared.organizations.model import ConsentState, Organization
from shared.pairings.model import Pairing, Participant, ParticipantRole
from shared.sessions.holds import Hold
from shared.sessions.model import HOLD_TTL, Attendee, Session, SessionState
from shared.sessions.recurrence import Frequency, MonthlyBy
from shared.sessions.series import Outcome, PlannedDate, Series
from shared.subscriptions.model import Subscription, SubscriptionState
from shared.timespan import TimeSpan

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
"""A Monday morning."""


def a_uuid() -> str:
    """Return a new GUID as Entra writes them."""
    return str(uuid.uuid4())


def at(hour: int, minute: int = 0, *, day: int = 0) -> datetime:
    """Return the time of day, *day* days after NOW's day, in UTC."""
    return NOW.replace(hour=hour, minute=minute) + timedelta(days=day)


def a_span(start: datetime | None = None, minutes: int = 30) -> TimeSpan:
    """Return *minutes* from *start*, or tomorrow from ten."""
    return TimeSpan.lasting(start or at(10, day=1), timedelta(minutes=minutes))


def a_tenant() -> TenantId:
    """Return a new tenant."""
    return TenantId(a_uuid())


def a_mailbox(tenant_id: TenantId | None = None) -> Mailbox:
    """Return a new person's mailbox."""
    return Mailbox(tenant_id or a_tenant(), ObjectId(a_uuid()))


def a_session_id() -> SessionId:
    """Return the id of a session that does not exist."""
    return SessionId(a_uuid())


def an_event_id() -> EventId:
    """Return an immutable event id, with the characters that Graph uses and table keys forbid."""
    return EventId(f"AAkALg/+AAAA{a_uuid()}#?%==")


def an_attendee(mailbox: Mailbox | None = None, **changes: Any) -> Attendee:
    """Return an attendee; with *mailbox*, of the tenant."""
    return Attendee(
        **{
            "address": f"{a_uuid()[:8]}@contoso.example",
            "object_id": mailbox.object_id if mailbox else None,
            **changes,
        }
    )


def a_session(*attendees: Mailbox, **changes: Any) -> Session:
    """Return a session, requested, with one attendee unless *attendees* are given."""
    organizer: Mailbox = changes.pop("organizer", None) or a_mailbox(
        attendees[0].tenant_id if attendees else None
    )
    invited = attendees or (a_mailbox(organizer.tenant_id),)
    state = changes.get("state", SessionState.REQUESTED)
    return Session(
        **{
            "id": a_session_id(),
            "organization_id": OrganizationId(a_uuid()),
            "pairing_id": PairingId("pair-1"),
            "organizer": organizer,
            "state": state,
            "span": a_span(),
            "time_zone": "Europe/Berlin",
            "attendees": tuple(an_attendee(mailbox) for mailbox in invited),
            "created_at": NOW,
            "changed_at": NOW,
            "held_until": NOW + HOLD_TTL if state is SessionState.REQUESTED else None,
            **changes,
        }
    )


def a_series(**changes: Any) -> Series:
    """Return a weekly series of three, the second of which was not free."""
    spans = [a_span(at(10, day=1 + 7 * week)) for week in range(3)]
    organizer = changes.pop("organizer", None) or a_mailbox()
    planned = (
        PlannedDate(
            0, spans[0], busy=("dora@contoso.example",), unknown_for=("cleo@contoso.example",)
        ),
        PlannedDate(1, spans[1], Outcome.MOVED, a_span(at(12, day=8)), (a_span(at(12, day=8)),)),
        PlannedDate(2, spans[2], Outcome.SKIPPED),
    )
    return Series(
        **{
            "id": SeriesId(a_uuid()),
            "organization_id": OrganizationId(a_uuid()),
            "pairing_id": PairingId("pair-1"),
            "organizer": organizer,
            "attendee_mailboxes": (a_mailbox(organizer.tenant_id),),
            "state": SessionState.REQUESTED,
            "fingerprint": "f1ng3r",
            "time_zone": "Europe/Berlin",
            "frequency": Frequency.WEEKLY,
            "monthly_by": MonthlyBy.DAY_OF_MONTH,
            "planned": planned,
            **changes,
        }
    )


def a_hold(span: TimeSpan | None = None, **changes: Any) -> Hold:
    """Return an unconfirmed hold of a session of its own."""
    return Hold(
        **{
            "session_id": a_session_id(),
            "span": span or a_span(),
            "expires_at": NOW + HOLD_TTL,
            **changes,
        }
    )


def an_organization(**changes: Any) -> Organization:
    """Return an organization whose tenant has consented."""
    return Organization(
        **{
            "id": OrganizationId(a_uuid()),
            "tenant_id": a_tenant(),
            "created_at": NOW,
            "consent": ConsentState.GRANTED,
            **changes,
        }
    )


def a_participant(
    mailbox: Mailbox | None, role: ParticipantRole = ParticipantRole.MENTEE
) -> Participant:
    """Return a participant of a pairing; without *mailbox* from outside the tenant."""
    return Participant(
        role, f"{a_uuid()[:8]}@contoso.example", mailbox.object_id if mailbox else None
    )


def a_pairing(*mailboxes: Mailbox, **changes: Any) -> Pairing:
    """Return a pairing of *mailboxes*, the first of them the mentor."""
    people = mailboxes or (first := a_mailbox(), a_mailbox(first.tenant_id))
    mentor, *mentees = people
    return Pairing(
        **{
            "id": PairingId(f"pair-{a_uuid()}"),
            "organization_id": OrganizationId(a_uuid()),
            "tenant_id": mentor.tenant_id,
            "participants": (
                a_participant(mentor, ParticipantRole.MENTOR),
                *map(a_participant, mentees),
            ),
            **changes,
        }
    )


def a_subscription(**changes: Any) -> Subscription:
    """Return an active subscription."""
    return Subscription(
        **{
            "organization_id": OrganizationId(a_uuid()),
            "mailbox": a_mailbox(),
            "state": SubscriptionState.ACTIVE,
            "nonce": "n0nce",
            "id": SubscriptionId(a_uuid()),
            "expires_at": NOW + timedelta(days=6),
            "renewed_at": NOW,
            **changes,
        }
    )


def a_due_item(due_at: datetime = NOW, **changes: Any) -> DueItem:
    """Return a due item."""
    return DueItem(
        **{
            "due_at": due_at,
            "kind": DueKind.RENEWAL,
            "organization_id": OrganizationId(a_uuid()),
            "mailbox": a_mailbox(),
            **changes,
        }
    )


def a_change(organization_id: OrganizationId, **changes: Any) -> Change:
    """Return a change of a session."""
    return Change(
        **{
            "organization_id": organization_id,
            "at": NOW,
            "kind": ChangeKind.SCHEDULED,
            "cause": "api",
            "pairing_id": PairingId("pair-1"),
            "session_id": a_session_id(),
            **changes,
        }
    )
