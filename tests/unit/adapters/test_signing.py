"""Signatures: by the newest key, and valid under it and the previous one."""

from typing import cast

import pytest

from shared.adapters.key_vault import KeyVaultSecrets, Secret
from shared.adapters.signing import HmacSigner


class Keys:
    """Key Vault with the versions of one secret, newest first."""

    def __init__(self, *values: str) -> None:
        self.values = list(values)
        self.reads = 0

    async def versions(self, _name: str, count: int, *, fresh: bool = False) -> list[Secret]:
        self.reads += 1
        return [Secret(value, value) for value in self.values[:count]]


def seals(keys: Keys, name: str = "consent-state-key") -> HmacSigner:
    return HmacSigner(cast("KeyVaultSecrets", keys), name, monotonic=lambda: 0.0)


async def test_signed_text_round_trips() -> None:
    ours = seals(Keys("one"))
    sealed = await ours.sign('["größe", 1]')
    assert await ours.verify(sealed) == '["größe", 1]'


async def test_the_previous_key_still_counts_and_the_one_before_does_not() -> None:
    keys = Keys("one")
    sealed = await seals(keys).sign("text")
    keys.values.insert(0, "two")
    assert await seals(keys).verify(sealed) == "text"
    keys.values.insert(0, "three")
    assert await seals(keys).verify(sealed) is None


async def test_a_key_newer_than_the_kept_ones_is_looked_for() -> None:
    old, new = Keys("one"), Keys("two", "one")
    sealed = await seals(new).sign("text")
    ours = seals(old)
    old.values.insert(0, "two")
    assert await ours.verify(sealed) == "text"


async def test_forgeries_make_the_keys_be_read_once_in_a_while() -> None:
    keys = Keys("one")
    ours = seals(keys)
    for _ in range(10):
        assert await ours.verify("v1.dGV4dA.forged") is None
    assert keys.reads == 11


@pytest.mark.parametrize(
    "sealed", ["", ".", "v1", "v1..", "v2.dGV4dA.x", "v1.ü.ü", "v1." + "a" * 2_000, "v1.a.b.c"]
)
async def test_nonsense_is_not_believed(sealed: str) -> None:
    assert await seals(Keys("one")).verify(sealed) is None


async def test_a_changed_text_is_not_believed() -> None:
    ours = seals(Keys("one"))
    version, body, mac = (await ours.sign("text")).split(".")
    assert await ours.verify(f"{version}.e{body[1:]}.{mac}") is None


async def test_a_seal_for_another_purpose_is_not_believed() -> None:
    sealed = await seals(Keys("one"), "other-key").sign("text")
    assert await seals(Keys("one")).verify(sealed) is None
