"""The settings of a deployment, read once from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.errors import Misconfigured


class AppCredential(StrEnum):
    """The app's credential at Entra, best first."""

    MANAGED_IDENTITY = "managed-identity"
    """Federated: the token of the user-assigned identity is the assertion; there is no secret."""
    CERTIFICATE = "certificate"
    SECRET = "secret"


@dataclass(frozen=True, slots=True)
class Cloud:
    """The root URLs and audiences of one of Microsoft's clouds."""

    login_url: str
    graph_url: str
    token_exchange_audience: str
    key_vault_scope: str = "https://vault.azure.net/.default"
    portal_url: str = "https://entra.microsoft.com"
    """The Entra admin center, for links in remedies."""
    issuer_url: str = ""
    """The root of tokens' issuers, where it is not *login_url*."""

    def issuer_of(self, tenant_id: str) -> str:
        """Return the issuer of a tenant's tokens of version 2.0."""
        return f"{self.issuer_url or self.login_url}/{tenant_id}/v2.0"


# Source of the roots and audiences: https://learn.microsoft.com/graph/deployments
CLOUDS: Mapping[str, Cloud] = {
    "global": Cloud(
        "https://login.microsoftonline.com",
        "https://graph.microsoft.com",
        "api://AzureADTokenExchange",
    ),
    "us-gov-l4": Cloud(
        "https://login.microsoftonline.us",
        "https://graph.microsoft.us",
        "api://AzureADTokenExchangeUSGov",
        portal_url="https://entra.microsoft.us",
    ),
    "us-gov-l5": Cloud(
        "https://login.microsoftonline.us",
        "https://dod-graph.microsoft.us",
        "api://AzureADTokenExchangeUSGov",
        portal_url="https://entra.microsoft.us",
    ),
    "china": Cloud(
        "https://login.chinacloudapi.cn",
        "https://microsoftgraph.chinacloudapi.cn",
        "api://AzureADTokenExchangeChina",
        portal_url="https://entra.microsoftonline.cn",
        # Source: Microsoft's own client libraries (MSAL), which know the metadata of each cloud.
        issuer_url="https://login.partner.microsoftonline.cn",
    ),
}


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How much callers may do; 0: any amount. docs/limits.md has the reasons for the figures."""

    changes_per_minute: int = 60
    """Dates that a participant may book, move or answer."""
    changes_per_day: int = 300
    unanswered_dates: int = 1_000
    """Dates ahead to which a participant has invited, without an answer yet."""
    reads_per_minute: int = 120
    """Reads of the calendars of a pairing, by a participant."""
    organization_changes_per_minute: int = 600
    """The same of all participants of an organization."""
    organization_changes_per_day: int = 20_000
    organization_reads_per_minute: int = 3_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that differ between deployments. Secrets are in Key Vault, never here."""

    storage_tables_url: str
    storage_queues_url: str
    key_vault_url: str
    managed_identity_client_id: str
    """Client id of the user-assigned identity that the app runs as."""
    app_client_id: str
    """Client id of the app registration: the audience of callers' tokens."""
    platform_tenant_id: str
    """The mentoring platform's own tenant."""
    platform_client_ids: frozenset[str]
    """Apps that may use `Platform.Manage`: at least one."""
    public_url: str
    """The URL of this app for Graph and browsers: `https://host`, without a slash at the end."""
    cloud: Cloud
    app_credential: AppCredential = AppCredential.MANAGED_IDENTITY
    app_certificate_name: str = "app-certificate"
    app_secret_name: str = "app-secret"
    verify_key_vault_challenge: bool = True
    """False only if the vault's host is no subdomain of the resource in its challenge."""
    user_client_ids: frozenset[str] = frozenset()
    """Apps whose users' tokens count; none: of any app that Entra gives one."""
    webhook_url: str = ""
    """The platform's webhook for changes, `https://…`; empty: the platform polls the feed."""
    limits: CallLimits = CallLimits()
    telemetry_connection_string: str = ""
    """Azure Monitor's connection string for spans and metrics; empty: none are sent."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings. Raises Misconfigured, which names the variable."""

        def needed(name: str) -> str:
            value = environment.get(name, "").strip()
            if not value:
                raise Misconfigured(f"The setting {name} is missing.")
            return value

        return cls(
            storage_tables_url=needed("STORAGE_TABLES_URL").rstrip("/"),
            storage_queues_url=needed("STORAGE_QUEUES_URL").rstrip("/"),
            key_vault_url=needed("KEY_VAULT_URL").rstrip("/"),
            managed_identity_client_id=needed("MANAGED_IDENTITY_CLIENT_ID"),
            app_client_id=needed("APP_CLIENT_ID").lower(),
            platform_tenant_id=needed("PLATFORM_TENANT_ID").lower(),
            platform_client_ids=_client_ids(needed("PLATFORM_CLIENT_IDS")),
            public_url=needed("PUBLIC_URL").rstrip("/"),
            cloud=_cloud(environment),
            app_credential=_one_of("APP_CREDENTIAL", environment, AppCredential.MANAGED_IDENTITY),
            app_certificate_name=environment.get("APP_CERTIFICATE_NAME") or "app-certificate",
            app_secret_name=environment.get("APP_SECRET_NAME") or "app-secret",
            verify_key_vault_challenge=environment.get("KEY_VAULT_VERIFY_CHALLENGE", "true").lower()
            != "false",
            user_client_ids=_listed(environment.get("USER_CLIENT_IDS", "")),
            webhook_url=_webhook_url(environment),
            limits=_limits(environment),
            telemetry_connection_string=needed("APPLICATIONINSIGHTS_CONNECTION_STRING")
            if _telemetry(environment)
            else "",
        )


def _client_ids(names: str) -> frozenset[str]:
    found = _listed(names)
    if not found:
        raise Misconfigured("The setting PLATFORM_CLIENT_IDS names no client.")
    return found


def _listed(names: str) -> frozenset[str]:
    return frozenset(part.strip().lower() for part in names.split(",") if part.strip())


def _webhook_url(environment: Mapping[str, str]) -> str:
    url = environment.get("WEBHOOK_URL", "").strip()
    if url and not url.startswith("https://"):
        raise Misconfigured("The setting WEBHOOK_URL begins with https://, or is empty.")
    return url


def _limits(environment: Mapping[str, str]) -> CallLimits:
    known = CallLimits()

    def number(name: str, default: int) -> int:
        text = environment.get(name, "").strip()
        if text and not (text.isascii() and text.isdecimal()):
            raise Misconfigured(f"The setting {name} is a number, 0 or more.")
        return int(text) if text else default

    return CallLimits(
        number("LIMIT_CHANGES_PER_MINUTE", known.changes_per_minute),
        number("LIMIT_CHANGES_PER_DAY", known.changes_per_day),
        number("LIMIT_UNANSWERED_DATES", known.unanswered_dates),
        number("LIMIT_READS_PER_MINUTE", known.reads_per_minute),
        number("LIMIT_ORGANIZATION_CHANGES_PER_MINUTE", known.organization_changes_per_minute),
        number("LIMIT_ORGANIZATION_CHANGES_PER_DAY", known.organization_changes_per_day),
        number("LIMIT_ORGANIZATION_READS_PER_MINUTE", known.organization_reads_per_minute),
    )


def _telemetry(environment: Mapping[str, str]) -> bool:
    wanted = environment.get("TELEMETRY") or "logs"
    if wanted not in {"logs", "traces"}:
        raise Misconfigured("The setting TELEMETRY is logs or traces.")
    return wanted == "traces"


def _cloud(environment: Mapping[str, str]) -> Cloud:
    name = environment.get("CLOUD") or "global"
    if name not in CLOUDS:
        raise Misconfigured(f"The setting CLOUD is one of {', '.join(CLOUDS)}.")
    known = CLOUDS[name]
    login_url = environment.get("LOGIN_URL")
    return replace(
        known,
        login_url=(login_url or known.login_url).rstrip("/"),
        issuer_url="" if login_url else known.issuer_url,
        graph_url=(environment.get("GRAPH_URL") or known.graph_url).rstrip("/"),
    )


def _one_of(name: str, environment: Mapping[str, str], default: AppCredential) -> AppCredential:
    try:
        return AppCredential(environment.get(name) or default)
    except ValueError:
        raise Misconfigured(f"The setting {name} is one of {', '.join(AppCredential)}.") from None
