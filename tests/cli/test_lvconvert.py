"""lvconvert as a user types it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.luks import EXTENT, HEADERS, formatted
from support.machine import FAST

if TYPE_CHECKING:
    from pathlib import Path

    from support.machine import Machine


@pytest.fixture
def vg0(machine: Machine) -> Machine:
    machine.image("a.img")
    machine.run("vgcreate", "-s", "64k", "vg0", "a.img")
    return machine


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "give one of --import"),
        (("--import", "--splitcrypto"), "give one of --import"),
        (("--type", "linear", "--import", "vg0/v"), "--import goes with --type crypt"),
        (("--type", "crypt", "--splitcrypto", "vg0/v"), "--splitcrypto takes no --type"),
        (("--splitcrypto", "vg0/v"), "needs --header FILE"),
        (("--keep-encrypted", "--header", "f", "vg0/v"), "--header goes with --splitcrypto"),
        (("--keep-encrypted", "--handler", "plain", "vg0/v"), "--handler needs --import"),
        (("--import", "--cipher", "aes-xts-plain64", "vg0/v"), "--cipher needs --handler"),
        (("--import", "--handler", "plain", "--header", "f", "vg0/v"), "leave --header out"),
        (("--import", "--keyfile-size", "3", "vg0/v"), "--keyfile-size needs --keyfile"),
        (("--import",), "name the volume"),
        (("--import", "vg0"), "write VG/LV"),
    ],
)
def test_lines_that_cannot_be_meant_are_usage_errors(vg0: Machine, words: tuple[str, ...], error: str) -> None:
    assert error in vg0.fail("lvconvert", *words, status=3)


def test_import_and_export_there_and_back(vg0: Machine, tmp_path: Path) -> None:
    header = formatted(tmp_path, "luks2", HEADERS["luks2"])
    vg0.run("lvcreate", "-l", "12", "-n", "v", "vg0")
    path = vg0.run("lvchange", "-ay", "vg0/v").lines[-1]
    with open(path, "r+b") as file:
        file.write(header)
    assert "active; deactivate it first" in vg0.fail("lvconvert", "--type", "crypt", "--import", "vg0/v")
    vg0.run("lvchange", "-an", "vg0/v")
    key, wrong = vg0.key_file("key", b"correct horse"), vg0.key_file("wrong", b"wrong")
    plan = vg0.run("lvconvert", "-t", "--type", "crypt", "--import", "vg0/v").lines
    assert plan[0].startswith("Would make vg0/cryptostore1 a keystore of handler luks2 of a copy of the header, at ")
    assert plan[1:] == [
        "Would make vg0/v a crypt volume of 512.00k (8 extents).",
        "Would copy 32.00k of its data to where they are in one piece.",
        "Would overwrite 288.00k of the header's old place.",
    ]
    assert "no keyslot opens" in vg0.fail("lvconvert", "--import", "--keyfile", wrong, "vg0/v")
    for missing in (vg0.folder / "nowhere", vg0.key_file("empty", b"")):
        assert str(missing) in vg0.fail("lvconvert", "--import", "--keyfile", missing, "vg0/v")
    key.chmod(0o644)
    imported = vg0.run("lvconvert", "--type", "crypt", "--import", "--keyfile", key, "vg0/v")
    assert imported.lines == ["Logical volume vg0/v converted."]
    assert "can be used by others" in imported.err
    assert vg0.run("lvs", "--noheadings", "-o", "segtype,crypt_handler", "vg0/v").lines[0].split() == [
        "crypt",
        "luks2",
    ]
    assert "encrypted by the volume group already" in vg0.fail("lvconvert", "--import", "vg0/v")
    assert "pvmove" in vg0.fail("lvconvert", "--splitcrypto", "--header", "v.hdr", "vg0/v")
    vg0.run("lvconvert", "--type", "linear", "--keep-encrypted", "--keyfile", key, "vg0/v")
    assert vg0.run("lvs", "-a", "--noheadings", "-o", "lv_name,segtype", "vg0").lines[0] == "v    linear"


def test_a_volume_of_lvcreate_is_split_and_the_file_is_not_written_over(vg0: Machine) -> None:
    key = vg0.key_file("key", b"pass")
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l", "8", "-n", "v", "--keyfile", key, "vg0")
    vg0.run("lvconvert", "--splitcrypto", "--header", "v.hdr", "vg0/v")
    before = (vg0.folder / "v.hdr").read_bytes()
    assert len(before) >= EXTENT
    vg0.run("lvconvert", "--import", "--header", "v.hdr", "vg0/v")
    assert "a new file is needed" in vg0.fail("lvconvert", "--splitcrypto", "--header", "v.hdr", "vg0/v", status=3)
    assert (vg0.folder / "v.hdr").read_bytes() == before
