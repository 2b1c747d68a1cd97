"""The app gets tokens as itself and for users, and a rotation of its credential loses no call."""

import asyncio
import base64
import logging
import re
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from local.clock import CloudClock
from local.entra.directory import Flow
from local.entra.tokens import Forgery
from local.seed import CONTOSO_ID, NORTHWIND_ID
from shared.adapters.client_assertion import load_certificate
from shared.adapters.graph.people import GraphDirectory
from shared.adapters.key_vault import KEEP_SECONDS
from shared.errors import (
    CalendarUnavailable,
    ConsentMissing,
    Misconfigured,
    NotAuthenticated,
    SignInAgain,
    StoreUnavailable,
)
from shared.health import check_health
from shared.ids import TenantId
from shared.logs import log_warning
from shared.organizations.diagnosis import diagnose_tenant
from shared.organizations.issues import Issue
from shared.organizations.model import ActingUser
from shared.organizations.ports import CallerKind
from shared.wiring import Wiring
from tests.builders import an_organization
from tests.contract.microsoft.conftest import Microsoft

FORGERIES = [
    # The token of an unknown tenant verifies as well as a customer's. The use-cases, which know the
    # customers, refuse it.
    f
    for f in Forgery
    if f not in {Forgery.NONE, Forgery.UNKNOWN_TENANT}
]


def a_certificate() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def as_pem(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> str:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def as_pfx(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> str:
    """Return the secret that Key Vault has for a certificate it created: PKCS#12 in base64."""
    packed = pkcs12.serialize_key_and_certificates(
        b"app", key, certificate, None, serialization.NoEncryption()
    )
    return base64.b64encode(packed).decode()


async def reaches_graph(wiring: Wiring, microsoft: Microsoft) -> None:
    """Call Graph as the app and as a user."""
    people = GraphDirectory(wiring.graph)
    before = microsoft.graph.requests.counts.total()
    await people.probe_mailbox(microsoft.mailbox("ada"))
    await people.probe_own_mailbox(microsoft.acting("ada"))
    assert microsoft.graph.requests.counts.total() >= before + 2


@pytest.fixture
async def wire(microsoft: Microsoft) -> AsyncIterator[Callable[[str], Wiring]]:
    made: list[Wiring] = []

    def make(credential: str) -> Wiring:
        made.append(microsoft.wiring(credential))
        return made[-1]

    yield make
    for wiring in made:
        await wiring.aclose()


async def test_with_the_managed_identity(
    microsoft: Microsoft, wire: Callable[[str], Wiring]
) -> None:
    await reaches_graph(wire("managed-identity"), microsoft)
    assert microsoft.vault.reads == []


@pytest.mark.parametrize("written", [as_pem, as_pfx])
async def test_with_a_certificate(
    microsoft: Microsoft,
    wire: Callable[[str], Wiring],
    written: Callable[[x509.Certificate, rsa.RSAPrivateKey], str],
) -> None:
    certificate, key = a_certificate()
    microsoft.entra.registration.certificates.append(certificate)
    microsoft.vault.vault.put("app-certificate", written(certificate, key))
    load_certificate.cache_clear()
    wired = wire("certificate")
    await reaches_graph(wired, microsoft)
    for _ in range(3):
        await wired.credentials.ping()
    assert load_certificate.cache_info().misses == 1  # its key is checked once, not each time


def as_pem_without_key(certificate: x509.Certificate, _: rsa.RSAPrivateKey) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def as_key_alone(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> str:
    return as_pem(certificate, key).partition("-----BEGIN CERTIFICATE")[0]


def with_password(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> str:
    secret = serialization.BestAvailableEncryption(b"secret")
    packed = pkcs12.serialize_key_and_certificates(b"app", key, certificate, None, secret)
    return base64.b64encode(packed).decode()


def with_encrypted_key(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> str:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def of_elliptic_curve(certificate: x509.Certificate, _: rsa.RSAPrivateKey) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (as_pem_without_key, "has no private key"),
        (as_key_alone, "without its certificate"),
        (with_password, "without a password"),
        (with_encrypted_key, "without a password"),
        (of_elliptic_curve, "no RSA key"),
        (lambda *_: "a secret of another kind", "cannot be read"),
        (lambda *_: "AAAA", "cannot be read"),
        (lambda *_: "-----BEGIN PRIVATE KEY-----\nAAAA", "cannot be read"),
    ],
)
async def test_a_certificate_that_cannot_be_used_is_said_with_its_remedy(
    microsoft: Microsoft,
    wire: Callable[[str], Wiring],
    written: Callable[[x509.Certificate, rsa.RSAPrivateKey], str],
    says: str,
) -> None:
    microsoft.vault.vault.put("app-certificate", written(*a_certificate()))
    wired = wire("certificate")
    with pytest.raises(Misconfigured, match=says):
        await wired.credentials.app(TenantId(CONTOSO_ID)).get_token("scope")
    organization = an_organization(tenant_id=CONTOSO_ID)
    findings = await diagnose_tenant(organization, probes=wired.probes)
    assert findings[0].issue is Issue.CREDENTIAL_ABSENT
    assert f"{says}" in str(findings[0].remedy)
    assert "RSA private key and without a password" in str(findings[0].remedy)
    assert await health_of(wired, "app_credential") == "Misconfigured"


async def test_a_vault_by_another_name_is_said_with_its_remedy(
    microsoft: Microsoft, wire: Callable[[str], Wiring]
) -> None:
    wired = wire("secret")
    # The simulated vault's host is no part of the resource that it names: so is a privatelink name.
    wired.__dict__["settings"] = replace(wired.settings, verify_key_vault_challenge=True)
    with pytest.raises(Misconfigured, match="KEY_VAULT_URL") as refused:
        await wired.secrets.get("app-secret")
    assert "https://NAME.vault.azure.net" in str(refused.value.remedy)
    for name in ("app_credential", "key_vault"):
        assert await health_of(wired, name) == "Misconfigured"


async def health_of(wired: Wiring, name: str) -> str:
    """Return the health of one service: there is no storage here."""
    return (await check_health({name: wired.dependencies[name]}))[name]


async def test_with_a_secret(microsoft: Microsoft, wired: Wiring) -> None:
    await reaches_graph(wired, microsoft)
    assert microsoft.vault.reads == ["app-secret"]


async def test_a_token_is_asked_for_once(microsoft: Microsoft, wired: Wiring) -> None:
    identity = wired.credentials.app(TenantId(CONTOSO_ID))
    scope = f"{wired.settings.cloud.graph_url}/.default"
    tokens = await asyncio.gather(*(identity.get_token(scope) for _ in range(20)))
    assert len({token.token for token in tokens}) == 1
    assert len([flow for flow, _ in microsoft.entra.requests if flow == "client_credentials"]) == 1


async def test_a_rotated_secret_loses_no_request(microsoft: Microsoft, wired: Wiring) -> None:
    await reaches_graph(wired, microsoft)
    microsoft.vault.vault.put("app-secret", "the second secret")
    microsoft.entra.registration.secrets.clear()
    microsoft.entra.registration.secrets["the second secret"] = None
    await wired.credentials.app(TenantId(CONTOSO_ID)).forget()
    await reaches_graph(wired, microsoft)


def rotate_secret(microsoft: Microsoft) -> Callable[[], None]:
    """Add a new client secret; return a function that removes the old one."""
    known = list(microsoft.entra.registration.secrets)
    microsoft.entra.registration.secrets["another secret"] = None
    microsoft.vault.vault.put("app-secret", "another secret")

    def take_old() -> None:
        for each in known:
            del microsoft.entra.registration.secrets[each]

    return take_old


def rotate_certificate(microsoft: Microsoft) -> Callable[[], None]:
    """Add a new certificate; return a function that removes the old one."""
    known = list(microsoft.entra.registration.certificates)
    certificate, key = a_certificate()
    microsoft.entra.registration.certificates.append(certificate)
    microsoft.vault.vault.put("app-certificate", as_pem(certificate, key))

    def take_old() -> None:
        for each in known:
            microsoft.entra.registration.certificates.remove(each)

    return take_old


@pytest.mark.parametrize(
    ("kind", "rotate"), [("secret", rotate_secret), ("certificate", rotate_certificate)]
)
async def test_a_rotation_in_the_middle_of_traffic_loses_no_request(
    microsoft: Microsoft,
    wire: Callable[[str], Wiring],
    kind: str,
    rotate: Callable[[Microsoft], Callable[[], None]],
) -> None:
    rotate_certificate(microsoft)  # so that there is a certificate
    wired, answered = wire(kind), 0
    tenant = TenantId(CONTOSO_ID)
    rotating, taking = asyncio.Event(), asyncio.Event()

    async def traffic() -> None:
        nonlocal answered
        for _ in range(10):
            # With many tenants and users, tokens expire all the time.
            await wired.credentials.app(tenant).forget()
            try:
                await reaches_graph(wired, microsoft)
            except CalendarUnavailable as error:
                # A slow machine may answer too late. A token that is refused is another error.
                if error.code != "no_answer":
                    raise
            answered += 1
            if answered == 20:
                rotating.set()
            if answered == 40:
                taking.set()

    async def rotation() -> None:
        await rotating.wait()
        take_old = rotate(microsoft)
        await taking.wait()
        # This process still caches the old one, which it read less than five minutes ago.
        take_old()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rotation())
        for _ in range(8):
            tasks.create_task(traffic())
    assert answered == 80
    asked = [flow for flow, _ in microsoft.entra.requests if flow == "client_credentials"]
    assert len(asked) > 20


async def test_a_secret_nobody_renewed_is_the_operators_trouble(
    microsoft: Microsoft, wired: Wiring
) -> None:
    microsoft.entra.registration.secrets.clear()
    with pytest.raises(Misconfigured) as caught:
        await reaches_graph(wired, microsoft)
    assert caught.value.remedy
    assert len(microsoft.entra.requests) == 1  # no retry with the same secret


async def test_an_outage_of_key_vault_is_survived(microsoft: Microsoft, wired: Wiring) -> None:
    secrets = wired.secrets
    await secrets.get("app-secret")
    secrets._monotonic = lambda: KEEP_SECONDS * 10e6
    microsoft.vault.conditions.is_down = True
    assert (await secrets.get("app-secret")).value == "the first secret"
    with pytest.raises(StoreUnavailable):
        await secrets.get("client-state-key")


async def test_a_secret_that_is_not_there(microsoft: Microsoft, wired: Wiring) -> None:
    with pytest.raises(Misconfigured):
        await wired.secrets.get("nothing")
    with pytest.raises(Misconfigured):
        await wired.secrets.versions("nothing")
    microsoft.vault.conditions.forbids = True
    with pytest.raises(Misconfigured):
        await wired.secrets.get("app-secret")


async def test_versions_are_newest_first(microsoft: Microsoft, wired: Wiring) -> None:
    vault, clock = microsoft.vault.vault, microsoft.world.clock
    for value in ("second", "third", "fourth"):
        clock.advance(timedelta(seconds=2))
        vault.put("client-state-key", value, enabled=value != "third")
    found = await wired.secrets.versions("client-state-key", 2)
    assert [secret.value for secret in found] == ["fourth", "second"]


async def test_a_client_state_survives_a_rotation(microsoft: Microsoft, wired: Wiring) -> None:
    mailbox = microsoft.mailbox("ada")
    state = await wired.client_states.create(mailbox, "bm9uY2U")
    microsoft.world.clock.advance(timedelta(seconds=2))
    microsoft.vault.vault.put("client-state-key", "the second key")
    other = microsoft.wiring()
    assert await other.client_states.verify(mailbox.tenant_id, state) == mailbox
    newer = await other.client_states.create(mailbox, "bm9uY2U")
    await other.aclose()
    assert newer != state
    assert await wired.client_states.verify(mailbox.tenant_id, newer) == mailbox


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (65001, ConsentMissing),
        (50105, ConsentMissing),
        (7000222, Misconfigured),
        (50013, NotAuthenticated),
        (50076, SignInAgain),
        (53003, ConsentMissing),
    ],
)
async def test_each_refusal_of_entra(
    microsoft: Microsoft, wired: Wiring, code: int, kind: type[Exception]
) -> None:
    microsoft.entra.inject_error(code, flow=Flow.ON_BEHALF_OF, times=None)
    with pytest.raises(kind):
        await GraphDirectory(wired.graph).probe_own_mailbox(microsoft.acting("ada"))


async def test_a_challenge_reaches_the_caller(microsoft: Microsoft, wired: Wiring) -> None:
    microsoft.entra.demand_claims(CONTOSO_ID)
    with pytest.raises(SignInAgain) as caught:
        await GraphDirectory(wired.graph).probe_own_mailbox(microsoft.acting("ada"))
    assert caught.value.claims
    assert "acrs" in caught.value.claims


async def test_a_tenant_that_never_consented(microsoft: Microsoft, wired: Wiring) -> None:
    with pytest.raises(ConsentMissing) as caught:
        await GraphDirectory(wired.graph).probe_mailbox(microsoft.mailbox("nils"))
    assert caught.value.aadsts == 700016
    assert microsoft.mailbox("nils").tenant_id == NORTHWIND_ID


async def test_entra_down_is_worth_trying_again(microsoft: Microsoft, wired: Wiring) -> None:
    microsoft.entra.is_down = True
    with pytest.raises(CalendarUnavailable):
        await GraphDirectory(wired.graph).probe_mailbox(microsoft.mailbox("ada"))


async def test_the_managed_identity_down_is_worth_trying_again(
    microsoft: Microsoft, wire: Callable[[str], Wiring]
) -> None:
    microsoft.identity.is_down = True
    with pytest.raises((CalendarUnavailable, Misconfigured)):
        await reaches_graph(wire("managed-identity"), microsoft)


async def test_two_users_never_share_a_token(microsoft: Microsoft, wired: Wiring) -> None:
    people = GraphDirectory(wired.graph)
    for who in ("ada", "ben", "ada"):
        await people.probe_own_mailbox(microsoft.acting(who))
    seen = [r.identity.user_id for r in microsoft.graph.requests.entries if r.identity]
    assert seen == [microsoft.person(who).object_id for who in ("ada", "ben", "ada")]


async def test_identities_that_are_not_used_are_let_go(
    microsoft: Microsoft, wired: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.adapters.app_credentials.KEEP_IDENTITIES", 2)
    people, acting = (
        GraphDirectory(wired.graph),
        [microsoft.acting(w) for w in ("ada", "ben", "priya")],
    )
    for one in (*acting, acting[0]):
        await people.probe_own_mailbox(one)
    assert len(wired.credentials._identities) == 2


async def test_logs_name_nobody(
    microsoft: Microsoft, wired: Wiring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    microsoft.entra.inject_error(50020, flow=Flow.ON_BEHALF_OF)
    ada = microsoft.person("ada")
    with pytest.raises(NotAuthenticated):
        await GraphDirectory(wired.graph).probe_own_mailbox(microsoft.acting("ada"))
    await GraphDirectory(wired.graph).find(TenantId(CONTOSO_ID), ada.address)
    assert ada.address not in caplog.text
    assert "%40" not in caplog.text
    assert "@" not in caplog.text


async def test_the_simulated_tokens_are_checked(microsoft: Microsoft, wired: Wiring) -> None:
    raw = microsoft.entra.token_for(microsoft.person("ada"))
    token = await wired.tokens.verify(raw)
    assert token.kind is CallerKind.USER
    assert token.object_id == microsoft.person("ada").object_id
    platform = await wired.tokens.verify(microsoft.entra.platform_token())
    assert platform.kind is CallerKind.PLATFORM


@pytest.mark.parametrize("forgery", FORGERIES, ids=str)
async def test_no_forgery_passes(microsoft: Microsoft, wired: Wiring, forgery: Forgery) -> None:
    ada = microsoft.person("ada")
    with pytest.raises(NotAuthenticated):
        await wired.tokens.verify(microsoft.entra.token_for(ada, forgery=forgery))


async def test_rolled_keys_are_found(microsoft: Microsoft, wired: Wiring) -> None:
    await wired.tokens.verify(microsoft.entra.platform_token())
    microsoft.entra.roll_keys()
    found = await wired.tokens.verify(microsoft.entra.platform_token())
    assert found.kind is CallerKind.PLATFORM


async def test_an_assertion_that_is_garbage_is_not_believed(
    microsoft: Microsoft, wired: Wiring
) -> None:
    with pytest.raises(NotAuthenticated):
        await GraphDirectory(wired.graph).probe_own_mailbox(
            ActingUser(microsoft.mailbox("ada"), "garbage")
        )


async def test_a_refused_assertion_is_renewed_once(
    microsoft: Microsoft, wire: Callable[[str], Wiring]
) -> None:
    wired = wire("managed-identity")
    await reaches_graph(wired, microsoft)
    microsoft.entra.withdraw_key()
    await wired.credentials.app(TenantId(CONTOSO_ID)).forget()
    microsoft.identity.given.clear()
    await reaches_graph(wired, microsoft)
    assert microsoft.identity.given == ["api://AzureADTokenExchange"]


async def test_an_assertion_that_stays_refused_is_the_operators_trouble_and_not_a_persons(
    microsoft: Microsoft, wire: Callable[[str], Wiring]
) -> None:
    wired = wire("managed-identity")
    await reaches_graph(wired, microsoft)
    microsoft.entra.inject_error(50013, flow=Flow.APP, times=None)
    microsoft.identity.given.clear()
    for _ in range(3):
        await wired.credentials.app(TenantId(CONTOSO_ID)).forget()
        with pytest.raises(Misconfigured):
            await GraphDirectory(wired.graph).probe_mailbox(microsoft.mailbox("ada"))
    # A newer one, got a moment ago, was refused as well.
    assert microsoft.identity.given == ["api://AzureADTokenExchange"]


async def test_a_withdrawn_key_stops_within_an_hour(microsoft: Microsoft) -> None:
    clock = CloudClock()
    wired = Wiring(microsoft.wiring().settings, clock)
    old = microsoft.entra.platform_token()
    await wired.tokens.verify(old)
    microsoft.entra.withdraw_key()
    clock.advance(timedelta(minutes=59))
    with pytest.raises(NotAuthenticated):
        await wired.tokens.verify(old)
    await wired.aclose()


async def test_a_key_published_after_a_made_up_one_was_looked_for_is_found_at_once(
    microsoft: Microsoft, wired: Wiring
) -> None:
    await wired.tokens.verify(microsoft.entra.platform_token())
    with pytest.raises(NotAuthenticated):
        await wired.tokens.verify(
            microsoft.entra.token_for(microsoft.person("ada"), forgery=Forgery.UNKNOWN_KEY)
        )
    microsoft.entra.roll_keys()
    found = await wired.tokens.verify(microsoft.entra.platform_token())
    assert found.kind is CallerKind.PLATFORM


async def test_a_refusal_of_entra_brings_none_of_its_text_into_logs_and_errors(
    microsoft: Microsoft, wired: Wiring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    microsoft.entra.inject_error(50020, flow=Flow.ON_BEHALF_OF)
    try:
        await GraphDirectory(wired.graph).probe_own_mailbox(microsoft.acting("ada"))
    except NotAuthenticated as error:
        log_warning("http.failed")
        printed = "".join(traceback.format_exception(error))
    for text in (caplog.text, printed):
        assert "error_description" not in text
        assert "User account" not in text
        assert "Timestamp" not in text
    (line,) = [each for each in caplog.messages if each.startswith("entra.refused")]
    assert re.fullmatch(
        r"entra\.refused reason=NotAuthenticated code=AADSTS50020 request_id=[0-9a-f-]{36}\b.*",
        line,
    )
