"""The ports of looking at mailboxes and accounts."""

from dataclasses import dataclass

from shared.changes.ports import ChangeStore
from shared.organizations.lost_mailboxes import LostMailboxStore
from shared.organizations.ports import OrganizationStore, Probes
from shared.pairings.ports import Directory, PairingStore
from shared.sessions.ports import SessionPorts
from shared.subscriptions.maintenance import SubscriptionPorts


@dataclass(frozen=True, slots=True)
class LookPorts:
    """The ports of looking at mailboxes."""

    organizations: OrganizationStore
    pairings: PairingStore
    directory: Directory
    lost: LostMailboxStore
    changes: ChangeStore
    probes: Probes
    sessions: SessionPorts
    subscriptions: SubscriptionPorts
