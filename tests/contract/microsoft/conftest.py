"""The adapters of Graph, Entra and Key Vault, against the simulators, over TLS."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from local.certificate import LocalCertificate, ensure_certificate
from local.clock import CloudClock
from local.entra.application import entra_application
from local.entra.managed_identity import IdentityEndpoint
from local.entra.registration import FederatedCredential
from local.entra.simulator import EntraSimulator
from local.graph.application import graph_application
from local.graph.simulator import GraphSimulator
from local.keyvault.simulator import KeyVaultSimulator
from local.seed import CONTOSO_ID, FABRIKAM_ID, HOME_TENANT_ID, IDENTITY, seeded_world
from local.serving import serving, take_address
from local.world import Person, World
from shared.clock import SystemClock
from shared.ids import Mailbox, ObjectId, TenantId
from shared.organizations.model import ActingUser
from shared.settings import Settings
from shared.wiring import Wiring

SECRET = "the first secret"


@dataclass(slots=True)
class Webhook:
    """This app's webhook: it answers the handshake and records the notifications."""

    shakes_hands: bool = True
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/graph/{kind}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        if token := request.query.get("validationToken"):
            return web.Response(text=token if self.shakes_hands else "no")
        for one in (await request.json())["value"]:
            self.received.append((request.match_info["kind"], one))
        return web.Response(status=202)


@dataclass(slots=True)
class Microsoft:
    """The simulators, and settings with their URLs."""

    world: World
    graph: GraphSimulator
    entra: EntraSimulator
    vault: KeyVaultSimulator
    identity: IdentityEndpoint
    webhook: Webhook
    environment: dict[str, str]

    def wiring(self, credential: str = "secret") -> Wiring:
        """Return the app's adapters, wired as in production."""
        settings = Settings.from_environment(self.environment | {"APP_CREDENTIAL": credential})
        return Wiring(settings, SystemClock())

    def person(self, who: str) -> Person:
        return self.world.person(who)

    def mailbox(self, who: str) -> Mailbox:
        person = self.person(who)
        return Mailbox(TenantId(person.tenant_id), ObjectId(person.object_id))

    def acting(self, who: str) -> ActingUser:
        """Return *who* as a user who is signed in to our API."""
        return ActingUser(self.mailbox(who), self.entra.token_for(self.person(who)))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> LocalCertificate:
    return ensure_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
async def microsoft(
    certificate: LocalCertificate, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Microsoft]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.trust))
    tls = certificate.server_context()
    async with AsyncExitStack() as stack:
        at_entra, at_vault, at_graph = take_address(tls), take_address(tls), take_address(tls)
        at_identity = take_address()
        world = seeded_world(CloudClock())
        entra = EntraSimulator(world, root_url=at_entra.url, graph_urls=[at_graph.url])
        for tenant_id in (CONTOSO_ID, FABRIKAM_ID):
            entra.grant(tenant_id)
        entra.registration.secrets[SECRET] = None
        entra.registration.federated.append(
            FederatedCredential(
                f"{at_entra.url}/{HOME_TENANT_ID}/v2.0",
                IDENTITY.principal_id,
                "api://AzureADTokenExchange",
            )
        )
        identity = entra.identity_endpoint(IDENTITY)
        vault = KeyVaultSimulator(
            world.clock,
            root_url=at_vault.url,
            login_url=at_entra.url,
            tenant_id=HOME_TENANT_ID,
            token_keys=entra.public_keys,
            readers={IDENTITY.principal_id},
        )
        vault.vault.put("app-secret", SECRET)
        vault.vault.put("client-state-key", "the first key")
        graph = GraphSimulator(
            world,
            token_keys=entra.public_keys,
            audiences=[at_graph.url],
            background=False,
            allow_http=True,
        )
        for app, address in (
            (entra_application(entra), at_entra),
            (vault.app(), at_vault),
            (graph_application(graph), at_graph),
            (identity.app(), at_identity),
        ):
            await stack.enter_async_context(serving(app, address))
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{at_identity.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", identity.header)
        environment = {
            "STORAGE_TABLES_URL": "https://localhost/tables",
            "STORAGE_QUEUES_URL": "https://localhost/queues",
            "KEY_VAULT_URL": at_vault.url,
            "KEY_VAULT_VERIFY_CHALLENGE": "false",
            "MANAGED_IDENTITY_CLIENT_ID": IDENTITY.client_id,
            "APP_CLIENT_ID": world.client_id,
            "PLATFORM_TENANT_ID": HOME_TENANT_ID,
            "PLATFORM_CLIENT_IDS": world.platform_client_id,
            "LOGIN_URL": at_entra.url,
            "GRAPH_URL": at_graph.url,
        }
        webhook = Webhook()
        at_webhook = take_address()
        await stack.enter_async_context(serving(webhook.app(), at_webhook))
        environment["PUBLIC_URL"] = at_webhook.url
        yield Microsoft(world, graph, entra, vault, identity, webhook, environment)


@pytest.fixture
async def wired(microsoft: Microsoft) -> AsyncIterator[Wiring]:
    """Yield the app's adapters, which authenticate by the client secret."""
    wiring = microsoft.wiring()
    yield wiring
    await wiring.aclose()
