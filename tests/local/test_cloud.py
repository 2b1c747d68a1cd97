"""The whole cloud in one process: its setup, and that its parts fit together."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.x509 import load_pem_x509_certificate

from local.cloud import LocalCloud
from local.seed import CONTOSO_ID, IDENTITY
from shared.settings import AppCredential, Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cloud"


async def post(cloud: LocalCloud, url: str, **form: Any) -> dict[str, Any]:
    connector = aiohttp.TCPConnector(ssl=cloud.certificate.client_context())
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(url, **form) as answer,
    ):
        body: dict[str, Any] = await answer.json()
        return body


async def test_the_environment_has_the_settings_that_the_app_reads(folder: Path) -> None:
    async with LocalCloud(folder=folder, credential="secret") as cloud:
        settings = Settings.from_environment(cloud.environment)
    assert settings.app_credential is AppCredential.SECRET
    assert settings.cloud.login_url == cloud.entra.root_url
    assert settings.cloud.graph_url == cloud.graph_url
    assert not settings.verify_key_vault_challenge


async def test_a_token_of_entra_opens_a_filled_calendar_at_graph(folder: Path) -> None:
    async with LocalCloud(folder=folder, weeks=1) as cloud:
        ada = cloud.world.person("ada")
        token = cloud.entra.mint.for_graph_as_user(ada, cloud.graph_url, ["Calendars.ReadWrite"])
        now = cloud.world.clock.now()
        body = await post(
            cloud,
            f"{cloud.graph_url}/v1.0/me/calendar/getSchedule",
            json={
                "schedules": [ada.address],
                "startTime": {"dateTime": f"{now:%Y-%m-%dT00:00:00}", "timeZone": "UTC"},
                "endTime": {"dateTime": f"{now:%Y-%m-%dT23:00:00}", "timeZone": "UTC"},
            },
            headers={"Authorization": f"Bearer {token}"},
        )
    assert body["value"][0]["scheduleId"] == ada.address


async def test_graph_knows_the_consent_at_entra(folder: Path) -> None:
    async with LocalCloud(folder=folder) as cloud:
        granted = cloud.graph.backend.granted_roles(CONTOSO_ID)
        assert set(granted) == {"Calendars.Read", "User.ReadBasic.All"}


async def test_rotation_reaches_entra_and_the_vault(folder: Path) -> None:
    async with LocalCloud(folder=folder) as cloud:
        secret = cloud.rotate_secret(forget_old=True)
        certificate = cloud.rotate_certificate(forget_old=True)
        kept, vault = cloud.entra.registration, cloud.key_vault.vault
        assert list(kept.secrets) == [secret]
        assert kept.certificates == [certificate]
        in_vault = vault.find("app-certificate")
        assert in_vault is not None
        assert load_pem_x509_certificate(in_vault.value.encode()) == certificate


async def test_kept_data_stays_under_the_same_keys(folder: Path) -> None:
    keys = []
    for _ in range(2):
        async with LocalCloud(folder=folder, keep=True) as cloud:
            found = cloud.key_vault.vault.find("client-state-key")
            assert found is not None
            keys.append(found.value)
    assert keys[0] == keys[1]
    assert (folder / "keys.json").stat().st_mode & 0o077 == 0
    assert json.loads((folder / "keys.json").read_text()).keys() == {
        "client-state-key",
        "consent-state-key",
        "webhook-key",
    }


async def test_the_identity_endpoint_wants_its_header_and_its_identity(folder: Path) -> None:
    async with LocalCloud(folder=folder) as cloud, aiohttp.ClientSession() as session:
        asked = {
            "resource": "https://vault.azure.net",
            "api-version": "2019-08-01",
            "client_id": IDENTITY.client_id,
        }
        header = {"X-IDENTITY-HEADER": cloud.identity.header}
        for params, headers, status in (
            (asked, header, 200),
            (asked, {}, 401),
            (asked | {"client_id": "other"}, header, 400),
            (asked | {"api-version": "2017-09-01"}, header, 400),
            (asked | {"resource": "https://other.example"}, header, 400),
        ):
            async with session.get(cloud.identity_url, params=params, headers=headers) as answer:
                assert answer.status == status
                if status == 200:
                    token = (await answer.json())["access_token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        assert (claims["aud"], claims["oid"]) == (asked["resource"], IDENTITY.principal_id)


async def test_tokens_stay_valid_when_the_clock_jumps(folder: Path) -> None:
    async with LocalCloud(folder=folder) as cloud:
        ada = cloud.world.person("ada")
        token = cloud.entra.mint.for_graph_as_user(ada, cloud.graph_url, ["User.ReadBasic.All"])
        await cloud.graph.advance(timedelta(days=30))
        assert cloud.graph.backend.authority.identify(f"Bearer {token}").user_id == ada.object_id
