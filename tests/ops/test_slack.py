"""Old copies of a key header before the data of an imported volume: gone with the next change of a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.stream import VolumeStream
from cryptlv.model.mapping import CryptTarget, map_volume
from cryptlv.ops.convert import ImportRequest, import_volume
from cryptlv.ops.keyslots import add_key
from cryptlv.ops.slack import wipe_slack
from support.disks import Disks, Known
from support.keyslots import CHEAP, SECOND
from support.luks import EXTENT, HEADERS, luks_disks, read_opened

if TYPE_CHECKING:
    from pathlib import Path

    from support.luks import Pieces

MARK = b"an old copy of a key header".ljust(512, b".")
ONE: Pieces = ((0, 100, 24),)
STRIPED: Pieces = ((0, 100, 6), (1, 30, 6))


def copies(disks: Disks) -> int:
    return sum(device.read(0, device.size_bytes).count(MARK) for device in disks.devices.values())


@pytest.mark.parametrize(("pieces", "stripes"), [(ONE, 1), (STRIPED, 2)], ids=["linear", "striped"])
def test_a_copy_that_an_interrupted_import_left_is_wiped_when_a_key_changes(
    tmp_path: Path, headers: Path, pieces: Pieces, stripes: int
) -> None:
    disks, data = luks_disks(tmp_path, headers, "luks2", HEADERS["luks2"], pieces, stripes=stripes)
    with disks.session() as session:
        import_volume(session, "vg0", "lv", ImportRequest())
    group = disks.group()
    assert group is not None
    segment = group.lv("lv").segments[0]
    slack = segment.data_offset_sectors * 512
    assert 0 < slack < EXTENT
    devices = {pv.id: disks.devices[pv.device] for pv in group.pvs}
    mapping = map_volume(group, group.lv("lv"))
    target = mapping.targets[0]
    assert isinstance(target, CryptTarget)
    if stripes > 1:
        below = VolumeStream(mapping.layers[0], devices, {})
        below.write(target.offset_sectors * 512 - slack, MARK * (slack // len(MARK)))
    else:
        devices[target.pv_id].write(target.offset_sectors * 512 - slack, MARK * (slack // len(MARK)))
    assert copies(disks) == slack // len(MARK), "what the test puts there"
    with disks.session() as session:
        add_key(session, "vg0", "lv", Known(), Known(SECOND), request=CHEAP)
    assert copies(disks) == 0
    assert read_opened(disks)[: len(data)] == data


def test_what_cannot_be_wiped_is_a_warning(tmp_path: Path, headers: Path) -> None:
    disks, _ = luks_disks(tmp_path, headers, "luks2", HEADERS["luks2"], ONE)
    with disks.session() as session:
        store = import_volume(session, "vg0", "lv", ImportRequest()).store_name
    said: list[str] = []
    with disks.session(warn=said.append) as session:
        group = session.world().group("vg0")
        wipe_slack(session, group.replace(pv_paths={}), store)
        wipe_slack(session, group, "cryptostore9")
    assert len(said) == 1
    assert "vg0/lv: an old copy of the key header may be before its data" in said[0]
