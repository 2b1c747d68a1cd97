"""App-only tokens, requested by the real SDK, and Entra's refusals."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.entra.directory import Flow
from local.seed import CONTOSO_ID, HOME_TENANT_ID, IDENTITY, NORTHWIND_ID, PLATFORM_CLIENT_ID
from tests.local.conftest import GRAPH, Cloud

SCOPE = f"{GRAPH}/.default"


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def a_certificate(name: str = "app") -> tuple[bytes, x509.Certificate]:
    """Return (key and certificate as one PEM, as in Key Vault; the certificate)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem + certificate.public_bytes(serialization.Encoding.PEM), certificate


def options(cloud: Cloud) -> dict[str, Any]:
    return {
        "authority": cloud.entra.root_url,
        "disable_instance_discovery": True,
        **cloud.trusted,
    }


async def test_a_secret_buys_a_token_with_the_granted_roles(cloud: Cloud) -> None:
    client_id = cloud.world.client_id
    async with ClientSecretCredential(CONTOSO_ID, client_id, "right", **options(cloud)) as app:
        token = await app.get_token(SCOPE)
    claims = claims_of(token.token)
    assert claims["tid"] == CONTOSO_ID
    assert claims["iss"] == f"{cloud.entra.root_url}/{CONTOSO_ID}/v2.0"
    assert (claims["aud"], claims["ver"], claims["idtyp"]) == (GRAPH, "2.0", "app")
    assert claims["roles"] == ["Calendars.Read", "User.ReadBasic.All"]
    assert claims["azp"] == client_id


async def test_a_certificate_proves_the_app(cloud: Cloud) -> None:
    pem, certificate = a_certificate()
    cloud.entra.registration.certificates.append(certificate)
    async with CertificateCredential(
        CONTOSO_ID, cloud.world.client_id, certificate_data=pem, **options(cloud)
    ) as app:
        assert claims_of((await app.get_token(SCOPE)).token)["tid"] == CONTOSO_ID


async def test_an_unregistered_certificate_is_refused(cloud: Cloud) -> None:
    pem, _ = a_certificate()
    async with CertificateCredential(
        CONTOSO_ID, cloud.world.client_id, certificate_data=pem, **options(cloud)
    ) as app:
        with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
            await app.get_token(SCOPE)


async def test_another_key_under_a_registered_thumbprint_is_refused(cloud: Cloud) -> None:
    _, certificate = a_certificate()
    cloud.entra.registration.certificates.append(certificate)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    client_id, now = cloud.world.client_id, int(datetime.now(UTC).timestamp())
    url = f"{cloud.entra.root_url}/{CONTOSO_ID}/oauth2/v2.0/token"
    body = {"aud": url, "iss": client_id, "sub": client_id, "jti": "1", "exp": now + 60}
    thumbprint = jwt.utils.base64url_encode(certificate.fingerprint(hashes.SHA256())).decode()
    assertion = jwt.encode(body, other, "PS256", headers={"x5t#S256": thumbprint})
    status, answer = await cloud.token(CONTOSO_ID, **asserting(cloud, assertion))
    assert (status, answer["error_codes"]) == (401, [700027])


async def federated(cloud: Cloud) -> ClientAssertionCredential:
    """Return the app's credential by its managed identity."""
    async with ManagedIdentityCredential(client_id=IDENTITY.client_id) as identity:
        assertion = (await identity.get_token("api://AzureADTokenExchange/.default")).token
    # The SDK needs a plain function, which must not block the loop. So the token is fetched
    # beforehand.
    return ClientAssertionCredential(
        CONTOSO_ID, cloud.world.client_id, lambda: assertion, **options(cloud)
    )


async def test_the_managed_identity_proves_the_app_without_any_secret(cloud: Cloud) -> None:
    async with await federated(cloud) as app:
        token = await app.get_token(SCOPE)
    assert claims_of(token.token)["tid"] == CONTOSO_ID


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"issuer": "https://other"}, "AADSTS700211:"),
        ({"subject": "somebody"}, "AADSTS700213:"),
        ({"audience": "api://other"}, "AADSTS700212:"),
    ],
)
async def test_a_federated_credential_matches_in_every_part(
    cloud: Cloud, change: dict[str, str], code: str
) -> None:
    (registered,) = cloud.entra.registration.federated
    cloud.entra.registration.federated[:] = [replace(registered, **change)]
    async with await federated(cloud) as app:
        with pytest.raises(ClientAuthenticationError, match=code):
            await app.get_token(SCOPE)


async def test_without_a_federated_credential_the_identity_proves_nothing(cloud: Cloud) -> None:
    cloud.entra.registration.federated.clear()
    async with await federated(cloud) as app:
        with pytest.raises(ClientAuthenticationError, match="AADSTS70021:"):
            await app.get_token(SCOPE)


async def test_a_user_token_is_no_federated_credential(cloud: Cloud) -> None:
    token = cloud.entra.token_for(cloud.world.person("ada"))
    _, body = await cloud.token(CONTOSO_ID, **asserting(cloud, token))
    assert body["error_codes"] == [700229]


def asserting(cloud: Cloud, assertion: str, **more: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": cloud.world.client_id,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
        "scope": SCOPE,
        **more,
    }


def secretly(cloud: Cloud, **more: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": cloud.world.client_id,
        "client_secret": "right",
        "scope": SCOPE,
        **more,
    }


async def test_the_platform_gets_its_role_in_the_home_tenant(cloud: Cloud) -> None:
    scope = f"api://{cloud.world.client_id}/.default"
    form = secretly(
        cloud, client_id=PLATFORM_CLIENT_ID, client_secret="platform-secret", scope=scope
    )
    status, body = await cloud.token(HOME_TENANT_ID, **form)
    assert status == 200
    claims = claims_of(body["access_token"])
    assert claims["aud"] == cloud.world.client_id
    assert claims["roles"] == ["Platform.Manage"]
    assert claims["azp"] == PLATFORM_CLIENT_ID
    assert (await cloud.token(CONTOSO_ID, **form))[1]["error_codes"] == [700016]


async def test_a_token_comes_also_when_nothing_was_granted(cloud: Cloud) -> None:
    cloud.entra.app_in(CONTOSO_ID).application.clear()
    status, body = await cloud.token(CONTOSO_ID, **secretly(cloud))
    assert status == 200
    assert "roles" not in claims_of(body["access_token"])


async def test_consent_shows_in_tokens_after_it_has_spread(cloud: Cloud) -> None:
    cloud.entra.grant(NORTHWIND_ID)
    cloud.entra.app_in(NORTHWIND_ID).spread = timedelta(minutes=2)
    _, before = await cloud.token(NORTHWIND_ID, **secretly(cloud))
    cloud.world.clock.advance(timedelta(minutes=2))
    _, after = await cloud.token(NORTHWIND_ID, **secretly(cloud))
    assert "roles" not in claims_of(before["access_token"])
    assert claims_of(after["access_token"])["roles"] == ["Calendars.Read", "User.ReadBasic.All"]


async def test_a_tenant_without_the_app_refuses(cloud: Cloud) -> None:
    status, body = await cloud.token(NORTHWIND_ID, **secretly(cloud))
    assert (status, body["error"], body["error_codes"]) == (400, "unauthorized_client", [700016])


async def test_a_withdrawn_consent_refuses(cloud: Cloud) -> None:
    cloud.entra.withdraw(CONTOSO_ID)
    assert (await cloud.token(CONTOSO_ID, **secretly(cloud)))[1]["error_codes"] == [700016]


async def test_a_disabled_app_is_refused(cloud: Cloud) -> None:
    cloud.entra.app_in(CONTOSO_ID).enabled = False
    assert (await cloud.token(CONTOSO_ID, **secretly(cloud)))[1]["error_codes"] == [7000112]


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_secret": ""}, 401, 7000218),
        ({"scope": f"{GRAPH}/Calendars.Read"}, 400, 1002012),
        ({"scope": "https://elsewhere.example/.default"}, 400, 500011),
        ({"scope": ""}, 400, 900144),
        ({"grant_type": "password"}, 400, 70003),
        ({"client_id": "00000000-0000-0000-0000-000000000000"}, 400, 700016),
    ],
)
async def test_refusals_carry_their_aadsts_number(
    cloud: Cloud, form: dict[str, str], status: int, code: int
) -> None:
    answer, body = await cloud.token(CONTOSO_ID, **secretly(cloud, **form))
    assert (answer, body["error_codes"]) == (status, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert {"error", "timestamp", "trace_id", "correlation_id", "error_uri"} <= body.keys()


async def test_an_unknown_tenant_is_refused(cloud: Cloud) -> None:
    status, body = await cloud.token("11111111-2222-4333-8444-555555555555", **secretly(cloud))
    assert (status, body["error_codes"]) == (400, [90002])


async def test_an_expired_secret_differs_from_a_wrong_one(cloud: Cloud) -> None:
    cloud.entra.registration.secrets["old"] = cloud.world.clock.now() - timedelta(days=1)
    form = secretly(cloud, client_secret="old")
    assert (await cloud.token(CONTOSO_ID, **form))[1]["error_codes"] == [7000222]


async def test_a_forced_error_comes_as_often_as_asked(cloud: Cloud) -> None:
    cloud.entra.inject_error(90095, flow=Flow.APP, tenant_id=CONTOSO_ID, times=2)
    answers = [(await cloud.token(CONTOSO_ID, **secretly(cloud)))[0] for _ in range(3)]
    assert answers == [400, 400, 200]


async def test_the_correlation_id_of_the_request_comes_back(cloud: Cloud) -> None:
    url = f"{cloud.entra.root_url}/{NORTHWIND_ID}/oauth2/v2.0/token"
    headers = {"client-request-id": "7b1b8b0e-0000-4000-8000-000000000001"}
    async with cloud.browser.post(url, data=secretly(cloud), headers=headers) as answer:
        assert (await answer.json())["correlation_id"] == headers["client-request-id"]
