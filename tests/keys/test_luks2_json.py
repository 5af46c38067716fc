"""The text of LUKS2 headers: read as cryptsetup wrote it; what could not be meant is refused with its place."""

from __future__ import annotations

import copy
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.errors import KeystoreError
from cryptlv.keys.luks2_json import IGNORE, PREFER, parse_document

from .conftest import MANIFEST, names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conftest import Sample

HEADER_BYTES = 16384
IMAGE_BYTES = 2**21
BIG = 2**64


def tree() -> dict[str, Any]:
    """What cryptsetup wrote for a header with one keyslot, argon2id."""
    found = next(facts["json"] for facts in MANIFEST if facts["name"] == "luks2-argon2id-xts512")
    copied: dict[str, Any] = copy.deepcopy(found)
    return copied


def parsed(raw: object) -> Any:
    text = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return parse_document(text.ljust(HEADER_BYTES - 4096, b"\0"), HEADER_BYTES, IMAGE_BYTES)


@pytest.mark.parametrize("name", names("luks2"))
def test_the_records_say_what_the_text_says(samples: Mapping[str, Sample], name: str) -> None:
    facts = samples[name].facts["json"]
    json_bytes = int(facts["config"]["json_size"])
    area = json.dumps(facts).encode().ljust(json_bytes, b"\0")
    document = parse_document(area, json_bytes + 4096, 2**25)
    assert document.tree == facts
    assert document.requirements == tuple(facts["config"].get("requirements", {}).get("mandatory", ()))
    assert {token.number: token.kind for token in document.tokens} == {
        int(number): token["type"] for number, token in facts["tokens"].items()
    }
    for slot in document.keyslots:
        raw = facts["keyslots"][str(slot.number)]
        assert (slot.kind, slot.key_bytes) == (raw["type"], raw["key_size"])
        assert (str(slot.area_offset), str(slot.area_bytes)) == (raw["area"]["offset"], raw["area"]["size"])
        assert slot.priority == raw.get("priority", 1)
        if slot.kdf is not None:
            assert slot.kdf.kind == raw["kdf"]["type"]
            assert slot.kdf.iterations == raw["kdf"].get("iterations", raw["kdf"].get("time"))
            assert slot.kdf.memory_kib == raw["kdf"].get("memory", 0)
            assert slot.area_cipher == raw["area"]["encryption"]
    for segment in document.segments:
        raw = facts["segments"][str(segment.number)]
        assert (str(segment.offset_bytes), segment.kind) == (raw["offset"], raw["type"])
        assert segment.cipher == raw.get("encryption", "")
        assert segment.integrity == raw.get("integrity", {}).get("type", "")
        assert segment.flags == tuple(raw.get("flags", ()))
    for digest in document.digests:
        assert digest.keyslots == tuple(map(int, facts["digests"][str(digest.number)]["keyslots"]))


def test_priorities_are_kept() -> None:
    raw = tree()
    for priority in (IGNORE, PREFER):
        raw["keyslots"]["0"]["priority"] = priority
        assert parsed(raw).keyslots[0].priority == priority


def changed(path: str, value: object) -> dict[str, Any]:
    """The text with one member changed; `value` None takes it out."""
    raw = tree()
    *parents, last = path.split("/")
    inner = raw
    for word in parents:
        inner = inner[word]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return raw


SLOT, AREA, KDF, SEGMENT, DIGEST = (
    "keyslots/0", "keyslots/0/area", "keyslots/0/kdf", "segments/0", "digests/0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        *((top, None, top) for top in ("keyslots", "tokens", "segments", "digests", "config")),
        *((top, [], top) for top in ("keyslots", "tokens", "segments", "digests", "config")),
        ("config/json_size", "12289", "json_size"), ("config/json_size", 12288, "json_size"),
        ("config/keyslots_size", "4097", "keyslots_size"), ("config/keyslots_size", str(2**28), "keyslots_size"),
        ("config/keyslots_size", str(BIG), "keyslots_size"), ("config/requirements", [], "requirements"),
        ("config/requirements", {"mandatory": [1]}, "mandatory"),
        ("keyslots/32", {}, "32"), ("keyslots/x", {}, "x"), ("keyslots/00", {}, "00"), ("tokens/32", {}, "32"),
        ("tokens/0", {"type": "x", "keyslots": ["7"]}, "'7'"), ("tokens/0", {"type": 1, "keyslots": []}, "type"),
        ("tokens/0", {"keyslots": []}, "type"), ("tokens/0", [], "tokens.0"),
        (f"{SLOT}/type", None, "type"), (f"{SLOT}/key_size", 0, "key_size"), (f"{SLOT}/key_size", 513, "key_size"),
        (f"{SLOT}/key_size", "64", "key_size"), (f"{SLOT}/key_size", 64.0, "key_size"),
        (f"{SLOT}/key_size", True, "key_size"), (f"{SLOT}/key_size", -1, "key_size"),
        (f"{SLOT}/key_size", 2**70, "key_size"), (f"{SLOT}/priority", 3, "priority"),
        (f"{SLOT}/af", None, "af"), (f"{SLOT}/af/stripes", 4001, "stripes"), (f"{SLOT}/af/type", "luks2", "luks1"),
        (f"{AREA}/offset", "0", "overlaps"), (f"{AREA}/offset", "28672", "overlaps"),
        (f"{AREA}/offset", 32768, "offset"), (f"{AREA}/offset", "-1", "offset"), (f"{AREA}/offset", "1e9", "offset"),
        (f"{AREA}/offset", str(BIG - 1), "outside"), (f"{AREA}/offset", str(BIG), "large"),
        (f"{AREA}/offset", "9" * 5000, "offset"), (f"{AREA}/size", "0", "size"), (f"{AREA}/size", "4096", "small"),
        (f"{AREA}/size", str(BIG // 8), "outside"), (f"{AREA}/type", "none", "none"),
        (f"{AREA}/key_size", 0, "key_size"),
        (f"{AREA}/encryption", "", "encryption"), (f"{AREA}/encryption", "x" * 5000, "encryption"),
        (f"{KDF}/type", "scrypt", "scrypt"), (f"{KDF}/time", 0, "time"), (f"{KDF}/time", 2**32, "time"),
        (f"{KDF}/memory", "32", "memory"), (f"{KDF}/cpus", 0, "cpus"), (f"{KDF}/salt", "AAAA", "salt"),
        (f"{KDF}/salt", "no base64!", "base64"), (f"{KDF}/salt", "\u2603", "base64"),
        ("segments", {}, "segments"), ("segments/1", {"type": "x", "offset": "0", "size": "dynamic"}, "segments"),
        ("segments/2", {"type": "linear", "offset": "0", "size": "dynamic"}, "missing"),
        (f"{SEGMENT}/offset", "4096", "inside"), (f"{SEGMENT}/offset", "1048577", "sector"),
        (f"{SEGMENT}/size", "0", "size"), (f"{SEGMENT}/size", "1000", "size"), (f"{SEGMENT}/sector_size", 100, "100"),
        (f"{SEGMENT}/sector_size", 0, "sector_size"), (f"{SEGMENT}/iv_tweak", 0, "iv_tweak"),
        (f"{SEGMENT}/encryption", None, "encryption"), (f"{SEGMENT}/integrity", "x", "integrity"),
        (f"{SEGMENT}/flags", "backup-final", "flags"), (f"{SEGMENT}/flags", ["backup-final"], "order"),
        (f"{DIGEST}/keyslots", ["1"], "'1'"), (f"{DIGEST}/keyslots", "0", "keyslots"),
        (f"{DIGEST}/segments", ["5"], "'5'"), (f"{DIGEST}/segments", [], "no digest"),
        (f"{DIGEST}/salt", "AAAA", "length"), (f"{DIGEST}/digest", "AAAA", "length"),
        (f"{DIGEST}/iterations", 0, "iterations"), (f"{DIGEST}/hash", None, "hash"),
    ],
)  # fmt: skip
def test_what_could_not_be_meant_is_refused_with_its_place(path: str, value: object, word: str) -> None:
    with pytest.raises(KeystoreError, match=word) as caught:
        parsed(changed(path, value))
    assert str(caught.value).startswith("LUKS2 header: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_keyslots_that_overlap_are_refused() -> None:
    raw = tree()
    raw["keyslots"]["1"] = copy.deepcopy(raw["keyslots"]["0"])
    with pytest.raises(KeystoreError, match="overlaps"):
        parsed(raw)
    raw["keyslots"]["1"]["area"]["offset"] = str(32768 + 258048)
    with pytest.raises(KeystoreError, match="outside"):
        parsed(raw | {"config": raw["config"] | {"keyslots_size": str(2 * 258048 - 4096)}})
    raw["config"]["keyslots_size"] = str(2 * 258048)
    assert len(parsed(raw).keyslots) == 2


def test_key_material_behind_the_end_of_the_image_is_refused() -> None:
    area = json.dumps(tree()).encode().ljust(HEADER_BYTES - 4096, b"\0")
    with pytest.raises(KeystoreError, match="100000 bytes only"):
        parse_document(area, HEADER_BYTES, 100_000)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a":' * 3000, b"[" * 12_000, b'{"keyslots": ' + b"9" * 5000 + b"}",
        b"{}\0x", b'{"config": {"json_size": "12288", "keyslots_size": "0"}}', b"NaN", b'"\\ud800"',
    ],
)  # fmt: skip
def test_a_text_that_is_none_is_an_error_of_one_line(text: bytes) -> None:
    start = time.monotonic()
    with pytest.raises(KeystoreError) as caught:
        parsed(text)
    assert str(caught.value).isprintable()
    assert time.monotonic() - start < 2


def test_a_text_that_is_nested_too_deep_is_refused_as_by_cryptsetup() -> None:
    raw = tree()
    inner: object = 1
    for _ in range(40):
        inner = [inner]
    raw["tokens"]["0"] = {"type": "x", "keyslots": [], "deep": inner}
    with pytest.raises(KeystoreError, match="nested"):
        parsed(raw)
