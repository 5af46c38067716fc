"""LUKS headers in both directions: stock makes them and ours opens them, ours makes them and stock opens them.

The judges are cryptsetup on plain files and qemu-img, which has ciphers that cryptsetup takes from the kernel only.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.ciphers.spec import parse_cipher_spec
from cryptlv.errors import CipherError
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.luks1_header import decode_header, encode_header
from cryptlv.keys.registry import find_handler
from cryptlv.secret import Passphrase, VolumeKey
from support.machine import Machine, need

if TYPE_CHECKING:
    from cryptlv.keys.handler import CipherParameters

pytestmark = pytest.mark.compat

PASSPHRASE = b"p\xc3\xa4ss\nword\x00\xff"
ENV = make_environment("test")
UUID = "00000000-0000-4000-8000-000000000000"
CHEAP = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
ARGON2 = ("--pbkdf-memory", "64", "--pbkdf-parallel", "1", "--pbkdf-force-iterations", "4")
SMALL = ("--luks2-keyslots-size", "1m", "--offset", "4096")


def has_cipher(spec: str) -> bool:
    try:
        parse_cipher_spec(spec)
    except CipherError:
        return False
    return True


def opened(kind: str, image: bytes) -> tuple[bytes, CipherParameters]:
    """The volume key that ours finds in an image, and what goes with it."""
    handler, attributes = find_handler(kind), KeystoreAttributes(handler=kind)
    with handler.unlock(attributes, image, Passphrase(PASSPHRASE)) as key, key.reveal() as view:
        return bytes(view), handler.parameters(attributes, image)


def stocks_volume_key(machine: Machine, header: str, key: Path) -> bytes:
    words = (
        "cryptsetup",
        "luksDump",
        "-q",
        "--dump-volume-key",
        "--volume-key-file",
        "vk",
        "--key-file",
        key,
        header,
    )
    machine.tool(*words)
    found = (machine.folder / "vk").read_bytes()
    (machine.folder / "vk").unlink()
    return found


LUKS1_BY_STOCK = [
    "-c aes-xts-plain64 -s 256 -h sha1", "-c aes-xts-plain64 -s 512 -h sha256", "-c aes-xts-plain64 -s 512 -h sha512",
    "-c aes-xts-plain -s 256 -h sha224", "-c aes-cbc-essiv:sha256 -s 128 -h sha256",
    "-c aes-cbc-essiv:sha256 -s 256 -h sha384", "-c aes-cbc-plain64 -s 192 -h ripemd160",
    "-c aes-cbc-plain -s 128 -h sha1", "-c aes-xts-plain64 -s 512 -h sha3-256",
    "-c aes-xts-plain64 -s 256 -h blake2b-512", "-c aes-cbc-plain64 -s 256 -h blake2s-256",
    "-c camellia-cbc-plain64 -s 256 -h sha256",
]  # fmt: skip


@pytest.mark.parametrize("options", LUKS1_BY_STOCK)
def test_luks1_of_cryptsetup_opens_in_ours(machine: Machine, options: str) -> None:
    need("cryptsetup")
    machine.image("disk", 8)
    key = machine.key_file("key", PASSPHRASE)
    machine.tool(
        "cryptsetup", "luksFormat", "-q", "--type", "luks1", *CHEAP, *options.split(), "--key-file", key, "disk"
    )
    _check(machine, "luks1", options, key)


LUKS2_BY_STOCK = [
    "--pbkdf argon2id -c aes-xts-plain64 -s 512", "--pbkdf argon2i -c aes-xts-plain64 -s 256",
    "--pbkdf argon2id -c aes-cbc-essiv:sha256 -s 256 --hash sha512",
    "--pbkdf argon2id -c aes-xts-plain64 -s 512 --sector-size 4096",
    "--pbkdf argon2i -c aes-cbc-plain64 -s 128 --sector-size 1024", "--pbkdf argon2id --luks2-metadata-size 64k",
    "--pbkdf argon2id --luks2-metadata-size 256k --label snow", "--pbkdf argon2id -c camellia-cbc-plain64 -s 128",
    "--pbkdf argon2id --keyslot-cipher aes-cbc-essiv:sha256 --keyslot-key-size 256",
    "--pbkdf pbkdf2 --hash sha1 -s 256", "--pbkdf pbkdf2 --hash sha256 --sector-size 2048",
    "--pbkdf pbkdf2 --hash sha512 -c aes-cbc-plain -s 192", "--pbkdf pbkdf2 --hash sha3-512",
    "--pbkdf pbkdf2 --hash blake2b-512 -s 256", "--pbkdf pbkdf2 --hash ripemd160 -c aes-xts-plain64 -s 256",
]  # fmt: skip


@pytest.mark.parametrize("options", LUKS2_BY_STOCK)
def test_luks2_of_cryptsetup_opens_in_ours(machine: Machine, options: str) -> None:
    need("cryptsetup")
    machine.image("disk", 8)
    key = machine.key_file("key", PASSPHRASE)
    cost = ("--pbkdf-force-iterations", "1000") if "pbkdf2" in options else ARGON2
    words = ("cryptsetup", "luksFormat", "-q", "--type", "luks2", *SMALL, *cost, *options.split())
    machine.tool(*words, "--key-file", key, "disk")
    _check(machine, "luks2", options, key)


def _check(machine: Machine, kind: str, options: str, key: Path) -> None:
    """Ours finds stock's volume key, cipher and sector size, also after stock has added a key and taken one away."""
    words = options.split()
    said = dict(zip(words[::2], words[1::2], strict=True))
    cipher = said.get("-c", "aes-xts-plain64")
    image = (machine.folder / "disk").read_bytes()
    if not has_cipher(cipher):
        with pytest.raises(CipherError, match=cipher.partition("-")[0]):
            opened(kind, image)
        return
    volume_key = stocks_volume_key(machine, "disk", key)
    found, parameters = opened(kind, image)
    assert found == volume_key
    assert parameters.cipher == cipher
    assert parameters.key_size_bits == len(volume_key) * 8
    assert parameters.sector_size == _sector_size(machine, kind)
    assert parameters.remarks == ()
    first = machine.key_file("first", b"another")
    machine.tool("cryptsetup", "luksAddKey", "-q", *CHEAP, "--key-file", key, "disk", first)
    machine.tool("cryptsetup", "luksKillSlot", "-q", "--key-file", first, "disk", "0")
    machine.tool("cryptsetup", "luksAddKey", "-q", *CHEAP, "-S", "5", "--key-file", first, "disk", key)
    assert opened(kind, (machine.folder / "disk").read_bytes())[0] == volume_key


def _sector_size(machine: Machine, kind: str) -> int:
    """What stock says of the volume: without an option it depends on the disk."""
    if kind == "luks1":
        return 512
    said = json.loads(machine.tool("cryptsetup", "luksDump", "--dump-json-metadata", "disk").out)
    return int(said["segments"]["0"]["sector_size"])


BY_QEMU = [
    ("aes-256", "xts", "plain64", "sha256", "aes-xts-plain64"),
    ("aes-128", "xts", "plain64", "sha1", "aes-xts-plain64"),
    ("aes-256", "cbc", "essiv", "sha256", "aes-cbc-essiv:sha256"),
    ("aes-256", "cbc", "plain64", "sha512", "aes-cbc-plain64"),
    ("aes-128", "cbc", "plain", "sha256", "aes-cbc-plain"),
    ("serpent-256", "xts", "plain64", "sha256", "serpent-xts-plain64"),
    ("serpent-128", "cbc", "plain64", "sha512", "serpent-cbc-plain64"),
    ("serpent-256", "cbc", "essiv", "sha256", "serpent-cbc-essiv:sha256"),
    ("twofish-256", "xts", "plain64", "sha256", "twofish-xts-plain64"),
    ("twofish-128", "cbc", "plain64", "sha1", "twofish-cbc-plain64"),
    ("twofish-256", "cbc", "essiv", "sha256", "twofish-cbc-essiv:sha256"),
]  # fmt: skip


@pytest.mark.parametrize(("alg", "mode", "iv", "hash_name", "cipher"), BY_QEMU)
def test_luks1_of_qemu_opens_in_ours_and_holds_what_qemu_wrote(
    machine: Machine, alg: str, mode: str, iv: str, hash_name: str, cipher: str
) -> None:
    need("qemu-img")
    key = machine.key_file("key", b"qemu takes a text")
    secret = f"secret,id=s,file={key}"
    iv_hash = ("-o", "ivgen-hash-alg=sha256") if iv == "essiv" else ()
    words = (
        "qemu-img", "create", "-q", "--object", secret, "-f", "luks",
        "-o", f"key-secret=s,iter-time=10,cipher-alg={alg}",
        "-o", f"cipher-mode={mode},ivgen-alg={iv},hash-alg={hash_name}", *iv_hash, "disk", "1M",
    )  # fmt: skip
    for _ in range(20):  # on a busy machine its clock may not tell how long something took
        made = machine.tool(*words, expect=None)
        if "accurate CPU usage" not in made.err:
            break
    assert made.status == 0, made.err
    data = os.urandom(2**20)
    (machine.folder / "plain").write_bytes(data)
    target = "driver=luks,file.filename=disk,key-secret=s"
    machine.tool("qemu-img", "convert", "-n", "--object", secret, "-f", "raw", "plain", "--target-image-opts", target)
    image = (machine.folder / "disk").read_bytes()
    handler, attributes = find_handler("luks1"), KeystoreAttributes(handler="luks1")
    if not has_cipher(cipher):
        with pytest.raises(CipherError, match=cipher.partition("-")[0]):
            handler.unlock(attributes, image, Passphrase(b"qemu takes a text"))
        return
    parameters = handler.parameters(attributes, image)
    assert parameters.cipher == cipher
    with handler.unlock(attributes, image, Passphrase(b"qemu takes a text")) as volume_key:
        start = decode_header(image).payload_offset_sectors * 512
        payload = bytearray(image[start : start + len(data)])
        open_sector_cipher(cipher, volume_key).decrypt(payload, 0)
    assert payload == data


BY_OURS = [
    ("luks1", {}), ("luks1", {"key_size_bits": 256, "key_hash": "sha512"}), ("luks1", {"key_hash": "sha1"}),
    ("luks1", {"cipher": "aes-cbc-essiv:sha256", "key_size_bits": 256}),
    ("luks1", {"cipher": "aes-cbc-plain", "key_size_bits": 128, "key_hash": "ripemd160"}),
    ("luks1", {"key_hash": "sha3-256"}),
    ("luks2", {}), ("luks2", {"pbkdf": "argon2i"}), ("luks2", {"pbkdf": "pbkdf2"}),
    ("luks2", {"pbkdf": "pbkdf2", "key_hash": "sha512", "key_size_bits": 256}),
    ("luks2", {"sector_size": 4096}), ("luks2", {"sector_size": 1024, "cipher": "aes-cbc-plain64"}),
    ("luks2", {"sector_size": 2048, "cipher": "aes-cbc-essiv:sha256"}), ("luks2", {"metadata_bytes": 65536}),
    ("luks2", {"metadata_bytes": 4194304, "keyslots_bytes": 16777216}), ("luks2", {"unit_bytes": 2**22}),
    ("luks2", {"pbkdf": "pbkdf2", "key_hash": "blake2b-512"}), ("luks2", {"key_hash": "sha384", "pbkdf_lanes": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "request_"), BY_OURS, ids=str)
def test_headers_of_ours_are_opened_and_described_by_cryptsetup(
    machine: Machine, kind: str, request_: dict[str, Any]
) -> None:
    need("cryptsetup")
    is_pbkdf2 = kind == "luks1" or request_.get("pbkdf") == "pbkdf2"
    cost = KeystoreRequest(force_iterations=1000)
    if not is_pbkdf2:
        cost = KeystoreRequest(force_iterations=4, pbkdf_memory_kib=64)
    handler = find_handler(kind)
    draft = handler.draft(cost.replace(**request_))
    image, volume_key = handler.create(draft, Passphrase(PASSPHRASE), ENV, UUID)
    (machine.folder / "header").write_bytes(image)
    key = machine.key_file("key", PASSPHRASE)
    assert volume_key.matches(VolumeKey(stocks_volume_key(machine, "header", key)))
    machine.image("data", 1)
    machine.tool("cryptsetup", "open", "--header", "header", "--test-passphrase", "--key-file", key, "data")
    wrong = machine.key_file("wrong", PASSPHRASE + b"x")
    machine.tool("cryptsetup", "open", "--test-passphrase", "--key-file", wrong, "header", expect=2)
    assert (machine.folder / "header").read_bytes() == image, "cryptsetup had nothing to mend"
    dump = machine.tool("cryptsetup", "luksDump", "header").out
    assert UUID in dump
    if kind == "luks1":
        assert "Payload offset:\t0" in dump
        return
    tree = json.loads(machine.tool("cryptsetup", "luksDump", "--dump-json-metadata", "header").out)
    (segment,) = tree["segments"].values()
    assert (segment["offset"], segment["size"], segment["iv_tweak"]) == ("0", "dynamic", "0")
    assert (segment["encryption"], segment["sector_size"]) == (draft.cipher, request_.get("sector_size", 512))
    assert tree["keyslots"]["0"]["kdf"]["type"] == request_.get("pbkdf", "argon2id")
    assert int(tree["config"]["keyslots_size"]) + 2 * (int(tree["config"]["json_size"]) + 4096) == len(image)
    new = machine.key_file("new", b"new")
    words = ("cryptsetup", "luksAddKey", "-q", *CHEAP, "--key-file", key)
    machine.tool(*words, "header", new)
    after = handler.unlock(
        KeystoreAttributes(handler=kind), (machine.folder / "header").read_bytes(), Passphrase(b"new")
    )
    assert after.matches(volume_key)


@pytest.mark.parametrize("bits", [256, 512])
def test_a_luks1_volume_that_ours_has_made_is_read_by_qemu(machine: Machine, bits: int) -> None:
    need("qemu-img")
    handler = find_handler("luks1")
    draft = handler.draft(KeystoreRequest(force_iterations=1000, key_size_bits=bits))
    image, volume_key = handler.create(draft, Passphrase(b"qemu takes a text"), ENV, UUID)
    header = decode_header(image).replace(payload_offset_sectors=4096)
    head = encode_header(header) + image[592:]
    plain = os.urandom(2**18)
    payload = bytearray(plain)
    open_sector_cipher(draft.cipher, volume_key).encrypt(payload, 0)
    (machine.folder / "disk").write_bytes(head.ljust(4096 * 512, b"\0") + payload)
    key = machine.key_file("key", b"qemu takes a text")
    source = "driver=luks,file.filename=disk,key-secret=s"
    words = ("qemu-img", "convert", "--object", f"secret,id=s,file={key}", "--image-opts", source)
    machine.tool(*words, "-O", "raw", "out")
    assert (machine.folder / "out").read_bytes() == plain


GOLDEN = Path(__file__).parent.parent / "golden" / "luks-in-lvm"


@pytest.mark.parametrize("facts", json.loads((GOLDEN / "manifest.json").read_text()), ids=lambda facts: facts["name"])
def test_volumes_that_cryptsetup_made_in_logical_volumes_hold_their_plaintext(
    machine: Machine, facts: dict[str, Any]
) -> None:
    for name in ("a", "b"):
        (machine.folder / f"{name}.img").write_bytes(lzma.decompress((GOLDEN / f"labvg-{name}.img.xz").read_bytes()))
    devices = f"{machine.folder / 'a.img'},{machine.folder / 'b.img'}"
    path = machine.run("lvchange", "--devices", devices, "-ay", f"labvg/{facts['name']}").lines[0]
    whole = Path(path).read_bytes() if not path.endswith(".nbd") else _from_nbd(machine, path, facts["name"])
    machine.run("lvchange", "--devices", devices, "-an", f"labvg/{facts['name']}")
    assert hashlib.sha256(whole).hexdigest() == facts["lv_sha256"]
    handler, attributes = find_handler(facts["format"]), KeystoreAttributes(handler=facts["format"])
    parameters = handler.parameters(attributes, whole)
    assert (parameters.cipher, parameters.sector_size) == (facts["cipher"], int(facts["sector_size"]))
    with handler.unlock(attributes, whole, Passphrase(facts["passphrase"].encode())) as key:
        assert key.matches(VolumeKey(bytes.fromhex(facts["volume_key"])))
        start = int(facts["payload_offset"])
        data = bytearray(whole[start : start + int(facts["payload_size"])])
        open_sector_cipher(parameters.cipher, key).decrypt(data, 0)
    assert hashlib.sha256(data).hexdigest() == facts["plaintext_sha256"]


def _from_nbd(machine: Machine, path: str, name: str) -> bytes:
    need("nbdcopy")
    machine.tool("nbdcopy", f"nbd+unix:///labvg%2F{name}?socket={path}", "copied")
    return (machine.folder / "copied").read_bytes()
