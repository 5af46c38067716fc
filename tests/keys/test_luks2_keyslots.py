"""Keyslots of LUKS2 headers: what is kept, what is refused, and which copy is written first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.errors import CipherError, KeystoreError, WrongCredential
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.luks2 import Luks2Handler
from cryptlv.keys.luks2_header import changed_copy, decode_header, encode_header
from cryptlv.keys.luks2_keyslots import Luks2Keyslots
from cryptlv.secret import Passphrase

from .conftest import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .conftest import Sample

SLOTS, HANDLER = Luks2Keyslots(), Luks2Handler()
ENV = make_environment("test")
LUKS2 = KeystoreAttributes(handler="luks2")
CHEAP = KeystoreRequest(pbkdf="pbkdf2", force_iterations=1000)


@pytest.fixture(scope="module")
def two() -> bytes:
    """A header with keyslots 0 and 1, for `a` and `b`."""
    draft = HANDLER.draft(CHEAP.replace(key_size_bits=256))
    image, _ = HANDLER.create(draft, Passphrase(b"a"), ENV, "00000000-0000-4000-8000-000000000000")
    return with_key(image, b"b")


def with_key(image: bytes, new: bytes, number: int | None = None) -> bytes:
    place = SLOTS.free_keyslot(image, number, CHEAP)
    with SLOTS.find(LUKS2, image, Passphrase(b"a"))[1] as key:
        return SLOTS.with_key(image, place, key, Passphrase(new), CHEAP, ENV)


def edited(image: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    copy = decode_header(image).copy
    tree = json.loads(json.dumps(copy.document.tree))
    change(tree)
    return encode_header(changed_copy(copy, tree, len(image))) + image[2 * copy.header_bytes :]


def test_priorities_tokens_and_other_keys_are_listed(two: bytes) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["keyslots"]["0"]["priority"] = 0
        tree["tokens"]["7"] = {"type": "clevis", "keyslots": ["1"]}

    image = edited(two, change)
    assert [slot.shown for slot in SLOTS.listed(image)] == ["0:pbkdf2:ignore", "1:pbkdf2:clevis"]
    assert [slot.number for slot in SLOTS.listed(image) if slot.opens] == [1]
    assert SLOTS.find(LUKS2, image, Passphrase(b"a"), 0)[0] == 0, "named, it opens"
    with pytest.raises(WrongCredential):
        SLOTS.find(LUKS2, image, Passphrase(b"a"))
    left = decode_header(SLOTS.without_key(image, 1, ENV)).document
    assert {token.kind: token.keyslots for token in left.tokens}["clevis"] == ()
    unbound = edited(two, lambda tree: tree["digests"]["0"].update(keyslots=["0"]))
    assert [slot.shown for slot in SLOTS.listed(unbound)] == ["0:pbkdf2", "1:pbkdf2:unbound"]
    with pytest.raises(KeystoreError, match=r"keyslot 1 .*no key of this volume"):
        SLOTS.find(LUKS2, unbound, Passphrase(b"b"), 1)


def test_a_key_that_was_removed_leaves_no_mark(two: bytes) -> None:
    (token,) = decode_header(SLOTS.without_key(two, 1, ENV)).document.tree["tokens"].values()
    assert list(token["material"]) == ["0"]


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_damaged_copy_is_written_before_the_whole_one(two: bytes, damaged: int) -> None:
    size = decode_header(two).copy.header_bytes
    image = bytearray(two)
    image[damaged * size + 460] ^= 1
    other = size - damaged * size
    assert SLOTS.header_copies(bytes(image)) == ((damaged * size, size), (other, size))
    assert SLOTS.header_copies(two) == ((0, size), (size, size))


def test_a_dear_keyslot_does_not_keep_a_named_one_from_opening(two: bytes) -> None:
    image = edited(two, lambda tree: tree["keyslots"]["0"]["kdf"].update(iterations=2**32 - 1))
    assert SLOTS.find(LUKS2, image, Passphrase(b"b"), 1)[0] == 1


@pytest.mark.parametrize("name", [name for name in names("luks2") if "reencrypt" in name])
def test_a_store_in_re_encryption_is_listed_and_not_changed(samples: Mapping[str, Sample], name: str) -> None:
    image = samples[name].image
    assert len(SLOTS.listed(image)) == len(decode_header(image).document.keyslots)
    for change in (
        lambda: SLOTS.without_key(image, 0, ENV),
        lambda: SLOTS.free_keyslot(image, None, CHEAP),
        lambda: SLOTS.find(LUKS2, image, Passphrase(b"x")),
    ):
        with pytest.raises(KeystoreError, match="re-encryption was begun"):
            change()


def test_what_cannot_be_had_is_refused_before_anything(two: bytes) -> None:
    for number, what in ((1, "is in use"), (32, "there is no keyslot 32")):
        with pytest.raises(KeystoreError, match=what):
            SLOTS.free_keyslot(two, number, CHEAP)
    with pytest.raises(CipherError, match="scrypt"):
        SLOTS.free_keyslot(two, None, CHEAP.replace(pbkdf="scrypt"))
    with pytest.raises(CipherError, match="12 PBKDF2 iterations"):
        SLOTS.free_keyslot(two, None, CHEAP.replace(force_iterations=12))
    image = two
    for number in range(2, 8):
        image = with_key(image, b"%d" % number)
    with pytest.raises(KeystoreError, match="no room"):
        SLOTS.free_keyslot(image, None, CHEAP)
