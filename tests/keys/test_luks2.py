"""The luks2 handler: images of cryptsetup, headers of ours in its hands, and errors that tell what is wrong."""

from __future__ import annotations

import binascii
import hashlib
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.ciphers.kdf import KdfParameters
from cryptlv.errors import CipherError, CryptlvError, KeystoreError, WrongCredential
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.luks2 import Luks2Handler, add_key, affordable, choose_kdf, open_slot, remove_key
from cryptlv.keys.luks2_header import changed_copy, decode_header, encode_header
from cryptlv.secret import Passphrase, VolumeKey
from support.machine import Machine, need

from .conftest import has_cipher, names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .conftest import Sample

HANDLER = Luks2Handler()
ENV = make_environment("test")
UUID = "00000000-0000-4000-8000-000000000000"
LUKS2 = KeystoreAttributes(handler="luks2")
CHEAP = KeystoreRequest(pbkdf_memory_kib=64, pbkdf_lanes=1, force_iterations=4)
KDF = KdfParameters(kind="pbkdf2", iterations=1000, key_hash="sha256")


def opened(image: bytes, passphrase: bytes, attributes: KeystoreAttributes = LUKS2) -> bytes:
    with HANDLER.unlock(attributes, image, Passphrase(passphrase)) as key, key.reveal() as view:
        return bytes(view)


def made(passphrase: bytes, **request: object) -> tuple[bytes, bytes]:
    """A new header's image and its volume key."""
    draft = HANDLER.draft(CHEAP.replace(**request))
    image, key = HANDLER.create(draft, Passphrase(passphrase), ENV, UUID)
    assert len(image) == draft.image_bytes
    with key, key.reveal() as view:
        return image, bytes(view)


@pytest.fixture(scope="module")
def small() -> tuple[bytes, bytes]:
    """An image of one keyslot, passphrase `right`, and its volume key."""
    return made(b"right", key_size_bits=256)


def edited(image: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The image with another JSON text, as any program may write it."""
    copy = decode_header(image).copy
    tree = json.loads(json.dumps(copy.document.tree))
    change(tree)
    return encode_header(changed_copy(copy, tree, len(image))) + image[2 * copy.header_bytes :]


@pytest.mark.parametrize("name", names("luks2", whole=True))
def test_images_of_cryptsetup_open_and_hold_the_plaintext(samples: Mapping[str, Sample], name: str) -> None:
    sample = samples[name]
    facts, image = sample.facts, sample.image
    document = decode_header(image).document
    if not has_cipher(facts["cipher"]):
        with pytest.raises(CipherError, match=facts["cipher"].split("-")[0].split(",")[0]):
            opened(image, b"x")
        return
    for number, passphrase in sample.passphrases.items():
        key = open_slot(document, image, number, Passphrase(passphrase))
        assert key is not None
        assert key.matches(VolumeKey(sample.volume_key))
    assert opened(image, sample.passphrases[0]) == sample.volume_key
    parameters = HANDLER.parameters(LUKS2, image)
    expected = (facts["cipher"], facts["key_bits"], facts["sector_size"])
    assert (parameters.cipher, parameters.key_size_bits, parameters.sector_size) == expected
    data = bytearray(sample.payload)
    open_sector_cipher(parameters.cipher, VolumeKey(sample.volume_key), parameters.sector_size).decrypt(data, 0)
    assert hashlib.sha256(data).hexdigest() == facts["plaintext_sha256"]


@pytest.mark.parametrize("name", [name for name in names("luks2") if "integrity" in name])
def test_authenticated_volumes_are_refused_by_name_and_their_keyslots_read(
    samples: Mapping[str, Sample], name: str
) -> None:
    sample = samples[name]
    passphrase = sample.passphrases[0]
    with pytest.raises(KeystoreError, match="authenticated") as caught:
        opened(sample.image, passphrase)
    assert sample.facts["integrity"]["type"] in str(caught.value)
    key = open_slot(decode_header(sample.image).document, sample.image, 0, Passphrase(passphrase))
    assert key is not None
    assert key.matches(VolumeKey(sample.volume_key))


@pytest.mark.parametrize("name", [name for name in names("luks2") if "reencrypt" in name])
def test_a_re_encryption_that_was_not_ended_is_refused_by_name_and_its_keys_read(
    samples: Mapping[str, Sample], name: str
) -> None:
    image, facts = samples[name].image, samples[name].facts
    passphrase = bytes.fromhex(facts["keys"][0]["hex"])
    with pytest.raises(KeystoreError, match="re-encryption was begun"):
        opened(image, passphrase)
    document = decode_header(image).document
    found = set()
    for slot in document.keyslots:
        if slot.kind == "luks2":
            key = open_slot(document, image, slot.number, Passphrase(passphrase))
            assert key is not None
            with key.reveal() as view:
                found.add(bytes(view).hex())
        else:
            with pytest.raises(KeystoreError, match="type 'reencrypt'"):
                open_slot(document, image, slot.number, Passphrase(passphrase))
    assert found == {facts[word] for word in ("old_volume_key", "new_volume_key") if word in facts}


def test_priorities_and_keyslots_of_no_segment_are_respected(samples: Mapping[str, Sample]) -> None:
    sample = samples["luks2-tokens-label-unbound"]
    document = decode_header(sample.image).document
    assert opened(sample.image, sample.passphrases[0]) == sample.volume_key
    with pytest.raises(WrongCredential):
        opened(sample.image, sample.passphrases[1])  # ignored unless it is named
    with pytest.raises(WrongCredential):
        opened(sample.image, b"unbound pass")
    unbound = open_slot(document, sample.image, 6, Passphrase(b"unbound pass"))
    assert unbound is not None
    assert not unbound.matches(VolumeKey(sample.volume_key))
    assert [(token.kind, token.keyslots) for token in document.tokens] == [
        ("luks2-keyring", (1,)), ("lab-test", (0, 1)),
    ]  # fmt: skip


def test_a_preferred_keyslot_is_tried_first(small: tuple[bytes, bytes]) -> None:
    image = bytearray(small[0])
    with VolumeKey(small[1]) as key:
        add_key(image, 1, volume_key=key, credential=Passphrase(b"two"), kdf=KDF, env=ENV)

    def prefer_one_and_spoil_the_other(tree: dict[str, Any]) -> None:
        tree["keyslots"]["1"]["priority"] = 2
        tree["keyslots"]["0"]["kdf"]["time"] = 2**31  # an error as soon as it is tried

    changed = edited(bytes(image), prefer_one_and_spoil_the_other)
    assert opened(changed, b"two") == small[1]
    with pytest.raises(CipherError, match="out of range"):
        opened(changed, b"right")


def test_wrong_passphrase_damaged_stripe_damaged_copy_and_disabled_slot_differ(small: tuple[bytes, bytes]) -> None:
    image, key = small
    with pytest.raises(WrongCredential, match=r"no keyslot opens with this passphrase$"):
        opened(image, b"wrong")
    place = 32768 + 99_999
    flipped = image[:place] + bytes([image[place] ^ 1]) + image[place + 1 :]
    with pytest.raises(KeystoreError, match="keyslot 0: it is not what was written"):
        opened(flipped, b"right")
    assert opened(image[:200] + b"\1" + image[201:], b"right") == key, "the other copy serves"
    parameters = HANDLER.parameters(LUKS2, image[:200] + b"\1" + image[201:])
    assert "first copy: checksum is wrong" in parameters.remarks[0]
    with pytest.raises(KeystoreError, match="both copies"):
        opened(image[:200] + b"\1" + image[201:16600] + b"\1" + image[16601:], b"right")
    gone = bytearray(image)
    remove_key(gone, 0, ENV)
    with pytest.raises(KeystoreError, match="no keyslot is there"):
        opened(bytes(gone), b"right")
    ignored = edited(image, lambda tree: tree["keyslots"]["0"].update(priority=0))
    with pytest.raises(KeystoreError, match="ignored"):
        opened(ignored, b"right")
    for number in (1, 40):
        with pytest.raises(KeystoreError, match=f"keyslot {number} does not exist"):
            open_slot(decode_header(image).document, image, number, Passphrase(b"right"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda tree: tree["keyslots"]["0"]["kdf"].update(time=2**32 - 1), "out of range"),
        (lambda tree: tree["keyslots"]["0"]["kdf"].update(memory=2**32 - 1), "out of range"),
        (lambda tree: tree["keyslots"]["0"]["kdf"].update(memory=2**22, time=1000), "too long"),
        (lambda tree: tree["keyslots"]["0"]["kdf"].update(memory=7), "out of range"),
        (lambda tree: tree["keyslots"]["0"]["kdf"].update(cpus=65, memory=2**20), "lanes"),
        (lambda tree: tree["digests"]["0"].update(iterations=2**32 - 1), "out of range"),
        (lambda tree: tree["digests"]["0"].update(hash="md17"), "md17"),
        (lambda tree: tree["digests"]["0"].update(type="scrypt"), "no digest"),
        (lambda tree: tree["keyslots"]["0"]["af"].update(hash="md17"), "md17"),
        (lambda tree: tree["keyslots"]["0"]["area"].update(encryption="rot13-xts-plain64"), "rot13"),
        (lambda tree: tree["keyslots"]["0"]["area"].update(key_size=17), "136"),
        (lambda tree: tree["segments"]["0"].update(encryption="rot13-xts-plain64"), "rot13"),
        (lambda tree: tree["segments"]["0"].update(sector_size=8192), "8192"),
        (lambda tree: tree["segments"]["0"].update(type="linear"), "'linear'"),
        (lambda tree: tree["segments"]["0"].update(type="hw-opal"), "'hw-opal'"),
        (lambda tree: tree["config"].update(requirements={"mandatory": ["inline-hw-tags"]}), "inline-hw-tags"),
        (lambda tree: tree["config"].update(requirements={"mandatory": ["offline-reencrypt"]}), "re-encryption"),
        (lambda tree: tree["keyslots"]["0"].update(key_size=16), "256|128"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_named_in_no_time(
    small: tuple[bytes, bytes], change: Callable[[dict[str, Any]], None], word: str
) -> None:
    image = edited(small[0], change)
    start = time.monotonic()
    with pytest.raises(CryptlvError, match=word) as caught:
        opened(image, b"right")
    assert not isinstance(caught.value, WrongCredential)
    assert str(caught.value).isprintable()
    assert time.monotonic() - start < 5


def test_many_dear_keyslots_are_bounded_together(small: tuple[bytes, bytes]) -> None:
    (slot,) = decode_header(small[0]).document.keyslots
    assert slot.kdf is not None
    dear = [slot.replace(number=number, kdf=slot.kdf.replace(iterations=2**22)) for number in range(8)]
    for count in (1, 4):
        assert list(affordable(dear[:count])) == dear[:count]
    with pytest.raises(CipherError, match="keyslot 4 is not tried"):
        list(affordable(dear))


def test_metadata_that_contradict_the_header_are_refused(small: tuple[bytes, bytes]) -> None:
    for wrong in ({"cipher": "aes-cbc-plain"}, {"key_size_bits": 512}):
        with pytest.raises(KeystoreError, match="metadata says"):
            opened(small[0], b"right", LUKS2.replace(**wrong))


@pytest.mark.parametrize(
    ("request_", "size", "slots"),
    [
        ({}, 2 * 2**20, 8),
        ({"unit_bytes": 4 * 2**20}, 4 * 2**20, 16),
        ({"unit_bytes": 64 * 2**20}, 16 * 2**20, 64),
        ({"unit_bytes": 65536}, 2 * 2**20, 8),
        ({"key_size_bits": 256}, 32768 + 2**20, 8),
        ({"keyslots_bytes": 258048}, 32768 + 258048, 1),
        ({"metadata_bytes": 2**20}, 2 * 2**20 + 8 * 258048, 8),
    ],
)
def test_an_image_has_room_for_eight_keyslots_and_uses_what_an_extent_leaves(
    request_: dict[str, object], size: int, slots: int
) -> None:
    draft = HANDLER.draft(KeystoreRequest().replace(**request_))
    assert draft.image_bytes == size
    per_slot = -(-draft.key_size_bits // 8 * 4000 // 4096) * 4096
    assert draft.request.keyslots_bytes // per_slot == slots


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"force_iterations": 3}, "4 and"), ({"force_iterations": 2**31}, "4 and"),
        ({"pbkdf": "pbkdf2", "force_iterations": 999}, "1000"), ({"pbkdf": "scrypt"}, "scrypt"),
        ({"pbkdf": "pbkdf2", "pbkdf_lanes": 1}, "--pbkdf-parallel"), ({"pbkdf_lanes": 5}, "more than 4"),
        ({"pbkdf": "pbkdf2", "pbkdf_memory_kib": 64}, "--pbkdf-memory"), ({"pbkdf_memory_kib": 31}, "32"),
        ({"pbkdf_memory_kib": 2**22 + 1}, "4194304"), ({"key_hash": "md17"}, "md17"), ({"cipher": "x-y-z"}, "x"),
        ({"sector_size": 8192}, "8192"), ({"metadata_bytes": 20480}, "metadata-size"),
        ({"keyslots_bytes": 4096}, "keyslots-size"), ({"keyslots_bytes": 258049}, "keyslots-size"),
        ({"keyslots_bytes": 2**25}, "keyslots-size"), ({"key_size_bits": 512, "cipher": "aes-cbc-plain"}, "512"),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_met_are_refused(request_: dict[str, object], word: str) -> None:
    with pytest.raises(CipherError, match=word):
        HANDLER.draft(KeystoreRequest().replace(**request_))


def test_no_more_processors_and_memory_are_taken_than_there_are() -> None:
    env = ENV.replace(cpus=2, usable_memory_kib=lambda: 100_000)
    kdf = choose_kdf(KeystoreRequest(force_iterations=5), "sha256", 64, env)
    assert (kdf.kind, kdf.iterations, kdf.memory_kib, kdf.lanes) == ("argon2id", 5, 100_000, 2)
    kdf = choose_kdf(KeystoreRequest(pbkdf="argon2i", force_iterations=5, pbkdf_memory_kib=64), "sha256", 64, env)
    assert (kdf.kind, kdf.memory_kib) == ("argon2i", 64)
    kdf = choose_kdf(KeystoreRequest(pbkdf="pbkdf2", iter_time_ms=50), "sha512", 64, env)
    assert (kdf.kind, kdf.key_hash, kdf.memory_kib) == ("pbkdf2", "sha512", 0)
    assert kdf.iterations > 1000
    with pytest.raises(CipherError, match="--iter-time"):
        choose_kdf(KeystoreRequest(iter_time_ms=0), "sha256", 64, env)


@pytest.mark.compat
def test_a_token_of_another_is_kept_and_ours_says_nothing_to_cryptsetup(
    machine: Machine, small: tuple[bytes, bytes]
) -> None:
    need("cryptsetup")
    image, volume_key = small
    (machine.folder / "header").write_bytes(image)
    token = {"type": "other", "keyslots": ["0"], "text": "snow \u2603", "nested": {"a": [1, None, 2.5]}}
    machine.tool("cryptsetup", "token", "import", "header", given=json.dumps(token).encode())
    (machine.folder / "header").chmod(0o600)
    changed = bytearray((machine.folder / "header").read_bytes())
    with VolumeKey(volume_key) as key:
        add_key(changed, 3, volume_key=key, credential=Passphrase(b"third"), kdf=KDF, env=ENV)
    document = decode_header(bytes(changed)).document
    assert [other.kind for other in document.tokens] == ["cryptlv", "other"]
    (machine.folder / "header").write_bytes(changed)
    assert json.loads(machine.tool("cryptsetup", "token", "export", "--token-id", "1", "header").out) == token
    key_file = machine.key_file("key", b"third")
    machine.tool("cryptsetup", "luksKillSlot", "-q", "--key-file", key_file, "header", "0")
    assert opened((machine.folder / "header").read_bytes(), b"third") == volume_key


@pytest.mark.compat
def test_a_key_that_cryptsetup_has_changed_is_not_taken_for_damage(
    machine: Machine, small: tuple[bytes, bytes]
) -> None:
    need("cryptsetup")
    (machine.folder / "header").write_bytes(small[0])
    old, new = machine.key_file("old", b"right"), machine.key_file("new", b"new")
    cheap = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
    machine.tool("cryptsetup", "luksChangeKey", "-q", *cheap, "--key-file", old, "header", new)
    changed = (machine.folder / "header").read_bytes()
    assert opened(changed, b"new") == small[1]
    with pytest.raises(WrongCredential, match=r"no keyslot opens with this passphrase$"):
        opened(changed, b"right")


def test_thirty_two_keyslots_are_used_and_no_more() -> None:
    whole, volume_key = made(b"first", key_size_bits=128, cipher="aes-cbc-plain", keyslots_bytes=33 * 65536)
    image = bytearray(whole)
    with VolumeKey(volume_key) as key:
        for number in range(1, 32):
            credential = Passphrase(b"key %d" % number)
            add_key(image, number, volume_key=key, credential=credential, kdf=KDF, env=ENV)
        for number, word in ((32, "no keyslot 32"), (-1, "no keyslot"), (5, "in use")):
            with pytest.raises(KeystoreError, match=word):
                add_key(image, number, volume_key=key, credential=Passphrase(b"x"), kdf=KDF, env=ENV)
    document = decode_header(bytes(image)).document
    assert len(document.keyslots) == 32
    found = open_slot(document, bytes(image), 31, Passphrase(b"key 31"))
    assert found is not None
    assert found.matches(VolumeKey(volume_key))


def test_a_key_is_not_added_where_or_as_it_cannot_be(small: tuple[bytes, bytes]) -> None:
    image = bytearray(made(b"first", key_size_bits=256, keyslots_bytes=131072)[0])
    before = bytes(image)
    with HANDLER.unlock(LUKS2, before, Passphrase(b"first")) as key:
        with pytest.raises(KeystoreError, match="no room"):
            add_key(image, 1, volume_key=key, credential=Passphrase(b"x"), kdf=KDF, env=ENV)
        with pytest.raises(CryptlvError, match="empty"):
            add_key(image, 1, volume_key=key, credential=Passphrase(b""), kdf=KDF, env=ENV)
        dear = KDF.replace(iterations=2**30)
        with pytest.raises(CipherError, match="out of range"):
            add_key(image, 1, volume_key=key, credential=Passphrase(b"x"), kdf=dear, env=ENV)
    with pytest.raises(KeystoreError, match="not the volume's key"):
        add_key(image, 1, volume_key=VolumeKey(small[1]), credential=Passphrase(b"x"), kdf=KDF, env=ENV)
    with pytest.raises(KeystoreError, match="keyslot 9 does not exist"):
        remove_key(image, 9, ENV)
    assert image == before


def test_a_key_that_was_removed_is_overwritten_and_its_room_is_used_again(small: tuple[bytes, bytes]) -> None:
    image = bytearray(small[0])
    area = slice(32768, 32768 + 131072)
    old = bytes(image[area])
    with VolumeKey(small[1]) as key:
        add_key(image, 1, volume_key=key, credential=Passphrase(b"two"), kdf=KDF, env=ENV)
        remove_key(image, 0, ENV)
        assert old[:4096] not in image
        add_key(image, 2, volume_key=key, credential=Passphrase(b"three"), kdf=KDF, env=ENV)
    places = {slot.number: slot.area_offset for slot in decode_header(bytes(image)).document.keyslots}
    assert places == {1: 32768 + 131072, 2: 32768}
    for passphrase in (b"two", b"three"):
        assert opened(bytes(image), passphrase) == small[1]
    with pytest.raises(WrongCredential):
        opened(bytes(image), b"right")


def _put_token(tree: dict[str, Any], token: dict[str, Any]) -> None:
    tree["tokens"]["0"] = token


def test_a_token_with_our_name_but_other_content_does_no_harm(small: tuple[bytes, bytes]) -> None:
    contents: tuple[dict[str, Any], ...] = (
        {},
        {"material": 7},
        {"material": {"0": 7, "x": "y", "1": "#" * 44}},
        {"material": {"0": "\u2603" * 44}},
    )
    for content in contents:
        token = {"type": "cryptlv", "keyslots": [], **content}
        changed = edited(small[0], partial(_put_token, token=token))
        with pytest.raises(WrongCredential):
            opened(changed, b"wrong")
        assert opened(changed, b"right") == small[1]
    text = binascii.b2a_base64(bytes(32), newline=False).decode()
    kept = edited(small[0], lambda tree: tree["tokens"]["0"]["material"].update({"0": text}))
    assert opened(kept, b"right") == small[1]
