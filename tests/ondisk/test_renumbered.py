"""Areas whose PV word stock lvm2 has given anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.ondisk.renumbered import renumbered
from support.disks import make_disks

if TYPE_CHECKING:
    from pathlib import Path


def test_word_and_id_that_differ_are_told(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        text = session.world().groups[0].areas[0].text
    assert text is not None
    assert list(renumbered(text)) == []
    swapped = text.replace(b"pv0 {", b"pvX {").replace(b"pv1 {", b"pv0 {").replace(b"pvX {", b"pv1 {")
    lines = list(renumbered(swapped))
    assert [line.split(":")[0] for line in lines] == ["old segment1", "cryptostore1 segment1"]
    assert all("pv0" in line for line in lines)
    assert list(renumbered(swapped.replace(b"area_ids", b"other_id"))) == []
    assert list(renumbered(b"vg {\narea_ids = 1\n}\n")) == []
