"""Both copies of a LUKS2 header: checksums, which one counts, and the recovery of one from the other."""

from __future__ import annotations

import hashlib
import random
import struct
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import KeystoreError
from cryptlv.keys.luks2_header import HEADER_SIZES, changed_copy, decode_header, encode_header, new_copy

from .conftest import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conftest import Sample

SMALL = "luks2-argon2id-xts512"
COPY = 16384


def sealed(image: bytes, offset: int = 0, size: int = COPY) -> bytes:
    """The image with the SHA-256 of the copy at `offset` put right (LUKS2 specification 1.1.1, section 2.1)."""
    whole = bytearray(image)
    whole[offset + 448 : offset + 512] = bytes(64)
    whole[offset + 448 : offset + 480] = hashlib.sha256(whole[offset : offset + size]).digest()
    return bytes(whole)


def patched(image: bytes, *changes: tuple[int, bytes]) -> bytes:
    whole = bytearray(image)
    for offset, data in changes:
        whole[offset : offset + len(data)] = data
    return bytes(whole)


@pytest.mark.parametrize("name", names("luks2"))
def test_headers_of_cryptsetup_are_whole_and_say_what_it_says(samples: Mapping[str, Sample], name: str) -> None:
    header = decode_header(samples[name].image)
    facts = samples[name].facts
    assert header.remarks == ()
    assert header.mends == ()
    assert header.document.tree == facts["json"]
    if "uuid" in facts:
        assert header.copy.uuid == facts["uuid"]


def test_what_is_written_is_read_again_and_both_copies_are_alike_but_for_magic_salt_and_place(
    samples: Mapping[str, Sample],
) -> None:
    image = samples["luks2-tokens-label-unbound"].image
    before = decode_header(image).copy
    size = before.header_bytes
    both = encode_header(before)
    again = decode_header(both + image[2 * size :])
    assert again.copy.replace(area=b"") == before.replace(area=b"")
    assert again.mends == ()
    assert both[:6] == b"LUKS\xba\xbe"
    assert both[size : size + 6] == b"SKUL\xba\xbe"
    assert both[4096:size] == both[size + 4096 : 2 * size]
    assert both[104:168] != both[size + 104 : size + 168]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("where", [0, 7, 100, 300, 450, 5000, COPY - 1])
def test_one_damaged_copy_is_told_and_made_whole_from_the_other(
    samples: Mapping[str, Sample], which: int, where: int
) -> None:
    image = samples[SMALL].image
    place = which * COPY + where
    damaged = patched(image, (place, bytes([image[place] ^ 0x41])))
    header = decode_header(damaged)
    (remark,) = header.remarks
    assert f"{('first', 'second')[which]} copy" in remark
    assert f"the {('second', 'first')[which]} copy is whole" in remark
    assert header.document == decode_header(image).document
    ((offset, data),) = header.mends
    assert (offset, len(data)) == (which * COPY, COPY)
    mended = decode_header(patched(damaged, *header.mends))
    assert (mended.remarks, mended.mends) == ((), ())
    assert mended.copy.uuid == header.copy.uuid


def test_the_older_copy_is_not_used(samples: Mapping[str, Sample]) -> None:
    image = samples[SMALL].image
    for which in (0, 1):
        newer = sealed(patched(image, (which * COPY + 16, struct.pack(">Q", 99))), which * COPY)
        header = decode_header(newer)
        assert header.copy.sequence == 99
        assert "older" in header.remarks[0]
        assert decode_header(patched(newer, *header.mends)).remarks == ()


@pytest.mark.parametrize("size", [0x8000, 0x40000, 0x400000])
def test_the_second_copy_is_found_wherever_it_may_be(size: int, samples: Mapping[str, Sample]) -> None:
    tree = samples["luks2-detached"].facts["json"]
    tree = tree | {
        "keyslots": {}, "digests": {"0": tree["digests"]["0"] | {"keyslots": []}},
        "config": {"json_size": str(size - 4096), "keyslots_size": "0"},
    }  # fmt: skip
    image = encode_header(new_copy("u", size, b"s" * 64, tree, 2 * size))
    header = decode_header(bytes(size) + image[size:])
    assert "first copy" in header.remarks[0]
    assert header.copy.header_bytes == size
    assert decode_header(patched(bytes(size) + image[size:], *header.mends)).remarks == ()


@pytest.mark.parametrize(
    ("offset", "data", "word"),
    [
        (0, b"X", "magic"),
        (6, b"\0\3", "version is 3"),
        (8, struct.pack(">Q", 0), "size 0"),
        (8, struct.pack(">Q", 2**63), "size"),
        (8, struct.pack(">Q", 0x4001), "size"),
        (72, b"md5\0" + bytes(28), "'md5'"),
        (72, b"\xff" * 32, "unknown hash"),
        (256, struct.pack(">Q", 1), "offset 1"),
        (448, bytes(64), "checksum is wrong"),
        (4096, b"[", "JSON"),
    ],
)
def test_when_both_copies_are_damaged_both_are_named(
    samples: Mapping[str, Sample], offset: int, data: bytes, word: str
) -> None:
    image = patched(samples[SMALL].image, (offset, data), (COPY + 300, b"\x01"))
    if offset != 448:
        image = sealed(image)
    with pytest.raises(KeystoreError, match=word) as caught:
        decode_header(image)
    assert "both copies are damaged" in str(caught.value)
    assert "second copy: checksum" in str(caught.value)
    assert str(caught.value).isprintable()


def test_what_is_no_luks2_header_is_told_from_one_that_is_damaged(samples: Mapping[str, Sample]) -> None:
    for image, word in (
        (b"", "no LUKS header"),
        (bytes(2**20), "no LUKS header"),
        (samples["luks1-xts256-sha1"].image, "LUKS1"),
    ):
        with pytest.raises(KeystoreError, match=word):
            decode_header(image)


@pytest.mark.parametrize("length", [511, 4096, COPY - 1, COPY, 2 * COPY - 1])
def test_a_header_that_is_cut_off_is_refused(samples: Mapping[str, Sample], length: int) -> None:
    with pytest.raises(KeystoreError):
        decode_header(samples[SMALL].image[:length])


def test_random_damage_is_only_ever_a_keystore_error(samples: Mapping[str, Sample]) -> None:
    rng = random.Random(1)
    whole = samples[SMALL].image
    for _ in range(400):
        image = bytearray(whole)
        for place in (0, COPY):
            for _ in range(rng.randint(1, 4)):
                image[place + rng.choice((rng.randrange(512), 4096 + rng.randrange(1200)))] = rng.randrange(256)
        try:
            decode_header(sealed(sealed(bytes(image)), COPY))
        except KeystoreError as error:
            assert str(error).isprintable()


def test_a_text_that_is_too_long_for_its_area_is_refused_with_the_option(samples: Mapping[str, Sample]) -> None:
    image = samples[SMALL].image
    copy = decode_header(image).copy
    tree = copy.document.tree
    token = {"type": "x", "keyslots": [], "text": "x" * 12_000}
    with pytest.raises(KeystoreError, match="--luks2-metadata-size"):
        changed_copy(copy, tree | {"tokens": {"0": token}}, len(image))
    with pytest.raises(KeystoreError, match="numbers"):
        changed_copy(copy, tree | {"tokens": {"0": {"type": "x", "keyslots": [], "n": float("inf")}}}, len(image))


def test_the_sizes_are_those_of_the_specification() -> None:
    assert [size // 1024 for size in HEADER_SIZES] == [16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
