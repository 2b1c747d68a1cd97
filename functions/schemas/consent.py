"""Consent: the link, and the parameters with which a browser comes to our pages."""

from typing import TYPE_CHECKING, Self

from pydantic import ConfigDict

from functions.schemas.base import Body, Reply, ResponseInstant

if TYPE_CHECKING:
    from shared.organizations.consent_links import ConsentLink
    from shared.organizations.consent_model import ConsentAnswer


class ConsentLinkBody(Reply):
    """The link for the customer's administrator. Earlier links become invalid."""

    url: str
    expires_at: ResponseInstant

    @classmethod
    def of(cls, link: "ConsentLink") -> Self:
        """Return the body of *link*."""
        return cls(url=link.url, expires_at=link.expires_at)


class ConsentStartQuery(Body):
    """The parameters of a consent link. A mail system may add others, which are ignored."""

    model_config = ConfigDict(extra="ignore", defer_build=True, frozen=True)

    state: str | None = None


class ConsentQuery(ConsentStartQuery):
    """The parameters of Entra's redirects. Entra may add others, which are ignored."""

    tenant: str | None = None
    admin_consent: str | None = None
    code: str | None = None
    error: str | None = None
    error_description: str | None = None

    def to_answer(self, browser: str | None) -> "ConsentAnswer":
        """Return the answer for the use-case, from the *browser* with that secret."""
        from shared.organizations.consent_model import ConsentAnswer

        return ConsentAnswer(**self.model_dump(), browser=browser)
