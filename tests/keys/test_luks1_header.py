"""LUKS1 headers: fields as cryptsetup wrote them, the same bytes back, nothing that could not be meant."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CipherError, KeystoreError
from cryptlv.keys.luks1_header import decode_header, encode_header, image_bytes, slot_offset_sectors

from .conftest import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conftest import Sample

NAMES = names("luks1")
PHDR_BYTES = 592
"""LUKS1 on-disk format 1.2.3, section 6: magic 6, version 2, words 3 * 32, numbers, digest, salt, uuid, 8 * 48."""


@pytest.mark.parametrize("name", NAMES)
def test_the_fields_are_those_of_cryptsetups_manifest(samples: Mapping[str, Sample], name: str) -> None:
    sample = samples[name]
    header = decode_header(sample.image)
    facts = sample.facts
    assert header.cipher == facts["cipher"]
    assert header.hash_name == facts["hash"]
    assert header.key_bytes * 8 == facts["key_bits"]
    assert header.payload_offset_sectors * 512 == facts["payload_offset"]
    assert header.uuid == facts["uuid"]
    assert {number for number, slot in enumerate(header.keyslots) if slot.active} == set(sample.passphrases)
    assert encode_header(header) == sample.image[:PHDR_BYTES]


@pytest.mark.parametrize("name", NAMES)
def test_the_places_of_keyslots_are_cryptsetups(samples: Mapping[str, Sample], name: str) -> None:
    header = decode_header(samples[name].image)
    for number, slot in enumerate(header.keyslots):
        assert slot.offset_sectors == slot_offset_sectors(number, header.key_bytes)
    assert image_bytes(header.key_bytes) >= header.image_bytes


@pytest.mark.parametrize(
    ("offset", "data", "word"),
    [
        (0, b"X", "LUKS"),
        (6, struct.pack(">H", 2), "version"),
        (108, struct.pack(">I", 0), "key"),
        (108, struct.pack(">I", 2**31), "key"),
        (164, struct.pack(">I", 0), "iterations"),
        (208, b"\xde\xad\xbe\xef", "keyslot 0"),
        (208 + 40, struct.pack(">I", 2**31), "keyslot 0"),
        (208 + 40, struct.pack(">I", 0), "keyslot 0"),
        (208 + 44, struct.pack(">I", 0), "keyslot 0"),
        (8, b"\xff" * 32, "cipher"),
    ],
)
def test_what_could_not_be_meant_is_refused_by_name(
    samples: Mapping[str, Sample], offset: int, data: bytes, word: str
) -> None:
    image = bytearray(samples["luks1-xts256-sha1"].image)
    image[offset : offset + len(data)] = data
    with pytest.raises((KeystoreError, CipherError), match=word):
        decode_header(bytes(image))


@pytest.mark.parametrize("length", [0, 5, 591, 592, 4096, 100_000])
def test_a_header_that_is_cut_off_is_refused(samples: Mapping[str, Sample], length: int) -> None:
    with pytest.raises(KeystoreError):
        decode_header(samples["luks1-xts256-sha1"].image[:length])


def test_random_damage_is_only_ever_a_keystore_or_cipher_error(samples: Mapping[str, Sample]) -> None:
    rng = random.Random(1)
    whole = samples["luks1-default-xts512-sha256"].image
    for _ in range(3000):
        image = bytearray(whole[:PHDR_BYTES])
        for _ in range(rng.randint(1, 4)):
            image[rng.randrange(PHDR_BYTES)] = rng.randrange(256)
        try:
            decode_header(bytes(image) + whole[PHDR_BYTES:])
        except (KeystoreError, CipherError) as error:
            assert str(error).isprintable()
