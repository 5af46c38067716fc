"""pvcreate, pvremove, pvchange and pvresize by stock lvm2 on one copy and by ours on another leave the same."""

from __future__ import annotations

import fcntl
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.pairs import STOCK_MAKES

if TYPE_CHECKING:
    from support.pairs import Pair

    Words = tuple[str, ...]

_LOOP_SET_CAPACITY = 0x4C07
pytestmark = [pytest.mark.compat, pytest.mark.root]

GROUP: tuple[Words, ...] = (("vgcreate", "vg", "D1", "D2"), ("pvcreate", "D3"))
TWO_AREAS: tuple[Words, ...] = (
    ("pvcreate", "--metadatacopies", "2", "D1"),
    ("vgcreate", "-s", "1m", "vg", "D1", "D2"),
    ("pvcreate", "--metadatacopies", "2", "D3"),
)
ODD: tuple[Words, ...] = (
    ("pvcreate", "--dataalignment", "64k", "--metadatasize", "200k", "D1", "D2"),
    ("vgcreate", "-s", "384k", "vg", "D1", "D2"),
)
MANAGED: tuple[Words, ...] = (
    ("pvcreate", "--metadatacopies", "2", "D1", "D2"),
    ("vgcreate", "--vgmetadatacopies", "3", "vg", "D1", "D2"),
)
USED: tuple[Words, ...] = (
    ("lvcreate", *STOCK_MAKES, "-l", "3", "-n", "a", "vg", "D1"),
    ("lvcreate", *STOCK_MAKES, "-l", "2", "-n", "b", "vg", "D1"),
    ("lvcreate", *STOCK_MAKES, "-l", "2", "-i", "2", "-n", "c", "vg"),
    ("lvremove", "-y", "vg/a"),
)
TAGGED: tuple[Words, ...] = (
    ("pvchange", "--addtag", "x", "--addtag", "y", "D1"),
    ("pvchange", "--addtag", "x", "D2"),
)
WRAPPED: tuple[Words, ...] = (
    ("pvcreate", "--metadatasize", "32k", "--dataalignment", "4k", "D1", "D2"),
    ("vgcreate", "vg", "D1", "D2"),
    *(("vgchange", "--addtag", f"t{number}", "vg") for number in range(14)),
)

DONE: dict[str, tuple[tuple[Words, ...], tuple[Words, ...]]] = {
    "create": (GROUP, (("pvremove", "D3"), ("pvcreate", "--metadatacopies", "2", "D3"))),
    "create anew": (GROUP, (("pvcreate", "--metadatasize", "2m", "D3"),)),
    "create over a group": (GROUP, (("pvcreate", "-ff", "-y", "D3", "D2"),)),
    "create ignored, no areas": (
        (("vgcreate", "vg", "D1"),),
        (("pvcreate", "--metadataignore", "y", "D2"), ("pvcreate", "--metadatacopies", "0", "D3")),
    ),
    "create of another size": (GROUP, (("pvcreate", "-y", "--setphysicalvolumesize", "20m", "D3"),)),
    "remove": (GROUP, (("pvremove", "D3"),)),
    "remove from a group": (GROUP, (("pvremove", "-ff", "-y", "D2"),)),
    "remove nothing": (GROUP, (("pvremove", "D3"), ("pvremove", "-f", "D3"))),
    "not allocatable": (GROUP, (("pvchange", "-x", "n", "D1"), ("pvchange", "-xn", "D1"))),
    "allocatable again": (GROUP, (("pvchange", "-xn", "D1"), ("pvchange", "--allocatable", "y", "D1"))),
    "tags": (
        GROUP,
        (*TAGGED, ("pvchange", "--deltag", "x", "--addtag", "@z", "D1"), ("pvchange", "--deltag", "q", "D2")),
    ),
    "by tag": ((*GROUP, *TAGGED), (("pvchange", "-x", "n", "@x"), ("pvchange", "--deltag", "x", "@y"))),
    "by selection": ((*GROUP, *TAGGED), (("pvchange", "-xn", "-S", "tags=y"),)),
    "all": ((("vgcreate", "vg", "D1", "D2", "D3"),), (("pvchange", "--addtag", "all", "-a"),)),
    "all with a new id": ((*GROUP, *USED), (("pvchange", "-u", "-a"),)),
    "new id and more": (
        (*TWO_AREAS, *USED),
        (("pvchange", "-u", "--addtag", "x", "-xn", "D1"), ("pvchange", "-u", "D3")),
    ),
    "new id, wrapped ring": (WRAPPED, (("pvchange", "-u", "D1"), ("pvchange", "-u", "D1", "D2"))),
    "ignored areas": (TWO_AREAS, (("pvchange", "--metadataignore", "y", "D1", "D3"),)),
    "used areas": (
        TWO_AREAS,
        (
            ("pvchange", "--metadataignore", "y", "D1", "D3"),
            ("pvchange", "--addtag", "x", "D2"),
            ("pvchange", "--metadataignore", "n", "D1", "D3"),
            ("pvchange", "--metadataignore", "y", "D2"),
        ),
    ),
    "managed copies": (MANAGED, (("pvchange", "-f", "--metadataignore", "y", "D1"),)),
    "shrink": ((*GROUP, *USED), (("pvresize", "-y", "--setphysicalvolumesize", "30m", "D1", "D3"),)),
    "shrink and grow": (
        (*GROUP, *USED),
        (("pvresize", "-y", "--setphysicalvolumesize", "30m", "D1"), ("pvresize", "D1", "D2", "D3")),
    ),
    "shrink with two areas": (TWO_AREAS, (("pvresize", "-y", "--setphysicalvolumesize", "30m", "D1", "D3"),)),
    "shrink a little with two areas": (
        TWO_AREAS,
        (("pvresize", "-y", "--setphysicalvolumesize", "40700k", "D1", "D3"), ("pvresize", "D1", "D3")),
    ),
    "shrink to what is in use": ((*ODD, *USED), (("pvresize", "-y", "--setphysicalvolumesize", "2560k", "D1"),)),
    "odd extents": ((*ODD, *USED), (("pvresize", "-y", "--setphysicalvolumesize", "20001s", "D1", "D2"),)),
    "resize without a change": (ODD, (("pvresize", "D1"),)),
    "resize by tag": ((*GROUP, *TAGGED), (("pvresize", "-y", "--setphysicalvolumesize", "30m", "@y"),)),
}
REFUSED: dict[str, tuple[tuple[Words, ...], tuple[Words, ...]]] = {
    "create in a group": (GROUP, (("pvcreate", "D1"), ("pvcreate", "-f", "-y", "D1"), ("pvcreate", "-ff", "D1"))),
    "create, words": (
        GROUP,
        (
            ("pvcreate", "--labelsector", "4", "D3"),
            ("pvcreate", "--dataalignment", "1000b", "D3"),
            ("pvcreate", "--metadatacopies", "3", "D3"),
            ("pvcreate", "--metadatacopies", "0", "--metadataignore", "y", "D3"),
            ("pvcreate", "--uuid", "0" * 32, "D3"),
            ("pvcreate", "--uuid", "0" * 31, "--norestorefile", "D3"),
            ("pvcreate", "--norestorefile", "--restorefile", "/dev/null", "--uuid", "0" * 32, "D3"),
            ("pvcreate", "--restorefile", "/dev/null", "--uuid", "0" * 32, "D3"),
            ("pvcreate", "--norestorefile", "--uuid", "0" * 32, "D2", "D3"),
            ("pvcreate", "--metadatasize", "-1m", "D3"),
            ("pvcreate",),
        ),
    ),
    "some of several": (GROUP, (("pvcreate", "--metadatacopies", "2", "D1", "D3"),)),
    "remove": (GROUP, (("pvremove", "D1"), ("pvremove", "-f", "-y", "D1"), ("pvremove", "-ff", "D1"), ("pvremove",))),
    "remove some of several": (GROUP, (("pvremove", "D2", "D3"), ("pvremove", "D3"))),
    "change, words": (
        GROUP,
        (
            ("pvchange", "D1"),
            ("pvchange", "-xn"),
            ("pvchange", "-xn", "-a", "D1"),
            ("pvchange", "-xq", "D1"),
            ("pvchange", "--addtag", "a b", "D1"),
        ),
    ),
    "change an orphan": (
        GROUP,
        (("pvchange", "--addtag", "x", "D3"), ("pvchange", "-xn", "D3"), ("pvchange", "-a", "--addtag", "x")),
    ),
    "areas": (
        (*TWO_AREAS, ("pvchange", "--metadataignore", "y", "D2")),
        (
            ("pvchange", "--metadataignore", "y", "D1"),
            ("pvchange", "--metadataignore", "n", "D1"),
            ("pvchange", "--metadataignore", "y", "D2"),
            ("pvchange", "--metadataignore", "n", "D3"),
        ),
    ),
    "managed copies": (MANAGED, (("pvchange", "--metadataignore", "y", "D1"),)),
    "exported": (
        (*GROUP, ("vgexport", "vg")),
        (("pvchange", "-xn", "D1"), ("pvresize", "D1"), ("pvchange", "-u", "D2")),
    ),
    "shrink below what is in use": ((*ODD, *USED), (("pvresize", "-y", "--setphysicalvolumesize", "2559k", "D1"),)),
    "shrink": (
        (*GROUP, *USED),
        (
            ("pvresize", "--setphysicalvolumesize", "30m", "D1"),
            ("pvresize", "-y", "--setphysicalvolumesize", "16m", "D1"),
            ("pvresize", "-y", "--setphysicalvolumesize", "3m", "D1"),
            ("pvresize", "-y", "--setphysicalvolumesize", "1m", "D3"),
            ("pvresize", "--setphysicalvolumesize", "-1m", "D3"),
            ("pvresize",),
        ),
    ),
}


@pytest.mark.parametrize("name", DONE)
def test_the_same_is_left(pair: Pair, name: str) -> None:
    before, steps = DONE[name]
    pair.setup(*before)
    for words in steps:
        pair.step(*words)
    pair.assert_same()


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_is_refused(pair: Pair, name: str) -> None:
    before, steps = REFUSED[name]
    pair.setup(*before)
    for words in steps:
        result = pair.step(*words, expect=None)
        assert result.status, words
        assert result.err
    pair.assert_same()


@pytest.mark.parametrize("before", [GROUP, TWO_AREAS], ids=["one area", "two areas"])
@pytest.mark.parametrize("more_kib", [100, 20 * 1024 + 3])
def test_a_device_that_has_grown(pair: Pair, before: tuple[Words, ...], more_kib: int) -> None:
    pair.setup(*before, *USED)
    for image in (*pair.images, *(image.with_suffix(".twin") for image in pair.images)):
        with image.open("r+b") as file:
            file.truncate(file.seek(0, 2) + more_kib * 1024)
    for node in (*pair.nodes.values(), *pair.twins.values()):
        with node.open("rb") as loop:
            fcntl.ioctl(loop, _LOOP_SET_CAPACITY)
    pair.step("pvresize", "D1", "D3")
    pair.assert_same()


@pytest.mark.parametrize(
    "tool", ["mke2fs -q -F", "mkswap", "cryptsetup luksFormat -q --type luks1 --key-file /etc/hostname -i 1"]
)
def test_a_device_that_holds_something(pair: Pair, tool: str) -> None:
    pair.setup(("vgcreate", "vg", "D1"))
    for node in (pair.nodes["D2"], pair.twins["D2"]):
        subprocess.run([*tool.split(), node], input=b"", capture_output=True, check=True)
    refused = pair.step("pvcreate", "D2", "D3", expect=5)
    assert "signature detected" in refused.err
    said = pair.step("pvcreate", "-y", "D2")
    assert "Wiping" in said.out
    pair.assert_same()
    for node in (pair.nodes["D2"], pair.twins["D2"]):
        kinds = subprocess.run(["wipefs", "--noheadings", "-O", "TYPE", node], capture_output=True, check=True)
        assert kinds.stdout.split() == [b"LVM2_member"]


@pytest.mark.parametrize("command", ["vgcreate new", "vgextend vg"])
def test_a_device_that_holds_something_comes_into_a_group_when_that_is_agreed_to(pair: Pair, command: str) -> None:
    pair.setup(("vgcreate", "vg", "D1"))
    for node in (pair.nodes["D2"], pair.twins["D2"]):
        subprocess.run(["mkswap", node], input=b"", capture_output=True, check=True)
    assert "signature detected" in pair.step(*command.split(), "D2", "D3", expect=5).err
    pair.step(*command.split(), "-y", "D2", "D3")
    pair.assert_same()


def _uuid(pair: Pair) -> str:
    """The id of the PV on D1."""
    rows = pair.stock.report("pv", "-o", "pv_name,pv_uuid")
    return next(str(row["pv_uuid"]) for row in rows if row["pv_name"] == str(pair.nodes["D1"]))


BOOT: tuple[Words, ...] = (
    ("pvcreate", "--bootloaderareasize", "1m", "--metadatacopies", "2", "D1"),
    ("vgcreate", "vg", "D1", "D2"),
)


@pytest.mark.parametrize("before", [GROUP, TWO_AREAS, ODD, BOOT], ids=["plain", "two areas", "odd", "boot loader"])
@pytest.mark.parametrize(
    "options",
    [(), ("--metadatacopies", "2"), ("--metadatasize", "64k"), ("--dataalignment", "7m"), ("--metadatacopies", "0")],
    ids=" ".join,
)
def test_a_pv_is_made_again_from_a_backup(pair: Pair, before: tuple[Words, ...], options: Words) -> None:
    pair.setup(*before, *USED)
    backup = str(pair.folder / "backup")
    pair.stock.run("vgcfgbackup", "-f", backup, "vg")
    uuid = _uuid(pair)
    words = ("pvcreate", "-ff", "-y", "--uuid", uuid, "--restorefile", backup, *options, "D1")
    if pair.step(*words, expect=None).status:
        return  # stock has spoilt the first area by then
    for lvm in (pair.stock, pair.twin):
        lvm.run("vgcfgrestore", "-y", "-f", backup, "vg", expect=None)
    pair.assert_same()
    shown = [
        lvm.run("pvck", "--dump", "headers", disks["D1"], expect=None).out.split("mda_header_1")[0]
        for lvm, disks in ((pair.stock, pair.nodes), (pair.twin, pair.twins))
    ]
    assert shown[0] == shown[1]


def test_a_backup_that_is_damaged_or_of_another_pv(pair: Pair) -> None:
    pair.setup(*GROUP)
    backup = pair.folder / "backup"
    pair.stock.run("vgcfgbackup", "-f", str(backup), "vg")
    other = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
    (pair.folder / "damaged").write_bytes(backup.read_bytes()[:700])
    (pair.folder / "empty").write_bytes(b"")
    for name in ("backup", "damaged", "empty", "none"):
        line = pair.step("pvcreate", "--uuid", other, "--restorefile", str(pair.folder / name), "D3", expect=3).err
        assert name in line
    uuid = _uuid(pair)
    words = ("pvcreate", "--uuid", uuid, "--restorefile", str(backup), "D3")
    assert "already in use" in pair.step(*words, expect=5).err
    pair.assert_same()
