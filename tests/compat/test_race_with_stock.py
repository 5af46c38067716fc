"""Stock lvm2 and this program change one volume group at the same time: no update is lost, and each waits.

CRYPTLV_RACE_SECONDS says how long the race is, a minute if not.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import LockError
from cryptlv.host.locks import LockDirectory
from cryptlv.ondisk.vgtext import parse_document, parse_vg

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup
    from support.machine import Machine
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]

SECONDS = float(os.environ.get("CRYPTLV_RACE_SECONDS", "60"))
STOCK_CREATE = ("lvcreate", "-an", "-Zn", "-Wn", "-y", "-l1")


class Beside:
    """Volume group vg on two devices, stock and a machine that share everything, and what stock says is there."""

    def __init__(self, machine: Machine, stock: StockLvm) -> None:
        self.machine = machine
        self.stock = stock
        stock.configure(use_devicesfile="1", backup="1", archive="1")
        stock.beside(machine)
        self.nodes = [stock.attach(machine.image(f"{name}.img", 256)) for name in ("a", "b")]
        stock.run("vgcreate", "-s", "64k", "vg", *self.nodes)
        self.etc = stock.folder / "etc"
        self.locks = LockDirectory(str(stock.folder / "lock"))

    def group(self) -> VolumeGroup:
        first, second = (parse_vg(self.stock.metadata(node)) for node in self.nodes)
        assert first == second
        return first


@pytest.fixture
def beside(machine: Machine, stock: StockLvm) -> Beside:
    return Beside(machine, stock)


class Racer(threading.Thread):
    """Changes the group in a loop until the time is up: makes volumes, tags, removes some. Counts the commits."""

    def __init__(self, name: str, run: Callable[..., object], create: tuple[str, ...], until: float) -> None:
        super().__init__(name=name)
        self._run = run
        self._create = create
        self._until = until
        self.commits = 0
        self.there: set[str] = set()
        self.tags: set[str] = set()
        self.problem: BaseException | None = None

    def run(self) -> None:
        rng = random.Random(self.name)
        number = 0
        try:
            while time.monotonic() < self._until:
                number += 1
                if len(self.there) > 20 or (self.there and rng.random() < 0.45):
                    name = rng.choice(sorted(self.there))
                    self._run("lvremove", "-y", f"vg/{name}")
                    self.there.remove(name)
                elif self.name == "stock" and rng.random() < 0.2:
                    self._run("vgchange", "--addtag", f"t{number}", "vg")
                    self.tags.add(f"t{number}")
                else:
                    name = f"{self.name}{number}"
                    self._run(*self._create, "-n", name, "vg")
                    self.there.add(name)
                self.commits += 1
        except BaseException as error:
            self.problem = error


def test_no_update_is_lost_and_no_number_is_missing(beside: Beside) -> None:
    before = beside.group()
    until = time.monotonic() + SECONDS
    racers = [
        Racer("stock", beside.stock.run, STOCK_CREATE, until),
        Racer("ours", beside.machine.run, ("lvcreate", "-l1"), until),
    ]
    reports = 0
    for racer in racers:
        racer.start()
    while any(racer.is_alive() for racer in racers):  # who only looks sees whole groups, and no warning
        seen = beside.machine.run("vgs", "--noheadings", "-o", "vg_name,vg_seqno", *(["vg"] if reports % 2 else []))
        assert seen.out.split()[:1] == ["vg"]
        assert not seen.err, seen.err
        reports += 1
    for racer in racers:
        racer.join()
        assert racer.problem is None, f"{racer.name}: {racer.problem}"
        assert racer.commits > SECONDS / 2, f"{racer.name} hardly ran"
    after = beside.group()
    stock, ours = racers
    assert {lv.name for lv in after.lvs} == stock.there | ours.there
    assert set(after.tags) == stock.tags
    assert after.seqno == before.seqno + stock.commits + ours.commits
    archived = sorted(parse_document(path.read_bytes()).vg.seqno for path in (beside.etc / "archive").glob("vg_*.vg"))
    assert archived == list(range(before.seqno, after.seqno)), "one archive for each value that was replaced"
    assert parse_vg((beside.etc / "backup" / "vg").read_bytes()) == after
    beside.stock.run("vgck", "vg")
    assert reports > 2


@pytest.mark.parametrize("victim", ["stock", "ours"])
def test_who_is_killed_with_the_lock_in_hand_holds_nobody_up(beside: Beside, victim: str) -> None:
    """SIGKILL at a random moment after the lock was taken: the old or the new is in force, and the other goes on."""
    rng = random.Random(victim)
    lock = beside.stock.folder / "lock" / "V_vg"
    killed = 0
    names = {lv.name for lv in beside.group().lvs}
    for number in range(12):
        seqno = beside.group().seqno
        if victim == "stock":
            process = beside.stock.start(*STOCK_CREATE, "-n", f"k{number}", "vg")
        else:
            process = beside.machine.start("lvcreate", "-l1", "-n", f"k{number}", "vg")
        lock.unlink(missing_ok=True)  # what an earlier victim left
        while not lock.exists() and process.poll() is None:
            time.sleep(0.0002)
        time.sleep(rng.random() * 0.02)
        process.kill()
        process.communicate(timeout=30)
        killed += process.returncode < 0
        if victim == "stock":
            beside.machine.run("lvcreate", "-l1", "-n", f"o{number}", "vg")
        else:
            beside.stock.run(*STOCK_CREATE, "-n", f"o{number}", "vg")
        after = beside.group()
        made = {lv.name for lv in after.lvs} - names
        assert made - {f"k{number}"} == {f"o{number}"}
        assert after.seqno == seqno + len(made)
        names |= made
    assert killed > 2, "most of them should have met their end"
    beside.stock.run("vgck", "vg")


def test_a_stock_command_waits_for_ours_and_ours_for_stocks(beside: Beside) -> None:
    """Stock's vgremove holds the locks while it asks; ours waits for it, and goes on when the answer is no."""
    beside.stock.run(*STOCK_CREATE, "-nx", "vg")
    asking = beside.stock.start("vgremove", "vg")
    while not (beside.stock.folder / "lock" / "V_vg").exists():
        assert asking.poll() is None
    with pytest.raises(LockError), beside.locks.vg("vg", write=True, wait=False):
        pass
    waiting = [
        beside.machine.start("lvcreate", "-l1", "-n", "y", "vg"),
        beside.machine.start("lvs", "--noheadings", "-o", "lv_name", "vg"),
        beside.machine.start("pvs"),
    ]
    for process in waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
    _, err = asking.communicate(b"n\n", timeout=30)
    assert b"not removed" in err
    for process in waiting:
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert out
    assert [lv.name for lv in beside.group().lvs] == ["x", "y"]


def test_who_may_not_wait_is_refused_at_once_as_with_stock_and_nolocking_goes_on(beside: Beside) -> None:
    config = beside.etc / "lvm.conf"
    config.write_text(config.read_text() + "\nglobal/wait_for_locks = 0\n")
    words = {
        "V_vg": (("vgs", "vg"), ("lvs",), ("pvs",), (*STOCK_CREATE, "-nx", "vg"), ("vgremove", "-y", "vg")),
        "P_global": (("pvs",), ("vgremove", "-y", "vg"), ("vgcreate", "other", str(beside.nodes[0]))),
    }
    for name, commands in words.items():
        with beside.locks.named(name, write=True):
            for command in commands:
                assert beside.stock.run(*command, expect=None).status == 5, command
                ours = beside.machine.run(*command, expect=None)
                assert ours.status == 5, command
                assert f"{name}: held by another command" in ours.err
                assert len(ours.err.splitlines()) == 1
            for system, logical in ((beside.stock, "s"), (beside.machine, "m")):
                system.run(*STOCK_CREATE, f"-n{logical}{name}", "vg", "--nolocking")
                assert logical in system.run("lvs", "--nolocking", "--noheadings", "-o", "lv_name", "vg").out
    assert {lv.name for lv in beside.group().lvs} == {"sV_vg", "mV_vg", "sP_global", "mP_global"}


def test_a_writer_who_waits_comes_before_new_readers_whoever_they_are(beside: Beside) -> None:
    """While a reader is there, stock's waiting writer holds `V_vg:aux`, by which our next reader waits, too."""
    aux = beside.stock.folder / "lock" / "V_vg:aux"
    with beside.locks.vg("vg", write=False):
        writer = beside.stock.start(*STOCK_CREATE, "-nx", "vg")
        while not aux.exists():
            assert writer.poll() is None
        time.sleep(0.2)
        with pytest.raises(LockError), beside.locks.vg("vg", write=False, wait=False):
            pass
    writer.communicate(timeout=30)
    assert writer.returncode == 0
    with beside.locks.vg("vg", write=False):
        ours = beside.machine.start("lvcreate", "-l1", "-n", "y", "vg")
        while not aux.exists():
            assert ours.poll() is None
        reader = beside.stock.start("vgs", "vg")
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(timeout=1)
    for process in (ours, reader):
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_a_devices_file_that_both_edit_loses_nothing(beside: Beside, tmp_path: Path) -> None:
    """pvcreate of both at once, on devices of their own: every entry is there, the counter counts every change."""
    listed = beside.etc / "devices" / "system.devices"

    def counter() -> int:
        (line,) = [line for line in listed.read_text().splitlines() if line.startswith("VERSION=")]
        return int(line.rpartition(".")[2])

    nodes = []
    for number in range(8):
        image = tmp_path / f"{number}.img"
        with image.open("wb") as file:
            file.truncate(16 * 1024 * 1024)
        nodes.append(beside.stock.attach(image))
    before = counter()
    running = [
        *(beside.stock.start("pvcreate", node) for node in nodes[::2]),
        *(beside.machine.start("pvcreate", node) for node in nodes[1::2]),
    ]
    for process in running:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert counter() == before + 8
    ours = beside.machine.run("pvs", "--noheadings", "-o", "pv_name,pv_uuid,vg_name").lines
    theirs = beside.stock.run("pvs", "--noheadings", "-o", "pv_name,pv_uuid,vg_name").lines
    assert sorted(ours) == sorted(theirs)
    assert len(ours) == 10
    checked = beside.stock.run("lvmdevices", "--check")
    assert "PVID" not in checked.err, checked.err
