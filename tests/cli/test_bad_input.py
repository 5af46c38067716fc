"""Whatever is wrong: one line that says what and where, exit 5 (3 for usage), and nothing on any disk changed."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST, Machine, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator

CRYPT = ("lvcreate", "--type", "crypt", *FAST, "-l1", "-nsecret")
LONG = ("lvcreate", "--type", "crypt", "-l1", "-nsecret")
RAW = ("lvcreate", "--type", "crypt", "--handler", "plain", "-l1", "-nsecret")


@contextmanager
def nothing_changes(machine: Machine) -> Iterator[None]:
    before = machine.snapshot()
    yield
    assert machine.snapshot() == before


@pytest.fixture
def secret(vg0: Machine) -> Machine:
    """vg0 with the encrypted volume vg0/secret; `key` opens it."""
    vg0.key_file("key", b"passphrase")
    vg0.run(*CRYPT, "--keyfile", "key", "vg0")
    return vg0


def test_a_file_that_is_too_small(machine: Machine) -> None:
    (machine.folder / "small.img").write_bytes(bytes(2**20))
    machine.image("a.img")
    with nothing_changes(machine):
        line = machine.fail("pvcreate", "small.img")
    assert "small.img" in line
    assert "too small" in line
    assert machine.fail("pvcreate", "a.img", "small.img") == line
    assert "a.img" in machine.run("pvs").out


def test_a_file_that_is_not_there(machine: Machine) -> None:
    machine.image("a.img")
    with nothing_changes(machine):
        for words in (
            ("pvcreate", "none.img"),
            ("pvremove", "none.img"),
            ("vgcreate", "vg0", "a.img", "none.img"),
            ("pvck", "--dump", "headers", "none.img"),
        ):
            assert "none.img: no such file" in machine.fail(*words)


def test_a_device_that_is_a_physical_volume_already(machine: Machine) -> None:
    machine.image("a.img")
    machine.run("pvcreate", "a.img")
    before = machine.snapshot()
    machine.run("pvcreate", "a.img")
    assert machine.snapshot() != before, "made anew, as nothing is on it"


def test_a_device_that_another_volume_group_uses(vg0: Machine) -> None:
    vg0.image("c.img")
    with nothing_changes(vg0):
        for words in (("pvcreate", "a.img"), ("pvcreate", "-f", "a.img"), ("vgcreate", "vg1", "c.img", "a.img")):
            line = vg0.fail(*words)
            assert "a.img" in line
            assert "'vg0'" in line


def test_a_device_that_holds_a_file_system(machine: Machine) -> None:
    path = machine.image("a.img")
    machine.tool("mke2fs", "-q", "-F", path)
    with nothing_changes(machine):
        line = machine.fail("pvcreate", "a.img")
        assert "a.img" in line
        assert "ext2" in line
        assert "a.img" in machine.fail("vgcreate", "vg0", "a.img")


def test_a_device_named_twice(machine: Machine) -> None:
    machine.image("a.img")
    with nothing_changes(machine):
        assert "more than once" in machine.fail("pvcreate", "a.img", "./a.img")


def test_a_second_volume_group_of_that_name(vg0: Machine) -> None:
    vg0.image("c.img")
    with nothing_changes(vg0):
        assert "called vg0 already exists" in vg0.fail("vgcreate", "vg0", "c.img")


def test_a_second_volume_of_that_name(secret: Machine) -> None:
    with nothing_changes(secret):
        assert "'secret' already exists" in secret.fail("lvcreate", "-l1", "-nsecret", "vg0")


def test_a_volume_group_or_volume_that_is_not_there(vg0: Machine) -> None:
    with nothing_changes(vg0):
        for words in (
            ("lvcreate", "-l1", "vgx"), ("lvs", "vgx"), ("vgs", "vgx"), ("vgchange", "-ay", "vgx"),
            ("lvremove", "vgx/a"), ("vgcfgbackup", "vgx"), ("lvchange", "-an", "vgx/a"),
        ):  # fmt: skip
            assert "'vgx' not found" in vg0.fail(*words)
        for words in (("lvs", "vg0/a"), ("lvremove", "vg0/a"), ("lvchange", "-an", "vg0/a")):
            assert "'a'" in vg0.fail(*words)
        assert "c.img" in vg0.fail("pvs", "c.img")


@pytest.mark.parametrize("size", [("-L", "1T"), ("-l", "15"), ("-L", "57M")])
def test_no_space_left(vg0: Machine, size: tuple[str, str]) -> None:
    with nothing_changes(vg0):
        line = vg0.fail("lvcreate", *size, "-nbig", "vg0")
        assert "insufficient free space" in line
        assert "14 extents free" in line
        line = vg0.fail("lvcreate", "--type", "crypt", *size, "-nbig", "vg0", given=b"x\n")
        assert "insufficient free space" in line, "nobody is asked for a passphrase in vain"


def test_no_space_left_in_percent(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l100%FREE", "-nall", "vg0")
    with nothing_changes(vg0):
        assert "no free space" in vg0.fail("lvcreate", "-l100%FREE", "-nmore", "vg0")


def test_a_wrong_passphrase(secret: Machine) -> None:
    wrong = secret.key_file("wrong", b"passphrase\n")
    with nothing_changes(secret):
        line = secret.fail("lvchange", "-ay", "--keyfile", wrong, "vg0/secret")
        assert "vg0/secret" in line
        assert "passphrase" in line
        assert "vg0/secret" in secret.fail("lvchange", "-ay", "vg0/secret", given=b"wrong\n")
    assert not secret.server_pids()


def test_a_key_of_the_wrong_length(vg0: Machine) -> None:
    short = vg0.key_file("short", b"x" * 63)
    with nothing_changes(vg0):
        line = vg0.fail(*RAW, "--keyfile", short, "vg0")
        assert "64 bytes" in line
        assert "63" in line
    raw = vg0.key_file("raw", b"x" * 64)
    vg0.run(*RAW, "--keyfile", raw, "vg0")
    with nothing_changes(vg0):
        assert "64 bytes" in vg0.fail("lvchange", "-ay", "--keyfile", short, "vg0/secret")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--cipher", "rot13-xts-plain64"), "rot13"),
        (("--cipher", "aes-xts-plain99"), "plain99"),
        (("--cipher", "aes-xts-plain64", "--keysize", "192"), "192"),
        (("--keysize", "511"), "511"),
        (("--hash", "md17"), "md17"),
        (("--handler", "acme"), "acme"),
    ],
    ids=str,
)
def test_an_unknown_cipher_hash_key_size_or_handler(vg0: Machine, options: tuple[str, ...], word: str) -> None:
    key = vg0.key_file("key", b"x")
    with nothing_changes(vg0):
        assert word in vg0.fail(*CRYPT, *options, "--keyfile", key, "vg0")


@pytest.mark.parametrize(
    "options",
    [
        ("--handler", "plain", "--hash", "sha256"), ("--handler", "plain", "--pbkdf", "pbkdf2"),
        ("--handler", "hashed", "--iter-time", "10"), ("--handler", "luks1", "--sector-size", "4096"),
        ("--handler", "luks1", "--luks2-keyslots-size", "4m"), ("--handler", "luks1", "--pbkdf-memory", "64"),
    ],
    ids=str,
)  # fmt: skip
def test_an_option_that_the_handler_does_not_have(vg0: Machine, options: tuple[str, ...]) -> None:
    with nothing_changes(vg0):
        assert options[2] in vg0.fail(*LONG, *options, "vg0", status=3)


@pytest.mark.parametrize("offset", [512, 540, 4096, 4136, 5632 - 512])
def test_a_damaged_label_header_or_text_is_named_and_other_groups_work(machine: Machine, offset: int) -> None:
    for name in ("a.img", "b.img"):
        machine.image(name)
    machine.run("vgcreate", "vga", "a.img")
    machine.run("vgcreate", "vgb", "b.img")
    with (machine.folder / "a.img").open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x40]))
    with nothing_changes(machine):
        result = machine.run("vgs", "--noheadings", "-o", "vg_name")
        assert result.out.split() == ["vgb"]
        if offset >= 4096:
            assert "a.img" in result.err
            assert "checksum" in result.err or "magic" in result.err
        assert "'vga' not found" in machine.fail("lvcreate", "-l1", "vga")
        what = "metadata" if offset >= 4096 else "headers"
        result = machine.run("pvck", "--dump", what, "a.img", expect=5)
        assert "a.img" in result.err
        if offset >= 4096:
            assert "a.img" in machine.fail("pvcreate", "-f", "a.img"), "what may hold data needs -ff"


def test_a_volume_that_is_active_is_not_removed_unasked(secret: Machine) -> None:
    secret.run("lvchange", "-ay", "--keyfile", "key", "vg0/secret")
    with nothing_changes(secret):
        line = secret.fail("lvremove", "vg0/secret")
    assert "remove active logical volume vg0/secret" in line
    assert "nobody can be asked" in line


def test_a_keystore_is_neither_removed_nor_activated_by_itself(secret: Machine) -> None:
    with nothing_changes(secret):
        assert "keystore of secret" in secret.fail("lvremove", "-f", "vg0/cryptostore1")
        assert "hidden" in secret.fail("lvchange", "-ay", "vg0/cryptostore1")
        assert "reserved" in secret.fail("lvcreate", "-l1", "-ncryptostore7", "vg0", status=3)


def test_removing_an_encrypted_volume_is_asked_about(secret: Machine) -> None:
    with nothing_changes(secret):
        assert "-y" in secret.fail("lvremove", "vg0/secret")
    assert "removed" in secret.run("lvremove", "-f", "vg0/secret").out


@pytest.mark.parametrize("backend", ["fuse", "nbd"])
def test_a_killed_server_leaves_nothing_in_the_way(secret: Machine, backend: str) -> None:
    for action in ("-an", "-ay"):
        path = Path(secret.run("lvchange", "-ay", "--backend", backend, "--keyfile", "key", "vg0/secret").lines[0])
        (pid,) = secret.server_pids()
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            pass
        if action == "-an":
            secret.run("lvchange", "-an", "vg0/secret")
            assert not os.path.lexists(path)
    again = secret.run("lvchange", "-ay", "--backend", backend, "--keyfile", "key", "vg0/secret")
    assert again.lines == [str(path)]
    assert os.path.lexists(path)
    assert "active already" in secret.run("lvchange", "-ay", "vg0/secret").err


def fill(path: Path) -> None:
    with path.open("r+b", buffering=0) as volume:
        for _ in range(8):
            volume.write(os.urandom(2**20))
            os.fsync(volume.fileno())


def test_a_full_disk_under_the_image(machine: Machine) -> None:
    """On a file system of its own that is too small for what the image claims to hold."""
    need_root()
    mount = machine.folder / "disk"
    mount.mkdir()
    machine.tool("mount", "-t", "tmpfs", "-o", "size=2m", "none", mount)
    try:
        with (mount / "thin.img").open("wb") as file:
            file.truncate(64 * 2**20)
        machine.run("vgcreate", "vg0", mount / "thin.img")
        machine.key_file("key", b"x")
        (mount / "filler").write_bytes(os.urandom(shutil.disk_usage(mount).free))
        before = (mount / "thin.img").read_bytes()
        line = machine.fail(*CRYPT, "--keyfile", "key", "vg0")
        assert "thin.img" in line
        assert "No space left on device" in line
        assert (mount / "thin.img").read_bytes() == before
        assert machine.run("lvs", "-a").out == ""
        (mount / "filler").unlink()
        (mount / "filler2").write_bytes(os.urandom(shutil.disk_usage(mount).free - 2**20))
        machine.run("lvcreate", "-l", "4", "-nlinear", "vg0")
        path = Path(machine.run("lvchange", "-ay", "vg0/linear").lines[0])
        with pytest.raises(OSError, match="No space left"):
            fill(path)
        machine.run("vgchange", "-an", "vg0")
    finally:
        machine.close()
        machine.tool("umount", "-l", mount)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "frobnicate",
        "-v lvs",
        "lvcreate",
        "lvcreate vg0",
        "lvcreate -L1 -l1 vg0",
        "lvcreate -L vg0",
        "lvcreate -L -1G vg0",
        "lvcreate -L0 vg0",
        "lvcreate -l0 vg0",
        "lvcreate -l5% vg0",
        "lvcreate -l101%FREE vg0",
        "lvcreate -l5%PIG vg0",
        "lvcreate --type raid9 -l1 vg0",
        "lvcreate -l1 --handler luks1 vg0",
        "lvcreate -l1 -n a@b vg0",
        "lvcreate --type crypt --keysize many -l1 vg0",
        "lvcreate --bogus vg0",
        "lvchange vg0/a",
        "lvchange -ay",
        "lvchange -aq vg0/a",
        "lvchange -an --keyfile k vg0/a",
        "vgchange -ay --backend loop vg0",
        "vgcreate vg1",
        "vgcreate v/g a.img",
        "pvcreate",
        "pvcreate --devices , a.img",
        "lvremove",
        "lvremove a/b/c",
        "pvck --dump all a.img",
        "lvs -o bogus",
        "lvs --units q",
        "vgs --reportformat xml",
    ],
)
def test_a_command_line_that_makes_no_sense(vg0: Machine, line: str) -> None:
    with nothing_changes(vg0):
        result = vg0.run(*line.split(), expect=3)
        if line:
            assert len(result.err.splitlines()) == 1
            assert result.err.startswith("  ")
