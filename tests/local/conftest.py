"""A running Entra, Key Vault and managed identity endpoint, over TLS, in the test's own loop."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from local.certificate import LocalCertificate, ensure_certificate
from local.entra.application import entra_application
from local.entra.managed_identity import IdentityEndpoint
from local.entra.registration import FederatedCredential
from local.entra.simulator import EntraSimulator
from local.keyvault.simulator import KeyVaultSimulator
from local.seed import CONSENTED, IDENTITY, seeded_world
from local.serving import serving, take_address
from local.world import World

GRAPH = "https://graph.microsoft.com"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> LocalCertificate:
    return ensure_certificate(tmp_path_factory.mktemp("certificate"))


@dataclass(slots=True)
class Cloud:
    """The running simulators, and a browser's view of them."""

    entra: EntraSimulator
    vault: KeyVaultSimulator
    identity: IdentityEndpoint
    identity_url: str
    vault_url: str
    browser: aiohttp.ClientSession
    trusted: dict[str, Any]
    """Keywords for the Azure SDKs, because aiohttp read the environment at its earlier import."""

    @property
    def world(self) -> World:
        return self.entra.world

    async def token(self, tenant: str, **form: Any) -> tuple[int, dict[str, Any]]:
        """Call the token endpoint; return status and body."""
        url = f"{self.entra.root_url}/{tenant}/oauth2/v2.0/token"
        async with self.browser.post(url, data=form) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def cloud(
    certificate: LocalCertificate, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cloud]:
    """Start the simulators; the seeded tenants have consented."""
    async with AsyncExitStack() as stack:
        tls = certificate.server_context()
        world = seeded_world()
        at_entra, at_vault, at_identity = take_address(tls), take_address(tls), take_address()
        entra = EntraSimulator(world, root_url=at_entra.url)
        for tenant_id in CONSENTED:
            entra.grant(tenant_id)
        entra.registration.secrets["right"] = None
        entra.registration.federated.append(
            FederatedCredential(
                f"{at_entra.url}/{world.home_tenant_id}/v2.0",
                IDENTITY.principal_id,
                "api://AzureADTokenExchange",
            )
        )
        identity = entra.identity_endpoint(IDENTITY)
        vault = KeyVaultSimulator(
            world.clock,
            root_url=at_vault.url,
            login_url=at_entra.url,
            tenant_id=world.home_tenant_id,
            token_keys=entra.public_keys,
            readers={IDENTITY.principal_id},
        )
        await stack.enter_async_context(serving(entra_application(entra), at_entra))
        await stack.enter_async_context(serving(vault.app(), at_vault))
        await stack.enter_async_context(serving(identity.app(), at_identity))
        identity_url = f"{at_identity.url}/msi/token"
        monkeypatch.setenv("IDENTITY_ENDPOINT", identity_url)
        monkeypatch.setenv("IDENTITY_HEADER", identity.header)
        connector = aiohttp.TCPConnector(ssl=certificate.client_context())
        browser = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        trusted = {"connection_verify": str(certificate.authority)}
        yield Cloud(entra, vault, identity, identity_url, at_vault.url, browser, trusted)
