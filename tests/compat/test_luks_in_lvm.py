"""LUKS volumes that stock tools made inside logical volumes: imported, used, and given back to stock tools.

The plaintext is that of the kernel's dm-crypt (its hash is in the manifest); after the export it is read by nbdkit's
LUKS filter, or sector by sector by the `cryptography` package.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.host.devices import MemoryDevice
from cryptlv.keys.headers import find_header
from cryptlv.model.sizes import LvSize
from cryptlv.ops.convert import ImportRequest, import_volume
from cryptlv.ops.convert_export import keep_encrypted, split_header
from cryptlv.ops.lv_remove import remove
from cryptlv.ops.lv_rename import rename
from cryptlv.ops.lv_resize import EXTEND, ResizeRequest, resize
from cryptlv.ops.vgck import find_faults
from support.disks import Disks, Known
from support.luks import read_raw, sectors
from support.machine import Machine, need
from support.volumes import open_volume

if TYPE_CHECKING:
    from cryptlv.model.vg import VolumeGroup

pytestmark = pytest.mark.compat

GOLDEN = Path(__file__).parent.parent / "golden" / "luks-in-lvm"
FACTS: list[dict[str, Any]] = json.loads((GOLDEN / "manifest.json").read_text())


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    return {f"/{name}": lzma.decompress((GOLDEN / f"labvg-{name}.img.xz").read_bytes()) for name in ("a", "b")}


def the_group(disks: Disks) -> VolumeGroup:
    with disks.session() as session:
        assert find_faults(session, "labvg") == ()
        return session.world().group("labvg").vg


def opened(disks: Disks, name: str, facts: dict[str, Any]) -> bytes:
    with open_volume(disks, name, facts["passphrase"].encode(), "labvg") as volume:
        return bytes(volume.read(0, volume.size_bytes))


def raw_of(disks: Disks, name: str) -> bytes:
    return read_raw(disks, name, the_group(disks))


def read_by_others(machine: Machine, kind: str, device: bytes, facts: dict[str, Any]) -> bytes:
    """The plaintext of a LUKS volume by another program than ours."""
    size = int(facts["payload_size"])
    if kind == "luks1":
        need("nbdkit", "nbdcopy")
        (machine.folder / "whole").write_bytes(device)
        key = machine.key_file("key", facts["passphrase"].encode())
        words = ("nbdkit", "-U", "-", "--filter=luks", "file", "whole", f"passphrase=+{key}", "--run")
        machine.tool(*words, "nbdcopy $uri plain")
        return (machine.folder / "plain").read_bytes()[:size]
    found = find_header(device)
    assert found is not None
    start = found.data_offset_bytes
    return sectors(device[start : start + size], key=bytes.fromhex(facts["volume_key"]), encrypts=False)


@pytest.mark.parametrize("facts", FACTS, ids=lambda facts: facts["name"])
def test_import_extend_rename_and_export(images: dict[str, bytes], facts: dict[str, Any], machine: Machine) -> None:
    need("cryptsetup")
    name, size, expected = facts["name"], int(facts["payload_size"]), facts["plaintext_sha256"]
    disks = Disks(machine.folder, {path: MemoryDevice(content=data, path=path) for path, data in images.items()})
    before = the_group(disks)
    with disks.session() as session:
        done = import_volume(session, "labvg", name, ImportRequest(), Known(facts["passphrase"].encode()))
    after = the_group(disks)
    assert after.seqno == before.seqno + 1
    plain = opened(disks, name, facts)
    assert hashlib.sha256(plain[:size]).hexdigest() == expected
    (store,) = after.lv(done.store_name).segments
    if name == "luks2lv":  # its header is four whole extents
        assert list(store.footprint()) == [(before.pvs[1].id, 0, 4)]
        assert len(plain) == size
    (machine.folder / "fs").write_bytes(plain)
    machine.tool("e2fsck", "-f", "-n", "fs")
    with disks.session() as session:
        resize(session, "labvg", name, ResizeRequest(way=EXTEND, size=LvSize(extents=1, sign="+")))
        rename(session, "labvg", name, "moved")
    grown = opened(disks, "moved", facts)
    assert grown[: len(plain)] == plain
    assert len(grown) == len(plain) + 4 * 2**20
    header = machine.folder / "moved.hdr"
    with disks.session() as session:
        split_header(session, "labvg", "moved", str(header))
    raw = raw_of(disks, "moved")
    (machine.folder / "raw").write_bytes(raw)
    key = machine.key_file("key", facts["passphrase"].encode())
    machine.tool("cryptsetup", "open", "--test-passphrase", "--header", header, "--key-file", key, "raw")
    assert facts["uuid"] in machine.tool("cryptsetup", "luksDump", header).out
    found = find_header(header.read_bytes())
    assert found is not None
    ciphertext = raw[found.data_offset_bytes :][:size]
    data = sectors(ciphertext, key=bytes.fromhex(facts["volume_key"]), encrypts=False)
    assert hashlib.sha256(data).hexdigest() == expected
    on_disks = b"".join(device.read(0, device.size_bytes) for device in disks.devices.values())
    assert facts["uuid"].encode() not in on_disks, "the header is in the file only"
    with disks.session() as session:
        remove(session, "labvg", ("plainstripe",))  # the group is nearly full, and the pieces are many by now
        import_volume(session, "labvg", "moved", ImportRequest(header_path=str(header)))
        keep_encrypted(session, "labvg", "moved", (), Known(facts["passphrase"].encode()))
    whole = raw_of(disks, "moved")
    (machine.folder / "whole").write_bytes(whole)
    machine.tool("cryptsetup", "open", "--test-passphrase", "--key-file", key, "whole")
    assert hashlib.sha256(read_by_others(machine, facts["format"], whole, facts)).hexdigest() == expected


def test_the_striped_volume_without_luks_is_refused(images: dict[str, bytes], tmp_path: Path) -> None:
    from cryptlv.errors import RefusedError

    disks = Disks(tmp_path, {path: MemoryDevice(content=data, path=path) for path, data in images.items()})
    with disks.session() as session, pytest.raises(RefusedError, match="labvg/plainstripe holds no LUKS header"):
        import_volume(session, "labvg", "plainstripe", ImportRequest())
    assert {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()} == images
