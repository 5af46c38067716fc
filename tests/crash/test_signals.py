"""A command that is killed or interrupted at any write leaves the old or the new, and the next one goes well.

The order of writes and what a crash makes of them is tried on recorded devices; here whole processes end, as strace
has them do, with their locks, archive, backup and devices file.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from cryptlv.host.system import make_environment, observe_directories
from cryptlv.ops.session import Session
from cryptlv.ops.vgck import find_faults, update_metadata
from support.machine import FAST, Machine, need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYSCALLS = ("pwrite64", "pwritev", "pwritev2", "rename", "unlink")
GROUP = ("vgcreate -s 64k vg0 1.img 2.img", "lvcreate -l 4 -n first vg0")
SECRET = f"lvcreate --type crypt --keyfile key {' '.join(FAST)} -l 4 -n secret vg0"


class Case(NamedTuple):
    """A command, and those before it.

    `again`: it has more than one step, and is run again to end what it began. `leaves_outdated`: a device that is out
    of the group may be left with metadata of it, which vgck tells of and removes, as with lvm2.
    """

    command: str
    before: tuple[str, ...] = GROUP
    again: bool = False
    leaves_outdated: bool = False


CASES = (
    Case("pvcreate 3.img", (), again=True),
    Case("pvremove 3.img", ("pvcreate 3.img",), again=True),
    Case("pvchange -x n 1.img"),
    Case("pvchange -u 1.img"),
    Case("pvresize --setphysicalvolumesize 6m -y 1.img"),
    Case("pvmove 1.img", again=True),
    Case("vgcreate vg0 1.img", (), again=True),
    Case("vgextend vg0 3.img", again=True),
    Case("vgreduce vg0 2.img", leaves_outdated=True),
    Case("vgremove -y vg0", (*GROUP, SECRET), again=True),
    Case("vgrename vg0 vg1"),
    Case("vgchange --addtag tag vg0"),
    Case("vgsplit vg0 vg1 2.img", again=True),
    Case("vgmerge vg0 vg1", (*GROUP, "vgcreate -s 64k vg1 3.img"), again=True),
    Case(SECRET),
    Case("lvextend -l +4 vg0/secret", (*GROUP, SECRET)),
    Case("lvrename vg0 secret other", (*GROUP, SECRET)),
    Case("lvchange -pr vg0/first"),
    Case("lvremove -y vg0/secret", (*GROUP, SECRET)),
    Case("vgundo -y vg0"),
)


def session_on(folder: Path) -> Session:
    environ = {"CRYPTLV_SYSTEM_DIR": str(folder / "system"), "CRYPTLV_RUN_DIR": str(folder / "run")}
    devices = tuple(str(path) for path in sorted(folder.glob("*.img")))
    return Session(observe_directories(environ, 0), make_environment("test"), devices=devices)


def shape(folder: Path, known: frozenset[str] = frozenset()) -> frozenset[object]:
    """What is there, without what each run makes anew: ids that are not `known`, and times."""
    with session_on(folder) as session:
        world = session.world(silent=True)
        found: set[object] = {pv.path.rpartition("/")[2] for pv in world.pvs if pv.path}
        for group in world.groups:
            vg = group.vg
            lvs = tuple((lv.name, lv.length_le, lv.status, lv.tags) for lv in vg.lvs)
            pvs = tuple(sorted((pv.status, pv.pe_count, pv.dev_size_sectors, pv.id in known) for pv in vg.pvs))
            used = tuple(
                sorted(place[0] == vg.pvs[0].id for lv in vg.lvs for s in lv.segments for place in s.footprint())
            )
            found.add((vg.name, vg.status, vg.tags, lvs, pvs, used))
        return frozenset(found)


class Steps:
    """One case in a folder that is put back before each run; `key` and the images are its machine's."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.case = case
        self.template = folder / "template"
        self.folder = folder / "work"
        self.log = folder / "strace"
        self.template.mkdir()
        machine = Machine(self.template)
        for number in (1, 2, 3):
            machine.image(f"{number}.img", 8)
        machine.key_file("key", b"correct horse")
        for command in case.before:
            machine.run(*self.words(command))
        with session_on(self.template) as session:
            self.known = frozenset(pv.label.pv_id for pv in session.world(silent=True).pvs)
        self.old = shape(self.template, self.known)
        self.fresh().prefix = ("strace", "-f", "-qq", "-o", str(self.log), "-e", f"trace={','.join(SYSCALLS)}")
        self.machine.run(*self.words(case.command))
        self.new = shape(self.folder, self.known)
        assert self.new != self.old

    def words(self, command: str) -> list[str]:
        name, *rest = command.split()
        return [name, "--devices", "1.img,2.img,3.img", *rest]

    def fresh(self) -> Machine:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        self.machine = Machine(self.folder)
        self.machine.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # the interpreter's own files do not count
        return self.machine

    def points(self) -> Iterator[tuple[str, int]]:
        """Each of the calls that the whole run made: its name, and the how manyth of that name it is."""
        counts = dict.fromkeys(SYSCALLS, 0)
        for name in re.findall(r"^\d+ +(\w+)\(", self.log.read_text(), re.MULTILINE):
            counts[name] += 1
            yield name, counts[name]

    def ended_at(self, name: str, number: int, signal: str) -> tuple[int, str]:
        """The exit status and errors of a run to which a signal comes at a call."""
        self.fresh().prefix = (
            *("strace", "-f", "-qq", "-o", "/dev/null"),
            *("-e", f"trace={name}", "-e", f"inject={name}:signal={signal}:when={number}"),
        )
        done = self.machine.run(*self.words(self.case.command), expect=None)
        self.machine.prefix = ()
        return done.status, done.err

    def assert_whole(self) -> None:
        """What is left is the old or the new, or the command itself ends it; then nothing is wrong."""
        if shape(self.folder, self.known) not in (self.old, self.new):
            assert self.case.again
            self.machine.run(*self.words(self.case.command))
            assert shape(self.folder, self.known) == self.new
        with session_on(self.folder) as session:
            names = [group.vg.name for group in session.world(silent=True).groups]
        for name in names:
            self.machine.run(*self.words(f"vgchange --addtag next {name}"))
            with session_on(self.folder) as session:
                if not self.case.leaves_outdated:
                    assert find_faults(session, name) == ()
                    continue
                assert all("outdated" in fault for fault in find_faults(session, name))
                update_metadata(session, name)
                assert find_faults(session, name) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command.split()[0])
def test_a_command_may_end_at_any_write(tmp_path: Path, case: Case) -> None:
    need("strace")
    steps = Steps(tmp_path, case)
    interrupted = 0
    for turn, (name, number) in enumerate(steps.points()):
        signal = "SIGINT" if turn % 2 else "SIGKILL"
        status, errors = steps.ended_at(name, number, signal)
        if signal == "SIGKILL":
            assert status < 0, f"{name} {number}: it did not get there"
        else:
            assert status in (0, 130), errors
            interrupted += status == 130
        steps.assert_whole()
    assert interrupted or case.command.startswith("pvmove"), "pvmove ends its chunk, which is all here"
