"""A volume of two segments with two keystores: a key for each line of its table (rows S14 and S20)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptlv.host.system import make_environment, observe_directories
from cryptlv.ops.commit import commit_change
from cryptlv.ops.session import Session
from cryptlv.segments.crypt import CryptSegment
from support.guest_volumes import MIB, Host, pattern, read, write

if TYPE_CHECKING:
    from support.guest import Guest


def join(guest: Guest) -> None:
    """Put the segment of vg0/b behind that of vg0/a, as a volume that is being re-encrypted is made of two."""
    directories = observe_directories(guest.environ, 0)
    names = tuple(map(str, guest.disks[:2]))
    with Session(directories, make_environment("join"), devices=names) as session, session.locked("vg0", write=True):
        group = session.writable_group("vg0")
        one, other = group.vg.lv("a"), group.vg.lv("b")
        (second,) = other.segments
        assert isinstance(second, CryptSegment)
        joined = one.replace(segments=(*one.segments, second.replace(start_le=one.length_le)))
        kept = tuple(joined if lv.name == "a" else lv for lv in group.vg.lvs if lv.name != "b")
        commit_change(session, group, group.vg.replace(lvs=kept))


def test_both_keys_are_in_the_table_and_data_cross_the_border(guest: Guest) -> None:
    host = Host(guest, *guest.disks[:2])
    for name in "ab":
        host.crypt(name, "-l2", "-an")
    join(guest)
    host.run("lvchange", "-ay", "vg0/a", *host.key)
    first, second = guest.tables()["vg0-a"].splitlines()
    assert re.fullmatch(r"0 16384 crypt aes-xts-plain64 :64:logon:\S+ 0 254:0 \d+", first)
    assert re.fullmatch(r"16384 16384 crypt aes-xts-plain64 :64:logon:\S+ 16384 254:0 \d+", second)
    assert first.split()[4] != second.split()[4]
    assert len(host.keys()) == 2
    write("a", 8 * MIB - MIB // 2, pattern(1))
    host.run("lvextend", "-l+1", "vg0/a")
    write("a", 16 * MIB - MIB // 2, pattern(2))
    host.run("lvchange", "--suspendkey", "vg0/a")
    assert host.keys() == []
    host.run("lvchange", "--resumekey", "vg0/a", *host.key)
    assert read("a", 8 * MIB - MIB // 2, MIB) == pattern(1)
    host.run("lvchange", "-an", "vg0/a")
    assert host.keys() == []
    (path,) = host.run("lvchange", "-ay", "--backend", "nbd", *host.key, "vg0/a")
    guest.tool("nbdcopy", f"nbd+unix:///?socket={path}", "copy")
    whole = (guest.folder / "copy").read_bytes()
    assert whole[8 * MIB - MIB // 2 :][:MIB] == pattern(1)
    assert whole[16 * MIB - MIB // 2 :][:MIB] == pattern(2)
    host.run("lvchange", "-an", "vg0/a")
    host.run("lvchange", "-ay", "--no-keyring", "vg0/a", *host.key)
    assert host.keys() == []
    host.run("lvextend", "-l+1", "vg0/a")
    assert read("a", 8 * MIB - MIB // 2, MIB) == pattern(1)
    assert "logon" not in guest.tables()["vg0-a"]
    host.run("lvchange", "-an", "vg0/a")
