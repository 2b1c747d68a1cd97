"""The app in each tenant: consent, assignment, and whether the tenant has it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from local.entra.errors import EntraError
from local.entra.registration import Registration
from local.world import Person, Tenant, World

ANY_TENANT: Final = frozenset({"common", "organizations"})


class Flow(StrEnum):
    """The flow of a token request."""

    APP = "client_credentials"
    ON_BEHALF_OF = "on_behalf_of"
    CODE = "authorization_code"
    REFRESH = "refresh_token"
    SIGN_IN = "sign_in"
    """The authorize page."""


@dataclass(slots=True)
class AppInTenant:
    """The enterprise app in one tenant. Without consent there is none."""

    exists: bool = False
    enabled: bool = True
    assignment_required: bool = False
    delegated: set[str] = field(default_factory=set)
    """Graph's delegated permissions that the admin granted for all users."""
    application: set[str] = field(default_factory=set)
    granted_at: datetime | None = None
    spread: timedelta = timedelta()
    """The delay until tokens show a consent."""
    demanded_claims: str | None = None
    """Conditional access: on-behalf-of fails with this challenge unless the user met it."""
    users_may_consent: bool = False

    @property
    def approved(self) -> bool:
        """Whether an administrator has approved anything for the whole tenant."""
        return bool(self.delegated or self.application)

    def has_spread(self, now: datetime) -> bool:
        """Return whether tokens show the consent already."""
        return self.granted_at is None or now >= self.granted_at + self.spread


@dataclass(slots=True)
class ForcedError:
    """A refusal of the next *times* requests (None: until it is cleared)."""

    code: int
    flow: Flow | None = None
    tenant_id: str | None = None
    times: int | None = 1
    claims: str | None = None
    suberror: str | None = None

    def concerns(self, flow: Flow, tenant_id: str) -> bool:
        """Return whether the refusal applies to this request."""
        return self.flow in {None, flow} and self.tenant_id in {None, tenant_id}


class Directory:
    """The app in all tenants."""

    def __init__(self, world: World, registration: Registration) -> None:
        self.world = world
        self.registration = registration
        self._apps: dict[str, AppInTenant] = {}
        self.forced: list[ForcedError] = []

    def app(self, tenant_id: str) -> AppInTenant:
        """Return the app in this tenant. The home tenant has it from the start."""
        if tenant_id not in self._apps:
            self._apps[tenant_id] = AppInTenant(exists=tenant_id == self.world.home_tenant_id)
        return self._apps[tenant_id]

    def tenant(self, named: str) -> Tenant:
        """Return the tenant with this id or domain. EntraError 90002 if there is none."""
        for tenant in self.world.tenants.values():
            if named.casefold() in {tenant.tenant_id.casefold(), tenant.domain.casefold()}:
                return tenant
        raise EntraError(90002, tenant=named)

    def user(self, tenant: Tenant, object_id: str) -> Person:
        """Return the person, or raise EntraError 50034."""
        for person in tenant.people:
            if person.object_id == object_id:
                return person
        raise EntraError(50034, tenant=tenant.name)

    def grant(
        self,
        tenant_id: str,
        *,
        delegated: Iterable[str] | None = None,
        application: Iterable[str] | None = None,
    ) -> None:
        """Consent as an admin: to all that the registration lists, or to the named permissions."""
        app = self.app(tenant_id)
        app.exists = True
        app.granted_at = self.world.clock.now()
        app.delegated |= set(self.registration.delegated if delegated is None else delegated)
        app.application |= set(
            self.registration.application if application is None else application
        )

    def withdraw(self, tenant_id: str) -> None:
        """Remove the enterprise app, as an admin who revokes consent."""
        self._apps[tenant_id] = AppInTenant()

    def ensure_usable(self, tenant: Tenant) -> AppInTenant:
        """Return the app in *tenant*. EntraError if it is absent or disabled."""
        app = self.app(tenant.tenant_id)
        facts = {"app": self.registration.client_id, "tenant": tenant.name}
        if not app.exists:
            raise EntraError(700016, **facts)
        if not app.enabled:
            raise EntraError(7000112, **facts)
        return app

    def ensure_assigned(self, tenant: Tenant, person: Person) -> None:
        """Raise EntraError 50105 for people outside, where the tenant requires assignment."""
        if self.app(tenant.tenant_id).assignment_required and not person.assigned:
            raise EntraError(50105, app=self.registration.client_id)

    def ensure_signs_in(self, person: Person) -> None:
        """Raise the EntraError that *person* meets at the sign-in, if any.

        The first one who may consent installs the app, as in Entra, without any permission of
        Graph.
        """
        tenant = self.tenant(person.tenant_id)
        self.raise_forced(Flow.SIGN_IN, tenant.tenant_id)
        app = self.app(tenant.tenant_id)
        if not app.approved:
            if not (app.users_may_consent or person.may_delegate):
                raise EntraError(90094)
            if not app.exists:
                self.grant(tenant.tenant_id, delegated=(), application=())
        self.ensure_usable(tenant)
        self.ensure_assigned(tenant, person)

    def raise_forced(self, flow: Flow, tenant_id: str) -> None:
        """Raise the injected error of a test or a person, if it applies to this request."""
        for forced in self.forced:
            if not forced.concerns(flow, tenant_id):
                continue
            if forced.times is not None:
                forced.times -= 1
                if forced.times <= 0:
                    self.forced.remove(forced)
            tenant = self.world.tenants.get(tenant_id)
            raise EntraError(
                forced.code,
                claims=forced.claims,
                suberror=forced.suberror,
                app=self.registration.client_id,
                tenant=tenant.name if tenant else tenant_id,
                resource="https://graph.microsoft.com",
            )
