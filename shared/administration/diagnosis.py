"""Runs a diagnosis for the platform and stores the consent state that it shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.administration.consent_monitor import consent_change
from shared.changes.ports import ChangeStore
from shared.clock import Clock
from shared.errors import Invalid, SchedulingError
from shared.ids import Mailbox, ObjectId
from shared.organizations.consent_state import record_consent
from shared.organizations.diagnosis import Finding, Subject, diagnose, needed
from shared.organizations.issues import Issue
from shared.organizations.model import Organization
from shared.organizations.ports import Capability, OrganizationStore, Probes
from shared.pairings.ports import Directory


@dataclass(frozen=True, slots=True)
class DiagnosisReport:
    """The findings, the mailbox they are about, and the organization after the diagnosis."""

    organization: Organization
    mailbox: Mailbox | None
    findings: Sequence[Finding]


async def run_diagnosis(
    organization: Organization,
    named: str | None,
    *,
    directory: Directory,
    probes: Probes,
    organizations: OrganizationStore,
    changes: ChangeStore,
    clock: Clock,
) -> DiagnosisReport:
    """Diagnose *organization*'s tenant and the person *named* by object id or address, if any.

    Stores the consent state if the findings show another one: granted again, or withdrawn. The
    tenant of an organization that is not connected yet is not touched.

    Raises:
        Invalid: the tenant has no user with that address.
    """
    if organization.tenant_id is not None and not organization.is_connected:
        return DiagnosisReport(organization, None, _not_connected(organization, probes))
    mailbox = await _mailbox(organization, named, directory) if named else None
    findings = await diagnose(organization, mailbox, probes=probes)

    async def report(changed: Organization) -> None:
        await changes.append([consent_change(changed, probes.app)])

    known = await record_consent(
        organization, findings, organizations=organizations, report=report, clock=clock
    )
    return DiagnosisReport(known, mailbox, findings)


def _not_connected(organization: Organization, probes: Probes) -> list[Finding]:
    subject = Subject(organization, None, probes.app)
    return [
        subject.failure(
            capability,
            Issue.CONSENT_MISSING if capability is Capability.TOKEN else Issue.NOT_TRIED,
        )
        for capability in needed(organization)
    ]


async def _mailbox(organization: Organization, named: str, directory: Directory) -> Mailbox | None:
    if organization.tenant_id is None:
        return None
    if "@" not in named:
        return Mailbox(organization.tenant_id, ObjectId(named.lower()))
    try:
        person = await directory.find(organization.tenant_id, named)
    except SchedulingError:
        return None  # the findings report that the directory cannot be read
    if person is None:
        raise Invalid("query.mailbox", "is no address of a user in the organization's tenant")
    return Mailbox(organization.tenant_id, person.object_id)
