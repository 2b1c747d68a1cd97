"""The client state that notifications echo, and its keys in Key Vault."""

import base64
from typing import Any

import pytest

from shared.adapters.client_states import HmacClientStateSigner
from shared.adapters.key_vault import Secret
from shared.ids import Mailbox, ObjectId, TenantId
from tests.unit.adapters.entra_fixtures import MENTOR, OTHER_TENANT, TENANT, USER, FakeClock

MAILBOX = Mailbox(TenantId(TENANT), ObjectId(USER))
NONCE = "Zm9vYmFyYmF6cXV4"


class FakeSecrets:
    """Key Vault with the versions of one secret, cached as by the real reader."""

    def __init__(self, *values: str) -> None:
        self.present = list(values)
        self.kept: list[str] = []
        self.reads = 0

    async def versions(self, name: str, count: int = 2, *, fresh: bool = False) -> list[Secret]:
        del name
        if fresh or not self.kept:
            self.reads += 1
            self.kept = self.present[:count]
        return [Secret(value, str(n)) for n, value in enumerate(self.kept)]


def states(secrets: FakeSecrets, clock: FakeClock | None = None) -> HmacClientStateSigner:
    port: Any = secrets
    return HmacClientStateSigner(port, monotonic=(clock or FakeClock()).monotonic)


async def test_a_state_names_its_mailbox() -> None:
    made = states(FakeSecrets("key"))
    state = await made.create(MAILBOX, NONCE)
    assert state.startswith(f"v1.{USER}.{NONCE}.")
    assert len(state) <= 128
    assert await made.verify(TENANT, state) == MAILBOX


async def test_the_tenant_is_covered() -> None:
    made = states(FakeSecrets("key"))
    state = await made.create(MAILBOX, NONCE)
    assert await made.verify(OTHER_TENANT, state) is None
    assert await made.verify(TENANT.upper(), state) == MAILBOX


async def test_every_character_counts() -> None:
    made = states(FakeSecrets("key"))
    state = await made.create(MAILBOX, NONCE)
    for place, character in enumerate(state[:-1]):  # the last one has bits that mean nothing
        other = "b" if character != "b" else "c"
        forged = state[:place] + other + state[place + 1 :]
        assert await made.verify(TENANT, forged) is None, place


@pytest.mark.parametrize(
    "state",
    ["", "v1", "v1...", "x" * 200, f"v1.{USER}.{NONCE}.", f"v2.{USER}.{NONCE}.{'a' * 43}", "é"],
)
async def test_malformed_client_state_belongs_to_no_mailbox(state: str) -> None:
    secrets = FakeSecrets("key")
    assert await states(secrets).verify(TENANT, state) is None
    assert secrets.reads == 0


async def test_the_previous_key_still_counts() -> None:
    state = await states(FakeSecrets("old")).create(MAILBOX, NONCE)
    assert await states(FakeSecrets("new", "old")).verify(TENANT, state) == MAILBOX
    assert await states(FakeSecrets("newer", "new")).verify(TENANT, state) is None


async def test_a_key_that_another_instance_knows_already_is_read() -> None:
    secrets = FakeSecrets("old")
    mine = states(secrets)
    await mine.create(MAILBOX, NONCE)
    secrets.present = ["new", "old"]
    theirs = await states(FakeSecrets("new", "old")).create(MAILBOX, NONCE)
    assert await mine.verify(TENANT, theirs) == MAILBOX


async def test_forgers_do_not_make_it_read_the_keys_each_time() -> None:
    secrets, clock = FakeSecrets("key"), FakeClock()
    mine = states(secrets, clock)
    forged = await states(FakeSecrets("forger")).create(MAILBOX, NONCE)
    for _ in range(50):
        assert await mine.verify(TENANT, forged) is None
    assert secrets.reads == 2


async def test_a_long_key_may_be_base64() -> None:
    raw = bytes(range(32))
    state = await states(FakeSecrets(base64.b64encode(raw).decode())).create(MAILBOX, NONCE)
    assert await states(FakeSecrets(base64.b64encode(raw).decode())).verify(TENANT, state)


@pytest.mark.parametrize("nonce", ["", "a b", "a.b", "n" * 41])
async def test_a_nonce_that_does_not_fit_is_refused(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        await states(FakeSecrets("key")).create(Mailbox(TenantId(TENANT), ObjectId(MENTOR)), nonce)
