"""The simulated Key Vault, called by the real SDK."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient

from local.seed import IDENTITY
from tests.local.conftest import Cloud


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[SecretClient]:
    async with (
        ManagedIdentityCredential(client_id=IDENTITY.client_id) as identity,
        SecretClient(
            cloud.vault_url,
            identity,
            verify_challenge_resource=False,
            retry_total=0,
            **cloud.trusted,
        ) as client,
    ):
        yield client


async def test_a_secret_is_read_after_the_challenge(cloud: Cloud, client: SecretClient) -> None:
    put = cloud.vault.vault.put("app-secret", "value", content_type="text/plain")
    secret = await client.get_secret("app-secret")
    assert (secret.value, secret.properties.version) == ("value", put.version)
    assert secret.properties.content_type == "text/plain"


async def test_the_sdk_refuses_a_vault_outside_the_resource_it_names(cloud: Cloud) -> None:
    async with (
        ManagedIdentityCredential(client_id=IDENTITY.client_id) as identity,
        SecretClient(cloud.vault_url, identity, **cloud.trusted) as client,
    ):
        with pytest.raises(ValueError, match="does not match the requested domain"):
            await client.get_secret("app-secret")


async def test_a_new_version_is_the_current_one_and_the_old_one_stays(
    client: SecretClient,
) -> None:
    first = await client.set_secret("app-secret", "one")
    second = await client.set_secret("app-secret", "two")
    assert (await client.get_secret("app-secret")).value == "two"
    assert (await client.get_secret("app-secret", first.properties.version)).value == "one"
    listed = [each async for each in client.list_properties_of_secret_versions("app-secret")]
    assert {each.version for each in listed} == {
        first.properties.version,
        second.properties.version,
    }


async def test_versions_are_listed_over_pages(cloud: Cloud, client: SecretClient) -> None:
    for number in range(60):
        cloud.vault.vault.put("app-secret", str(number))
    listed = [each async for each in client.list_properties_of_secret_versions("app-secret")]
    assert len(listed) == len({each.version for each in listed}) == 60


async def test_a_disabled_secret_is_not_given_out(client: SecretClient) -> None:
    made = await client.set_secret("app-secret", "one")
    await client.update_secret_properties("app-secret", made.properties.version, enabled=False)
    with pytest.raises(HttpResponseError) as refused:
        await client.get_secret("app-secret")
    assert refused.value.status_code == 403
    assert "disabled" in str(refused.value)


async def test_expiry_is_informative_and_refuses_nothing(
    cloud: Cloud, client: SecretClient
) -> None:
    past = cloud.world.clock.now().replace(microsecond=0) - timedelta(days=1)
    await client.set_secret("app-secret", "one", expires_on=past)
    assert (await client.get_secret("app-secret")).properties.expires_on == past


async def test_a_deleted_secret_is_gone_until_it_is_recovered(client: SecretClient) -> None:
    await client.set_secret("app-secret", "one")
    await client.delete_secret("app-secret")
    with pytest.raises(ResourceNotFoundError):
        await client.get_secret("app-secret")
    poller = await client.recover_deleted_secret("app-secret")
    assert poller.name == "app-secret"
    assert (await client.get_secret("app-secret")).value == "one"


async def test_an_unknown_secret_is_not_found(client: SecretClient) -> None:
    with pytest.raises(ResourceNotFoundError, match="SecretNotFound"):
        await client.get_secret("nothing")


async def test_a_stranger_is_forbidden(cloud: Cloud, client: SecretClient) -> None:
    cloud.vault.readers.clear()
    with pytest.raises(HttpResponseError) as refused:
        await client.get_secret("app-secret")
    assert refused.value.status_code == 403


async def test_a_token_for_another_resource_is_challenged_again(cloud: Cloud) -> None:
    token = cloud.entra.mint.for_identity(
        IDENTITY.principal_id, IDENTITY.client_id, "https://storage.azure.com"
    )
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{cloud.vault_url}/secrets/app-secret/?api-version=7.6"
    async with cloud.browser.get(url, headers=headers) as answer:
        assert answer.status == 401
        assert 'resource="https://vault.azure.net"' in answer.headers["WWW-Authenticate"]


async def test_a_token_that_no_key_of_entra_signed_is_refused(
    cloud: Cloud, client: SecretClient
) -> None:
    cloud.vault.vault.put("app-secret", "value")
    await client.get_secret("app-secret")
    cloud.entra.roll_keys()
    cloud.entra.roll_keys()
    with pytest.raises(ClientAuthenticationError):
        await client.get_secret("app-secret")


@pytest.mark.parametrize(
    ("change", "status"),
    [({"is_down": True}, 503), ({"throttled": 1}, 429), ({"forbids": True}, 403)],
)
async def test_bad_weather_is_switched_on_by_hand(
    cloud: Cloud, client: SecretClient, change: dict[str, object], status: int
) -> None:
    cloud.vault.vault.put("app-secret", "value")
    async with cloud.browser.patch(f"{cloud.vault_url}/_control", json=change) as answer:
        assert answer.status == 200
    with pytest.raises(HttpResponseError) as refused:
        await client.get_secret("app-secret")
    assert refused.value.status_code == status
