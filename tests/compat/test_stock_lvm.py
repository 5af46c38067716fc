"""Stock lvm2 reads what this program writes, says the same of it, and chooses the same extents."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import NoSpaceError
from cryptlv.model.allocate import Candidate, Wish, allocate
from cryptlv.ondisk.vgtext import parse_vg
from support.machine import FAST, Machine, need

if TYPE_CHECKING:
    from pathlib import Path

    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]


@pytest.fixture
def encrypted(vg0: Machine) -> Machine:
    """vg0 with a linear volume, one of handler luks2 that lies on both images, and one of handler plain."""
    key = vg0.key_file("key", b"passphrase")
    raw = vg0.key_file("raw", bytes(64))
    vg0.run("lvcreate", "-L8M", "-nplainly", "vg0")
    vg0.run("lvcreate", "--type", "crypt", "--keyfile", key, *FAST, "-l8", "-nsecret", "vg0")
    vg0.run("lvcreate", "--type", "crypt", "--handler", "plain", "--keyfile", raw, "-l1", "-nraw", "vg0")
    return vg0


def test_stock_reads_the_volume_group_with_exit_status_0(encrypted: Machine, stock: StockLvm) -> None:
    for name in ("a.img", "b.img"):
        stock.attach(encrypted.folder / name)
    for command in (("pvs",), ("vgs",), ("lvs", "-a"), ("vgck", "vg0"), ("vgck",), ("pvscan",), ("vgdisplay",)):
        stock.run(*command)
    names = [row["lv_name"] for row in stock.report("lv", "-a", "-o", "lv_name,segtype")]
    assert sorted(names) == sorted(["plainly", "raw", "secret", "secret", "[cryptostore1]", "[cryptostore2]"]), (
        "the encrypted volume over two images has two segments"
    )


def test_stock_and_we_report_the_same(encrypted: Machine, stock: StockLvm) -> None:
    for name in ("a.img", "b.img"):
        stock.attach(encrypted.folder / name)
    fields = "vg_name,pv_count,lv_count,snap_count,vg_attr,vg_size,vg_extent_count,vg_seqno,vg_uuid"
    ours = json.loads(encrypted.run("vgs", "--reportformat", "json", "-o", fields).out)["report"][0]["vg"]
    assert ours == stock.report("vg", "-o", fields)
    for units in ("r", "h", "b", "s", "k", "m", "g", "M", "T"):
        fields = "lv_name,vg_name,lv_size,lv_uuid"
        words = ("-a", "--units", units, "-o", fields)
        ours = json.loads(encrypted.run("lvs", "--reportformat", "json", *words).out)["report"][0]["lv"]
        assert ours == stock.report("lv", *words), units


def test_a_volume_group_of_linear_volumes_looks_the_same_column_for_column(machine: Machine, stock: StockLvm) -> None:
    images = [machine.image("a.img"), machine.image("b.img", 48)]
    nodes = [stock.attach(image) for image in images]
    machine.image("c.img", 8)
    nodes.append(stock.attach(machine.folder / "c.img"))
    machine.run("pvcreate", "--devices", ",".join(map(str, nodes)), *nodes)
    devices = ("--devices", ",".join(map(str, nodes)))
    machine.run("vgcreate", *devices, "vg0", *nodes[:2])
    machine.run("lvcreate", *devices, "-L10M", "-nten", "vg0")
    machine.run("lvcreate", *devices, "-l100%FREE", "-nrest", "vg0")
    machine.run("lvcreate", *devices, "-l1", "-n", "x", "vg0", expect=5)
    for words in (
        ("pvs",),
        ("vgs",),
        ("pvs", "--noheadings"),
        ("pvs", "--separator", ":"),
        ("pvs", "-o", "+pv_used,pv_uuid"),
        ("vgs", "-o", "vg_name,vg_free_count,vg_extent_size", "--units", "k", "--nosuffix"),
        ("vgs", "-o", "-vg_attr"),
        ("pvs", "--reportformat", "json"),
        ("vgs", "--reportformat", "json"),
        ("lvs", "-o", "lv_name,vg_name,lv_size,pool_lv,origin,data_percent,metadata_percent,lv_uuid"),
    ):
        assert machine.run(*words[:1], *devices, *words[1:]).out == stock.run(*words).out
    ours = machine.run("lvs", *devices).out
    theirs = stock.run("lvs").out
    assert ours == re.sub(r"XX", "--", theirs), "all but the state, which stock lvm2 cannot know here"


def test_stock_restores_our_backup_and_keeps_every_key(encrypted: Machine, stock: StockLvm) -> None:
    nodes = [stock.attach(encrypted.folder / name) for name in ("a.img", "b.img")]
    encrypted.run("vgcfgbackup", "-f", "backup.txt", "vg0")
    before = parse_vg((encrypted.folder / "backup.txt").read_bytes())
    stock.run("vgcfgrestore", "-y", "--force", "-f", encrypted.folder / "backup.txt", "vg0")
    after = parse_vg(stock.metadata(nodes[0]))
    assert after.seqno == before.seqno + 1
    assert after.replace(seqno=before.seqno, pvs=before.pvs) == before
    assert [pv.id for pv in after.pvs] == [pv.id for pv in before.pvs]


def test_a_luks2_keystore_is_a_header_that_cryptsetup_opens_on_the_loop_device(
    encrypted: Machine, stock: StockLvm
) -> None:
    need("cryptsetup", "dd")
    vg = parse_vg(stock.metadata(stock.attach(encrypted.folder / "a.img")))
    ((pv_id, start_pe, length_pe),) = vg.lv("cryptostore1").segments[0].footprint()
    pv = vg.pv(pv_id)
    skip = pv.pe_start_sectors + start_pe * vg.extent_size_sectors
    header = encrypted.folder / "header"
    encrypted.tool(
        "dd",
        f"if={pv.device}",
        f"of={header}",
        "bs=512",
        f"skip={skip}",
        f"count={length_pe * vg.extent_size_sectors}",
    )
    assert "aes" in encrypted.tool("cryptsetup", "luksDump", header).out
    encrypted.tool("cryptsetup", "open", "--test-passphrase", "--key-file", "key", header)
    wrong = encrypted.key_file("wrong", b"other")
    encrypted.tool("cryptsetup", "open", "--test-passphrase", "--key-file", wrong, header, expect=2)


def test_a_stock_command_waits_for_our_lock_and_ours_for_stocks(vg0: Machine, stock: StockLvm) -> None:
    from cryptlv.errors import LockError
    from cryptlv.host.locks import LockDirectory

    for name in ("a.img", "b.img"):
        stock.attach(vg0.folder / name)
    locks = LockDirectory(str(stock.folder / "lock"))
    with locks.vg("vg0", write=True):
        waiting = stock.start("vgs", "vg0")
        with pytest.raises(Exception, match="timed out"):
            waiting.wait(timeout=1)
    out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert b"vg0" in out
    with locks.vg("vg0", write=False):
        stock.run("vgs", "vg0")
    with locks.vg("vg0", write=True), pytest.raises(LockError), locks.vg("vg0", write=False, wait=False):
        pass


@pytest.mark.parametrize("seed", range(6))
def test_extents_are_chosen_as_stock_chooses_them(stock: StockLvm, tmp_path: Path, seed: int) -> None:
    """Random creations and removals: what stock takes for each new volume is what we would take."""
    rng = random.Random(seed)
    nodes = []
    for number in range(rng.randint(1, 4)):
        image = tmp_path / f"{number}.img"
        with image.open("wb") as file:
            file.truncate(1024 * 1024 + rng.randint(5, 40) * 256 * 1024)
        nodes.append(stock.attach(image))
    stock.run("pvcreate", *nodes)
    stock.run("vgcreate", "-s", "256k", "vg", *nodes)
    vg = parse_vg(stock.metadata(nodes[0]))
    names: list[str] = []
    created = 0
    for step in range(30):
        if names and rng.random() < 0.4:
            stock.run("lvremove", "-y", f"vg/{names.pop(rng.randrange(len(names)))}")
            vg = parse_vg(stock.metadata(nodes[0]))
            continue
        length_le = rng.randint(1, 30)
        place = rng.randrange(len(nodes)) if rng.random() < 0.2 else None
        only = None if place is None else (Candidate(pv_id=vg.pvs[place].id),)
        try:
            ours = [
                (run.areas[0].pv_id, run.areas[0].start_pe, run.length_pe)
                for run in allocate(vg, Wish(length_le=length_le, what="", candidates=only))
            ]
        except NoSpaceError:
            ours = []
        name = f"v{step}"
        where = [] if place is None else [nodes[place]]
        stock.run("lvcreate", "-an", "-Zn", "-Wn", "-y", f"-l{length_le}", f"-n{name}", "vg", *where, expect=None)
        vg = parse_vg(stock.metadata(nodes[0]))
        lv = vg.find_lv(name)
        theirs = [part for segment in lv.segments for part in segment.footprint()] if lv is not None else []
        assert ours == theirs, f"step {step}: {length_le} extents"
        if lv is not None:
            names.append(name)
            created += 1
    assert created > 3
