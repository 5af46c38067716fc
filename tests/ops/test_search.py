"""pvck's --settings and the areas that are searched; equality with stock is in compat/test_checks_like_stock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, FormatError, NotFoundError, RefusedError, UsageError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops.search import Settings, dump_all, dump_search, parse_settings, second_area
from support.disks import Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
ID = "abcdef-ghij-klmn-opqr-stuv-wxyz-012345"


def test_settings_are_pairs() -> None:
    assert parse_settings(("mda_num=2 mda_size = 4096", "seqno= 7")) == Settings(mda_num=2, mda_size=4096, seqno=7)
    assert parse_settings((f"pv_uuid={ID}",)).pv_uuid == ID
    assert parse_settings((f"pv_uuid={ID.replace('-', '')}",)).pv_uuid == ID
    assert parse_settings(()) == Settings()
    for text in ("x=1", "mda_num", "mda_num=x", "mda_num=-1", "pv_uuid=1", "=1", "mda_num=1 !", "seqno=" + "9" * 20):
        with pytest.raises(UsageError, match="--settings"):
            parse_settings((text,))


def test_a_second_area_begins_at_a_whole_mebibyte() -> None:
    assert second_area(40 * MIB) == (39 * MIB, MIB)
    assert second_area(40 * MIB + 4096) == (39 * MIB, MIB + 4096)


def test_the_texts_are_told_and_saved(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (2, 0))
    lines: list[str] = []
    target = tmp_path / "texts"
    with disks.session() as session:
        dump_all(session, "/d0", Settings(), lines.append, str(target))
        assert len(lines) == 3
        assert [line.rpartition(" seqno ")[2].split()[0] for line in lines] == ["1", "2", "3"]
        assert target.read_text().count("\n--\nvg0 {\n") == 2
        lines.clear()
        dump_all(session, "/d0", Settings(seqno=2, mda_num=2), lines.append)
        assert len(lines) == 1
        with pytest.raises(NotFoundError, match="not 3"):
            dump_all(session, "/d0", Settings(mda_num=3), lines.append)
        with pytest.raises(FormatError, match="metadata_search"):
            dump_all(session, "/d1", Settings(), lines.append)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(mda_offset=0, mda_size=0), Settings(mda_offset=17 * MIB, mda_size=4096), Settings(mda_size=2**62),
        Settings(mda_num=2, mda_size=2**62), Settings(mda_num=3, mda_offset=2**62), Settings(mda2_offset=2**63),
    ],
)  # fmt: skip
def test_an_area_that_is_not_on_the_device_is_refused(tmp_path: Path, settings: Settings) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session, pytest.raises(FormatError, match="/d0"):
        dump_search(session, "/d0", settings, lambda _: None)


def test_a_huge_area_is_searched_in_parts(tmp_path: Path) -> None:
    class Endless(MemoryDevice):
        size_bytes = 2**40

    disks = Disks(tmp_path, {"/d0": Endless(MIB, path="/d0")})
    with disks.session() as session, pytest.raises(RefusedError, match="mda_size"):
        dump_search(session, "/d0", Settings(mda_offset=0, mda_size=2**39), lambda _: None)


def test_several_groups_and_broken_texts_are_warned_about(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    text = b'other {\nid = "' + b"y" * 38 + b'"\nseqno = 5\n' + b"#" * 300 + b"\n}"
    disks.devices["/d0"].write(512 * 1024, text)
    warnings: list[str] = []
    with disks.session(warnings.append) as session:
        dump_search(session, "/d0", Settings(), lambda _: None)
    assert [line.split(": ", 1)[0] for line in warnings] == ["/d0"] * 3
    assert "2 volume groups" in warnings[-1]


def test_no_device_is_one_error(tmp_path: Path) -> None:
    with Disks(tmp_path, {"/d0": MemoryDevice(0, path="/d0")}).session() as session, pytest.raises(CryptlvError):
        dump_search(session, "/d0", Settings(), lambda _: None)
