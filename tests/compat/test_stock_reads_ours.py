"""The way back: stock lvm2 reads what we write, writes it anew, and each keeps what the other's volumes are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CheckError
from cryptlv.model.check import check
from cryptlv.model.nodes import Section
from cryptlv.ondisk.config import parse_config
from cryptlv.ondisk.vgtext import parse_vg
from support.compare import (
    UNKNOWN_SEGMENTS,
    assert_no_warning,
    assert_rewrite_keeps_all,
    assert_same_reports,
    backup_of,
    retag,
)
from support.machine import FAST

if TYPE_CHECKING:
    from cryptlv.model.nodes import Value
    from support.machine import Machine
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]

GOLDEN = Path(__file__).parent.parent / "golden"
MAKE = ("lvcreate", "-an", "-Zn", "-Wn", "-y")
CRYPT = ("lvcreate", "--type", "crypt", "--keyfile", "key", *FAST)
PLAIN = ("lvcreate", "--type", "crypt", "--handler", "plain", "--keyfile", "raw")
SEEN_BY_US_ONLY = (
    "lv_attr", "lv_layout", "lv_role", "stripes", "data_stripes", "seg_pe_ranges", "seg_le_ranges", "devices",
    "vg_free", "vg_free_count", "pv_free", "pv_used", "pv_pe_alloc_count", "lv_modules",
)  # fmt: skip
"""What stock cannot say of a volume whose segments it does not know: it counts their extents as free."""

ORDINARY: dict[str, tuple[tuple[str, ...], ...]] = {
    "empty": (("vgcreate", "vg", "D1", "D2", "D3"),),
    "labelled-before": (("pvcreate", "D1", "D2", "D3"), ("vgcreate", "vg", "D1", "D3")),
    "small-extents": (("vgcreate", "-s", "64k", "vg", "D1", "D2"), ("lvcreate", "-l", "7", "-n", "a", "vg")),
    "odd-extents": (("vgcreate", "-s", "3m", "vg", "D1", "D2"), ("lvcreate", "-L", "10m", "-n", "a", "vg")),
    "several-segments": (
        ("vgcreate", "vg", "D1", "D2", "D3"), ("lvcreate", "-l", "2", "-n", "a", "vg"),
        ("lvcreate", "-l", "3", "-n", "b", "vg"), ("lvcreate", "-l", "1", "-n", "c", "vg", "D2"),
        ("lvremove", "-y", "vg/b"), ("lvcreate", "-l", "100%FREE", "-n", "rest", "vg"),
    ),
    "names": (
        ("vgcreate", "v-g.1+_", "D1"), ("lvcreate", "-l", "1", "v-g.1+_"), ("lvcreate", "-l", "1", "v-g.1+_"),
        ("lvcreate", "-l", "1", "-n", "b-c.d+e", "v-g.1+_"), ("lvremove", "-y", "v-g.1+_/lvol0"),
    ),
    "two-groups": (
        ("vgcreate", "vg", "D1"), ("vgcreate", "vh", "D2"), ("lvcreate", "-l", "1", "-n", "a", "vg"),
        ("lvcreate", "-l", "2", "-n", "a", "vh"),
    ),
}  # fmt: skip
ENCRYPTED: dict[str, tuple[tuple[str, ...], ...]] = {
    "one": (("vgcreate", "vg", "D1"), (*CRYPT, "-l", "2", "-n", "secret", "vg")),
    "on-two-disks": (
        ("vgcreate", "vg", "D1", "D2"), ("lvcreate", "-l", "2", "-n", "open", "vg"),
        (*CRYPT, "-l", "12", "-n", "secret", "vg"), (*PLAIN, "-l", "1", "-n", "raw", "vg"),
    ),
    "removed": (
        ("vgcreate", "-s", "1m", "vg", "D1", "D2", "D3"), (*CRYPT, "-l", "4", "-n", "gone", "vg"),
        (*CRYPT, "-l", "5", "-n", "kept", "vg"), ("lvcreate", "-l", "3", "-n", "open", "vg"),
        ("lvremove", "-y", "vg/gone"), (*CRYPT, "-l", "9", "-n", "late", "vg"),
    ),
}  # fmt: skip


@pytest.fixture
def nodes(machine: Machine, stock: StockLvm) -> dict[str, Path]:
    """Three devices, D1 to D3, and the keys of both handlers."""
    machine.key_file("key", b"passphrase")
    machine.key_file("raw", bytes(range(64)))
    return {f"D{number}": stock.attach(machine.image(f"{number}.img", 40)) for number in (1, 2, 3)}


def build(machine: Machine, nodes: dict[str, Path], commands: tuple[tuple[str, ...], ...]) -> None:
    devices = ",".join(map(str, nodes.values()))
    for command, *words in commands:
        machine.run(command, "--devices", devices, *(nodes.get(word, word) for word in words))


def assert_stock_is_content(stock: StockLvm, *expected: str) -> None:
    """Every reading command of stock's ends well and has nothing to warn of but the words `expected`."""
    commands = (
        ("pvs",), ("vgs",), ("lvs", "-a"), ("pvs", "-a"), ("vgck",), ("pvscan",), ("vgdisplay", "-v"), ("lvdisplay",),
        ("pvdisplay", "-m"),
    )  # fmt: skip
    for words in commands:
        assert_no_warning(stock.run(*words), *expected)
    for row in stock.report("vg", "-o", "vg_name"):
        assert_no_warning(stock.run("vgck", row["vg_name"]), *expected)
        assert backup_of(stock, row["vg_name"])
    for row in stock.report("pv", "-o", "pv_name,vg_name"):
        if row["vg_name"]:
            assert_no_warning(stock.run("pvck", "--dump", "metadata", row["pv_name"]), *expected)
        assert_no_warning(stock.run("pvck", row["pv_name"]), *expected)


@pytest.mark.parametrize("layout", ORDINARY)
def test_ordinary_groups_of_ours_are_stocks(
    machine: Machine, stock: StockLvm, nodes: dict[str, Path], layout: str
) -> None:
    build(machine, nodes, ORDINARY[layout])
    assert_same_reports(machine, stock, nodes.values(), texts=True)
    assert_stock_is_content(stock)


@pytest.mark.parametrize("layout", ENCRYPTED)
def test_encrypted_groups_of_ours_are_read_by_stock(
    machine: Machine, stock: StockLvm, nodes: dict[str, Path], layout: str
) -> None:
    build(machine, nodes, ENCRYPTED[layout])
    assert_same_reports(machine, stock, nodes.values(), without=SEEN_BY_US_ONLY)
    assert_stock_is_content(stock, *UNKNOWN_SEGMENTS)


def test_stock_changes_an_ordinary_group_of_ours_and_we_go_on(
    machine: Machine, stock: StockLvm, nodes: dict[str, Path]
) -> None:
    devices = ("--devices", ",".join(map(str, nodes.values())))
    build(machine, nodes, ORDINARY["several-segments"])
    stock.run("vgchange", "--addtag", "theirs", "vg")
    stock.run("lvrename", "vg", "a", "renamed")
    stock.run("lvremove", "-y", "vg/rest")
    stock.run(*MAKE, "-i2", "-I64k", "-l4", "-nstriped", "--addtag", "t", "vg", nodes["D2"], nodes["D3"])
    stock.run("lvchange", "-pr", "-An", "vg/c")
    stock.run("pvchange", "--addtag", "slow", nodes["D3"])
    assert_same_reports(machine, stock, nodes.values(), texts=True)
    before = parse_vg(stock.metadata(nodes["D1"]))
    machine.run(*CRYPT[:1], *devices, *CRYPT[1:], "-l", "2", "-n", "secret", "vg")
    machine.run("lvcreate", *devices, "-l", "1", "-n", "more", "vg")
    after = parse_vg(stock.metadata(nodes["D1"]))
    assert [after.lv(lv.name) for lv in before.lvs] == list(before.lvs)
    assert after.replace(lvs=(), seqno=0) == before.replace(lvs=(), seqno=0)
    assert_stock_is_content(stock, *UNKNOWN_SEGMENTS)


REFUSED = (
    (*MAKE, "-l1", "-nx", "vg"), ("lvremove", "-y", "vg/open"), ("lvrename", "vg", "open", "x"),
    ("vgchange", "--addtag", "x", "vg"), ("vgrename", "vg", "x"), ("vgremove", "-ff", "-y", "vg"),
    ("vgexport", "vg"), ("vgreduce", "--removemissing", "--force", "vg"), ("lvextend", "-l+1", "vg/open"),
)  # fmt: skip


def test_stock_changes_nothing_of_an_encrypted_group(
    machine: Machine, stock: StockLvm, nodes: dict[str, Path]
) -> None:
    """Our segments are of types that it does not know, which is what protects them."""
    build(machine, nodes, ENCRYPTED["on-two-disks"])
    before = machine.snapshot()
    for words in REFUSED:
        stock.run(*words, expect=5)
    assert machine.snapshot() == before


def segments_of_ours(text: bytes) -> dict[str, tuple[tuple[str, Value], ...]]:
    """The items of each encrypted segment and keystore; a list of one is its only value, as stock has it."""
    root = parse_config(text)
    found = {}
    for _, group in root.sections():
        volumes = group.get("logical_volumes")
        for name, volume in volumes.sections() if isinstance(volumes, Section) else ():
            for word, part in volume.sections():
                if str(part.get("type")).startswith("crypt"):
                    found[f"{name} {word}"] = tuple((key, _scalar(value)) for key, value in part.items)
    return found


def _scalar(value: Value) -> Value:
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


@pytest.mark.parametrize("way", ["restored", "updated"])
def test_stock_rewrites_an_encrypted_group_and_every_key_is_kept(
    machine: Machine, stock: StockLvm, nodes: dict[str, Path], way: str
) -> None:
    devices = ("--devices", ",".join(map(str, nodes.values())))
    build(machine, nodes, ENCRYPTED["on-two-disks"])
    raw = stock.metadata(nodes["D1"])
    ours, before = segments_of_ours(raw), parse_vg(raw)
    assert len(ours) == 5, "three segments of encrypted volumes, two keystores"
    if way == "restored":
        backup_of(stock, "vg")
        text = (stock.folder / "backup").read_text()
        text = text.replace("\topen {", "\trenamed {").replace(
            "\textent_size", '\ttags = ["theirs"]\n\textent_size', 1
        )
        (stock.folder / "edited").write_text(text)
        stock.run("vgcfgrestore", "-y", "--force", "-f", stock.folder / "edited", "vg")
    else:
        stock.run("vgck", "--updatemetadata", "vg")
    raw = stock.metadata(nodes["D1"])
    after = parse_vg(raw)
    assert "crypto_store=" in raw.decode(), "written by stock, not by us"
    assert segments_of_ours(raw) == ours
    assert {lv for lv in after.lvs if lv.name not in ("open", "renamed")} == {
        lv for lv in before.lvs if lv.name != "open"
    }
    assert check(after) == ()
    activate = ("lvchange", *devices, "-ay", "--backend", "nbd", "--keyfile", "key", "vg/secret")
    machine.run(*activate)
    machine.run("lvchange", *devices, "-an", "vg/secret")
    theirs = backup_of(stock, "vg")
    machine.run("lvcreate", *devices, "-l", "1", "-n", "more", "vg")
    machine.run("lvremove", *devices, "-y", "vg/more")
    assert backup_of(stock, "vg") == theirs
    assert segments_of_ours(stock.metadata(nodes["D1"])) == ours
    assert_stock_is_content(stock, *UNKNOWN_SEGMENTS)


def _texts() -> list[Path]:
    names = [*GOLDEN.glob("lvm2/*/raw_text_pv0_mda0.txt"), *GOLDEN.glob("lvm2-crypt/*/raw_text.txt")]
    return sorted(names)


REFUSED_BY_STOCK = ("V0_seed_exact", "V12_unknown_status", "V8_lock_type")
REFUSED_BY_US = {
    "V1_no_zero_extent": "keystore cryptostore1 does not exist",
    "V10b_shadow": "crypt_shadow0",
    "V5_areas_and_stripes": "a crypt segment has areas, this one has stripes",
}
"""Those that break a rule of ours, with what the error says; nothing is written then."""


@pytest.mark.parametrize("path", _texts(), ids=lambda path: path.parent.name)
def test_golden_texts_pass_through_our_hands(machine: Machine, stock: StockLvm, path: Path) -> None:
    """Stock restores a text, we change a tag, and its backup differs by the tag."""
    text = path.read_bytes().rstrip(b"\0")
    vg = parse_vg(text)
    target = machine.folder / "text"
    target.write_bytes(text)
    nodes = []
    for number, pv in enumerate(vg.pvs):
        image = machine.image(f"{number}.img")
        with image.open("r+b") as file:
            file.truncate(pv.dev_size_sectors * 512)
        nodes.append(stock.attach(image))
    for pv, node in zip(vg.pvs, nodes, strict=True):
        stock.run("pvcreate", "-y", "--uuid", pv.id, "--restorefile", target, node, expect=None)
    case = path.parent.name
    done = stock.run("vgcfgrestore", "-y", "--force", "-f", target, vg.name, expect=None)
    assert (done.status == 0) == (case not in REFUSED_BY_STOCK), done.err
    if case in REFUSED_BY_US:
        before = stock.metadata(nodes[0])
        with pytest.raises(CheckError, match=REFUSED_BY_US[case]):
            retag(machine, nodes, vg.name, "ours")
        assert stock.metadata(nodes[0]) == before
        if case == "V1_no_zero_extent":  # and what has no key can be removed, which leaves a sound group
            machine.run("lvremove", "--devices", ",".join(map(str, nodes)), "-y", f"{vg.name}/tst")
            after = parse_vg(stock.metadata(nodes[0]))
            assert check(after) == ()
            assert [lv.name for lv in after.lvs] == [lv.name for lv in vg.lvs if lv.name != "tst"]
    elif done.status == 0:
        assert_rewrite_keeps_all(machine, stock, nodes, vg.name)
