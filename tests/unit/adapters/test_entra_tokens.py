"""Verification of bearer tokens."""

import asyncio
import base64
import hmac
import json
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest

from shared.adapters.entra import EntraTokenVerifier
from shared.adapters.http_pool import HttpPool
from shared.errors import CalendarUnavailable, NotAuthenticated
from shared.organizations.ports import CallerKind
from tests.unit.adapters.entra_fixtures import (
    APP,
    NOW,
    OTHER_TENANT,
    PLATFORM_CLIENT,
    PLATFORM_TENANT,
    TENANT,
    USER,
    Answers,
    FakeClock,
    platform_claims,
    private_key,
    public_jwk,
    signed,
    some_settings,
    user_claims,
)

WORK = "https://login.microsoftonline.com/{tenantid}/v2.0"
PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
PERSONAL = WORK.replace("{tenantid}", PERSONAL_TENANT)


class Entra:
    """The key set of the simulated Entra, and a verifier that uses it."""

    def __init__(self) -> None:
        self.keys = [public_jwk("first", WORK), public_jwk("second", WORK)]
        self.keys.append(public_jwk("personal", PERSONAL))
        self.is_down = False
        self.clock = FakeClock()
        self.answers = Answers(self._answer)
        self.tokens = EntraTokenVerifier(
            some_settings(), HttpPool(self.answers.transport), self.clock
        )

    @property
    def fetches(self) -> int:
        return len(self.answers.requests)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url == "https://login.microsoftonline.com/common/discovery/v2.0/keys"
        if self.is_down:
            return httpx.Response(503, text="<html>")
        return httpx.Response(200, json={"keys": self.keys})


@pytest.fixture
def entra() -> Entra:
    return Entra()


async def test_a_users_token_proves_the_user(entra: Entra) -> None:
    raw = signed(user_claims())
    token = await entra.tokens.verify(raw)
    assert (token.kind, token.tenant_id, token.object_id) == (CallerKind.USER, TENANT, USER)
    assert token.raw == raw


async def test_the_platforms_token_proves_the_platform(entra: Entra) -> None:
    token = await entra.tokens.verify(signed(platform_claims()))
    assert (token.kind, token.tenant_id) == (CallerKind.PLATFORM, PLATFORM_TENANT)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": f"api://{TENANT}"},
        {"aud": ["aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"]},
        {"iss": f"https://sts.windows.net/{TENANT}/", "ver": "1.0"},
        {"iss": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"},
        {"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"},
        {"ver": "1.0"},
        {"ver": None},
        {"exp": int(NOW.timestamp()) - 61},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"nbf": int(NOW.timestamp()) + 90},
        {"nbf": None},
        {"tid": None},
        {"tid": "contoso.com"},
        {"tid": PERSONAL_TENANT},
        {"oid": None},
        {"oid": "'; drop"},
        {"scp": "User.Read"},
        {"scp": "access_as_users"},
        {"scp": ""},
        {"scp": ["access_as_user"]},
        {"scp": None},
        {"idtyp": "app"},
    ],
    ids=str,
)
async def test_a_users_token_with_one_thing_wrong_is_refused(
    entra: Entra, changes: dict[str, Any]
) -> None:
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(signed(user_claims(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"tid": TENANT},
        {"roles": ["Platform.Read"]},
        {"roles": "Platform.Manage"},
        {"azp": "12121212-3434-4565-8787-909090909090"},
        {"azp": None},
    ],
    ids=str,
)
async def test_an_apps_token_with_one_thing_wrong_is_refused(
    entra: Entra, changes: dict[str, Any]
) -> None:
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(signed(platform_claims(**changes)))


async def test_a_user_with_the_platforms_role_is_a_user(entra: Entra) -> None:
    claims = platform_claims(scp="access_as_user")
    assert (await entra.tokens.verify(signed(claims))).kind is CallerKind.USER


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "pairwise", "azp": None},  # an ID token: no client and no scope
        {"sub": "pairwise"},
        {"sub": None},
        {"idtyp": "user"},
        {"idtyp": "user", "sub": USER},
        {"idtyp": "", "sub": USER},
        {"idtyp": True, "sub": USER},
    ],
    ids=str,
)
async def test_the_role_in_a_token_that_is_no_apps_is_refused(
    entra: Entra, changes: dict[str, Any]
) -> None:
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(signed(platform_claims(**changes)))


async def test_an_apps_token_has_the_type_or_is_its_own_subject(entra: Entra) -> None:
    for claims in (platform_claims(sub=USER), platform_claims(idtyp="app", sub="another")):
        assert (await entra.tokens.verify(signed(claims))).kind is CallerKind.PLATFORM


async def test_a_little_difference_of_clocks_is_forgiven(entra: Entra) -> None:
    seconds = int(NOW.timestamp())
    for claims in (
        user_claims(exp=seconds - 50, nbf=seconds - 3600),
        user_claims(nbf=seconds + 50),
    ):
        assert (await entra.tokens.verify(signed(claims))).kind is CallerKind.USER


async def test_a_personal_accounts_key_signs_for_nobody_else(entra: Entra) -> None:
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(signed(user_claims(), key="personal"))
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(signed(user_claims(tid=PERSONAL_TENANT), key="personal"))


async def test_a_token_that_nobody_signed_is_refused(entra: Entra) -> None:
    unsigned = jwt.encode(user_claims(), "", "none", headers={"kid": "first"})
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(unsigned)


async def test_a_token_signed_with_the_public_key_as_secret_is_refused(entra: Entra) -> None:
    # Built by hand, because PyJWT refuses to create such a token.
    secret = json.dumps(public_jwk("first", WORK)).encode()
    signed_part = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{_part(user_claims())}"
    mac = hmac.digest(secret, signed_part.encode(), "sha256")
    forged = f"{signed_part}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(forged)
    assert entra.fetches == 0


async def test_a_token_of_another_key_under_a_known_id_is_refused(entra: Entra) -> None:
    forged = jwt.encode(user_claims(), private_key("forger"), "RS256", headers={"kid": "first"})
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(forged)


@pytest.mark.parametrize("raw", ["", "x", "a.b.c", "é.é.é", "..", "a" * 20_000, "e30.e30.e30"])
async def test_malformed_token_is_refused(entra: Entra, raw: str) -> None:
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(raw)


async def test_a_payload_that_is_no_object_is_refused(entra: Entra) -> None:
    raw = jwt.PyJWS().encode(b"[1]", private_key("first"), "RS256", headers={"kid": "first"})
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(raw)


async def test_keys_are_fetched_once(entra: Entra) -> None:
    await asyncio.gather(*(entra.tokens.verify(signed(user_claims())) for _ in range(10)))
    assert entra.fetches == 1


async def test_a_withdrawn_key_stops_within_an_hour(entra: Entra) -> None:
    entra.keys.append(public_jwk("third", WORK))
    await entra.tokens.verify(signed(user_claims(), key="third"))
    entra.keys.pop()
    entra.clock.advance(timedelta(hours=1))
    fresh = user_claims(exp=int(entra.clock.now().timestamp()) + 60)
    with pytest.raises(NotAuthenticated):
        await entra.tokens.verify(signed(fresh, key="third"))
    await entra.tokens.verify(signed(fresh))
    assert entra.fetches <= 3


async def test_old_keys_stay_for_a_day_when_new_ones_cannot_be_had(entra: Entra) -> None:
    await entra.tokens.verify(signed(user_claims()))
    entra.clock.advance(timedelta(hours=23))
    entra.is_down = True
    fresh = signed(user_claims(exp=int(entra.clock.now().timestamp()) + 2 * 3600))
    await entra.tokens.verify(fresh)
    await entra.tokens.verify(fresh)
    assert entra.fetches == 2  # not once per request
    entra.clock.advance(timedelta(hours=1))
    with pytest.raises(CalendarUnavailable):
        await entra.tokens.verify(fresh)


async def test_a_rolled_key_is_found_at_once(entra: Entra) -> None:
    await entra.tokens.verify(signed(user_claims()))
    entra.keys.append(public_jwk("third", WORK))
    await entra.tokens.verify(signed(user_claims(), key="third"))
    assert entra.fetches == 2


async def test_made_up_keys_do_not_hide_one_that_is_published_just_afterwards(
    entra: Entra,
) -> None:
    await entra.tokens.verify(signed(user_claims()))
    for n in range(4):
        with pytest.raises(NotAuthenticated):
            await entra.tokens.verify(signed(user_claims(), kid=f"made-up-{n}"))
    entra.keys.append(public_jwk("third", WORK))
    await entra.tokens.verify(signed(user_claims(), key="third"))


async def test_many_made_up_keys_cost_few_fetches_and_hide_a_new_key_for_seconds(
    entra: Entra,
) -> None:
    await entra.tokens.verify(signed(user_claims()))
    for n in range(100):
        with pytest.raises(NotAuthenticated):
            await entra.tokens.verify(signed(user_claims(), kid=f"made-up-{n}"))
    assert entra.fetches == 6
    entra.keys.append(public_jwk("third", WORK))
    entra.clock.advance(timedelta(seconds=10))
    await entra.tokens.verify(signed(user_claims(), key="third"))


async def test_a_minute_of_made_up_keys_costs_eleven_fetches_and_the_next_one_six(
    entra: Entra,
) -> None:
    await entra.tokens.verify(signed(user_claims()))
    fetches = []
    for _ in range(2):
        for second in range(60):
            with pytest.raises(NotAuthenticated):
                await entra.tokens.verify(signed(user_claims(), kid=f"made-up-{second}"))
            entra.clock.advance(timedelta(seconds=1))
        fetches.append(entra.fetches)
    assert fetches == [11, 17]


@pytest.mark.parametrize(
    ("azp", "is_taken"), [(APP, True), (APP.upper(), True), (PLATFORM_CLIENT, False), (None, False)]
)
async def test_a_users_token_counts_only_from_known_apps(
    entra: Entra, azp: str | None, *, is_taken: bool
) -> None:
    """An app to which a person was lured to consent has a token for this API as well."""
    settings = some_settings(USER_CLIENT_IDS=f"{APP}, another")
    tokens = EntraTokenVerifier(settings, HttpPool(entra.answers.transport), entra.clock)
    raw = signed(user_claims(azp=azp))
    if is_taken:
        assert (await tokens.verify(raw)).kind is CallerKind.USER
    else:
        with pytest.raises(NotAuthenticated, match="may not act for people"):
            await tokens.verify(raw)
    assert (await tokens.verify(signed(platform_claims()))).kind is CallerKind.PLATFORM


async def test_without_any_keys_nobody_is_accused(entra: Entra) -> None:
    entra.is_down = True
    with pytest.raises(CalendarUnavailable):
        await entra.tokens.verify(signed(user_claims()))
    with pytest.raises(CalendarUnavailable):
        await entra.tokens.verify(signed(user_claims()))
    assert entra.fetches == 1
    entra.is_down = False
    entra.clock.advance(timedelta(seconds=15))
    await entra.tokens.verify(signed(user_claims()))


@pytest.mark.parametrize("key_set", [{"keys": []}, {}, [], {"keys": [{"kty": "EC", "kid": "x"}]}])
async def test_a_key_set_without_keys_does_not_replace_the_old_one(
    entra: Entra, key_set: Any
) -> None:
    await entra.tokens.verify(signed(user_claims()))
    entra.clock.advance(timedelta(hours=2))
    entra.answers.answer = lambda _: httpx.Response(200, json=key_set)
    later = int(entra.clock.now().timestamp()) + 60
    assert (await entra.tokens.verify(signed(user_claims(exp=later)))).kind is CallerKind.USER


def _part(payload: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
