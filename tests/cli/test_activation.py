"""The words of -a; what activation does is in ops/test_activation.py."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cryptlv.cli.activation import wanted_state
from cryptlv.cli.options import parse
from cryptlv.cli.table import find_command
from cryptlv.errors import UsageError
from support.machine import FAST, need, need_root

if TYPE_CHECKING:
    from support.machine import Machine


def state(*words: str) -> bool:
    return wanted_state(parse(find_command("lvchange"), [*words, "vg0/x"], ""))


@pytest.mark.parametrize(
    ("word", "active"),
    [("y", True), ("ay", True), ("ya", True), ("ey", True), ("sy", True), ("Y", True), ("n", False), ("ln", False)],
)
def test_lvm2s_words_are_understood(word: str, active: bool) -> None:
    assert state("-a", word) is active


def test_an_event_is_for_automatic_activation_alone() -> None:
    def of(*words: str) -> bool:
        return wanted_state(parse(find_command("vgchange"), [*words, "--autoactivation", "event", "vg0"], ""))

    assert of("-aay")
    for word in ("-ay", "-an"):
        with pytest.raises(UsageError, match="-aay"):
            of(word)


@pytest.mark.parametrize("words", [(), ("-a", "x"), ("-a", ""), ("-an", "--keyfile", "k"), ("-ay", "--backend", "x")])
def test_others_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        state(*words)


KEYFILE_COMMANDS = {
    "lvcreate": (*("lvcreate", "--type", "crypt", *FAST), *("-l1", "-n", "new", "--keyfile", "KEY", "vg0")),
    "lvchange": ("lvchange", "-ay", "--keyfile", "KEY", "vg0/x"),
    "vgchange": ("vgchange", "-ay", "--keyfile", "KEY", "vg0"),
    "lvconvert": ("lvconvert", "--splitcrypto", "--header", "x.hdr", "--keyfile", "KEY", "vg0/x"),
}


TAKE_DIRECTORIES = ("lvchange", "vgchange")


@pytest.fixture
def encrypted(vg0: Machine) -> Machine:
    vg0.key_file("key", b"passphrase")
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l1", "-n", "x", "--keyfile", "key", "vg0")
    return vg0


@pytest.mark.parametrize("command", KEYFILE_COMMANDS)
def test_key_files_are_taken_by_all_commands_with_the_same_errors(encrypted: Machine, command: str) -> None:
    """Row S22."""
    encrypted.key_file("empty", b"")
    (encrypted.folder / "folder").mkdir()
    before = encrypted.snapshot()
    for name, said in (
        ("nowhere", "key file nowhere: cannot read: No such file or directory"),
        ("empty", "key file empty is empty: it holds no passphrase"),
        (
            "folder",
            "the key directory folder has no file"
            if command in TAKE_DIRECTORIES
            else "key file folder: cannot read: Is a directory",
        ),
    ):
        words = tuple(name if word == "KEY" else word for word in KEYFILE_COMMANDS[command])
        assert said in encrypted.fail(*words)
        assert encrypted.snapshot() == before
        assert encrypted.server_pids() == []
    (encrypted.folder / "key").chmod(0o644)
    words = tuple("key" if word == "KEY" else word for word in KEYFILE_COMMANDS[command])
    result = encrypted.run(*words)
    assert "WARNING: key file key can be used by others (mode 0644); protect it: chmod 600" in result.err


@pytest.mark.parametrize("command", KEYFILE_COMMANDS)
def test_a_key_file_that_may_not_be_read_is_named(encrypted: Machine, command: str) -> None:
    """As somebody who is not root, since root reads everything."""
    need_root()
    need("setpriv")
    key = encrypted.key_file("closed", b"passphrase")
    os.chown(key, 1, 1)
    encrypted.prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    words = tuple("closed" if word == "KEY" else word for word in KEYFILE_COMMANDS[command])
    assert "key file closed: cannot read: Permission denied" in encrypted.fail(*words)
    encrypted.prefix = ()


def test_image_files_are_not_for_the_kernel_and_nothing_is_made_that_was_to_be_active_there(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l1", "-nx", "vg0")
    assert "--backend auto" in vg0.fail("lvchange", "-ay", "--backend", "dm", "vg0/x")
    assert "--backend auto" in vg0.fail("lvcreate", "-ay", "-l1", "-ny", "vg0")
    assert vg0.run("lvs", "--noheadings", "-o", "lv_name,lv_active").lines == ["x"]
    vg0.run("lvcreate", "-an", "-l1", "vg0")
    assert "needs y, n or ay" in vg0.fail("lvcreate", "-a", "x", "-l1", "vg0", status=3)


def test_what_is_not_in_the_kernel_is_neither_refreshed_nor_frozen(encrypted: Machine) -> None:
    encrypted.run("lvcreate", "-l1", "-nplain", "vg0")
    assert encrypted.run("lvchange", "--refresh", "vg0/x", "vg0/plain").lines == []
    assert encrypted.run("vgchange", "--refresh", "vg0").lines == []
    for option in ("--suspendkey", "--resumekey"):
        assert "vg0/x is not active in the kernel" in encrypted.fail("lvchange", option, "vg0/x")
        assert "vg0/plain is not encrypted" in encrypted.fail("lvchange", option, "vg0/plain")
        assert encrypted.run("vgchange", option, "vg0").lines == []
        assert "no other change" in encrypted.fail("lvchange", option, "-an", "vg0/x", status=3)
        assert "no other change" in encrypted.fail("lvchange", option, "--addtag", "t", "vg0/x", status=3)
    assert "no other change" in encrypted.fail("vgchange", "--suspendkey", "--resumekey", "vg0", status=3)


def test_flags_of_dm_crypt_are_kept_with_encrypted_volumes(encrypted: Machine) -> None:
    def shown() -> list[str]:
        return encrypted.run("lvs", "--noheadings", "-o", "crypt_flags", "vg0/x").lines

    assert shown() == [""]
    encrypted.run("lvchange", "--crypt-flags", "no_read_workqueue,allow_discards", "vg0/x")
    assert shown() == ["allow_discards,no_read_workqueue"]
    encrypted.run("lvextend", "-l+1", "vg0/x")
    assert shown() == ["allow_discards,no_read_workqueue"]
    encrypted.run("lvchange", "--crypt-flags", "none", "vg0/x")
    assert shown() == [""]
    assert "is not one of allow_discards" in encrypted.fail("lvchange", "--crypt-flags", "fast", "vg0/x", status=3)
    assert "--crypt-flags needs --type crypt" in encrypted.fail(
        "lvcreate", "--crypt-flags", "allow_discards", "-l1", "vg0", status=3
    )
