"""What organizations need from outside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from shared.ids import ObjectId, OrganizationId, TenantId
from shared.organizations.model import Organization


class OrganizationStore(Protocol):
    """Where organizations are kept. Every method may raise StoreUnavailable."""

    async def get(self, organization_id: OrganizationId) -> Organization:
        """Return the organization, or raise NotFound."""
        ...

    async def of_tenant(self, tenant_id: TenantId) -> Organization | None:
        """Return the one organization that *tenant_id* belongs to."""
        ...

    async def create(self, organization: Organization) -> Organization:
        """Store a new one. Raises Conflict if the id or the tenant is taken."""
        ...

    async def save(self, organization: Organization) -> Organization:
        """Replace it if its version is still the stored one, else raise StaleRow.

        A tenant that appears or changes is claimed first: Conflict if another organization has it.
        """
        ...

    async def list(
        self, *, after: str | None = None, limit: int = 50
    ) -> tuple[Sequence[Organization], str | None]:
        """Return a page, and the cursor of the next or None."""
        ...

    async def delete(self, organization_id: OrganizationId) -> None:
        """Remove the organization and its claim on the tenant; absent is no error."""
        ...


class CallerKind(StrEnum):
    """What a token stands for."""

    USER = "user"
    """Has the delegated scope `access_as_user`."""
    PLATFORM = "platform"
    """An app of the platform's own tenant with the role `Platform.Manage`."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a checked access token says."""

    kind: CallerKind
    tenant_id: TenantId
    object_id: ObjectId
    """The user's, or the service principal's."""
    raw: str = field(repr=False)
    """The token as it came: the assertion for on-behalf-of."""


class Tokens(Protocol):
    """Checks bearer tokens of Entra."""

    async def verify(self, raw: str) -> VerifiedToken:
        """Return what *raw* proves.

        Raises:
            NotAuthenticated: signature, issuer, audience, times, version, scope or role is wrong.
            CalendarUnavailable: the signing keys cannot be had right now.
        """
        ...
