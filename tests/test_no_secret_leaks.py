"""No secret is where it does not belong: all that a create and an activate leave or say is searched (row S27).

Looked for are volume key and passphrase, raw, as hexadecimal digits and in base64: in what commands print at -vvvv,
in reports, metadata, archives, backups and logs, in the arguments and environments of processes, in the repr of every
object, and in exceptions with their tracebacks and the locals of our frames.
"""

from __future__ import annotations

import base64
import gc
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import cryptlv
from cryptlv.errors import CryptlvError
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.registry import find_handler
from cryptlv.secret import Passphrase, Secret
from support.machine import FAST, Machine

PASSPHRASE = b"correct horse \xf0\x9f\x94\x91 battery staple"
RAW_KEY = bytes(range(64, 128))
ENV = make_environment("test")


def needles(secret: bytes) -> list[bytes]:
    """The ways to write a secret; base64 in its three alignments, without the digits at the seams."""
    written = [secret, secret.hex().encode(), secret.hex().upper().encode(), secret.hex(":").encode()]
    for pad in range(3):
        text = base64.b64encode(bytes(pad) + secret)
        written += [text[4:-4], base64.urlsafe_b64encode(bytes(pad) + secret)[4:-4]]
    printed = repr(secret)[2:-1].encode()
    return [*written, printed, printed.replace(b"\\\\", b"\\\\\\\\")]


def find(secret: bytes, where: dict[str, bytes]) -> list[str]:
    """The places that hold a secret in any form."""
    return [place for place, data in where.items() if any(needle in data for needle in needles(secret))]


def everything_of(machine: Machine, *outputs: bytes) -> dict[str, bytes]:
    """All files of the machine but the key file, all outputs, and what can be seen of processes."""
    seen = {f"output {number}": data for number, data in enumerate(outputs)}
    for path in machine.folder.rglob("*"):
        if path.is_file() and path.name != "key" and not path.is_mount():
            seen[str(path)] = path.read_bytes()
    for pid in machine.server_pids():
        for name in ("cmdline", "status", "comm", *["environ"] * (os.geteuid() == 0)):  # which others may not see
            seen[f"{name} of {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    return seen


def said(machine: Machine, *words: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "cryptlv", *words],
        cwd=machine.folder,
        env=machine.environ,
        capture_output=True,
        check=False,
    )
    return done.stdout + done.stderr + b" ".join(word.encode() for word in words)


def volume_key_of(machine: Machine, handler: str) -> bytes:
    """The volume key, found by cryptsetup's own ways or known."""
    if handler == "plain":
        return RAW_KEY
    image = (machine.folder / "a.img").read_bytes()[2**20 : 5 * 2**20]
    attributes = KeystoreAttributes(
        handler=handler, cipher="aes-xts-plain64", key_size_bits=512, key_hash="sha512" if handler == "hashed" else ""
    )
    with find_handler(handler).unlock(attributes, image, Passphrase(PASSPHRASE)) as key, key.reveal() as view:
        return bytes(view)


@pytest.mark.parametrize("handler", ["plain", "hashed", "luks1", "luks2"])
def test_nothing_that_a_volume_leaves_or_says_holds_its_secrets(vg0: Machine, handler: str) -> None:
    credential = RAW_KEY if handler == "plain" else PASSPHRASE
    vg0.key_file("key", credential)
    wrong = vg0.key_file("wrong", b"x" * len(credential))
    fast = FAST if handler.startswith("luks") else ()
    crypt = ("lvcreate", "--type", "crypt", "--handler", handler, *fast, "-l2", "-vvvv", "--debug", "vg0")
    outputs = [
        said(vg0, *crypt, "-n", "secret", "--keyfile", "key", "--why", "a test"),
        said(vg0, *crypt, "-n", "secret", "--keyfile", "key"),  # it exists: an error
        said(vg0, *crypt, "-n", "other", "--keyfile", "key", "--keyfile-size", "9999"),
        said(vg0, "lvchange", "-ay", "-vvvv", "--debug", "--keyfile", "key", "vg0/secret"),
        said(vg0, "lvchange", "-ay", "-vvvv", "--debug", "--keyfile", "wrong", "vg0/secret"),
        said(vg0, "lvs", "-a", "-vvvv", "-o", "lv_all,seg_all,crypt_all", "--reportformat", "json_std"),
        said(vg0, "lvdisplay", "-m", "-vvvv"),
        said(vg0, "vgcfgbackup", "-f", "backup.txt", "vg0"),
        said(vg0, "pvck", "--dump", "metadata_all", "-f", "dump.txt", "a.img"),
    ]
    assert vg0.server_pids(), outputs[3]
    wrong.unlink()
    key = volume_key_of(vg0, handler)
    seen = everything_of(vg0, *outputs)
    assert any("archive" in place for place in seen)
    assert any("backup" in place for place in seen)
    for secret in (credential, key):
        assert find(secret, seen) == []
    vg0.run("lvchange", "-an", "vg0/secret")
    after = everything_of(vg0)
    for secret in (credential, key):
        assert find(secret, after) == []


def test_the_search_finds_what_is_there() -> None:
    for text in (
        PASSPHRASE,
        PASSPHRASE.hex().encode(),
        base64.b64encode(b"ab" + PASSPHRASE),
        repr(PASSPHRASE).encode(),
    ):
        assert find(PASSPHRASE, {"here": b"... " + text + b" ..."}) == ["here"]
    assert find(PASSPHRASE, {"not here": b"correct horse"}) == []


@pytest.mark.parametrize("handler", ["luks1", "luks2"])
def test_no_object_and_no_exception_shows_a_secret(handler: str) -> None:
    """The repr of every object that the garbage collector knows, and of the locals of every frame of an error."""
    request = KeystoreRequest(force_iterations=1000, pbkdf="pbkdf2")
    found = find_handler(handler)
    draft = found.draft(request)
    credential = Passphrase(PASSPHRASE)
    image, key = found.create(draft, credential, ENV, "u")
    attributes = KeystoreAttributes(handler=handler)
    unlocked = found.unlock(attributes, image, credential)
    told = "".join(
        _shown(thing)
        for thing in gc.get_objects()
        if str(type(thing).__module__).startswith("cryptlv") or isinstance(thing, Secret)
    )
    told += f"{draft!r}{found.parameters(attributes, image)!r}{credential!r}{key!r}{unlocked!r}"
    damaged = bytearray(image)
    damaged[5000] ^= 1
    for bytes_, passphrase in ((image, PASSPHRASE + b"x"), (bytes(damaged[:9000]), PASSPHRASE), (b"", PASSPHRASE)):
        try:
            found.unlock(attributes, bytes_, Passphrase(passphrase))
        except CryptlvError as error:
            shown = traceback.TracebackException.from_exception(error, capture_locals=True)
            ours = [frame for frame in shown.stack if str(Path(cryptlv.__file__).parent) in frame.filename]
            assert ours
            told += "".join(traceback.StackSummary.from_list(ours).format()) + f"{error} {error!r}"
    with key.reveal() as view:
        volume_key = bytes(view)
    assert "<Passphrase>" in told
    for secret in (volume_key, PASSPHRASE):
        assert find(secret, {"told": told.encode("utf-8", "backslashreplace")}) == []


def _shown(thing: object) -> str:
    try:
        return repr(thing)
    except Exception:  # half-made objects have none
        return ""
