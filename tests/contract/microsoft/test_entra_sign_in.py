"""An administrator's sign-in: the code is exchanged in the back, the ID token validated."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from aiohttp import ClientSession, TCPConnector

from local.certificate import LocalCertificate
from local.entra.directory import Flow
from local.entra.tokens import Forgery
from local.seed import CONTOSO_ID
from local.world import DirectoryRole
from shared.errors import CalendarUnavailable, Misconfigured
from shared.organizations.ports import SignInRefused, SignInRequest
from shared.wiring import Wiring
from tests.contract.microsoft.conftest import Microsoft
from tests.contract.microsoft.test_entra_credentials import a_certificate, as_pem, as_pfx

REQUEST = SignInRequest(CONTOSO_ID, "the state", "v" * 43, "the nonce")


@pytest.fixture
async def browser(
    microsoft: Microsoft, certificate: LocalCertificate
) -> AsyncIterator[ClientSession]:
    callback = f"{microsoft.environment['PUBLIC_URL']}/api/consent/callback"
    microsoft.entra.registration.web_redirect_uris.add(callback)
    connector = TCPConnector(ssl=certificate.client_context())
    async with ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
async def wire(microsoft: Microsoft) -> AsyncIterator[Callable[[str], Wiring]]:
    made: list[Wiring] = []

    def make(credential: str) -> Wiring:
        made.append(microsoft.wiring(credential))
        return made[-1]

    yield make
    for wiring in made:
        await wiring.aclose()


async def code_of(
    browser: ClientSession, wired: Wiring, who: str = "ines", request: SignInRequest = REQUEST
) -> str:
    """Sign in at Entra as *who*; return the code that leads back."""
    url = f"{wired.sign_in.url(request)}&person={who}"
    async with browser.get(url, allow_redirects=False) as answer:
        assert answer.status == 302, await answer.text()
        back = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert back["state"] == [request.state]
    return back["code"][0]


@pytest.mark.parametrize(
    "credential", ["managed-identity", "secret", "certificate as PEM", "certificate as PKCS#12"]
)
async def test_every_credential_gets_the_person(
    microsoft: Microsoft, browser: ClientSession, wire: Callable[[str], Wiring], credential: str
) -> None:
    certificate, key = a_certificate()
    microsoft.entra.registration.certificates.append(certificate)
    written = as_pfx if credential.endswith("12") else as_pem
    microsoft.vault.vault.put("app-certificate", written(certificate, key))
    wired = wire(credential.partition(" ")[0])
    person = await wired.sign_in.redeem(await code_of(browser, wired), REQUEST)
    ines = microsoft.person("ines")
    assert (person.tenant_id, person.object_id) == (CONTOSO_ID, ines.object_id)
    assert set(person.roles or ()) == {DirectoryRole.GLOBAL_ADMINISTRATOR, DirectoryRole.USER}


async def test_a_person_without_a_role_has_the_role_of_every_user(
    browser: ClientSession, wired: Wiring
) -> None:
    person = await wired.sign_in.redeem(await code_of(browser, wired, "ben"), REQUEST)
    assert set(person.roles or ()) == {DirectoryRole.USER}


async def test_a_registration_that_asks_for_no_roles_gets_none(
    microsoft: Microsoft, browser: ClientSession, wired: Wiring
) -> None:
    microsoft.entra.registration.emits_directory_roles = False
    person = await wired.sign_in.redeem(await code_of(browser, wired), REQUEST)
    assert person.roles is None


async def test_a_code_is_good_for_once(browser: ClientSession, wired: Wiring) -> None:
    code = await code_of(browser, wired)
    await wired.sign_in.redeem(code, REQUEST)
    with pytest.raises(SignInRefused, match="AADSTS54005"):
        await wired.sign_in.redeem(code, REQUEST)


async def test_a_code_of_another_request_is_not_redeemed(
    browser: ClientSession, wired: Wiring
) -> None:
    other = SignInRequest(CONTOSO_ID, "the state", "w" * 43, "the nonce")
    code = await code_of(browser, wired, request=other)
    with pytest.raises(SignInRefused, match="AADSTS501481"):
        await wired.sign_in.redeem(code, REQUEST)


async def test_a_token_with_another_nonce_is_refused(browser: ClientSession, wired: Wiring) -> None:
    other = SignInRequest(CONTOSO_ID, "the state", REQUEST.verifier, "another nonce")
    code = await code_of(browser, wired, request=other)
    with pytest.raises(SignInRefused, match="nonce"):
        await wired.sign_in.redeem(code, REQUEST)


@pytest.mark.parametrize(
    "forgery",
    [
        Forgery.WRONG_AUDIENCE,
        Forgery.GRAPH_AUDIENCE,
        Forgery.WRONG_ISSUER,
        Forgery.EXPIRED,
        Forgery.FOREIGN_KEY,
        Forgery.UNSIGNED,
        Forgery.V1,
        Forgery.NONE,
    ],
)
async def test_a_token_that_is_not_this_sign_ins_is_refused(
    microsoft: Microsoft,
    browser: ClientSession,
    wired: Wiring,
    monkeypatch: pytest.MonkeyPatch,
    forgery: Forgery,
) -> None:
    """Whatever stands between us and Entra answers with another token, or with one for our API."""
    ines = microsoft.person("ines")
    token = microsoft.entra.token_for(ines, forgery=forgery)
    code = await code_of(browser, wired)

    async def answer(*_: Any, **__: Any) -> httpx.Response:
        return httpx.Response(200, content=json.dumps({"id_token": token}))

    monkeypatch.setattr(wired.http_pool.client, "post", answer)
    with pytest.raises(SignInRefused):
        await wired.sign_in.redeem(code, REQUEST)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id_token": 1}', b"<html>"])
async def test_an_answer_without_a_token_is_refused(
    wired: Wiring, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    async def answer(*_: Any, **__: Any) -> httpx.Response:
        return httpx.Response(200, content=body)

    monkeypatch.setattr(wired.http_pool.client, "post", answer)
    with pytest.raises(SignInRefused):
        await wired.sign_in.redeem("code", REQUEST)


async def test_a_rotated_secret_is_read_again(
    microsoft: Microsoft, browser: ClientSession, wired: Wiring
) -> None:
    await wired.sign_in.redeem(await code_of(browser, wired), REQUEST)
    microsoft.vault.vault.put("app-secret", "the second secret")
    microsoft.entra.registration.secrets.clear()
    microsoft.entra.registration.secrets["the second secret"] = None
    await wired.sign_in.redeem(await code_of(browser, wired), REQUEST)


async def test_what_is_ours_or_passes_is_not_the_administrators_fault(
    microsoft: Microsoft, browser: ClientSession, wired: Wiring
) -> None:
    code = await code_of(browser, wired)
    microsoft.entra.is_down = True
    with pytest.raises(CalendarUnavailable):
        await wired.sign_in.redeem(code, REQUEST)
    microsoft.entra.is_down = False
    microsoft.entra.inject_error(7000218, flow=Flow.CODE)
    with pytest.raises(Misconfigured):
        await wired.sign_in.redeem(code, REQUEST)
    microsoft.entra.inject_error(53003, flow=Flow.CODE)
    with pytest.raises(SignInRefused, match=r"interaction_required \(AADSTS53003\)"):
        await wired.sign_in.redeem(code, REQUEST)
    assert (await wired.sign_in.redeem(code, REQUEST)).tenant_id == CONTOSO_ID
