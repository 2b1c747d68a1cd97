"""Discovery, keys and the control API; and that the app's own check refuses each forgery."""

from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from jwt import PyJWK

from local.entra.keys import PERSONAL_TENANT
from local.entra.tokens import Forgery
from local.seed import CONTOSO_ID, NORTHWIND_ID
from shared.adapters.entra import EntraTokenVerifier
from shared.adapters.http_pool import HttpPool
from shared.clock import SystemClock
from shared.errors import NotAuthenticated
from shared.organizations.ports import CallerKind
from shared.settings import CLOUDS, Settings
from shared.settings import Cloud as Roots
from tests.graph_contract import graph_sample
from tests.local.conftest import Cloud


async def get(cloud: Cloud, path: str) -> dict[str, Any]:
    async with cloud.browser.get(f"{cloud.entra.root_url}{path}") as answer:
        assert answer.status == 200
        body: dict[str, Any] = await answer.json()
        return body


@pytest.mark.parametrize("tenant", ["common", "organizations"])
async def test_discovery_for_all_tenants_names_the_placeholder(cloud: Cloud, tenant: str) -> None:
    found = await get(cloud, f"/{tenant}/v2.0/.well-known/openid-configuration")
    assert found["issuer"] == f"{cloud.entra.root_url}/{{tenantid}}/v2.0"
    assert found["jwks_uri"] == f"{cloud.entra.root_url}/{tenant}/discovery/v2.0/keys"


async def test_discovery_of_a_tenant_names_its_issuer(cloud: Cloud) -> None:
    found = await get(cloud, "/contoso.example/v2.0/.well-known/openid-configuration")
    assert found["issuer"] == f"{cloud.entra.root_url}/{CONTOSO_ID}/v2.0"
    assert found["token_endpoint"] == f"{cloud.entra.root_url}/{CONTOSO_ID}/oauth2/v2.0/token"


async def test_the_key_set_has_the_shape_of_the_real_one(cloud: Cloud) -> None:
    real = graph_sample("entra-jwks-common")["response"]["keys"]
    ours = (await get(cloud, "/common/discovery/v2.0/keys"))["keys"]
    assert [each.keys() for each in ours] == [each.keys() for each in real]
    issuers = [each["issuer"].removeprefix(cloud.entra.root_url) for each in ours]
    assert issuers == ["/{tenantid}/v2.0"] * 2 + [f"/{PERSONAL_TENANT}/v2.0"]


async def test_rolling_signs_with_a_new_key_and_keeps_the_last(cloud: Cloud) -> None:
    async def published() -> dict[str, PyJWK]:
        keys = (await get(cloud, "/common/discovery/v2.0/keys"))["keys"]
        return {each["kid"]: PyJWK(each) for each in keys}

    ada = cloud.world.person("ada")
    before = cloud.entra.token_for(ada)
    cloud.entra.roll_keys()
    after, keys = cloud.entra.token_for(ada), await published()
    for token in (before, after):
        key = keys[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(token, key, algorithms=["RS256"], audience=cloud.world.client_id)
    cloud.entra.roll_keys()
    assert jwt.get_unverified_header(before)["kid"] not in await published()


# --- the app's own check


@pytest.fixture
async def check(
    cloud: Cloud, certificate: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EntraTokenVerifier]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.trust))
    known = CLOUDS["global"]
    settings = Settings(
        storage_tables_url="",
        storage_queues_url="",
        key_vault_url="",
        managed_identity_client_id="",
        app_client_id=cloud.world.client_id,
        platform_tenant_id=cloud.world.home_tenant_id,
        platform_client_ids=frozenset({cloud.world.platform_client_id}),
        public_url="",
        cloud=Roots(cloud.entra.root_url, known.graph_url, known.token_exchange_audience),
    )
    http_pool = HttpPool()
    yield EntraTokenVerifier(settings, http_pool, SystemClock())
    await http_pool.aclose()


async def test_the_app_takes_good_tokens(cloud: Cloud, check: EntraTokenVerifier) -> None:
    ada = cloud.world.person("ada")
    verified = await check.verify(cloud.entra.token_for(ada))
    assert (verified.kind, verified.object_id) == (CallerKind.USER, ada.object_id)
    platform = await check.verify(cloud.entra.platform_token())
    assert platform.kind is CallerKind.PLATFORM


# A later step checks a token's tenant against the organizations.
REFUSED = [each for each in Forgery if each not in {Forgery.NONE, Forgery.UNKNOWN_TENANT}]


@pytest.mark.parametrize("forgery", REFUSED)
async def test_the_app_refuses_every_forgery(
    cloud: Cloud, check: EntraTokenVerifier, forgery: Forgery
) -> None:
    token = cloud.entra.token_for(cloud.world.person("ada"), forgery=forgery)
    with pytest.raises(NotAuthenticated):
        await check.verify(token)


# --- by hand


async def test_the_control_api_changes_a_tenant(cloud: Cloud) -> None:
    root = f"{cloud.entra.root_url}/_control"
    change = {"assignment_required": True, "application": ["Calendars.Read"], "spread_seconds": 5}
    async with cloud.browser.patch(f"{root}/tenants/contoso", json=change) as answer:
        shown = (await answer.json())["tenants"][CONTOSO_ID]
    assert (shown["assignment_required"], shown["application"], shown["spread"]) == (
        True,
        ["Calendars.Read"],
        5,
    )
    async with cloud.browser.post(f"{root}/tenants/northwind/grant") as answer:
        assert (await answer.json())["tenants"][NORTHWIND_ID]["exists"]
    async with cloud.browser.post(f"{root}/tenants/northwind/withdraw") as answer:
        assert not (await answer.json())["tenants"][NORTHWIND_ID]["exists"]


async def test_the_control_api_forces_errors_and_heals(cloud: Cloud) -> None:
    root = f"{cloud.entra.root_url}/_control"
    forced = {"code": 50105, "flow": "on_behalf_of", "times": None}
    async with cloud.browser.post(f"{root}/errors", json=forced) as answer:
        assert [each["code"] for each in (await answer.json())["errors"]] == [50105]
    async with cloud.browser.delete(f"{root}/errors") as answer:
        assert (await answer.json())["errors"] == []


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"person": "ada"}, 200),
        ({}, 200),
        ({"person": "ada", "forgery": "unsigned"}, 200),
        ({"person": "nobody"}, 404),
        ({"person": "ada", "forgery": "odd"}, 400),
        ({"persona": "ada"}, 400),
    ],
)
async def test_the_control_api_mints_tokens(
    cloud: Cloud, asked: dict[str, str], status: int
) -> None:
    async with cloud.browser.post(f"{cloud.entra.root_url}/_control/tokens", json=asked) as answer:
        assert answer.status == status


async def test_an_unavailable_entra_says_so(cloud: Cloud) -> None:
    control = f"{cloud.entra.root_url}/_control"
    async with cloud.browser.patch(control, json={"is_down": True}) as answer:
        assert answer.status == 200
    status, body = await cloud.token(CONTOSO_ID, grant_type="client_credentials", client_id="x")
    assert (status, body["error"]) == (503, "temporarily_unavailable")
