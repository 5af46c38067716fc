"""pvck --dump: sound areas as they lie, damaged ones by name; stock's pvck says the same, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import FormatError
from cryptlv.ops.check import dump_headers, find_metadata
from support.disks import make_disks
from support.machine import FAST, Machine, need

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.compat
def test_both_dumps_are_stocks_byte_for_byte(vg0: Machine) -> None:
    need("lvm")
    vg0.image("c.img")
    vg0.run("pvcreate", "c.img")
    for _ in range(3):
        vg0.run("lvcreate", "-l1", "vg0")
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l1", "vg0", given=b"x\n")
    for name in ("a.img", "b.img", "c.img"):
        for what in ("headers", "metadata"):
            words = ("pvck", "--dump", what, name)
            assert vg0.run(*words).out == vg0.tool("lvm", *words).out
    vg0.run("pvck", "--dump", "metadata", "-f", "ours", "a.img")
    vg0.tool("lvm", "pvck", "--dump", "metadata", "-f", "theirs", "a.img")
    ours, theirs = (vg0.folder / "ours").read_bytes(), (vg0.folder / "theirs").read_bytes()
    assert ours == theirs


def test_the_second_area_serves_when_the_first_is_damaged(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (2,))
    with disks.session() as session:
        whole = find_metadata(session, "/d0")
        disks.devices["/d0"].write(4096, bytes(512))
        again = find_metadata(session, "/d0")
    assert whole is not None
    assert again is not None
    assert again.text == whole.text
    assert again.summary != whole.summary


def test_headers_before_the_damaged_one_are_shown(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (2,))
    disks.devices["/d0"].write(15 * 2**20, bytes(512))
    lines: list[str] = []
    with disks.session() as session, pytest.raises(FormatError, match="/d0"):
        dump_headers(session, "/d0", lines.append)
    assert lines[0] == "label_header at 512"
    assert any(line.startswith("mda_header_1 at 4096") for line in lines)
    assert not any(line.startswith("mda_header_2") for line in lines)
