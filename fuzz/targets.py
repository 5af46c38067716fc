"""What the fuzzers do with some bytes: read them as the program would, their checksums put right first.

Pure functions of bytes, used by the atheris targets beside this file and by `tests/fuzz/test_targets.py`. Only
FormatError, and CipherError where there are ciphers, is caught: whatever else comes out is a bug.
"""

from __future__ import annotations

import json
import lzma
import struct
from contextlib import suppress
from pathlib import Path

from fuzz.key_targets import key_seeds, one_luks1, one_luks2
from fuzz.nbd_targets import nbd_seeds, one_nbd

from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.ciphers.spec import check_key_bits, choose, parse_cipher_spec
from cryptlv.environment import Environment
from cryptlv.errors import CipherError, CryptlvError, FormatError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.scan import scan
from cryptlv.model.allocate import free_count
from cryptlv.model.check import check
from cryptlv.model.mapping import map_volume
from cryptlv.ondisk.config import find_place, parse_config
from cryptlv.ondisk.crc import lvm_crc
from cryptlv.ondisk.label import check_layout, decode_label, describe_label, encode_label, find_label
from cryptlv.ondisk.mda import (
    MDA_HEADER_BYTES,
    decode_mda_header,
    describe_header,
    encode_mda_header,
    next_text_offset,
)
from cryptlv.ondisk.vgrender import render_backup, render_disk
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.report.fields import choose_fields
from cryptlv.report.render import ReportOptions, render_json, render_text
from cryptlv.report.rows import lv_rows, pv_rows, seen_group, segment_rows, vg_rows
from cryptlv.secret import VolumeKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.model.vg import VolumeGroup

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
ENV = Environment(now=0, random_bytes=bytes, monotonic=float, hostname="fuzz")
DEVICE_BYTES = 2**21
AREA_START, AREA_BYTES = 4096, 2**20 - 4096
_SECTOR = 512


def one_label(data: bytes) -> None:
    """A label sector."""
    sector = bytearray(data[:_SECTOR].ljust(_SECTOR, b"\0"))
    sector[:16] = b"LABELONE" + struct.pack("<Q", 1)
    sector[24:32] = b"LVM2 001"
    struct.pack_into("<I", sector, 16, lvm_crc(bytes(sector[20:])))
    found, remarks = find_label(bytes(_SECTOR) + bytes(sector) + bytes(2 * _SECTOR))
    assert (found is None) == bool(remarks)
    try:
        label = decode_label(bytes(sector), 1)
    except FormatError as error:
        _is_named(error)
        return
    assert decode_label(encode_label(label), 1) == label
    assert all(line.isprintable() for line in describe_label(label))
    for problem in check_layout(label, DEVICE_BYTES):
        _is_named(problem)
    _scanned({512: bytes(sector)})


def one_metadata_area(data: bytes) -> None:
    """A metadata area: its header, and the bytes that its ring begins with."""
    head = bytearray(data[:MDA_HEADER_BYTES].ljust(MDA_HEADER_BYTES, b"\0"))
    ring = data[MDA_HEADER_BYTES:AREA_BYTES]
    head[4:40] = b" LVM2 x[5A%r0N*>" + struct.pack("<IQQ", 1, AREA_START, AREA_BYTES)
    area = (bytes(head) + ring).ljust(AREA_BYTES, b"\0")
    offset, size = struct.unpack_from("<QQ", head, 40)
    if 512 <= offset < AREA_BYTES and 0 < size <= AREA_BYTES - 512:
        text = (area[offset:] + area[512:offset])[:size]
        struct.pack_into("<I", head, 56, lvm_crc(text))
    struct.pack_into("<I", head, 0, lvm_crc(bytes(head[4:])))
    try:
        header = decode_mda_header(bytes(head), AREA_START, AREA_BYTES)
    except FormatError as error:
        _is_named(error)
    else:
        assert decode_mda_header(encode_mda_header(header), AREA_START, AREA_BYTES) == header
        assert all(line.isprintable() for line in describe_header(header, 1))
        assert 512 <= next_text_offset(AREA_BYTES, header.committed) <= AREA_BYTES - 512
    _scanned({512: LABEL, AREA_START: bytes(head) + ring})


def one_text(data: bytes) -> None:
    """A metadata text."""
    with suppress(FormatError):
        parse_config(data)
    try:
        vg = parse_vg(data)
    except FormatError as error:
        _is_named(error)
        return
    violations = check(vg)
    assert all(line.isprintable() for line in violations)
    free_count(vg)
    again = parse_vg(render_disk(vg, ENV))
    assert again == vg or violations  # a place on nothing may become a place on a PV of that word
    assert parse_vg(render_backup(again, ENV, "fuzz")) == again
    for lv in vg.lvs[:8]:
        assert 0 <= find_place(data, (vg.name, "logical_volumes", lv.name)) <= len(data)
        with suppress(CryptlvError):  # what breaks a rule is refused
            map_volume(vg, lv)
    _reported(vg)


def one_cipher_spec(data: bytes) -> None:
    """A cipher specification, as metadata and headers have it, and a key size and sector size for it."""
    text = data[4:].decode("utf-8", "surrogateescape")
    bits = int.from_bytes(data[:2], "little")
    try:
        spec = parse_cipher_spec(text)
        check_key_bits(spec, bits)
    except CipherError as error:
        _is_one_line(error)
        return
    assert parse_cipher_spec(spec.render()) == spec
    assert choose(text, bits) == (spec, bits)
    sector_size = 512 << data[2] % 4
    buffer, plain = bytearray(2 * sector_size), bytes(2 * sector_size)
    first = int.from_bytes(data[-8:], "little")
    with VolumeKey(bytearray(range(bits // 8))) as key:
        cipher = open_sector_cipher(text, key, sector_size, iv_large_sectors=bool(data[3] & 1))
    cipher.encrypt(buffer, first)
    assert buffer != plain
    cipher.decrypt(buffer, first)
    assert buffer == plain
    cipher.close()


def _is_one_line(error: CipherError) -> None:
    assert str(error).isprintable()


def _is_named(error: FormatError) -> None:
    assert error.offset_bytes is not None, error
    assert error.field, error
    assert str(error)


def _reported(vg: VolumeGroup) -> None:
    group = seen_group(vg, {}, frozenset())
    rows = {"pv": pv_rows([group], []), "vg": vg_rows([group]), "lv": lv_rows([group], hidden=True)}
    rows["seg"] = segment_rows(rows["lv"])
    for kind, found in rows.items():
        fields = choose_fields(kind, ("all",))
        for render in (
            render_text(fields, found, ReportOptions()),
            render_json(kind, fields, found, ReportOptions()),
        ):
            assert all(line.isprintable() for line in render.split("\n"))


def _scanned(pieces: dict[int, bytes]) -> None:
    device = MemoryDevice(DEVICE_BYTES, path="/d")
    for place, data in pieces.items():
        device.write(place, data)
    world = scan([device])
    assert all("/d" in line or "volume group" in line for line in world.warnings)


def _golden_disks() -> Iterator[bytes]:
    for path in sorted(GOLDEN.glob("lvm2/*/pv0.img.xz")):
        with lzma.open(path) as disk:
            yield disk.read(AREA_START + 65536)


with lzma.open(GOLDEN / "lvm2" / "linear" / "pv0.img.xz") as _disk:
    LABEL = _disk.read(1024)[512:]


def seeds(kind: str) -> list[bytes]:
    """Inputs to begin with for a kind of TARGETS, made from what stock tools wrote or the kernel took."""
    if kind in ("luks1", "luks2"):
        return key_seeds(kind)
    if kind == "nbd":
        return nbd_seeds()
    if kind == "cipher_spec":
        with lzma.open(GOLDEN / "dmcrypt" / "manifest.jsonl.xz") as file:
            cases = [json.loads(line) for line in file.readlines()[1:]]
        pairs = dict.fromkeys((case["spec"], case["key_bits"]) for case in cases)
        return [bits.to_bytes(2, "little") + b"\3\1" + spec.encode() for spec, bits in pairs]
    if kind == "label":
        return [disk[512:1024] for disk in _golden_disks()]
    if kind == "metadata_area":
        return [disk[AREA_START:].rstrip(b"\0") for disk in _golden_disks()]
    texts = [*GOLDEN.glob("lvm2/*/raw_text_*.txt"), *GOLDEN.glob("lvm2-crypt/*/raw_text.txt")]
    return [path.read_bytes().rstrip(b"\0") for path in sorted(texts)]


TARGETS = {
    "label": one_label,
    "metadata_area": one_metadata_area,
    "text": one_text,
    "cipher_spec": one_cipher_spec,
    "luks1": one_luks1,
    "luks2": one_luks2,
    "nbd": one_nbd,
}
