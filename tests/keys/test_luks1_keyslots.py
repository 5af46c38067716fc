"""Keyslots of LUKS1 headers: places of strangers' headers, and no more overwritten than belongs to one."""

from __future__ import annotations

import pytest

from cryptlv.errors import CipherError, KeystoreError, UsageError, WrongCredential
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.luks1 import Luks1Handler
from cryptlv.keys.luks1_header import decode_header, encode_header
from cryptlv.keys.luks1_keyslots import Luks1Keyslots
from cryptlv.secret import Passphrase

SLOTS, HANDLER = Luks1Keyslots(), Luks1Handler()
ENV = make_environment("test")
LUKS1 = KeystoreAttributes(handler="luks1")
CHEAP = KeystoreRequest(force_iterations=1000)
PACKED_SECTORS = 125
"""What the material of a key of 16 bytes takes, 4000 * 16 / 512."""


def made(**request: object) -> bytes:
    draft = HANDLER.draft(CHEAP.replace(**request))
    return HANDLER.create(draft, Passphrase(b"a"), ENV, "00000000-0000-4000-8000-000000000000")[0]


def packed() -> bytes:
    """A header whose key material lies without gaps from sector 2 on, as the specification allows."""
    image = made(cipher="aes-cbc-essiv:sha256", key_size_bits=128)
    header = decode_header(image)
    slots = tuple(
        slot.replace(offset_sectors=2 + number * PACKED_SECTORS) for number, slot in enumerate(header.keyslots)
    )
    start = header.keyslots[0].offset_sectors * 512
    body = image[start : start + PACKED_SECTORS * 512]
    head = encode_header(header.replace(keyslots=slots)).ljust(1024, b"\0")
    return (head + body).ljust(len(image), b"\0")


def with_key(image: bytes, old: bytes, new: bytes, number: int | None = None) -> bytes:
    place = SLOTS.free_keyslot(image, number, CHEAP)
    with SLOTS.find(LUKS1, image, Passphrase(old))[1] as key:
        return SLOTS.with_key(image, place, key, Passphrase(new), CHEAP, ENV)


@pytest.mark.parametrize("image", [made(), packed()], ids=["usual", "packed"])
def test_keys_come_and_go_and_leave_their_neighbours_alone(image: bytes) -> None:
    three = with_key(with_key(image, b"a", b"b"), b"a", b"c")
    assert [slot.shown for slot in SLOTS.listed(three)] == ["0:pbkdf2", "1:pbkdf2", "2:pbkdf2"]
    less = SLOTS.without_key(three, 1, ENV)
    assert [SLOTS.find(LUKS1, less, Passphrase(word))[0] for word in (b"a", b"c")] == [0, 2]
    with pytest.raises(WrongCredential):
        SLOTS.find(LUKS1, less, Passphrase(b"b"))
    (start, length) = SLOTS.areas(three)[1]
    assert less[start : start + length] != three[start : start + length]
    assert less[start + length :] == three[start + length :]
    assert SLOTS.identity(less) == SLOTS.identity(image)
    assert SLOTS.header_copies(image)[0][1] <= SLOTS.areas(image)[0][0]


def test_a_header_with_its_last_material_elsewhere_is_used_to_its_end() -> None:
    image = made() + bytes(2**20)
    header = decode_header(image)
    far = header.keyslots[7].replace(offset_sectors=(len(image) - 2**19) // 512)
    moved = encode_header(header.replace(keyslots=(*header.keyslots[:7], far))) + image[592:]
    assert SLOTS.used_bytes(moved) == len(image) - 2**19 + 256000 + 2048  # 64 * 4000, in blocks of 4096


def test_a_keyslot_that_cannot_be_had_is_refused_before_anything() -> None:
    image = made()
    for number, what in ((0, "is in use"), (8, "there is no keyslot 8")):
        with pytest.raises(KeystoreError, match=what):
            SLOTS.free_keyslot(image, number, CHEAP)
    with pytest.raises(CipherError, match="pbkdf2 only"):
        SLOTS.free_keyslot(image, None, CHEAP.replace(pbkdf="argon2id"))
    with pytest.raises(UsageError, match="pbkdf-memory"):
        SLOTS.free_keyslot(image, None, CHEAP.replace(pbkdf_memory_kib=64))
    for number in range(1, 8):
        image = with_key(image, b"a", b"%d" % number)
    with pytest.raises(KeystoreError, match="every keyslot is in use"):
        SLOTS.free_keyslot(image, None, CHEAP)
    with pytest.raises(WrongCredential, match="keyslot 3 does not open"):
        SLOTS.find(LUKS1, image, Passphrase(b"4"), 3)
