"""People at Entra: sign in, approve the app; and on-behalf-of with their tokens."""

import asyncio
import base64
import hashlib
import html
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import msal  # type: ignore[import-untyped]  # ships no types
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import OnBehalfOfCredential
from yarl import URL

from local.certificate import LocalCertificate
from local.entra.directory import Flow
from local.entra.simulator import CHALLENGE
from local.entra.tokens import Forgery
from local.seed import CONTOSO_ID, FABRIKAM_ID, NORTHWIND_ID
from local.world import DirectoryRole
from tests.local.conftest import GRAPH, Cloud

BACK = "https://localhost:7071/"
VERIFIER = "v" * 43
CHALLENGE_OF_VERIFIER = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


# --- on behalf of


def on_behalf_of(cloud: Cloud, assertion: str, tenant: str = CONTOSO_ID) -> OnBehalfOfCredential:
    return OnBehalfOfCredential(
        tenant,
        cloud.world.client_id,
        client_secret="right",
        user_assertion=assertion,
        authority=cloud.entra.root_url,
        disable_instance_discovery=True,
        **cloud.trusted,
    )


async def test_on_behalf_of_carries_the_user_and_the_granted_scopes(cloud: Cloud) -> None:
    ada = cloud.world.person("ada")
    async with on_behalf_of(cloud, cloud.entra.token_for(ada)) as credential:
        claims = claims_of((await credential.get_token(f"{GRAPH}/.default")).token)
    assert (claims["oid"], claims["tid"], claims["aud"]) == (ada.object_id, CONTOSO_ID, GRAPH)
    assert claims["scp"] == "Calendars.ReadWrite"


@pytest.mark.parametrize(
    ("forgery", "code"),
    [
        (Forgery.WRONG_AUDIENCE, 500131),
        (Forgery.GRAPH_AUDIENCE, 500131),
        (Forgery.EXPIRED, 500133),
        (Forgery.FOREIGN_KEY, 50013),
        (Forgery.UNKNOWN_KEY, 50013),
        (Forgery.UNSIGNED, 50013),
        (Forgery.TAMPERED, 50013),
        (Forgery.APP_ONLY, 7000114),
    ],
)
async def test_on_behalf_of_refuses_tokens_that_were_not_issued_for_the_app(
    cloud: Cloud, forgery: Forgery, code: int
) -> None:
    token = cloud.entra.token_for(cloud.world.person("ada"), forgery=forgery)
    async with on_behalf_of(cloud, token) as credential:
        with pytest.raises(ClientAuthenticationError, match=f"AADSTS{code}:"):
            await credential.get_token(f"{GRAPH}/.default")


async def test_on_behalf_of_needs_the_users_own_tenant(cloud: Cloud) -> None:
    token = cloud.entra.token_for(cloud.world.person("ada"))
    async with on_behalf_of(cloud, token, FABRIKAM_ID) as credential:
        with pytest.raises(ClientAuthenticationError, match="AADSTS50020:"):
            await credential.get_token(f"{GRAPH}/.default")


async def test_without_consent_to_the_scope_there_is_no_token(cloud: Cloud) -> None:
    token = cloud.entra.token_for(cloud.world.person("ada"))
    async with on_behalf_of(cloud, token) as credential:
        with pytest.raises(ClientAuthenticationError, match="AADSTS65001:"):
            await credential.get_token(f"{GRAPH}/Mail.Read")
        cloud.entra.app_in(CONTOSO_ID).delegated.clear()
        with pytest.raises(ClientAuthenticationError, match="AADSTS65001:"):
            await credential.get_token(f"{GRAPH}/.default")


async def test_people_outside_the_group_are_refused_where_assignment_is_required(
    cloud: Cloud,
) -> None:
    cloud.entra.app_in(CONTOSO_ID).assignment_required = True
    async with on_behalf_of(cloud, cloud.entra.token_for(cloud.world.person("ada"))) as inside:
        await inside.get_token(f"{GRAPH}/.default")
    async with on_behalf_of(cloud, cloud.entra.token_for(cloud.world.person("ruth"))) as outside:
        with pytest.raises(ClientAuthenticationError, match="AADSTS50105:"):
            await outside.get_token(f"{GRAPH}/.default")


async def test_a_claims_challenge_is_met_by_signing_in_with_the_claims(cloud: Cloud) -> None:
    cloud.entra.demand_claims(CONTOSO_ID)
    ada = cloud.world.person("ada")
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "client_id": cloud.world.client_id,
        "client_secret": "right",
        "requested_token_use": "on_behalf_of",
        "scope": f"{GRAPH}/.default",
    }
    status, body = await cloud.token(CONTOSO_ID, **form, assertion=cloud.entra.token_for(ada))
    assert (status, body["error"], body["suberror"]) == (
        400,
        "interaction_required",
        "basic_action",
    )
    assert body["claims"] == CHALLENGE
    signed_in = await sign_in(cloud, "ada", claims=body["claims"])
    token = (await redeem(cloud, signed_in["code"]))[1]["access_token"]
    status, _ = await cloud.token(CONTOSO_ID, **form, assertion=token)
    assert status == 200


# --- sign-in


async def authorize(cloud: Cloud, tenant: str = "organizations", **query: str) -> tuple[int, str]:
    """Request the authorize page; return status and body, or the address of the redirect."""
    asked = {
        "client_id": cloud.world.client_id,
        "response_type": "code",
        "redirect_uri": BACK,
        "response_mode": "fragment",
        "scope": f"api://{cloud.world.client_id}/access_as_user openid profile offline_access",
        "state": "a state & more",
        "nonce": "once",
        "code_challenge": CHALLENGE_OF_VERIFIER,
        "code_challenge_method": "S256",
        **query,
    }
    url = f"{cloud.entra.root_url}/{tenant}/oauth2/v2.0/authorize"
    async with cloud.browser.get(url, params=asked, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location") or await answer.text()


async def sign_in(cloud: Cloud, person: str, **query: str) -> dict[str, str]:
    """Choose a person and return the parameters sent to the app."""
    status, target = await authorize(cloud, person=person, **query)
    assert status == 302, target
    assert target.startswith(f"{BACK}#")
    return {name: values[0] for name, values in parse_qs(urlsplit(target).fragment).items()}


async def redeem(cloud: Cloud, code: str, **form: str) -> tuple[int, dict[str, Any]]:
    return await cloud.token(
        "organizations",
        **{
            "grant_type": "authorization_code",
            "client_id": cloud.world.client_id,
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
            "client_info": "1",
            **form,
        },
    )


async def test_the_page_lists_the_people_of_the_tenant(cloud: Cloud) -> None:
    status, page = await authorize(cloud, CONTOSO_ID)
    assert status == 200
    assert "Ada Lindqvist" in page
    assert "Faye" not in page


async def test_signing_in_gives_the_frontend_all_it_needs(cloud: Cloud) -> None:
    parameters = await sign_in(cloud, "ben")
    assert parameters["state"] == "a state & more"
    status, body = await redeem(cloud, parameters["code"])
    ben = cloud.world.person("ben")
    assert status == 200
    assert body["scope"].split()[0] == f"api://{cloud.world.client_id}/access_as_user"
    access, identity = claims_of(body["access_token"]), claims_of(body["id_token"])
    assert (access["aud"], access["scp"], access["oid"]) == (
        cloud.world.client_id,
        "access_as_user",
        ben.object_id,
    )
    assert (identity["nonce"], identity["preferred_username"]) == ("once", ben.address)
    padded = body["client_info"] + "=" * (-len(body["client_info"]) % 4)
    assert json.loads(base64.urlsafe_b64decode(padded)) == {
        "uid": ben.object_id,
        "utid": CONTOSO_ID,
    }
    status, again = await cloud.token(
        "organizations",
        grant_type="refresh_token",
        client_id=cloud.world.client_id,
        refresh_token=body["refresh_token"],
        scope=f"{cloud.world.client_id}/.default openid",
    )
    assert (status, claims_of(again["access_token"])["oid"]) == (200, ben.object_id)


async def test_a_code_is_redeemed_once_and_with_its_verifier(cloud: Cloud) -> None:
    code = (await sign_in(cloud, "ben"))["code"]
    assert (await redeem(cloud, code))[0] == 200
    assert (await redeem(cloud, code))[1]["error_codes"] == [54005]
    guessed = (await sign_in(cloud, "ben"))["code"]
    assert (await redeem(cloud, guessed, code_verifier="other"))[1]["error_codes"] == [501481]
    assert (await redeem(cloud, guessed))[1]["error_codes"] == [54005]


async def test_the_go_sdk_gets_tokens(cloud: Cloud) -> None:
    """It asks for the scopes of OpenID besides, and takes no answer without what it asked for."""
    url = f"{cloud.entra.root_url}/{CONTOSO_ID}/oauth2/v2.0/token"
    scope = f"{GRAPH}/.default openid offline_access profile"
    app = {"client_id": cloud.world.client_id, "client_secret": "right", "scope": scope}
    ben = cloud.entra.token_for(cloud.world.person("ben"))
    for grant in (
        {"grant_type": "client_credentials"},
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": ben,
            "requested_token_use": "on_behalf_of",
        },
    ):
        async with cloud.browser.post(url, data=app | grant) as answer:
            assert answer.status == 200, await answer.text()
            body = await answer.json()
    assert set(body["scope"].split()) >= set(scope.split())
    assert f"{GRAPH}/Calendars.ReadWrite" in body["scope"].split()
    assert claims_of(body["id_token"])["aud"] == cloud.world.client_id


async def test_the_app_learns_that_people_must_be_assigned(cloud: Cloud) -> None:
    url = f"{cloud.entra.root_url}/{CONTOSO_ID}/oauth2/v2.0/token"
    own = f"{cloud.world.client_id}/.default"
    app = {"client_id": cloud.world.client_id, "client_secret": "right", "scope": own}
    for is_required in (False, True):
        cloud.entra.app_in(CONTOSO_ID).assignment_required = is_required
        async with cloud.browser.post(url, data=app | {"grant_type": "client_credentials"}) as got:
            body = await got.json()
            assert (got.status, body.get("error_codes")) == (
                (400, [501051]) if is_required else (200, None)
            )


WEB = "https://localhost:7071/api/consent/callback"


async def web_code(cloud: Cloud, person: str, tenant: str = "organizations") -> str:
    """Sign in to the web app, for nothing but the person; return the code."""
    cloud.entra.registration.web_redirect_uris.add(WEB)
    url = f"{cloud.entra.root_url}/{tenant}/oauth2/v2.0/authorize"
    query = {
        "client_id": cloud.world.client_id,
        "response_type": "code",
        "response_mode": "query",
        "redirect_uri": WEB,
        "scope": "openid profile",
        "nonce": "once",
        "code_challenge": CHALLENGE_OF_VERIFIER,
        "code_challenge_method": "S256",
        "person": person,
    }
    async with cloud.browser.get(url, params=query, allow_redirects=False) as answer:
        assert answer.status == 302, await answer.text()
        return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


async def test_a_web_apps_code_is_redeemed_with_the_apps_credential(cloud: Cloud) -> None:
    code = await web_code(cloud, "ines")
    web = {"redirect_uri": WEB, "scope": "openid profile"}
    assert (await redeem(cloud, code, **web))[1]["error_codes"] == [7000218]
    web["client_secret"] = "wrong"
    assert (await redeem(cloud, code, **web))[1]["error_codes"] == [7000215]
    web["client_secret"] = "right"
    status, body = await redeem(cloud, code, **web)
    assert (status, "refresh_token" in body) == (200, False)
    claims = claims_of(body["id_token"])
    assert (claims["tid"], claims["nonce"]) == (CONTOSO_ID, "once")
    assert DirectoryRole.GLOBAL_ADMINISTRATOR in claims["wids"]
    assert (await redeem(cloud, code, **web))[1]["error_codes"] == [54005]


async def test_an_admin_signs_in_where_nobody_has_consented(cloud: Cloud) -> None:
    code = await web_code(cloud, "vera", NORTHWIND_ID)
    web = {"redirect_uri": WEB, "scope": "openid profile", "client_secret": "right"}
    assert (await redeem(cloud, code, **web))[0] == 200
    assert not cloud.entra.app_in(NORTHWIND_ID).application


async def test_roles_are_in_tokens_if_the_registration_asks_for_them(cloud: Cloud) -> None:
    ben = cloud.world.person("ben")
    assert claims_of(cloud.entra.token_for(ben))["wids"] == [DirectoryRole.USER]
    cloud.entra.registration.emits_directory_roles = False
    assert "wids" not in claims_of(cloud.entra.token_for(ben))


async def test_a_code_grows_old(cloud: Cloud) -> None:
    code = (await sign_in(cloud, "ben"))["code"]
    cloud.world.clock.advance(timedelta(minutes=10))
    assert (await redeem(cloud, code))[1]["error_codes"] == [70008]


@pytest.mark.parametrize(
    ("person", "change", "code"),
    [
        ("nils", {}, "AADSTS90094"),
        ("ruth", {"assignment_required": True}, "AADSTS50105"),
        ("ada", {"enabled": False}, "AADSTS7000112"),
    ],
)
async def test_refused_sign_in_is_explained_and_leads_back(
    cloud: Cloud, person: str, change: dict[str, bool], code: str
) -> None:
    for name, value in change.items():
        setattr(cloud.entra.app_in(CONTOSO_ID), name, value)
    status, page = await authorize(cloud, person=person)
    assert (status, code in page, "error=access_denied" in page) == (400, True, True)


async def test_an_unregistered_redirect_address_is_refused(cloud: Cloud) -> None:
    status, page = await authorize(cloud, redirect_uri="https://evil.example/", person="ada")
    assert (status, "AADSTS50011" in page) == (400, True)


async def test_a_silent_request_needs_a_signed_in_user(cloud: Cloud) -> None:
    status, target = await authorize(cloud, prompt="none")
    assert (status, "error=login_required" in target) == (302, True)
    await sign_in(cloud, "ben")
    status, target = await authorize(cloud, prompt="none")
    assert (status, "code=" in target) == (302, True)


async def test_a_forced_error_hits_the_redeeming_of_codes(cloud: Cloud) -> None:
    cloud.entra.inject_error(53003, flow=Flow.CODE)
    code = (await sign_in(cloud, "ben"))["code"]
    assert (await redeem(cloud, code))[1]["error_codes"] == [53003]


async def test_browsers_of_other_origins_may_read_tokens_and_metadata(cloud: Cloud) -> None:
    headers = {"Origin": "https://localhost:7071", "Access-Control-Request-Method": "POST"}
    url = f"{cloud.entra.root_url}/common/oauth2/v2.0/token"
    async with cloud.browser.options(url, headers=headers) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    async with cloud.browser.post(url, headers=headers, data={}) as answer:
        assert answer.status == 400
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


# --- admin consent


async def consent(cloud: Cloud, tenant: str, **form: str) -> dict[str, str]:
    """Decide on the consent page; return the callback's parameters."""
    url = f"{cloud.entra.root_url}/{tenant}/v2.0/adminconsent"
    asked = {
        "client_id": cloud.world.client_id,
        "scope": f"{GRAPH}/.default",
        "redirect_uri": "https://localhost:7071/api/consent/callback",
        "state": "12345",
    }
    async with cloud.browser.get(url, params=asked) as answer:
        assert answer.status == 200
        assert "Calendars.ReadWrite" in await answer.text()
    async with cloud.browser.post(url, data=asked | form, allow_redirects=False) as answer:
        assert answer.status == 302, await answer.text()
        parts = urlsplit(answer.headers["Location"])
    assert parts.path == "/api/consent/callback"
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


async def test_an_admin_grants_the_permissions_of_the_registration(cloud: Cloud) -> None:
    parameters = await consent(cloud, "organizations", decision="grant", person="vera")
    assert parameters == {
        "admin_consent": "True",
        "tenant": NORTHWIND_ID,
        "scope": f"{GRAPH}/.default",
        "state": "12345",
    }
    assert cloud.entra.app_in(NORTHWIND_ID).application == {"Calendars.Read", "User.ReadBasic.All"}


async def test_a_refusal_says_consent_and_error_at_once(cloud: Cloud) -> None:
    parameters = await consent(cloud, "northwind.example", decision="refuse")
    assert (parameters["admin_consent"], parameters["error"]) == ("True", "consent_required")
    assert parameters["error_description"].startswith("AADSTS65004: ")
    assert not cloud.entra.app_in(NORTHWIND_ID).exists


async def test_only_an_admin_of_the_tenant_can_consent(cloud: Cloud) -> None:
    url = f"{cloud.entra.root_url}/{NORTHWIND_ID}/v2.0/adminconsent"
    asked = {
        "client_id": cloud.world.client_id,
        "scope": f"{GRAPH}/.default",
        "redirect_uri": "https://localhost:7071/api/consent/callback",
        "decision": "grant",
    }
    for person in ("nils", "ines", "nobody"):
        form = asked | {"person": person}
        async with cloud.browser.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status == 400
    assert not cloud.entra.app_in(NORTHWIND_ID).exists


async def test_msal_signs_in_and_renews_silently(
    cloud: Cloud, certificate: LocalCertificate
) -> None:
    """Microsoft's own library checks state, nonce and claims, like its counterpart for browsers."""
    scope = f"api://{cloud.world.client_id}/access_as_user"
    http = requests.Session()
    # Otherwise the server's side is still open when the test's loop ends.
    http.headers["Connection"] = "close"
    http.trust_env, http.verify = False, str(certificate.authority)
    app = await asyncio.to_thread(
        msal.PublicClientApplication,
        cloud.world.client_id,
        authority=f"{cloud.entra.root_url}/organizations",
        instance_discovery=False,
        http_client=http,
    )
    flow = app.initiate_auth_code_flow([scope], redirect_uri=BACK, response_mode="form_post")
    chosen = f"{flow['auth_uri']}&person=ben"
    async with cloud.browser.get(URL(chosen, encoded=True)) as answer:
        fields = re.findall(r'name="(\w+)" value="([^"]*)"', await answer.text())
    back = {name: html.unescape(value) for name, value in fields}
    result = await asyncio.to_thread(app.acquire_token_by_auth_code_flow, flow, back)
    assert result.get("error_description") is None
    (account,) = app.get_accounts()
    assert account["username"] == "ben@contoso.example"
    again = await asyncio.to_thread(
        app.acquire_token_silent, [scope], account=account, force_refresh=True
    )
    http.close()
    assert claims_of(again["access_token"])["oid"] == cloud.world.person("ben").object_id
