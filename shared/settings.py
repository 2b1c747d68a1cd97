"""The settings of a deployment, read once from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.errors import Misconfigured


class AppCredential(StrEnum):
    """How the app proves itself to Entra, best first."""

    MANAGED_IDENTITY = "managed-identity"
    """Federated: the user-assigned identity's token is the assertion; no secret exists."""
    CERTIFICATE = "certificate"
    SECRET = "secret"


@dataclass(frozen=True, slots=True)
class Cloud:
    """The roots of one of Microsoft's clouds."""

    login_url: str
    graph_url: str
    token_exchange_audience: str
    key_vault_scope: str = "https://vault.azure.net/.default"
    portal_url: str = "https://entra.microsoft.com"
    """The Entra admin center, for links in remedies."""


# Roots and audiences: https://learn.microsoft.com/graph/deployments
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
    ),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs between two deployments. No secrets: those are in Key Vault."""

    storage_tables_url: str
    storage_queues_url: str
    key_vault_url: str
    managed_identity_client_id: str
    """Client id of the user-assigned identity the app runs as."""
    app_client_id: str
    """Client id of the app registration: the audience of callers' tokens."""
    platform_tenant_id: str
    """The mentoring platform's own tenant."""
    platform_client_ids: frozenset[str]
    """Apps that may hold `Platform.Manage`; empty: every app that was given the role."""
    public_url: str
    """Where Graph and browsers reach this app: `https://host`, without a slash at the end."""
    cloud: Cloud
    app_credential: AppCredential = AppCredential.MANAGED_IDENTITY
    app_certificate_name: str = "app-certificate"
    app_secret_name: str = "app-secret"
    verify_key_vault_challenge: bool = True
    """Off only where the vault's host is no subdomain of the resource it names."""
    webhook_url: str = ""
    """Where the platform is told of changes, `https://…`; empty: it asks for them."""
    telemetry_connection_string: str = ""
    """Where spans and metrics go, in Azure Monitor's own form; empty: nowhere."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read them. Raises Misconfigured, which names the variable."""

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
            platform_client_ids=frozenset(
                part.strip().lower()
                for part in environment.get("PLATFORM_CLIENT_IDS", "").split(",")
                if part.strip()
            ),
            public_url=needed("PUBLIC_URL").rstrip("/"),
            cloud=_cloud(environment),
            app_credential=_one_of("APP_CREDENTIAL", environment, AppCredential.MANAGED_IDENTITY),
            app_certificate_name=environment.get("APP_CERTIFICATE_NAME") or "app-certificate",
            app_secret_name=environment.get("APP_SECRET_NAME") or "app-secret",
            verify_key_vault_challenge=environment.get("KEY_VAULT_VERIFY_CHALLENGE", "true").lower()
            != "false",
            webhook_url=_webhook_url(environment),
            telemetry_connection_string=needed("APPLICATIONINSIGHTS_CONNECTION_STRING")
            if _telemetry(environment)
            else "",
        )


def _webhook_url(environment: Mapping[str, str]) -> str:
    url = environment.get("WEBHOOK_URL", "").strip()
    if url and not url.startswith("https://"):
        raise Misconfigured("The setting WEBHOOK_URL begins with https://, or is empty.")
    return url


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
    return replace(
        known,
        login_url=(environment.get("LOGIN_URL") or known.login_url).rstrip("/"),
        graph_url=(environment.get("GRAPH_URL") or known.graph_url).rstrip("/"),
    )


def _one_of(name: str, environment: Mapping[str, str], default: AppCredential) -> AppCredential:
    try:
        return AppCredential(environment.get(name) or default)
    except ValueError:
        raise Misconfigured(f"The setting {name} is one of {', '.join(AppCredential)}.") from None
