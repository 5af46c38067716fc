"""Key material: what was sealed is there again, damage is told from a wrong passphrase where that can be known."""

from __future__ import annotations

import os

import pytest

from cryptlv.ciphers.kdf import KdfParameters
from cryptlv.errors import KeystoreError, WrongCredential
from cryptlv.keys.material import (
    MARK_BYTES,
    derived_key,
    find_damage,
    mark,
    material_bytes,
    nothing_opened,
    seal,
    unseal,
)
from cryptlv.secret import Passphrase, VolumeKey

KEY = os.urandom(64)
KDF = KdfParameters(kind="pbkdf2", iterations=1000, salt=b"s" * 32, key_hash="sha256")


@pytest.mark.parametrize(("key_bytes", "expected"), [(16, 64_000), (32, 128_000), (64, 256_000), (17, 68_096)])
def test_material_is_4000_stripes_in_whole_sectors(key_bytes: int, expected: int) -> None:
    assert material_bytes(key_bytes) == expected


def test_a_key_is_there_again_with_the_right_passphrase_only() -> None:
    with VolumeKey(KEY) as key, derived_key(KDF, Passphrase(b"x"), 64) as derived:
        material = seal(key, derived, "aes-xts-plain64", "sha256", os.urandom)
        assert len(material) == material_bytes(64)
        with unseal(material, derived, "aes-xts-plain64", "sha256", 64) as found:
            assert found.matches(key)
        with derived_key(KDF, Passphrase(b"y"), 64) as other:
            assert not unseal(material, other, "aes-xts-plain64", "sha256", 64).matches(key)


def test_damage_shows_by_what_is_not_random_or_by_the_mark() -> None:
    material = os.urandom(material_bytes(32))
    kept = mark(KDF.salt, material)
    assert len(kept) == MARK_BYTES
    assert find_damage(material, KDF.salt, kept) == ""
    assert find_damage(material, KDF.salt, b"") == ""
    flipped = bytes([material[0] ^ 1]) + material[1:]
    assert "written" in find_damage(flipped, KDF.salt, kept)
    assert find_damage(flipped, b"other salt", kept) == "", "a mark of another key says nothing"
    for piece in (bytes(512), b"\xff" * 512, b"a text, as it is found in files. " * 16):
        assert "byte 1024" in find_damage(material[:1024] + piece + material[1536:], KDF.salt, b"")


@pytest.mark.parametrize(
    ("damage", "kind", "word"),
    [
        ({0: "", 1: ""}, WrongCredential, "with this passphrase$"),
        ({0: "bad", 1: ""}, WrongCredential, "no whole keyslot.*keyslot 0: bad"),
        ({0: "bad", 3: "worse"}, KeystoreError, "keyslot 0: bad; keyslot 3: worse"),
    ],
)
def test_the_error_says_what_another_passphrase_could_do(
    damage: dict[int, str], kind: type[Exception], word: str
) -> None:
    with pytest.raises(kind, match=word):
        raise nothing_opened("LUKS1", damage)
