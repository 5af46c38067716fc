"""The LUKS1 header: cryptsetup's own headers field by field, and each kind of damage named."""

from __future__ import annotations

import hashlib
import re
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptlv.errors import KeystoreError
from cryptlv.keys.luks1_header import (
    HEADER_BYTES,
    KEYSLOTS,
    STRIPES,
    Keyslot,
    Luks1Header,
    check_words,
    decode_header,
    empty_slot,
    encode_header,
    image_bytes,
    slot_bytes,
    slot_offset_sectors,
)

_NAMES = (
    "luks1-default-xts512-sha256",
    "luks1-xts256-sha1",
    "luks1-cbc-essiv256-sha256",
    "luks1-cbc-plain128-sha1",
    "luks1-serpent-xts512-sha512",
    "luks1-multikey-utf8-keyfile",
    "luks1-detached-cbc128",
)
# Offsets of fields, from the LUKS1 On-Disk Format Specification's figure 1 and 2.
_VERSION, _CIPHER, _MODE, _HASH, _PAYLOAD, _KEY_BYTES, _ITERATIONS, _UUID, _SLOTS = (
    6,
    8,
    40,
    72,
    104,
    108,
    164,
    168,
    208,
)
_STATE, _SLOT_ITERATIONS, _OFFSET, _STRIPES = 0, 4, 40, 44


def _field(dump: str, name: str) -> str:
    found = re.search(rf"^\s*{name}:[ \t]*(.*(?:\n[ \t]+[0-9a-f ]+)*)", dump, re.MULTILINE)
    assert found is not None, name
    return found.group(1).strip()


def _bytes(text: str) -> bytes:
    return bytes.fromhex("".join(text.split()))


def _with_u32(image: bytes, offset: int, value: int) -> bytes:
    return image[:offset] + struct.pack(">I", value) + image[offset + 4 :]


def _slot_field(slot: int, offset: int) -> int:
    return _SLOTS + 48 * slot + offset


@pytest.fixture
def image(samples: dict[str, dict[str, Any]]) -> bytes:
    """A header with the keyslots 0, 1, 3, 4 and 7 in use, a key of 256 bits, and the payload at 2 MiB."""
    found = samples["luks1-multikey-utf8-keyfile"]["image"]
    assert isinstance(found, bytes)
    return found


@pytest.mark.parametrize("name", _NAMES)
def test_every_field_is_what_cryptsetups_luksdump_shows(name: str, samples: dict[str, dict[str, Any]]) -> None:
    dump = samples[name]["luksdump"]
    header = decode_header(samples[name]["image"])
    assert header.cipher_name == _field(dump, "Cipher name")
    assert header.cipher_mode == _field(dump, "Cipher mode")
    assert header.cipher == samples[name]["cipher"]
    assert header.hash_name == _field(dump, "Hash spec")
    assert header.payload_offset_sectors == int(_field(dump, "Payload offset"))
    assert header.key_bytes * 8 == int(_field(dump, "MK bits"))
    assert header.digest == _bytes(_field(dump, "MK digest"))
    assert header.digest_salt == _bytes(_field(dump, "MK salt"))
    assert header.digest_iterations == int(_field(dump, "MK iterations"))
    assert header.uuid == _field(dump, "UUID")
    parts = re.split(r"^Key Slot \d: ", dump, flags=re.MULTILINE)[1:]
    assert len(header.keyslots) == len(parts) == KEYSLOTS
    for slot, part in zip(header.keyslots, parts, strict=True):
        assert slot.active == part.startswith("ENABLED")
        if slot.active:
            assert slot.iterations == int(_field(part, "Iterations"))
            assert slot.salt == _bytes(_field(part, "Salt"))
            assert slot.offset_sectors == int(_field(part, "Key material offset"))
            assert slot.stripes == int(_field(part, "AF stripes"))


@pytest.mark.parametrize("name", _NAMES)
def test_a_decoded_header_is_encoded_to_cryptsetups_bytes(name: str, samples: dict[str, dict[str, Any]]) -> None:
    image = samples[name]["image"]
    assert encode_header(decode_header(image)) == image[:HEADER_BYTES]


@pytest.mark.parametrize("name", _NAMES)
def test_new_keyslots_lie_where_cryptsetup_puts_them(name: str, samples: dict[str, dict[str, Any]]) -> None:
    header = decode_header(samples[name]["image"])
    places = [slot_offset_sectors(number, header.key_bytes) for number in range(KEYSLOTS)]
    assert places == [slot.offset_sectors for slot in header.keyslots]
    assert header.image_bytes == image_bytes(header.key_bytes)
    if header.payload_offset_sectors:
        assert image_bytes(header.key_bytes) <= header.payload_offset_sectors * 512
        # without alignment the payload of this one begins where the last keyslot's area ends
        if name == "luks1-cbc-plain128-sha1":
            assert image_bytes(header.key_bytes) == header.payload_offset_sectors * 512


@pytest.mark.parametrize(("key_bytes", "area"), [(16, 65536), (24, 98304), (32, 131072), (64, 258048)])
def test_a_keyslot_takes_four_thousand_keys_in_whole_pages(key_bytes: int, area: int) -> None:
    assert slot_bytes(key_bytes) == area
    assert area - 4096 < key_bytes * 4000 <= area
    assert image_bytes(key_bytes) == 4096 + 8 * area


def test_the_specifications_sizes() -> None:
    assert (HEADER_BYTES, KEYSLOTS, STRIPES) == (592, 8, 4000)


def test_an_empty_slot_is_disabled_at_its_place() -> None:
    slot = empty_slot(2, 64)
    assert (slot.active, slot.iterations, slot.salt, slot.stripes) == (False, 0, bytes(32), 4000)
    assert slot.offset_sectors == 8 + 2 * 504


def _damages() -> list[Any]:
    """A change to make at a place of the header, and words that its error must have."""
    return [
        pytest.param(0, b"L", ["magic"], id="magic of another case"),
        pytest.param(0, bytes(6), ["magic"], id="no magic"),
        pytest.param(4, b"\xbb\xba", ["magic"], id="magic swapped"),
        pytest.param(_VERSION, b"\0\x02", ["version", "2", "1"], id="LUKS2"),
        pytest.param(_VERSION, b"\0\0", ["version", "0"], id="version 0"),
        pytest.param(_VERSION, b"\x01\0", ["version", "256"], id="version little endian"),
        pytest.param(_CIPHER, b"a" * 32, ["cipher name"], id="cipher name without end"),
        pytest.param(_CIPHER, b"\xff", ["cipher name"], id="cipher name not ASCII"),
        pytest.param(_MODE, b"x" * 32, ["cipher mode"], id="mode without end"),
        pytest.param(_MODE, b"\x1b[2J", ["cipher mode"], id="mode with a control character"),
        pytest.param(_HASH, b"h" * 32, ["hash"], id="hash without end"),
        pytest.param(_HASH, b"sha\n1", ["hash"], id="hash of two lines"),
        pytest.param(_UUID, b"u" * 40, ["uuid"], id="UUID without end"),
        pytest.param(_KEY_BYTES, struct.pack(">I", 0), ["key", "0 bytes"], id="key of no bytes"),
        pytest.param(_KEY_BYTES, b"\xff" * 4, ["key", "4294967295 bytes"], id="key of 4 GiB"),
        pytest.param(_KEY_BYTES, struct.pack(">I", 64), ["keyslot"], id="keys longer than the room for them"),
        pytest.param(_ITERATIONS, bytes(4), ["digest", "0 iterations"], id="digest without iterations"),
        pytest.param(_ITERATIONS, b"\xff" * 4, ["digest", "4294967295"], id="digest of an hour"),
        pytest.param(_PAYLOAD, struct.pack(">I", 8), ["keyslot 0", "outside"], id="payload over the keyslots"),
        pytest.param(_slot_field(0, _STATE), bytes(4), ["keyslot 0", "state"], id="state 0"),
        pytest.param(_slot_field(7, _STATE), b"\0\xac\x71\xf4", ["keyslot 7", "0x00ac71f4"], id="state one off"),
        pytest.param(_slot_field(3, _STRIPES), struct.pack(">I", 3999), ["keyslot 3", "3999"], id="stripes"),
        pytest.param(_slot_field(1, _SLOT_ITERATIONS), bytes(4), ["keyslot 1", "0 iterations"], id="iterations 0"),
        pytest.param(_slot_field(4, _SLOT_ITERATIONS), b"\xff" * 4, ["keyslot 4"], id="iterations of an hour"),
        pytest.param(_slot_field(0, _OFFSET), bytes(4), ["keyslot 0", "overlaps"], id="keyslot over the header"),
        pytest.param(_slot_field(0, _OFFSET), struct.pack(">I", 1), ["keyslot 0"], id="keyslot in the header's end"),
        pytest.param(_slot_field(1, _OFFSET), struct.pack(">I", 8), ["overlaps"], id="two keyslots at one place"),
        pytest.param(_slot_field(1, _OFFSET), struct.pack(">I", 257), ["overlaps"], id="two keyslots overlap"),
        pytest.param(_slot_field(7, _OFFSET), b"\xff" * 4, ["keyslot 7", "outside"], id="keyslot at 2 TiB"),
    ]


@pytest.mark.parametrize(("offset", "damage", "words"), _damages())
def test_damage_is_refused_and_the_field_named(offset: int, damage: bytes, words: list[str], image: bytes) -> None:
    with pytest.raises(KeystoreError) as caught:
        decode_header(image[:offset] + damage + image[offset + len(damage) :])
    text = str(caught.value)
    assert [word for word in words if word not in text] == []
    assert text.isprintable()


def test_an_unused_keyslots_iterations_do_not_matter(image: bytes) -> None:
    damaged = _with_u32(image, _slot_field(2, _SLOT_ITERATIONS), 0xFFFFFFFF)
    assert decode_header(damaged).keyslots[2].active is False


@pytest.mark.parametrize("length", [0, 1, 6, 208, 591])
def test_less_than_a_header_is_refused(length: int, image: bytes) -> None:
    with pytest.raises(KeystoreError, match=f"{length} bytes are too few"):
        decode_header(image[:length])


@pytest.mark.parametrize("length", [592, 4096, 4096 + 7 * 131072, 4096 + 7 * 131072 + 128000 - 1])
def test_an_image_cut_in_its_key_material_is_refused(length: int, image: bytes) -> None:
    with pytest.raises(KeystoreError, match="ends outside the header"):
        decode_header(image[:length])


def test_an_image_may_end_with_the_last_keys_sector(image: bytes) -> None:
    assert decode_header(image[: 4096 + 7 * 131072 + 128000]).key_bytes == 32


_words = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-:", max_size=31)


@settings(max_examples=100, deadline=None)
@given(
    words=st.tuples(_words, _words, _words),
    key_bytes=st.sampled_from([16, 24, 32, 64]),
    numbers=st.tuples(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1)),
    active=st.sets(st.integers(0, 7)),
    seed=st.binary(max_size=8),
)
def test_a_header_is_read_back_as_it_was_written(
    words: tuple[str, str, str], key_bytes: int, numbers: tuple[int, int], active: set[int], seed: bytes
) -> None:
    salts = [hashlib.shake_128(seed + bytes([number])).digest(32) for number in range(9)]
    header = Luks1Header(
        cipher_name=words[0],
        cipher_mode=words[1],
        hash_name=words[2],
        payload_offset_sectors=0,
        key_bytes=key_bytes,
        digest=salts[8][:20],
        digest_salt=salts[8],
        digest_iterations=numbers[0],
        uuid="6b1f9c2e-0000-4000-8000-0123456789ab",
        keyslots=tuple(
            Keyslot(
                active=number in active,
                iterations=numbers[1],
                salt=salts[number],
                offset_sectors=slot_offset_sectors(number, key_bytes),
            )
            for number in range(8)
        ),
    )
    check_words(header)
    encoded = encode_header(header)
    assert len(encoded) == 592
    assert encoded[:8] == b"LUKS\xba\xbe\x00\x01"
    assert encoded[8:40].rstrip(b"\0").decode() == words[0]
    assert struct.unpack_from(">II", encoded, 104) == (0, key_bytes)
    assert decode_header(encoded + bytes(image_bytes(key_bytes) - 592)) == header


@pytest.mark.parametrize("field", ["cipher_name", "cipher_mode", "hash_name"])
def test_a_word_longer_than_its_field_is_refused(field: str, image: bytes) -> None:
    header = decode_header(image)
    check_words(header.replace(**{field: "x" * 31}))
    with pytest.raises(KeystoreError, match="x" * 32):
        check_words(header.replace(**{field: "x" * 32}))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 591), st.binary(min_size=1, max_size=8)), max_size=4),
    length=st.one_of(st.none(), st.integers(0, 4096)),
)
def test_any_damage_is_decoded_or_refused_in_one_printable_line(
    changes: list[tuple[int, bytes]], length: int | None, image: bytes
) -> None:
    damaged = bytearray(image[:length])
    for place, data in changes:
        damaged[place : place + len(data)] = data
    try:
        header = decode_header(bytes(damaged))
    except KeystoreError as error:
        shown = str(error)
    else:
        shown = header.cipher + header.hash_name + header.uuid
        room = min(len(damaged), header.payload_offset_sectors * 512 or len(damaged))
        assert all(592 <= slot.offset_sectors * 512 < room for slot in header.keyslots)
    assert shown.isprintable()


@given(st.binary(max_size=700))
def test_random_bytes_are_no_header(data: bytes) -> None:
    with pytest.raises(KeystoreError):
        decode_header(data)
    with pytest.raises(KeystoreError):
        decode_header(b"LUKS\xba\xbe\x00\x01" + data)
