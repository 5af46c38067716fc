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
