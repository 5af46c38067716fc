"""Metadata made to do harm, with right checksums: every command ends soon and small, and says what is wrong.

Each case is an image file beside a sound one. Whatever is in it, the five commands that read it print no control
character and no traceback, stay under ten seconds and 200 MiB, and show the sound volume group.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cryptlv.ondisk.crc import lvm_crc
from support import measure
from support.hostile import (
    AREA_BYTES,
    AREA_START,
    IMAGE_BYTES,
    MIB,
    PV_ID,
    PV_TEXT,
    areas,
    group,
    header,
    hyphened,
    label,
    lv_id,
    segment,
    slot,
    volume,
    with_text,
    write_image,
)

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 10.0
TEXT_COMMANDS = ("vgs", "lvs", "metadata")
"""Those that meet a text in ways of their own."""
PEAK_KIB = 200 * 1024
OTHER_PV = "evilpvevilpvevilpvevilpvevilpv01"
PV1_TEXT = "pv1" + PV_TEXT.removeprefix("pv0")
KEYSTORE = volume("cryptostore1", segment(kind="crypt-keystore", body='handler = "plain"'), number=9, status='"READ"')
CRYPT = 'crypto_store = "cryptostore1" areas = ["pv0", 1]'

THOUSAND = ", ".join(f'"pv0", {2 * number}' for number in range(1000))


def crypt(body: str, store: str = KEYSTORE) -> bytes:
    """A group with an encrypted volume."""
    return group(volume("lv", segment(kind="crypt", body=body)), store)


def keystore(body: str) -> bytes:
    """A group with an encrypted volume on a keystore of that body."""
    store = volume("cryptostore1", segment(kind="crypt-keystore", body=body), number=9, status='"READ"')
    return crypt(CRYPT, store)


def other(kind: str, body: str, name: str = "lv") -> bytes:
    """A group with a volume of another type."""
    return group(volume(name, segment(kind=kind, body=body)))


# What is refused or told: the text, and the field that is named.
TOLD: dict[str, tuple[bytes, str]] = {
    "overlapping areas": (group(volume("a", number=1), volume("b", number=2)), "areas"),
    "overlap within a volume": (group(volume("a", segment(1, count=2), segment(2, start=2))), "areas"),
    "area beyond the PV": (group(volume("a", segment(count=16))), "areas"),
    "area begins beyond the PV": (
        group(volume("a", segment(body='stripe_count = 1 stripes = ["pv0", 9223372036854775807]'))),
        "areas",
    ),
    "negative place": (group(volume("a", segment(body='stripe_count = 1 stripes = ["pv0", -1]'))), "areas"),
    "gap between segments": (
        group(volume("a", segment(1), segment(2, start=5, body='stripe_count = 1 stripes = ["pv0", 5]'))),
        "start_extent",
    ),
    "first segment does not begin at 0": (group(volume("a", segment(start=3))), "start_extent"),
    "segments overlap": (
        group(volume("a", segment(1, count=4), segment(2, start=2, body='stripe_count = 1 stripes = ["pv0", 5]'))),
        "start_extent",
    ),
    "unknown volume in areas": (group(volume("a", segment(body='stripe_count = 1 stripes = ["pv7", 0]'))), "stripes"),
    "volume on itself": (group(volume("a", segment(body='stripe_count = 1 stripes = ["a", 0]'))), "a"),
    "two volumes on each other": (
        group(
            volume("a", segment(body='stripe_count = 1 stripes = ["b", 0]'), number=1),
            volume("b", segment(body='stripe_count = 1 stripes = ["a", 0]'), number=2),
        ),
        "itself",
    ),
    "mirror of its parent": (other("mirror", 'mirror_count = 2 mirrors = ["lv", 0, "lv", 0]'), "itself"),
    "raid of itself": (other("raid1", 'device_count = 1 raids = ["lv", "lv"]'), "itself"),
    "snapshot of itself": (
        other("snapshot", 'chunk_size = 8 origin = "snapshot0" cow_store = "snapshot0"', "snapshot0"),
        "itself",
    ),
    "pool of itself": (other("thin-pool", 'metadata = "lv" pool = "lv" transaction_id = 0 chunk_size = 128'), "itself"),  # noqa: E501
    "thin volume in itself": (other("thin", 'thin_pool = "lv" transaction_id = 0 device_id = 1'), "itself"),
    "origin is not there": (other("thin", 'thin_pool = "gone" transaction_id = 0 device_id = 1'), "thin_pool"),
    "stripe_count 0": (group(volume("a", segment(body="stripe_count = 0 stripes = []"))), "stripes"),
    "stripe_count wrong": (
        group(volume("a", segment(body='stripe_count = 2 stripes = ["pv0", 0]'))),
        "stripe_count",
    ),
    "stripe_count huge": (
        group(volume("a", segment(body='stripe_count = 9223372036854775807 stripes = ["pv0", 0]'))),
        "stripe_count",
    ),
    "stripe_count negative": (group(volume("a", segment(body="stripe_count = -1 stripes = []"))), "stripe_count"),
    "stripe_size 0": (
        group(volume("a", segment(count=2, body='stripe_count = 2 stripe_size = 0 stripes = ["pv0", 0, "pv0", 5]'))),
        "stripe_size",
    ),
    "stripe_size huge": (
        group(
            volume(
                "a", segment(count=2, body=f'stripe_count = 2 stripe_size = {2**62} stripes = ["pv0", 0, "pv0", 5]')
            )
        ),
        "stripe_size",
    ),
    "length that stripes do not divide": (
        group(volume("a", segment(count=3, body='stripe_count = 2 stripe_size = 8 stripes = ["pv0", 0, "pv0", 5]'))),
        "extent_count",
    ),
    "stripes not in pairs": (group(volume("a", segment(body='stripe_count = 1 stripes = ["pv0"]'))), "stripes"),
    "stripes of numbers": (group(volume("a", segment(body="stripe_count = 1 stripes = [1, 2]"))), "stripes"),
    "no extents": (group(volume("a", segment(count=0))), "extent_count"),
    "extents negative": (group(volume("a", segment(count=-1))), "extent_count"),
    "extents near 2^63": (group(volume("a", segment(count=2**63 - 1))), "extent_count"),
    "extents of 2^64": (group(volume("a", segment(count=2**64))), "text"),
    "extents of 2^32": (group(volume("a", segment(count=2**32))), "extent_count"),
    "all segments too long": (
        group(volume("a", segment(1, count=2**32 - 1), segment(2, start=2**32 - 1, count=9))),
        "segment_count",
    ),
    "segment_count wrong": (group(volume("a", count=2)), "segment_count"),
    "segment_count huge": (group(volume("a", count=999999999)), "segment_count"),
    "segment_count negative": (group(volume("a", count=-1)), "segment_count"),
    "no segments": (group('a { id = "' + lv_id(1) + '" status = [] flags = [] segment_count = 0 }'), "segment_count"),
    "segment is a number": (
        group('a { id = "' + lv_id(1) + '" status = [] flags = [] segment_count = 1 segment1 = 1 }'),
        "segment_count",
    ),
    "volume is empty": (group("a { }"), "segment_count"),
    "volume's id is none": (group(volume("a").replace(lv_id(0), "x" * 38)), "id"),
    "two volumes of one name": (
        group(volume("a", number=1), volume("a", segment(body='stripe_count = 1 stripes = ["pv0", 3]'), number=2)),
        "named a",
    ),
    "two volumes of one id": (
        group(volume("a"), volume("b", segment(body='stripe_count = 1 stripes = ["pv0", 3]'))),
        "id",
    ),
    "name with a slash": (group(volume('"../../etc/x"')), "name"),
    "name of a folder": (group(volume('".."')), "name"),
    "name like an option": (group(volume("-rf")), "name"),
    "name with escapes": (group(volume('"a\x1b[2J\x1b]0;x\x07"')), "name"),
    "name with a line end": (group(volume('"a\nWARNING: b"')), "name"),
    "name that is empty": (group(volume('""')), "name"),
    "name that is long": (group(volume("a" * 1000)), "name"),
    "name with a colon in a section": (group(volume("a/b/c")), "segment_count"),
    "group name with a slash": (group(name='"../evil"'), "name"),
    "group name with escapes": (group(name='"\x1b[31mevil"'), "name"),
    "group name that is long": (group(name="e" * 128), "name"),
    "two groups": (group() + group().replace(b"evil {", b"evil2 {"), "text"),
    "no group": (b'contents = "Text Format Volume Group"\nversion = 1\n', "text"),
    "no contents": (group().replace(b"contents", b"malcontents"), "contents"),
    "version 2": (group().replace(b"version = 1", b"version = 2"), "contents"),
    "PV twice": (group(pvs=PV_TEXT + PV1_TEXT), "twice"),
    "PV id is none": (group(pvs=PV_TEXT.replace(hyphened(PV_ID), "\x1b[2J")), "id"),
    "PV is empty": (group(pvs="pv0 { }"), "id"),
    "physical_volumes is a number": (group().replace(b"physical_volumes {", b"physical_volumes = 1 x {"), "physical"),
    "extent_size 0": (group(volume(), extent_size=0), "extent_size"),
    "extent_size negative": (group(volume(), extent_size=-8192), "extent_size"),
    "extent_size near 2^63": (group(volume(), extent_size=2**63 - 1), "extent_size"),
    "extent_size of words": (group(volume(), extent_size='"4m"'), "extent_size"),
    "pe_count near 2^63": (group(pvs=PV_TEXT.replace("= 15", f"= {2**63 - 1}")), "pe_count"),
    "pe_count 2^63": (group(pvs=PV_TEXT.replace("= 15", f"= {2**63}")), "text"),
    "pe_count negative": (group(pvs=PV_TEXT.replace("= 15", "= -1")), "pe_count"),
    "pe_start near 2^63": (group(pvs=PV_TEXT.replace("= 2048", f"= {2**63 - 1}")), "pe_start"),
    "pe_start over the metadata": (group(pvs=PV_TEXT.replace("= 2048", "= 0")), "pe_start"),
    "dev_size near 2^63": (group(pvs=PV_TEXT.replace("= 32768", f"= {2**63 - 1}")), "dev_size"),
    "bootloader area near 2^63": (group(pvs=PV_TEXT.replace("pe_start", f"ba_start = {2**63 - 1} pe_start")), "ba_start"),  # noqa: E501
    "bootloader area without a size": (group(pvs=PV_TEXT.replace("pe_start", "ba_start = 9 pe_start")), "ba_start"),
    "seqno 2^32": (group(seqno=2**32), "seqno"),
    "seqno negative": (group(seqno=-1), "seqno"),
    "seqno of 30 digits": (group(seqno="9" * 30), "text"),
    "seqno of 10000 digits": (group(seqno="9" * 10_000), "text"),
    "max_lv negative": (group().replace(b"max_lv = 0", b"max_lv = -1"), "max_lv"),
    "read_ahead near 2^63": (group(volume().replace("segment_count", f"read_ahead = {2**62} segment_count")), "read_ahead"),  # noqa: E501
    "minor near 2^63": (group(volume().replace("segment_count", f"minor = {2**62} segment_count")), "minor"),
    "status of numbers": (group(volume(status="1, 2")), "status"),
    "tags of lists": (group(fields="tags { a { } }"), "tags"),
    "crypt: no store": (crypt('areas = ["pv0", 1]'), "crypto_store"),
    "crypt: store is not there": (crypt('crypto_store = "\x1b[2J" areas = ["pv0", 1]'), "crypto_store"),
    "crypt: store is itself": (crypt('crypto_store = "lv" areas = ["pv0", 1]'), "crypto_store"),
    "crypt: area is itself": (crypt('crypto_store = "cryptostore1" areas = ["lv", 0]'), "itself"),
    "crypt: iv_base negative": (crypt(f"{CRYPT} iv_base = -1"), "iv_base"),
    "crypt: iv_base near 2^63": (crypt(f"{CRYPT} iv_base = {2**63 - 1}"), "iv_base"),
    "crypt: iv_base of words": (crypt(f'{CRYPT} iv_base = "1"'), "iv_base"),
    "crypt: area_offset negative": (crypt(f"{CRYPT} area_offset = -1"), "area_offset"),
    "crypt: area_offset near 2^63": (crypt(f"{CRYPT} area_offset = {2**63 - 1}"), "area_offset"),
    "crypt: no areas": (crypt('crypto_store = "cryptostore1"'), "areas"),
    "crypt: two areas": (crypt('crypto_store = "cryptostore1" areas = ["pv0", 1, "pv0", 5]'), "areas"),
    "crypt: areas not in pairs": (crypt('crypto_store = "cryptostore1" areas = ["pv0"]'), "areas"),
    "crypt: areas is a number": (crypt('crypto_store = "cryptostore1" areas = 1'), "areas"),
    "crypt: area_ids of another": (crypt(f'{CRYPT} area_ids = ["x"]'), "areas"),
    "crypt: too many area_ids": (crypt(f'{CRYPT} area_ids = ["x", "y"]'), "area_ids"),
    "crypt: stripes": (crypt(f'{CRYPT} stripes = ["pv0", 1]'), "stripes"),
    "keystore: no handler": (keystore("key_size = 512"), "handler"),
    "keystore: handler is a number": (keystore("handler = 1"), "handler"),
    "keystore: key_size near 2^63": (keystore(f'handler = "plain" key_size = {2**63 - 8}'), "key_size"),
    "keystore: key_size negative": (keystore('handler = "plain" key_size = -8'), "key_size"),
    "keystore: area is the volume": (keystore('handler = "luks1" areas = ["lv", 0]'), "areas"),
    "keystore: visible": (crypt(CRYPT, KEYSTORE.replace('["READ"]', '["READ", "VISIBLE"]')), "status"),
    "string not closed": (group(fields='tags = "'), "text"),
    "array not closed": (group(fields='tags = ["a", '), "text"),
    "section not closed": (group(volume())[:400], "text"),
    "comment not closed": (group(volume()).split(b"contents")[0].rstrip(b"} \n") + b"# } }", "text"),
    "nested 10000 deep": (group(fields="a {" * 10_000 + "}" * 10_000), "text"),
    "nested 10000 deep by slashes": (group(fields="a/" * 10_000 + "a = 1"), "text"),
    "nested by both": (group(fields=("a/" * 31 + "a {") * 100 + "}" * 100), "text"),
    "array of arrays": (group(fields="a = " + "[" * 10_000), "text"),
    "string of 7 MiB": (group(fields='tags = "' + "x" * 7 * MIB + '"'), "text"),
    "string of escapes": (group(fields='tags = "' + '\\"' * 3 * MIB + '"'), "text"),
    "word of 7 MiB": (group(fields="a = " + "9" * 7 * MIB), "text"),
    "number that is none": (group(fields="a = 12x\x1b[2J"), "text"),
    "more items than are read": (group(fields="a=1 " * 700_000), "text"),
    "more sections than are read": (group(fields="a{}" * 700_000), "text"),
    "more values than are read": (group(fields="a=[" + "1," * 1_200_000 + "]"), "text"),
    "more keys than are read": (group(fields=" ".join(f"a{number}=1" for number in range(600_000))), "text"),
}  # fmt: skip

# What is read without a word, as stock lvm2 does or since it harms nobody.
READ: dict[str, bytes] = {
    "sound": group(volume()),
    "duplicate keys": group(volume(), fields="seqno = 7 seqno = 8 extent_size = 1"),
    "duplicate sections": group(volume()).replace(b"logical_volumes", b"logical_volumes { } logical_volumes"),
    "extent_size not a power of two": group(volume(), extent_size=2047),
    "strings with escapes": group(
        volume("lv", segment(kind="\x1b[31mred", body='x = "\x1b"')),
        fields='tags = ["\x1b[2J", "a\nb", "\\"", "\x7f\xff"] system_id = "" profile = "\x1b" allocation_policy = "\x1b"',  # noqa: E501
        pvs=PV_TEXT.replace("/dev/evil", "/dev/\x1b[31mevil\n"),
    ),
    "bytes that are no UTF-8": group(volume(), fields='tags = ["XX"]').replace(b"XX", b"\xff\xfe\xc3\x28\xf0\x9f"),
    "NUL in the middle": group(volume()) + b"\0 } } } [",
    "unknown type": group(volume("lv", segment(kind="future+FLAG", body="a { b { c = [] } }"))),
    "unknown keys": group(volume(), fields="future { a = 1.5 b = [] c = 'x' }"),
    "cached by a policy of its own name": group(
        volume("smq", segment(kind="cache", body='cache_pool = "pool" origin = "orig" policy = "smq"'), number=1),
        volume("pool", segment(body='stripe_count = 1 stripes = ["pv0", 1]'), number=2),
        volume("orig", segment(body='stripe_count = 1 stripes = ["pv0", 2]'), number=3),
    ),
    "a chain of a thousand snapshots": group(
        volume("pool", number=9999),
        *(
            volume(
                f"t{number}",
                segment(kind="thin", body=f'thin_pool = "pool" origin = "t{number + 1}" device_id = {number}'),
                number=number,
            )
            for number in range(1000)
        ),
        volume("t1000", segment(kind="thin", body='thin_pool = "pool" device_id = 1000'), number=1000),
    ),
    "a thousand stripes": group(
        volume("lv", segment(count=2000, body=f"stripe_count = 1000 stripe_size = 8 stripes = [{THOUSAND}]")),
        pvs=PV_TEXT.replace("= 15", "= 2000"),
    ),
}  # fmt: skip


def bad_slots(*slots: bytes) -> dict[int, bytes]:
    """An image whose header has other slots than it should."""
    return {**with_text(group(volume())), AREA_START: header(b"".join(slots))}


def bad_label(**changes: object) -> dict[int, bytes]:
    """An image with another label."""
    return {**with_text(group(volume())), 512: label(**changes)}  # type: ignore[arg-type]


TEXT = group(volume()) + b"\0"
SLOT = slot(512, len(TEXT), lvm_crc(TEXT))
TWO_AREAS = ((AREA_START, AREA_BYTES), (AREA_START, AREA_BYTES))
PLACES: dict[str, tuple[dict[int, bytes], str]] = {
    "text beyond the area": (bad_slots(slot(AREA_BYTES, 100, 0)), "raw_locn"),
    "text far beyond the area": (bad_slots(slot(2**63, 100, 0)), "raw_locn"),
    "text in the header": (bad_slots(slot(8, 100, 0)), "raw_locn"),
    "text of no bytes": (bad_slots(slot(512, 0, 0)), "raw_locn"),
    "text larger than the area": (bad_slots(slot(512, AREA_BYTES, 0)), "raw_locn"),
    "text of 2^64-1 bytes": (bad_slots(slot(512, 2**64 - 1, 0)), "raw_locn"),
    "text of 100 MiB": (
        {
            512: label(mdas=((AREA_START, 128 * MIB),), data=((129 * MIB, 0),)),
            AREA_START: header(slot(512, 100 * MIB, 0), size=128 * MIB),
            130 * MIB: b"\0",
        }, "text",
    ),
    "text with a wrong checksum": (bad_slots(slot(512, len(TEXT), 1)), "text"),
    "text cut off in the ring": (bad_slots(slot(AREA_BYTES - 100, len(TEXT), lvm_crc(TEXT))), "text"),
    "text without an end": (
        with_text(group(volume())[:-400] + b" " * 5, at=AREA_BYTES - 700), "text",
    ),
    "header of another place": (
        {**with_text(group(volume())), AREA_START: header(SLOT, start=8192)}, "mda_header.start",
    ),
    "header of another size": ({**with_text(group(volume())), AREA_START: header(SLOT, size=512)}, "mda_header.size"),
    "header of another version": (
        {**with_text(group(volume())), AREA_START: header(SLOT, version=9)}, "mda_header.version",
    ),
    "header with another magic": (
        {**with_text(group(volume())), AREA_START: header(SLOT).replace(b"LVM2", b"\x1b[2J")}, "mda_header",
    ),
    "area of no size": (bad_label(mdas=((AREA_START, 0),)), "mda_header.size"),
    "area larger than the device": (bad_label(mdas=((AREA_START, 2 * IMAGE_BYTES),)), "pv_header.mda[0]"),
    "area beyond the device": (bad_label(mdas=((IMAGE_BYTES, AREA_BYTES),)), "pv_header.mda[0]"),
    "area over the label": (bad_label(mdas=((512, AREA_BYTES),)), "pv_header.mda[0]"),
    "area near 2^63": (bad_label(mdas=((2**63 - 2, 1),)), "pv_header.mda[0]"),
    "area of 2^64-1": (bad_label(mdas=((2**64 - 1, 2**64 - 1),)), "metadata areas"),
    "one area twice": (bad_label(mdas=TWO_AREAS), "pv_header.mda[1]"),
    "areas that overlap": (
        bad_label(mdas=((AREA_START, AREA_BYTES), (AREA_START + 512, AREA_BYTES - 512))), "pv_header.mda[1]",
    ),
    "data over the metadata": (bad_label(data=((AREA_START, 0),)), "pv_header.data_area[0]"),
    "data over the label": (bad_label(data=((0, 2 * MIB),)), "pv_header.data_area[0]"),
    "data near 2^64": (bad_label(data=((2**64 - 512, 511),)), "data areas"),
    "more areas than fit": (bad_label(mdas=tuple((AREA_START, AREA_BYTES) for _ in range(40))), "areas"),
    "contents beyond the sector": (bad_label(contents=510), "offset"),
    "contents of 2^32-1": (bad_label(contents=2**32 - 1), "offset"),
    "label of another sector": (bad_label(number=2**64 - 1), "sector"),
    "PV id with escapes": (bad_label(pv_id="\x1b[2J" + "x" * 28), "pv_uuid"),
    "bootloader areas without an end": (
        bad_label(extension=struct.pack("<II", 2, 1) + areas(*[(MIB, MIB)] * 30)), "bootloader",
    ),
    "bootloader area of 2^64-1": (
        bad_label(extension=struct.pack("<II", 2, 1) + areas((2**64 - 1, 2**64 - 1))), "bootloader",
    ),
}  # fmt: skip
QUIET: dict[str, dict[int, bytes]] = {
    "device size of 2^64-1": bad_label(device_bytes=2**64 - 1),
    "device size 0": bad_label(device_bytes=0),
    "extension of another version": bad_label(extension=struct.pack("<II", 2**32 - 1, 2**32 - 1) + bytes(16)),
    "no extension": bad_label(extension=b""),
    "second slot to nowhere": bad_slots(SLOT, slot(2**63, 2**63, 0)),
    "more slots": bad_slots(SLOT, slot(0, 0, 0), slot(2**63, 2**63, 7)),
    "ignored area": bad_slots(slot(2**63, 2**63, 1, 1)),
    "no text": bad_slots(slot(0, 0, 0)),
    "text that goes round": with_text(group(volume()), at=AREA_BYTES - 512),
    "no areas": bad_label(mdas=()),
    "no data area": bad_label(data=()),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image of a sound volume group, `good`."""
    place = tmp_path_factory.mktemp("hostile")
    write_image(
        place / "good.img",
        with_text(
            group(volume("fine"), name="good").replace(b"evilvg", b"goodvg").replace(PV_ID[:6].encode(), b"goodpv"),
            pv_id="goodpv" + PV_ID[6:],
        ),
    )
    return place


def look(folder: Path, image: Path, *names: str) -> dict[str, tuple[int, str, str]]:
    """What the five commands, or those named, say of an image beside the sound one; checks what holds of all."""
    fields = "lv_all,vg_all,seg_all,crypt_all"
    devices = ("--devices", f"{image},{folder / 'good.img'}")
    commands = {
        "pvs": ("pvs", "-o", "pv_all,vg_all", *devices),
        "vgs": ("vgs", "-o", "vg_all", *devices),
        "lvs": ("lvs", "-a", "--segments", "-o", fields, *devices),
        "headers": ("pvck", "--dump", "headers", str(image)),
        "metadata": ("pvck", "--dump", "metadata", str(image)),
    }
    commands = {name: words for name, words in commands.items() if not names or name in names}
    environ = {
        "CRYPTLV_SYSTEM_DIR": str(folder / "system"),
        "CRYPTLV_RUN_DIR": str(folder / "run"),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [sys.executable, "-S", str(measure.__file__)],
        input=json.dumps([[sys.executable, "-m", "cryptlv", *words] for words in commands.values()]),
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for name, (status, out, err, seconds, peak_kib) in zip(commands, json.loads(done.stdout), strict=True):
        refused = "the report would be too long" in err
        assert status in ((0, 5) if name in ("headers", "metadata") or refused else (0,)), f"{name}: {status} {err}"
        assert "Traceback" not in out + err, err
        assert "Internal error" not in err
        assert "memory" not in err.replace("than is read", "")
        allowed = "\n\t" if name == "metadata" else "\n"
        strange = {c for c in out + err if c not in allowed and not c.isprintable()}
        assert not strange, f"{name}: {strange}"
        assert seconds < SECONDS, f"{name}: {seconds} s"
        assert peak_kib < PEAK_KIB, f"{name}: {peak_kib} KiB"
        assert all(line.startswith("  ") for line in err.splitlines()), err
        assert name in ("headers", "metadata") or refused or "good" in out, out
        found[name] = status, out, err
    return found


def check_told(folder: Path, image: Path, field: str, *names: str) -> None:
    """Every command that reads the texts has a line that names the device, a byte in it, and the field."""
    for name, (_, _, err) in look(folder, image, *names).items():
        if name in ("headers", "metadata"):
            continue
        lines = [line for line in err.splitlines() if re.search(r"at byte \d+: ", line)]
        assert any(str(image) in line and field in line for line in lines), err
        for line in lines:
            place = re.search(r"at byte (\d+): ", line)
            assert place
            assert int(place[1]) < image.stat().st_size, line


@pytest.mark.parametrize("name", TOLD)
def test_hostile_text_is_told_with_its_place(folder: Path, tmp_path: Path, name: str) -> None:
    text, field = TOLD[name]
    area = AREA_BYTES if len(text) < AREA_BYTES // 2 else 12 * MIB
    check_told(folder, write_image(tmp_path / "evil.img", with_text(text, area_bytes=area)), field, *TEXT_COMMANDS)


@pytest.mark.parametrize("name", READ)
def test_odd_text_is_read(folder: Path, tmp_path: Path, name: str) -> None:
    found = look(folder, write_image(tmp_path / "evil.img", with_text(READ[name])))
    assert "evil" in found["vgs"][1]
    assert all(status == 0 for status, _, _ in found.values())


def test_long_tags_of_many_volumes_are_no_long_report(folder: Path, tmp_path: Path) -> None:
    lvs = [volume(f"l{number}", number=number) for number in range(5000)]
    text = group(*lvs, fields=f'tags = "{"t" * 65000}"')
    found = look(folder, write_image(tmp_path / "evil.img", with_text(text, area_bytes=12 * MIB)), "lvs", "metadata")
    assert "the report would be too long" in found["lvs"][2]


@pytest.mark.parametrize("name", PLACES)
def test_hostile_areas_are_told_with_their_place(folder: Path, tmp_path: Path, name: str) -> None:
    pieces, field = PLACES[name]
    check_told(folder, write_image(tmp_path / "evil.img", pieces), field)


@pytest.mark.parametrize("name", QUIET)
def test_odd_areas_are_read(folder: Path, tmp_path: Path, name: str) -> None:
    look(folder, write_image(tmp_path / "evil.img", QUIET[name]))
