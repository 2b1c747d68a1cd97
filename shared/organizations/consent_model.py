"""The answers, outcomes and ports of the steps of consent."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from shared.clock import Clock
from shared.organizations.diagnosis import Finding
from shared.organizations.model import Organization
from shared.organizations.ports import (
    AppRegistration,
    OrganizationStore,
    Probes,
    Signer,
    SignIn,
)


class ConsentOutcome(StrEnum):
    """The outcome of a step that leads no further."""

    GRANTED = "granted"
    SPREADING = "spreading"
    """Approved, but Entra does not show it yet: the page is loaded again."""
    UNPROVEN = "unproven"
    """Approved, but the app is still blocked, for the reason in *finding*."""
    DECLINED = "declined"
    REFUSED = "refused"
    """Entra failed before it asked the administrator; *code* is the reason."""
    NOT_SIGNED_IN = "not_signed_in"
    """Approved, but the sign-in afterwards failed or was abandoned; *code* is the reason."""
    NOT_ADMIN = "not_admin"
    ROLE_UNKNOWN = "role_unknown"
    """The ID token has no directory roles: the app registration does not ask for them."""
    WRONG_TENANT = "wrong_tenant"
    TENANT_TAKEN = "tenant_taken"
    USED = "used"
    EXPIRED = "expired"
    TOO_SLOW = "too_slow"
    """The link is valid, but this attempt began too long ago."""
    OTHER_BROWSER = "other_browser"
    TAMPERED = "tampered"


@dataclass(frozen=True, slots=True)
class ConsentAnswer:
    """The callback's parameters and the browser's cookie, none of them trusted."""

    state: str | None = None
    tenant: str | None = None
    admin_consent: str | None = None
    code: str | None = None
    error: str | None = None
    error_description: str | None = None
    browser: str | None = None
    """The browser's secret."""


@dataclass(frozen=True, slots=True)
class ConsentStart:
    """An opened link: what the administrator is asked for, and where they go on."""

    organization: Organization
    url: str
    """Entra's consent page."""
    browser: str
    """The secret to keep in the browser."""


@dataclass(frozen=True, slots=True)
class ConsentRedirect:
    """The address of the next step."""

    url: str


@dataclass(frozen=True, slots=True)
class ConsentResult:
    """The end of a step, and its organization."""

    outcome: ConsentOutcome
    organization: Organization | None = None
    finding: Finding | None = None
    code: str | None = None
    """Entra's `error`, with the AADSTS number where there is one; nothing else of its text."""


@dataclass(frozen=True, slots=True)
class ConsentPorts:
    """The ports of consent."""

    app: AppRegistration
    organizations: OrganizationStore
    signer: Signer
    sign_in: SignIn
    probes: Probes
    clock: Clock
    on_granting: Callable[[Organization, Organization], Awaitable[None]]
    """Called with an organization before and after its consent, before that is saved."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
