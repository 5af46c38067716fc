"""Keys kept across commands: who is asked, what the kernel holds (stock keyctl is the judge), and when it is gone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.keys.handler import KeystoreAttributes
from cryptlv.ops.activation import KeyRing, KeystoreView
from cryptlv.ops.key_cache import cached_key, forget_key, keep_key
from cryptlv.secret import Passphrase, VolumeKey
from support.machine import FAST, need, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.machine import Machine

PASSPHRASE = b"a passphrase\n"
KEY = bytes(range(64))


def kept_by_kernel(store_id: str) -> bytes | None:
    """What stock keyctl finds under a keystore's id."""
    need("keyctl")
    found = subprocess.run(
        ["keyctl", "search", "@u", "user", f"cryptlv:cache:{store_id}"], capture_output=True, check=False
    )
    if found.returncode:
        return None
    return subprocess.run(["keyctl", "pipe", found.stdout.strip()], capture_output=True, check=True).stdout


def store_id(machine: Machine, name: str = "cryptostore1") -> str:
    (line,) = machine.run("lvs", "-a", "--noheadings", "-o", "lv_uuid", f"vg0/{name}").lines
    return line


def no_warning(text: str) -> None:
    pytest.fail(text)


@pytest.fixture
def view() -> Iterator[KeystoreView]:
    store = f"test-{time.monotonic_ns()}"
    yield KeystoreView(store_id=store, attributes=KeystoreAttributes(handler="luks2"), image=b"header")
    forget_key(store)


def test_a_key_is_kept_with_what_it_was_unlocked_from_and_found_again(view: KeystoreView) -> None:
    assert cached_key(view) is None
    keep_key(view, VolumeKey(KEY), 30, no_warning)
    kept = kept_by_kernel(view.store_id)
    assert kept is not None
    assert kept == hashlib.sha256(repr(view.attributes).encode() + view.image).digest() + KEY
    found = cached_key(view)
    assert found is not None
    assert found.matches(VolumeKey(KEY))


@pytest.mark.parametrize("change", ["image", "attributes"])
def test_a_keystore_that_was_changed_is_asked_for_and_its_old_key_forgotten(view: KeystoreView, change: str) -> None:
    keep_key(view, VolumeKey(KEY), 30, no_warning)
    changed = (
        view.replace(image=b"other")
        if change == "image"
        else view.replace(attributes=KeystoreAttributes(handler="luks2", cipher="aes-cbc-essiv:sha256"))
    )
    assert cached_key(changed) is None
    assert kept_by_kernel(view.store_id) is None
    assert cached_key(view) is None


def test_a_full_keyring_is_a_warning_and_holds_nothing() -> None:
    """As a user whose share is used up."""
    need_root()
    code = (
        "import os, resource\nfrom cryptlv.errors import KeyringError\n"
        "from cryptlv.host.keyring import USER, put_key\n"
        "from cryptlv.keys.handler import KeystoreAttributes\nfrom cryptlv.ops.activation import KeystoreView\n"
        "from cryptlv.ops.key_cache import cached_key, forget_key, keep_key\n"
        "from cryptlv.secret import Secret, VolumeKey\nimport hashlib, hmac, cryptlv.host.keyring as keyring\n"
        "keyring._keyutils()\nos.setgroups([])\nos.setuid(65533)\n"
        "try:\n    for number in range(300):\n        put_key(USER, f'cryptlv:full:{number}', Secret(bytes(900)))\n"
        "except KeyringError:\n    pass\n"
        "view = KeystoreView(store_id='x' * 900, attributes=KeystoreAttributes(handler='luks2'), image=b'')\n"
        "keep_key(view, VolumeKey(bytes(64)), 30, print)\nprint(cached_key(view))\nforget_key(view.store_id)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    warning, found = done.stdout.splitlines()
    assert warning.startswith("the key is not kept for 30 seconds: "), done.stderr
    assert "this user's share is full" in warning
    assert found == "None"


class Asked:
    """Counts how often the user is asked."""

    may_retry = False

    def __init__(self, cache_seconds: int) -> None:
        self.cache_seconds = cache_seconds
        self.times = 0

    def get(self, purpose: str, what: str, kind: str, names: tuple[str, ...] = ()) -> Passphrase:
        self.times += 1
        return Passphrase(KEY.hex().encode())


@pytest.mark.parametrize(("seconds", "asked_again"), [(0, 1), (30, 0)])
def test_a_second_ring_asks_nobody_within_the_time(seconds: int, asked_again: int) -> None:
    attributes = KeystoreAttributes(handler="plain", cipher="aes-xts-plain64", key_size_bits=512)
    view = KeystoreView(store_id=f"ring-{time.monotonic_ns()}", attributes=attributes, image=b"")
    for expected in (1, asked_again):
        user = Asked(seconds)
        with KeyRing(user, no_warning) as keys:
            assert keys.unlock("vg0", "cryptostore1", view, "a").matches(VolumeKey(KEY))
        assert user.times == expected
    forget_key(view.store_id)


def create(machine: Machine, *words: str, name: str = "s") -> None:
    machine.run("lvcreate", "--type", "crypt", "-l2", "-n", name, *words, "vg0", given=PASSPHRASE)


def test_within_the_time_nothing_is_asked_and_deactivation_drops_the_key(vg0: Machine) -> None:
    create(vg0, *FAST, "--cache-timeout", "60")
    store = store_id(vg0)
    assert kept_by_kernel(store) is not None, "kept by lvcreate"
    create(vg0, "--cryptostore", "cryptostore1", name="t")
    for name in ("s", "t"):
        vg0.run("lvchange", "-ay", f"vg0/{name}")
    vg0.run("lvchange", "-an", "vg0/s")
    assert kept_by_kernel(store) is not None, "t is active and has that key, too"
    vg0.run("lvchange", "-ay", "vg0/s")
    vg0.run("vgchange", "-an", "vg0")
    assert kept_by_kernel(store) is None
    assert "holds no passphrase" in vg0.fail("lvchange", "-ay", "vg0/s")


def test_without_the_option_nothing_is_kept(vg0: Machine) -> None:
    create(vg0, *FAST)
    vg0.run("lvchange", "-ay", "vg0/s", given=PASSPHRASE)
    assert kept_by_kernel(store_id(vg0)) is None


def test_a_file_system_grows_and_is_activated_with_the_kept_key(vg0: Machine) -> None:
    create(vg0, *FAST)
    path = vg0.run("lvchange", "-ay", "--cache-timeout", "60", "vg0/s", given=PASSPHRASE).lines[-1]
    vg0.tool("mke2fs", "-q", "-t", "ext4", path)
    vg0.run("lvchange", "-an", "vg0/s")
    vg0.run("vgchange", "-ay", "--cache-timeout", "60", "vg0", given=PASSPHRASE)
    store = store_id(vg0)
    assert kept_by_kernel(store) is not None
    vg0.run("lvextend", "-l+1", "vg0/s")
    vg0.run("vgchange", "-an", "vg0")
    vg0.run("lvextend", "-r", "-l+1", "--cache-timeout", "60", "vg0/s", given=PASSPHRASE)
    assert kept_by_kernel(store) is not None
    vg0.run("lvextend", "-r", "-l+1", "vg0/s")
    vg0.run("lvremove", "-f", "vg0/s")
    assert kept_by_kernel(store) is None, "its keystore is gone"


def test_a_key_that_was_removed_from_the_keystore_is_asked_for_again(vg0: Machine) -> None:
    create(vg0, *FAST, "--cache-timeout", "60")
    new = vg0.key_file("new", b"another")
    vg0.run("lvchange", "--changekey", *FAST, "--newkeyfile", new, "vg0/s", given=PASSPHRASE)
    assert "holds no passphrase" in vg0.fail("lvchange", "-ay", "vg0/s")
    assert kept_by_kernel(store_id(vg0)) is None


@pytest.mark.parametrize(
    "words", [("--cache-timeout", "-1"), ("--cache-timeout", "x"), ("--cache-timeout", "4294967296")]
)
def test_what_is_no_time_is_refused(vg0: Machine, words: tuple[str, ...]) -> None:
    create(vg0, *FAST)
    vg0.fail("lvchange", "-ay", *words, "vg0/s", status=3)


def test_a_wrong_passphrase_leaves_nothing_behind(vg0: Machine) -> None:
    create(vg0, *FAST)
    vg0.fail("lvchange", "-ay", "--cache-timeout", "60", "vg0/s", given=b"wrong\n")
    assert kept_by_kernel(store_id(vg0)) is None
