"""The luks1 handler against cryptsetup, both ways (row S17)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.errors import CipherError, CryptlvError, KeystoreError, WrongCredential
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.luks1 import Luks1Handler, add_key, open_slot, remove_key
from cryptlv.keys.luks1_header import KEYSLOTS, decode_header
from cryptlv.secret import Passphrase, VolumeKey
from support.machine import Machine, need

from .conftest import has_cipher, names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conftest import Sample

HANDLER = Luks1Handler()
ENV = make_environment("test")
UUID = "00000000-0000-4000-8000-000000000000"
LUKS1 = KeystoreAttributes(handler="luks1")
AWKWARD = [b"word", b"two\nlines\n", b"\x00\xff\xfe nul", "gr\u00fc\u00dfe".encode(), b"p" * 512]


def opened(image: bytes, passphrase: bytes, attributes: KeystoreAttributes = LUKS1) -> bytes:
    with HANDLER.unlock(attributes, image, Passphrase(passphrase)) as key, key.reveal() as view:
        return bytes(view)


def made(passphrase: bytes, **request: object) -> tuple[bytes, bytes]:
    """A new header's image and its volume key."""
    draft = HANDLER.draft(KeystoreRequest(force_iterations=1000).replace(**request))
    image, key = HANDLER.create(draft, Passphrase(passphrase), ENV, UUID)
    assert len(image) == draft.image_bytes
    with key, key.reveal() as view:
        return image, bytes(view)


@pytest.mark.parametrize("name", names("luks1"))
def test_images_of_cryptsetup_open_with_each_passphrase_and_hold_the_plaintext(
    samples: Mapping[str, Sample], name: str
) -> None:
    sample = samples[name]
    cipher = sample.facts["cipher"]
    if not has_cipher(cipher):
        with pytest.raises(CipherError, match=cipher.split("-")[0]):
            opened(sample.image, b"x")
        return
    for passphrase in sample.passphrases.values():
        assert opened(sample.image, passphrase) == sample.volume_key
    parameters = HANDLER.parameters(LUKS1, sample.image)
    assert (parameters.cipher, parameters.key_size_bits) == (cipher, sample.facts["key_bits"])
    data = bytearray(sample.payload)
    open_sector_cipher(cipher, VolumeKey(sample.volume_key)).decrypt(data, 0)
    assert hashlib.sha256(data).hexdigest() == sample.facts["plaintext_sha256"]


def test_a_cipher_that_is_not_had_here_is_named(samples: Mapping[str, Sample]) -> None:
    image = samples["luks1-serpent-xts512-sha512"].image
    assert image[8:16] == b"serpent\0"
    with pytest.raises(CipherError, match="cast6"):
        opened(image[:8] + b"cast6\0\0\0" + image[16:], b"x")


@pytest.mark.compat
@pytest.mark.parametrize("passphrase", AWKWARD)
def test_cryptsetup_opens_ours_and_finds_our_volume_key(machine: Machine, passphrase: bytes) -> None:
    need("cryptsetup")
    image, volume_key = made(passphrase)
    (machine.folder / "header").write_bytes(image)
    key = machine.key_file("key", passphrase)
    said = _said(machine.tool("cryptsetup", "luksDump", "header").out)
    assert (said["Version"], said["Hash spec"], said["MK bits"], said["UUID"]) == ("1", "sha256", "512", UUID)
    machine.tool("cryptsetup", "open", "--test-passphrase", "--key-file", key, "header")
    words = (
        "cryptsetup",
        "luksDump",
        "-q",
        "--dump-volume-key",
        "--volume-key-file",
        "vk",
        "--key-file",
        key,
        "header",
    )
    machine.tool(*words)
    assert (machine.folder / "vk").read_bytes() == volume_key
    wrong = machine.key_file("wrong", passphrase + b"x")
    machine.tool("cryptsetup", "open", "--test-passphrase", "--key-file", wrong, "header", expect=2)


def _said(dump: str) -> dict[str, str]:
    """The words of luksDump and their values."""
    pairs = (line.partition(":") for line in dump.splitlines())
    return {word.strip(): value.strip() for word, _, value in pairs}


@pytest.mark.compat
@pytest.mark.parametrize(
    ("options", "cipher"),
    [
        (("-s", "512", "-h", "sha256"), "aes-xts-plain64"),
        (("-s", "256", "-h", "sha512"), "aes-xts-plain64"),
        (("-s", "256", "-h", "sha1", "-c", "aes-cbc-essiv:sha256"), "aes-cbc-essiv:sha256"),
    ],
)
def test_what_cryptsetup_makes_now_opens_in_ours(machine: Machine, options: tuple[str, ...], cipher: str) -> None:
    need("cryptsetup")
    machine.image("disk", 8)
    key = machine.key_file("key", b"first\n")
    words = ("cryptsetup", "luksFormat", "-q", "--type", "luks1", "--pbkdf-force-iterations", "1000", *options)
    machine.tool(*words, "--key-file", key, "disk")
    second = machine.key_file("second", b"another")
    machine.tool(
        "cryptsetup", "luksAddKey", "-q", "--pbkdf-force-iterations", "1000", "--key-file", key, "disk", second
    )
    machine.tool("cryptsetup", "luksDump", "-q", "--dump-volume-key", "--volume-key-file", "vk", "-d", key, "disk")
    image = (machine.folder / "disk").read_bytes()
    for passphrase in (b"first\n", b"another"):
        assert opened(image, passphrase) == (machine.folder / "vk").read_bytes()
    assert HANDLER.parameters(LUKS1, image).cipher == cipher
    machine.tool("cryptsetup", "luksKillSlot", "-q", "--key-file", second, "disk", "0")
    image = (machine.folder / "disk").read_bytes()
    with pytest.raises(WrongCredential):
        opened(image, b"first\n")
    assert opened(image, b"another") == (machine.folder / "vk").read_bytes()


@pytest.mark.compat
def test_a_key_added_by_ours_is_opened_by_cryptsetup(machine: Machine) -> None:
    need("cryptsetup")
    first, volume_key = made(b"first", key_size_bits=256)
    image = bytearray(first)
    for number in range(1, KEYSLOTS):
        with HANDLER.unlock(LUKS1, bytes(image), Passphrase(b"first")) as key:
            added = Passphrase(b"key %d" % number)
            add_key(
                decode_header(bytes(image)), image, number,
                volume_key=key, credential=added, iterations=1000, env=ENV,
            )  # fmt: skip
    (machine.folder / "header").write_bytes(image)
    for number in range(1, KEYSLOTS):
        key_file = machine.key_file(f"k{number}", b"key %d" % number)
        words = ("cryptsetup", "open", "--test-passphrase", "-S", str(number), "--key-file", key_file, "header")
        machine.tool(*words)
        assert opened(bytes(image), b"key %d" % number) == volume_key


def test_a_wrong_passphrase_a_damaged_stripe_and_a_disabled_slot_are_different_errors() -> None:
    image, _ = made(b"right", key_size_bits=256)
    with pytest.raises(WrongCredential, match=r"no keyslot opens with this passphrase$"):
        opened(image, b"wrong")
    start = decode_header(image).keyslots[0].offset_sectors * 512
    for place, data in ((start + 77_777, bytes([image[start + 77_777] ^ 1])), (start + 512, bytes(512))):
        damaged = image[:place] + data + image[place + len(data) :]
        with pytest.raises(KeystoreError, match=r"keyslot 0.*not what was written|keyslot 0.*not encrypted data"):
            opened(damaged, b"right")
    disabled = bytearray(image)
    disabled[208:212] = (0x0000DEAD).to_bytes(4, "big")
    with pytest.raises(KeystoreError, match="no keyslot is active"):
        opened(bytes(disabled), b"right")
    for number, word in ((3, "keyslot 3 is disabled"), (8, "no keyslot 8")):
        with pytest.raises(KeystoreError, match=word):
            open_slot(decode_header(image), image, number, Passphrase(b"right"))


def test_material_of_others_has_no_mark_and_shows_damage_that_is_not_random(samples: Mapping[str, Sample]) -> None:
    sample = samples["luks1-xts256-sha1"]
    start = decode_header(sample.image).keyslots[0].offset_sectors * 512
    for data, kind, word in (
        (b"\0" * 512, KeystoreError, "keyslot 0"),
        (b"\x5a", WrongCredential, "no keyslot opens"),
    ):
        damaged = sample.image[: start + 1024] + data + sample.image[start + 1024 + len(data) :]
        with pytest.raises(kind, match=word):
            opened(damaged, sample.passphrases[0])


def test_damage_to_one_of_two_keyslots_leaves_the_other_and_room_for_another_try() -> None:
    image, volume_key = made(b"first", key_size_bits=256)
    whole = bytearray(image)
    header = decode_header(image)
    with HANDLER.unlock(LUKS1, image, Passphrase(b"first")) as key:
        add_key(header, whole, 1, volume_key=key, credential=Passphrase(b"second"), iterations=1000, env=ENV)
    start = header.keyslots[0].offset_sectors * 512
    whole[start : start + 512] = bytes(512)
    assert opened(bytes(whole), b"second") == volume_key
    with pytest.raises(WrongCredential, match="keyslot 0"):
        opened(bytes(whole), b"first")


def test_a_key_is_changed_and_taken_away(machine: Machine) -> None:
    need("cryptsetup")
    first, volume_key = made(b"first", key_size_bits=256)
    image = bytearray(first)
    header = decode_header(first)
    material = header.keyslots[0].offset_sectors * 512
    with HANDLER.unlock(LUKS1, first, Passphrase(b"first")) as key:
        header = remove_key(header, image, 0, ENV)
        with pytest.raises(KeystoreError, match="disabled"):
            remove_key(header, image, 0, ENV)
        header = add_key(header, image, 0, volume_key=key, credential=Passphrase(b"new"), iterations=1000, env=ENV)
        header = add_key(header, image, 7, volume_key=key, credential=Passphrase(b"last"), iterations=1000, env=ENV)
        remove_key(header, image, 7, ENV)
    assert image[material : material + 4096] != first[material : material + 4096]
    assert opened(bytes(image), b"new") == volume_key
    (machine.folder / "header").write_bytes(image)
    for passphrase, status in ((b"new", 0), (b"first", 2), (b"last", 2)):
        key_file = machine.key_file("key", passphrase)
        machine.tool("cryptsetup", "open", "--test-passphrase", "--key-file", key_file, "header", expect=status)


def test_a_key_that_cryptsetup_has_changed_is_not_taken_for_damage(machine: Machine) -> None:
    need("cryptsetup")
    image, volume_key = made(b"old", key_size_bits=256)
    (machine.folder / "header").write_bytes(image)
    old, new = machine.key_file("old", b"old"), machine.key_file("new", b"new")
    words = ("cryptsetup", "luksChangeKey", "-q", "--pbkdf-force-iterations", "1000", "--key-file", old)
    machine.tool(*words, "header", new)
    changed = (machine.folder / "header").read_bytes()
    assert opened(changed, b"new") == volume_key
    with pytest.raises(WrongCredential, match=r"no keyslot opens with this passphrase$"):
        opened(changed, b"old")


def test_a_re_encryption_that_was_not_ended_is_told_by_name() -> None:
    image, _ = made(b"x", key_size_bits=256)
    with pytest.raises(KeystoreError, match="re-encryption"):
        opened(b"LUKS\xde\xad" + image[6:], b"x")


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"pbkdf_memory_kib": 64}, "--pbkdf-memory"), ({"pbkdf_lanes": 2}, "--pbkdf-parallel"),
        ({"sector_size": 4096}, "--sector-size"), ({"keyslots_bytes": 4096}, "--luks2-keyslots-size"),
        ({"metadata_bytes": 4096}, "--luks2-metadata-size"), ({"pbkdf": "argon2id"}, "pbkdf2 only"),
    ],
)  # fmt: skip
def test_what_luks1_does_not_have_is_refused_by_its_option(request_: dict[str, object], word: str) -> None:
    with pytest.raises(CryptlvError, match=word):
        HANDLER.draft(KeystoreRequest().replace(**request_))


def test_metadata_that_contradict_the_header_are_refused() -> None:
    image, _ = made(b"x", key_size_bits=256)
    for wrong in ({"cipher": "aes-cbc-plain"}, {"key_size_bits": 512}):
        with pytest.raises(KeystoreError, match="metadata says"):
            opened(image, b"x", LUKS1.replace(**wrong))


@pytest.mark.parametrize(
    ("request_", "word"),
    [({"force_iterations": 999}, "1000"), ({"key_hash": "md17"}, "md17"), ({"cipher": "x-y-z"}, "x")],
)
def test_requests_that_cannot_be_met_are_refused(request_: dict[str, object], word: str) -> None:
    with pytest.raises(CipherError, match=word):
        HANDLER.draft(KeystoreRequest().replace(**request_))


def test_the_time_that_unlocking_may_take_decides_the_iterations() -> None:
    counts = []
    for milliseconds in (50, 500):
        draft = HANDLER.draft(KeystoreRequest(iter_time_ms=milliseconds))
        image, key = HANDLER.create(draft, Passphrase(b"x"), ENV, UUID)
        key.close()
        counts.append(decode_header(image).keyslots[0].iterations)
    assert counts[0] >= 1000
    assert 4 < counts[1] / counts[0] < 25, "ten times the time, about ten times the work"


@pytest.mark.parametrize(
    ("number", "passphrase", "iterations", "word"),
    [
        (8, b"x", 1000, "no keyslot 8"),
        (-1, b"x", 1000, "no keyslot"),
        (0, b"x", 1000, "in use"),
        (1, b"", 1000, "empty"),
        (1, b"x", 999, "between"),
        (1, b"x", 2**31, "between"),
    ],
)
def test_a_key_is_not_added_where_or_as_it_cannot_be(
    number: int, passphrase: bytes, iterations: int, word: str
) -> None:
    whole, _ = made(b"first", key_size_bits=256)
    image = bytearray(whole)
    header = decode_header(whole)
    added = Passphrase(passphrase)
    with HANDLER.unlock(LUKS1, whole, Passphrase(b"first")) as key, pytest.raises(CryptlvError, match=word):
        add_key(header, image, number, volume_key=key, credential=added, iterations=iterations, env=ENV)
    assert image == whole


def test_more_iterations_than_can_be_done_are_refused_everywhere() -> None:
    with pytest.raises(CipherError, match="between"):
        HANDLER.draft(KeystoreRequest(force_iterations=2**31))
    image, _ = made(b"x", key_size_bits=256)
    for offset in (164, 212):
        damaged = bytearray(image)
        damaged[offset : offset + 4] = b"\x80\x00\x00\x00"
        with pytest.raises(KeystoreError, match="iterations"):
            opened(bytes(damaged), b"x")


def test_a_hash_that_is_not_known_is_named_before_anybody_is_asked(samples: Mapping[str, Sample]) -> None:
    image = bytearray(samples["luks1-xts256-sha1"].image)
    image[72:80] = b"whirlpoo"
    with pytest.raises(CipherError, match="whirlpoo"):
        HANDLER.parameters(LUKS1, bytes(image))
