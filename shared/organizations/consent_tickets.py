"""Tickets: what a consent link and its later steps carry through the browser, signed.

A ticket names its step, so none passes for that of another step. From the second step on it is
bound to the browser that opened the link, by the digest of a secret in a cookie. Verifier (PKCE)
and nonce of the sign-in are derived from that secret and the step's state, so no instance has to
remember them.

Source: https://datatracker.ietf.org/doc/html/rfc9700#section-2.1
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.ids import OrganizationId
from shared.organizations.ports import Signer

LINK_LIFE: Final = timedelta(days=7)
"""How long a consent link may be used."""
ATTEMPT_LIFE: Final = timedelta(hours=1)
"""How long after opening the link the administrator may take."""
_BROWSER: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class ConsentStep(StrEnum):
    """The step that a ticket is for."""

    LINK = "link"
    APPROVAL = "approval"
    """Entra's consent page."""
    SIGN_IN = "sign_in"
    """Entra's sign-in, which proves the tenant."""
    PROVEN = "proven"
    """An administrator of *tenant_id* has signed in."""


@dataclass(frozen=True, slots=True)
class ConsentTicket:
    """The content of a `state`."""

    step: ConsentStep
    organization_id: OrganizationId
    link: str
    """The link's nonce."""
    expires: int
    """Seconds since 1970."""
    browser: str = ""
    """The digest of the browser's secret; empty in a link, which any browser may open."""
    tenant_id: str = ""
    """Claimed by the browser, up to the sign-in; then proven."""
    attempt: str = ""

    def expired(self, now: datetime) -> bool:
        """Return whether the ticket's time is over."""
        return now.timestamp() >= self.expires

    def next(
        self, step: ConsentStep, now: datetime, *, tenant_id: str = "", browser: str | None = None
    ) -> "ConsentTicket":
        """Return a ticket for a later *step*, which does not outlive this one."""
        expires = min(self.expires, int((now + ATTEMPT_LIFE).timestamp()))
        return replace(
            self,
            step=step,
            expires=expires,
            browser=self.browser if browser is None else browser,
            tenant_id=tenant_id,
            attempt=secrets.token_urlsafe(9),
        )


async def seal(ticket: ConsentTicket, signer: Signer) -> str:
    """Return *ticket* as a `state`."""
    return await signer.sign(json.dumps(asdict(ticket), separators=(",", ":")))


async def unseal(state: str | None, signer: Signer) -> ConsentTicket | None:
    """Return the ticket in *state*; None if this service did not make it."""
    text = await signer.verify(state) if state else None
    content = json.loads(text) if text else None
    if not isinstance(content, dict):  # an earlier release signed a list
        return None
    return ConsentTicket(**content | {"step": ConsentStep(content["step"])})


# --- the browser


def known_browser(secret: str | None) -> str:
    """Return the browser's secret, a new one if it sent none in our form.

    It is kept, so that a link opened twice may be finished in both windows.
    """
    return secret if secret and _BROWSER.fullmatch(secret) else secrets.token_urlsafe(32)


def browser_digest(secret: str) -> str:
    """Return the digest that tickets have of a browser's secret."""
    return _encoded(hashlib.sha256(secret.encode()).digest())


def is_from(browser: str, secret: str | None) -> bool:
    """Return whether *secret* is that of the ticket's *browser*."""
    if secret is None or not _BROWSER.fullmatch(secret):
        return False
    return secrets.compare_digest(browser, browser_digest(secret))


def derive(secret: str, purpose: str, state: str) -> str:
    """Return a value for one *purpose* of one step: 43 letters, secret as *secret* is."""
    return _encoded(hmac.digest(secret.encode(), f"{purpose}\n{state}".encode(), hashlib.sha256))


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
