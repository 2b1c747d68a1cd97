"""The local cloud: simulated Entra, Graph and Key Vault, a managed identity, and Azurite.

All simulators run in one process and one loop, each on its own port of this machine.
"""

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from local.azurite import Azurite, azurite
from local.certificate import LocalCertificate, ensure_certificate
from local.entra.application import entra_application
from local.entra.managed_identity import IdentityEndpoint
from local.entra.registration import FederatedCredential
from local.entra.simulator import EntraSimulator
from local.entra.tokens import EXCHANGE_AUDIENCES
from local.graph.application import graph_application
from local.graph.request_log import LoggedRequest
from local.graph.simulator import GraphSimulator
from local.insights import InsightsSimulator
from local.keyvault.simulator import KeyVaultSimulator
from local.outlook.pages import OutlookPages
from local.seed import CONSENTED, IDENTITY, busy_weeks, seeded_world
from local.serving import serving, take_address
from local.world import MailboxKind, World

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = Path(os.environ.get("LOCAL_CLOUD_FOLDER") or ROOT / ".local")
"""The folder of the certificate, the cloud's addresses and kept data."""
WEEKS: Final = 13
"""The weeks of calendar that are filled: as far ahead as a session may be booked."""
KEYS: Final = ("client-state-key", "consent-state-key", "webhook-key")
JUMP: Final = timedelta(days=400)
"""How far the world's clock may be advanced under a running app."""
PLATFORM_SECRET: Final = "platform-secret"
_CERTIFICATE_LIFE: Final = timedelta(days=365)


NO_LIMITS: Final = {
    f"LIMIT_{name}": "0"
    for name in (
        "CHANGES_PER_MINUTE",
        "CHANGES_PER_DAY",
        "UNANSWERED_DATES",
        "READS_PER_MINUTE",
        "ORGANIZATION_CHANGES_PER_MINUTE",
        "ORGANIZATION_CHANGES_PER_DAY",
        "ORGANIZATION_READS_PER_MINUTE",
    )
}
"""Settings for tests and benchmarks in which one person does in a minute the work of weeks."""


class LocalCloud:
    """The services that the app needs, while the ``async with`` block runs.

    Raises on entering:
        AzuriteUnavailable: the storage emulator does not run; the message names the remedy.
    """

    world: World
    certificate: LocalCertificate
    entra: EntraSimulator
    graph: GraphSimulator
    key_vault: KeyVaultSimulator
    identity: IdentityEndpoint
    storage: Azurite
    graph_url: str
    key_vault_url: str
    identity_url: str
    outlook_url: str
    insights: InsightsSimulator
    insights_url: str

    def __init__(
        self,
        *,
        folder: Path = FOLDER,
        world: World | None = None,
        public_url: str = "https://localhost:7071",
        credential: str = "managed-identity",
        weeks: int = 0,
        keep: bool = False,
        background: bool = True,
        telemetry: bool = False,
        webhook_url: str = "",
        storage: Azurite | None = None,
        settings: Mapping[str, str] | None = None,
        on_exchange: Callable[[LoggedRequest], None] | None = None,
    ) -> None:
        """Only store.

        *folder*: for certificate and kept data. *public_url*: the app's address. *credential*: the
        app's kind of credential, as in APP_CREDENTIAL. *weeks*: the number of busy weeks in
        calendars. *keep*: tables, queues and secrets outlive the cloud. *background*: Graph
        processes due items by itself, see `GraphSimulator`. *telemetry*: the app sends spans and
        metrics. *webhook_url*: the platform's webhook for changes. *storage*: a running Azurite,
        with a certificate of the same authority. *settings*: further ones of the app.
        *on_exchange*: receives every request to Graph with its answer.
        """
        self.world = world or seeded_world()
        self.public_url = public_url
        self._folder = folder
        self._credential = credential
        self._weeks = weeks
        self._keep = keep
        self._background = background
        self._telemetry = telemetry
        self._webhook_url = webhook_url
        self._storage = storage
        self._settings = settings or {}
        self._on_exchange = on_exchange
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings of the app, under the names that production has as well."""
        return {
            "STORAGE_TABLES_URL": self.storage.tables_url,
            "STORAGE_QUEUES_URL": self.storage.queues_url,
            "MANAGED_IDENTITY_CLIENT_ID": IDENTITY.client_id,
            "KEY_VAULT_URL": self.key_vault_url,
            # The challenge names vault.azure.net, and the simulator's host is no subdomain of it.
            "KEY_VAULT_VERIFY_CHALLENGE": "false",
            "APP_CLIENT_ID": self.world.client_id,
            "APP_CREDENTIAL": self._credential,
            "APP_CERTIFICATE_NAME": "app-certificate",
            "APP_SECRET_NAME": "app-secret",
            "PLATFORM_TENANT_ID": self.world.home_tenant_id,
            "PLATFORM_CLIENT_IDS": self.world.platform_client_id,
            "PUBLIC_URL": self.public_url,
            "CLOUD": "global",
            "LOGIN_URL": self.entra.root_url,
            "GRAPH_URL": self.graph_url,
            "SSL_CERT_FILE": str(self.certificate.trust),
            # The HTTP client of the telemetry exporter reads its trust from another variable.
            "REQUESTS_CA_BUNDLE": str(self.certificate.trust),
            "WEBHOOK_URL": self._webhook_url,
            "TELEMETRY": "traces" if self._telemetry else "logs",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": self.insights.connection_string,
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
            "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
            "IDENTITY_ENDPOINT": self.identity_url,
            "IDENTITY_HEADER": self.identity.header,
            **self._connection("STORAGE"),
            **self._connection("AzureWebJobsStorage"),
            **self._settings,
        }

    def _connection(self, name: str) -> dict[str, str]:
        """Return a connection by identity, as the Functions host reads it."""
        return {
            f"{name}__blobServiceUri": self.storage.blobs_url,
            f"{name}__queueServiceUri": self.storage.queues_url,
            f"{name}__tableServiceUri": self.storage.tables_url,
            f"{name}__credential": "managedidentity",
            f"{name}__clientId": IDENTITY.client_id,
        }

    # --- starting

    async def _start(self, stack: AsyncExitStack) -> None:
        self.certificate = ensure_certificate(self._folder)
        tls = self.certificate.server_context()
        at_entra, at_graph, at_vault = take_address(tls), take_address(tls), take_address(tls)
        at_outlook, at_insights, at_identity = take_address(tls), take_address(tls), take_address()
        for address in (at_entra, at_graph, at_vault, at_outlook, at_insights, at_identity):
            stack.callback(address.taken.close)
        self.graph_url, self.key_vault_url = at_graph.url, at_vault.url
        self.outlook_url, self.insights_url = at_outlook.url, at_insights.url
        self.identity_url = f"{at_identity.url}/msi/token"
        self.entra = EntraSimulator(
            self.world,
            root_url=at_entra.url,
            graph_urls=[at_graph.url],
            platform_secret=PLATFORM_SECRET,
        )
        self.graph = GraphSimulator(
            self.world,
            token_keys=self.entra.public_keys,
            audiences=[at_graph.url],
            granted_roles=lambda tenant_id: self.entra.app_in(tenant_id).application,
            background=self._background,
            on_exchange=self._on_exchange,
            webhook_trust=self.certificate.client_context(),
        )
        self.key_vault = KeyVaultSimulator(
            self.world.clock,
            root_url=at_vault.url,
            login_url=at_entra.url,
            tenant_id=self.world.home_tenant_id,
            token_keys=self.entra.public_keys,
            readers={IDENTITY.principal_id},
        )
        self.insights = InsightsSimulator(at_insights.url, token_keys=self.entra.public_keys)
        self.entra.mint.graph_slack = JUMP
        self.identity = self.entra.identity_endpoint(IDENTITY)
        self._set_up_directory()
        self._fill_vault()
        self._fill_calendars()
        keep = self._folder / "storage" if self._keep else None
        if self._storage is None:
            started = azurite(self.certificate, keep=keep)
            self._storage = await stack.enter_async_context(started)
        self.storage = self._storage
        for app, address in (
            (entra_application(self.entra), at_entra),
            (graph_application(self.graph), at_graph),
            (self.key_vault.app(), at_vault),
            (OutlookPages(self.graph).app(), at_outlook),
            (self.insights.app(), at_insights),
            (self.identity.app(), at_identity),
        ):
            await stack.enter_async_context(serving(app, address))

    def _set_up_directory(self) -> None:
        """Register the identity with the app, and consent for the tenants that have consented."""
        issuer = f"{self.entra.root_url}/{self.world.home_tenant_id}/v2.0"
        self.entra.registration.web_redirect_uris.add(f"{self.public_url}/api/consent/callback")
        self.entra.registration.federated += [
            FederatedCredential(issuer, IDENTITY.principal_id, audience)
            for audience in sorted(EXCHANGE_AUDIENCES)
        ]
        for tenant_id in CONSENTED:
            if tenant_id in self.world.tenants:
                self.entra.grant(tenant_id)

    def _fill_vault(self) -> None:
        vault = self.key_vault.vault
        for name, value in self._keys().items():
            vault.put(name, value)
        self.rotate_secret()
        self.rotate_certificate()

    def _keys(self) -> dict[str, str]:
        """Return the signing keys: the kept ones, since new keys would invalidate kept data."""
        kept = self._folder / "keys.json"
        if self._keep and kept.is_file():
            known: dict[str, str] = json.loads(kept.read_text())
            return known
        made = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in KEYS}
        if self._keep:
            kept.touch(mode=0o600)
            kept.write_text(json.dumps(made))
        return made

    def rotate_secret(self, *, forget_old: bool = False) -> str:
        """Give the app a new client secret, in Entra and in the vault. Returns it."""
        registered = self.entra.registration.secrets
        if forget_old:
            registered.clear()
        secret = secrets.token_urlsafe(30)
        registered[secret] = None
        self.key_vault.vault.put("app-secret", secret)
        return secret

    def rotate_certificate(self, *, forget_old: bool = False) -> x509.Certificate:
        """Give the app a new certificate, in Entra and in the vault. Returns it."""
        registered = self.entra.registration.certificates
        if forget_old:
            registered.clear()
        pem, certificate = _app_certificate()
        registered.append(certificate)
        expires_at = certificate.not_valid_after_utc
        self.key_vault.vault.put(
            "app-certificate", pem, content_type="application/x-pem-file", expires_at=expires_at
        )
        return certificate

    def _fill_calendars(self) -> None:
        """Fill every person's mailbox with busy weeks, without notifications."""
        today = self.world.clock.now().date()
        for person in self.world.people():
            if person.kind in {MailboxKind.ABSENT, MailboxKind.UNLICENSED}:
                continue
            for meeting in busy_weeks(person, today, self._weeks):
                self.graph.outlook.busy(
                    person.key,
                    meeting.start,
                    meeting.end,
                    show_as=meeting.show_as,
                    subject=meeting.subject,
                )


def _app_certificate() -> tuple[str, x509.Certificate]:
    """Return (key and certificate as one PEM, as in Key Vault; the certificate)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Mentor Calendar")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _CERTIFICATE_LIFE)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (pem + certificate.public_bytes(serialization.Encoding.PEM)).decode(), certificate
